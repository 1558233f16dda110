"""A record executed again, or held against the model, and compared."""
