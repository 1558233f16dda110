"""Prompts, chat frames, and reading what a model wrote."""
