"""Programs that a model wrote, confined."""
