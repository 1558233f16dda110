"""The checks of families: each takes an answer and the family's arguments, and tells whether the answer meets it."""
