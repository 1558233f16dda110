"""What parameters are made of, and how they are checked."""
