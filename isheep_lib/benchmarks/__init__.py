"""Benchmarks: their data, tasks, metrics and comparisons."""
