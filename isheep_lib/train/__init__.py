"""Fine-tuning on the kept pairs."""
