"""Many prompts computed together by the transformers engine: rows that end at different times, beginnings that they share."""
