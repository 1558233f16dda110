r"""A constitution: rules that the model writes from its own bad answers, and which of them are taken into it.

    read_rules("1. Say what you do not know.\n2. Ok.")     # ["Say what you do not know.", "Ok."]

A row of `constitution.jsonl`; a rule with a reason was not taken:
    {"id": "i1-g2-rule-0", "iteration": 1, "version": 2, "rule": "Say what you do not know.", "reason": "", "detail": ""}

Covers proposing and choosing rules (IterAlign, arXiv 2403.18341, Section 3). Does not cover which answers are bad, or revising
them (`methods.revision.iteralign`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Request
from isheep_lib.languages.words import count_words
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.candidates import pool_of
from isheep_lib.synthesize.extras.asking import text_request, yes_shares
from isheep_lib.synthesize.writing import Writing

ITEM = re.compile(r"^\s*(?:\d{1,3}\s*[.):．、）：]|[-*•])\s*(?=\S)", re.MULTILINE)
FEWEST, MOST = 4, 40  # words of a rule
KNOWN = 0.7  # ROUGE-L F with a rule of the constitution, more is the same rule


@dataclass(frozen=True)
class Rule:
    """One rule, the version of the constitution that it makes, and why it is not taken, "" where it is."""

    id: str
    iteration: int
    version: int
    rule: str
    reason: str = ""
    detail: str = ""


def read_rules(said: str) -> list[str]:
    """Read a list of rules, each from its mark to the next one; a text without marks is one rule a line."""
    parts = ITEM.split(said)[1:] if ITEM.search(said) else said.splitlines()
    return [" ".join(part.split()) for part in parts if part.strip()]


def taken(rules: Sequence[Rule]) -> list[str]:
    """Return the rules that a constitution holds, in their order."""
    return [rule.rule for rule in rules if not rule.reason]


def propose(
    writing: Writing[Any], journal: Journal, round_: str, cases: Mapping[str, tuple[str, str]], most: int
) -> tuple[str, str, int]:
    """Have the model write rules from bad answers, of as many as its context holds.

    Args:
        round_: what names the round in ids.
        cases: task and bad answer, by id.
        most: rules that are asked for.

    Returns:
        What it wrote, why it ended, and the tokens that this took; nothing where not even one case fits.
    """
    texts = [writing.prompts.render("iteralign-case.txt", task=task, answer=answer) for task, answer in cases.values()]
    for number in range(len(texts), 0, -1):
        asked = writing.prompts.render("iteralign-propose.txt", number=str(most), cases="\n\n".join(texts[:number]))
        request: Request = text_request(writing, f"{round_}-rules", asked)
        if not writing.overlong({"": request.prompt}, request.max_new_tokens):
            said = generate_all(writing.engine, [request], journal, "rules")[request.id]
            return said.text, said.finish, said.num_tokens
    return "", "end", 0


def judge(writing: Writing[Any], journal: Journal, rules: Sequence[Rule], known: Sequence[str]) -> list[Rule]:
    """Say which proposed rules are not taken: of another length than a rule, like a known one, or vague to the model itself."""
    pool, judged = pool_of(list(known), KNOWN), list[Rule]()
    for rule in rules:
        number = count_words(rule.rule)
        near = pool.find(rule.rule)
        if not rule.reason and not FEWEST <= number <= MOST:
            rule = replace(rule, reason="no_rule_in_form", detail=f"{number} words")
        elif not rule.reason and near:
            rule = replace(rule, reason="known_rule", detail=f"ROUGE-L {near[1]:.2f} with: {near[0]}")
        elif not rule.reason:
            pool.add(rule.rule)
        judged.append(rule)
    asked = {r.id: writing.prompts.render("iteralign-vague.txt", rule=r.rule) for r in judged if not r.reason}
    vague = {id_ for id_, share in yes_shares(writing, asked, journal, "judging rules").items() if share > 0.5}
    return [replace(rule, reason="vague_rule") if rule.id in vague else rule for rule in judged]
