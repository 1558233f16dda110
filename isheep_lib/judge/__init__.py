"""A judge reads recorded answers."""
