"""Decisions that exact arithmetic would take: fast where an error bound leaves one outcome, in float64 where it leaves two."""
