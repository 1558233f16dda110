"""Methods that rewrite tasks: for code, for mathematics, and by a way of rewriting that is itself improved."""
