"""Whether a record is still what was written: sheets that carry their own digest, a run's inventory, its signature."""
