"""A record executed again and compared."""
