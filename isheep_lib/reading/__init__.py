"""Files and texts that others wrote, read strictly: what cannot be read is said in words."""
