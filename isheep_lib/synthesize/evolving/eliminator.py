"""What eliminates a rewriting or its answer: the four rules of WizardLM, and the form that h2o-wizardlm asks of a text.

Covers one text, and the model's word on two of them. Does not cover which of these a method applies.
"""

import re
from collections.abc import Mapping
from typing import Any

from isheep_lib.languages import rules
from isheep_lib.languages.rules import Language
from isheep_lib.languages.words import words
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Intake
from isheep_lib.synthesize.evolving.rounds import Draft, Problem
from isheep_lib.synthesize.extras.asking import yes_shares
from isheep_lib.synthesize.writing import Writing

BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
MOST_BULLETS, SHORT_APOLOGY = 10, 80  # as h2o-wizardlm's list limit, and words of WizardLM's apology
# The meanings of reasons, for the methods that give them.
UNCHANGED = "the rewriting says what its parent says"
LEAKED_MARKER = "words of the prompt, such as a rewritten task, stand in the task"


def rewriting_problem(draft: Draft, intake: Intake) -> Problem | None:
    """Return the first reason to eliminate a rewriting that any method has: a rule, no change, or words of the prompt."""
    text = draft.item.instruction
    if rule := intake.writing.rule_problem(draft.item):
        return rule, ""
    if words(text) in (words(draft.parent.instruction), words(user_words(draft.parent))):
        return "unchanged", ""
    found = rules.of(intake.writing.read_in).first("prompt_leak", text)
    return ("leaked_marker", found.group()) if found else None


def form_problem(draft: Draft, intake: Intake) -> Problem | None:
    """Return why a rewriting is no plain task in form, None if it is one (h2o-wizardlm)."""
    text = draft.item.instruction
    broken = text.count("\n") > 2 * text.count(" ") or len(BULLET.findall(text)) > MOST_BULLETS
    itself = rules.of(intake.writing.read_in).finds("of_itself", text)
    return ("malformed", "") if broken or itself else None


def equal(writing: Writing[Any], journal: Journal, drafts: Mapping[str, Draft]) -> dict[str, Problem]:
    """Ask the model which rewritings equal their parents; return those that do, with the probability it gives to yes."""
    questions = {i: equal_question(writing, draft.parent, draft.item.instruction) for i, draft in drafts.items()}
    yes = yes_shares(writing, questions, journal, "comparing")
    return {i: ("equal", f"{share:.0%} yes") for i, share in yes.items() if share > 0.5}


def equal_question(writing: Writing[Any], parent: Task, rewritten: str) -> str:
    """Ask whether a rewriting asks for the same as its parent."""
    return writing.prompts.render("evol-equal.txt", first=user_words(parent), second=rewritten)


def answer_problem(answer: str, language: Language) -> Problem | None:
    """Return the reason to eliminate a rewriting by its response, None if there is none."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    said, own = words(answer), rules.stop_words(language)
    if rules.of(language).finds("apology", answer) and len(said) < SHORT_APOLOGY:
        return "apology", ""
    return ("says_nothing", "") if all(word in ENGLISH_STOP_WORDS or word in own for word in said) else None
