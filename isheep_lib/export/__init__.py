"""A run's model and data for others."""
