"""What computes a model: one small protocol, one file an engine."""
