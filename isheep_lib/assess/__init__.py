"""Self-assessment of pairs, and how far it can be trusted."""
