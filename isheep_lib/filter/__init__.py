"""Which pairs are trained on."""
