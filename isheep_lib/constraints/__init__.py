"""Constraints on an answer that code checks: families, their texts, what an answer meets."""
