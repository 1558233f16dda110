"""One file for each published way to write tasks."""
