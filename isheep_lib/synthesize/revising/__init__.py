"""Pairs that the model revises: how much an instruction helps its answer, and an answer its instruction."""
