"""New tasks and responses."""
