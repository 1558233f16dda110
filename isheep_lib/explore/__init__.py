"""Looking at single pairs of a run."""
