"""What a training minimises, one module for each objective."""
