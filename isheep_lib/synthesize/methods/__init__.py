"""One file for each published way to write tasks, in a folder of its family."""
