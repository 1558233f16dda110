"""Sweeps: many runs from one file, and their comparison."""
