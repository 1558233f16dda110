"""What differs from language to language, in one place."""
