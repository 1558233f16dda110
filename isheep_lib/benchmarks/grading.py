"""Grading of answers where lm-eval's own metric cannot be had without the hub: SQuAD2.0's, and programs that were run.

    squad_scores({"answers": {"text": ["in 1830"]}}, ["1830"])    # {"exact_match": 0.0, "f1": 0.666…}

Covers one item at a time, as the task files in `tasks` name these functions. Does not cover running code (`sandbox`).
"""

from typing import Any

NO_ANSWER = "unanswerable"  # what the prompt asks for


def squad_scores(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Compare an answer with every gold one: exact match and F1 of words (Rajpurkar et al. 2018), the best counts."""
    from transformers.data.metrics.squad_metrics import compute_exact, compute_f1, normalize_answer

    golds = [text for text in doc["answers"]["text"] if normalize_answer(text)] or [""]
    said = "" if normalize_answer(results[0]) == NO_ANSWER else results[0]
    scorers = {"exact_match": compute_exact, "f1": compute_f1}
    return {name: float(max(score(gold, said) for gold in golds)) for name, score in scorers.items()}


def code_scores(doc: dict[str, Any], results: list[Any]) -> dict[str, float]:
    """Score the outcome of a program that was run."""
    return {"pass_at_1": float(results[0].passed)}
