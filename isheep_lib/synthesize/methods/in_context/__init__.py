"""Methods whose prompts show examples, and that ask for more like them."""
