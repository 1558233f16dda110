"""What computes a model: one small protocol, one file per engine."""
