"""Methods that rewrite tasks: of any kind, for code, for mathematics, and by a way of rewriting that is itself improved."""
