"""Constraints in tasks: asked for before an answer, or found in a free one."""
