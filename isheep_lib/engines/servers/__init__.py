"""Servers of a model: one address, several that share the work, what their answers say, and which serve a run."""
