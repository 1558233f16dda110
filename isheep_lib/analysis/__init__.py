"""Pure statistics on texts and results; no model, no files of a run."""
