"""Base models, adapters, and loading them."""
