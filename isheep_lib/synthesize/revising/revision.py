"""A pair revised step by step: its instruction, then its answer, each where the model's own losses say that it is better.

Covers asking, and what the ratios decide. Does not cover the ratios (`revising.difficulty`) or which pairs are revised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.languages.words import words
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Pair, Task
from isheep_lib.synthesize.evolving.rounds import read_rewriting
from isheep_lib.synthesize.extras.asking import answer_request, text_request
from isheep_lib.synthesize.respond import respond, response_prompt
from isheep_lib.synthesize.revising.difficulty import ifd, reversed_ifd
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.writing import Writing


@dataclass
class Revision:
    """A pair on its way: how it is now, what was revised, and how difficult each way of it is."""

    seed: Task
    now: Pair
    revised: tuple[str, ...] = ()
    ratios: dict[str, float] | None = None
    problem: tuple[str, str] = ("", "")

    def note(self, **ratios: float) -> None:
        """Remember ratios by name."""
        self.ratios = {**(self.ratios or {}), **ratios}


def as_pair(id_: str, task: Task) -> Pair:
    """Return a seed with its output as a pair."""
    return Pair(id_, task.instruction, task.input, task.output)


def revise(writing: Writing[Any], journal: Journal, seeds: Mapping[str, Task]) -> dict[str, Revision]:
    """Revise instructions, then answers; each revision stays where its ratio says that it is better."""
    found = {i: Revision(seed, as_pair(i, seed)) for i, seed in seeds.items()}
    _revise_instructions(writing, journal, found)
    _revise_responses(writing, journal, found)
    final = ifd(writing, journal, {f"{i}/final": one.now for i, one in found.items()})
    for i, one in found.items():
        one.problem = _final_problem(one, final.get(f"{i}/final"))
    return found


def _revise_instructions(writing: Writing[Any], journal: Journal, found: Mapping[str, Revision]) -> None:
    """Take the revised instruction, with the model's answer to it, where the difficulty rises."""
    requests = [instruction_request(writing, f"{i}/instruction", one.seed) for i, one in found.items()]
    said = generate_all(writing.engine, requests, journal, "revising instructions")
    items = {i: read_rewriting(said[f"{i}/instruction"], writing.read_in) for i in found}
    fresh = {i: item for i, item in items.items() if _is_new(writing, item, found[i].seed)}
    rows = [{"id": f"{i}/answer", "instruction": item.instruction, "input": ""} for i, item in fresh.items()]
    answers = [row for row in respond(writing, rows, journal) if row["output"]]
    revised = {row["id"].removesuffix("/answer"): Pair.from_row(row) for row in answers}
    before = ifd(writing, journal, {f"{i}/before": found[i].now for i in revised})
    after = ifd(writing, journal, {f"{i}/revised": pair for i, pair in revised.items()})
    for i, pair in revised.items():
        old, new = before.get(f"{i}/before"), after.get(f"{i}/revised")
        if old is not None and new is not None:
            found[i].note(ifd_before=old, ifd_revised=new)
            if new > old:
                found[i].now, found[i].revised = replace(pair, id=i), ("instruction",)


def _revise_responses(writing: Writing[Any], journal: Journal, found: Mapping[str, Revision]) -> None:
    """Take the revised answer where the reversed difficulty falls."""
    requests = {i: revision_request(writing, f"{i}/response", one.now) for i, one in found.items()}
    long = writing.overlong({i: each.prompt for i, each in requests.items()}, writing.shared.response_tokens)
    said = generate_all(writing.engine, [r for i, r in requests.items() if i not in long], journal, "revising answers")
    revised = {i: _with_answer(found[i].now, said[f"{i}/response"]) for i in found if f"{i}/response" in said}
    revised = {i: pair for i, pair in revised.items() if words(pair.output) not in ([], words(found[i].now.output))}
    before = reversed_ifd(writing, journal, {f"{i}/before": one.now for i, one in found.items()})
    after = reversed_ifd(writing, journal, {f"{i}/revised": pair for i, pair in revised.items()})
    for i, one in found.items():
        old, new = before.get(f"{i}/before"), after.get(f"{i}/revised")
        one.note(**({"rifd_before": old} if old is not None else {}), **({"rifd_revised": new} if new is not None else {}))
        if old is not None and new is not None and new < old:
            one.now, one.revised = revised[i], (*one.revised, "response")


def _final_problem(one: Revision, difficulty: float | None) -> tuple[str, str]:
    """Return why a pair is not learned, ("", "") where it is."""
    ratios = one.ratios or {}
    reverse = ratios.get("rifd_revised" if "response" in one.revised else "rifd_before")
    if difficulty is None or reverse is None:
        return "too_long_to_compare", ""
    if not one.revised:
        return "nothing_better", ", ".join(f"{name} {value}" for name, value in ratios.items())
    if difficulty >= 1:
        return "no_help", f"IFD {difficulty}"
    return ("no_trace", f"reversed IFD {reverse}") if reverse >= 1 else ("", "")


def _is_new(writing: Writing[Any], item: Item, seed: Task) -> bool:
    """Tell whether a revised instruction is a task that can be answered, and another one than it was."""
    rule = writing.rule_problem(item)
    long = writing.overlong({"": response_prompt(writing, vars(item))}, writing.shared.response_tokens)
    return not rule and not long and words(item.instruction) not in (words(seed.instruction), words(user_words(seed)))


def _with_answer(pair: Pair, said: Completion) -> Pair:
    return replace(pair, output=said.text.strip(), finish=said.finish, num_tokens=said.num_tokens)


def instruction_request(writing: Writing[Any], id_: str, seed: Task) -> Request:
    """Ask for a better task than that of a pair."""
    words_ = writing.prompts.render("reflection-instruction.txt", task=user_words(seed), answer=seed.output)
    return text_request(writing, id_, words_)


def revision_request(writing: Writing[Any], id_: str, pair: Pair) -> Request:
    """Ask for a better answer than that of a pair."""
    said = writing.prompts.render("reflection-response.txt", task=user_words(pair), answer=pair.output)
    return answer_request(writing, id_, said)
