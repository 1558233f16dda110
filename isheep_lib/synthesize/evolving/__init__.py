"""Tasks rewritten round after round: the rounds, what eliminates a rewriting, votes, unit tests, versions of a method."""
