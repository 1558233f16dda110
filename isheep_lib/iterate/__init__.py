"""A run: its parameters, its stages in order, one stage at work."""
