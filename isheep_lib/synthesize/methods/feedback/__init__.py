"""Methods that write tasks like those at which the model fails."""
