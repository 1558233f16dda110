"""Where the model fails: answers held against known ones, weaknesses by skill, and an archive of what it does badly."""
