"""Unnatural Instructions: a fourth example after three, with input and constraints; then each said in other words.

Rows of `examples.jsonl`, the second a reformulation of the first, with its answer:
    {"id": "i1-r0-p003-t0", "instruction": "…", "input": "…", "output": "…", "finish": "end",
     "num_tokens": 12, "demonstrations": ["seed-004", …], "stated_constraints": "…"}
    {"id": "i1-r0-p003-t0-v0", "instruction": "…", "parents": ["i1-r0-p003-t0"], "operator": "reformulation", …}
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from isheep_lib.display.table import Table, samples
from isheep_lib.engines.generate import ask, generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.languages.words import words
from isheep_lib.params.kinds import Positive
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import canonical_json, digest_text, task_of
from isheep_lib.synthesize.candidates import BatchOptions, Candidates, Intake, pool_of
from isheep_lib.synthesize.extras.asking import before, text_request
from isheep_lib.synthesize.extras.needs import refuse_few
from isheep_lib.synthesize.method import Example, Method, Need
from isheep_lib.synthesize.methods.in_context.fields import (
    SHOWN,
    Fields,
    Shown,
    begin_fields,
    load_shown,
    read_fields,
    write_fields,
)
from isheep_lib.synthesize.respond import ANSWER, respond
from isheep_lib.synthesize.rules import Item, unquoted
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

CORE, OTHER_WORDS = "new example", "reformulation"


class UnnaturalOptions(BatchOptions):
    """How many examples a prompt shows, and how often a task is said in other words."""

    demonstrations: Positive = Field(3, description="seeds with an input shown in a prompt (3 in the paper)")
    reformulations: int = Field(
        2, description="other wordings asked for of each accepted task, with its answer (2 in the paper), 0 for none", ge=0
    )


class UnnaturalInstructions(Method[UnnaturalOptions]):
    """A new example after three, with an input and constraints on the answer, then the same tasks in other words."""

    name = "unnatural_instructions"
    source = "Unnatural Instructions (arXiv 2212.09689), section 2; steps and filters as published, prompts in our words"
    Options = UnnaturalOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds",)
    brings_answers = True
    answers_last = True
    prompts = tuple(f"unnatural_instructions-{name}.txt" for name in ("example", "shown", "reformulation", "input"))
    reasons: ClassVar[dict[str, str]] = {
        "missing_field": "the example lacks an instruction, an input or constraints; None is one",
        "copies_demonstration": "instruction and input are those of an example that was shown",
        "same_task": "instruction and input are those of an earlier task of the iteration",
        "unchanged": "the reformulation says what its parent says",
    }

    def prompt_files(self, options: UnnaturalOptions) -> tuple[str, ...]:
        """Leave out the one for reformulations where none are asked for."""
        return tuple(name for name in self.prompts if options.reformulations or "reformulation" not in name)

    def check_data(self, shared: Shared, options: UnnaturalOptions) -> dict[str, str]:
        """Refuse seeds of which too few have an input; hash the constraints, which are no field of other tasks."""
        shown = load_shown(shared)
        do = "give seeds with an input, such as seeds/with-constraints.jsonl, or lower synthesize.options.demonstrations"
        refuse_few(len(shown), options.demonstrations, "with an input", shared.seeds, do)
        return {"constraints of seeds": digest_text(canonical_json([each.fields.constraints for each in shown]))}

    def most(self, shared: Shared, options: UnnaturalOptions) -> int:
        """Return how many examples are written at most, reformulations apart."""
        return options.most_prompts

    def given(self, writing: Writing[UnnaturalOptions]) -> Table:
        """Show the seeds that have an input."""
        rows = [{"id": each.id, **each.fields._asdict()} for each in load_shown(writing.shared)]
        return samples(
            rows, ["id", "instruction", "input", "constraints"], 3, 0, f"{len(rows)} seeds with an input, for example"
        )

    def example(self, writing: Writing[UnnaturalOptions]) -> Example:
        """Ask for one example, and for other words of it."""
        seed, number = writing.seed_of("example"), writing.options.demonstrations
        shown = _draw(load_shown(writing.shared), number, seed)
        request = _request(writing, "example", shown)
        said = ask(writing.engine, request)
        fields, lacking = _read(writing, said)
        rows: list[dict[str, Any]] = [{"step": CORE, **fields._asdict(), "lacks": ", ".join(lacking)}]
        if writing.options.reformulations and not lacking:
            other = ask(writing.engine, _reformulation(writing, "example/v0", fields.instruction, fields.input))
            rows.append({"step": OTHER_WORDS, "instruction": unquoted(other.text)})
        return Example(request.prompt, said.text, rows)

    def write(self, writing: Writing[UnnaturalOptions]) -> Candidates:
        """Write examples in batches until enough are accepted, then say each in other words.

        Raises:
            DataError: seeds are too long for the model's context.
            YieldError: fewer than `min_instructions` examples were accepted; with the top reasons and examples.
        """
        shared, options, shown = writing.shared, writing.options, load_shown(writing.shared)
        _refuse_long(writing, shown)
        known = [each.fields.instruction for each in shown]
        before = [task.instruction for task in writing.earlier if shared.dedup_scope == "run"]
        intake, seen = Intake(writing, pool_of([*known, *before], shared.max_rouge)), set[tuple[str, str]]()
        with writing.open_journal("instructions") as journal:
            for batch in range(options.max_batches):
                if intake.full:
                    break
                if batch and shared.dedup_scope == "batch":
                    intake.pool = pool_of(known, shared.max_rouge)
                ids = [f"i{writing.iteration}-r{batch}-p{n:03d}" for n in range(options.prompts_per_batch)]
                draws = {i: _draw(shown, options.demonstrations, writing.seed_of(f"{i}/demonstrations")) for i in ids}
                requests = [_request(writing, i, drawn) for i, drawn in draws.items()]
                said = generate_all(writing.engine, requests, journal, f"instructions, batch {batch + 1}")
                for i, drawn in draws.items():
                    _take(intake, f"{i}-t0", said[i], drawn, seen)
        found = intake.require("look at the examples; raise max_batches or instruction_tokens, or lower min_instructions")
        return self._reformulated(writing, intake) if options.reformulations else found

    def respond(
        self, writing: Writing[UnnaturalOptions], accepted: list[dict[str, Any]], journal: Journal
    ) -> list[dict[str, Any]]:
        """Answer each task once it stands in its first words; a reformulation has the answer of its parent."""
        answered = respond(writing, [row for row in accepted if "parents" not in row], journal, writing.shared.answers)
        said: dict[str, list[dict[str, Any]]] = {}
        for row in answered:
            said.setdefault(task_of(row), []).append(row)
        others = []
        for row in accepted:
            parent = row.get("parents", [""])[0]
            for answer in said.get(parent, []):
                several = {"task": row["id"]} if "task" in answer else {}
                id_ = row["id"] + answer["id"].removeprefix(parent)
                others.append({**row, **several, "id": id_, **{name: answer[name] for name in ANSWER}})
        return [*answered, *respond(writing, others, journal)]

    def evidence(self, candidates: Candidates) -> Table:
        """Show what each step brought."""
        rows = []
        for step in (CORE, OTHER_WORDS):
            kept, lost = (
                [row for row in each if row.get("operator", CORE) == step] for each in (candidates.accepted, candidates.dropped)
            )
            why = ", ".join(f"{n} {reason}" for reason, n in Counter(row["reason"] for row in lost).most_common())
            constrained = sum(bool(row["stated_constraints"]) for row in kept)
            rows.append({"step": step, "accepted": len(kept), "with constraints": constrained, "dropped": why})
        return Table([row for row in rows if row["accepted"] or row["dropped"]], "what each step brought")

    def _reformulated(self, writing: Writing[UnnaturalOptions], core: Intake) -> Candidates:
        """Say the accepted tasks in other words; these count apart from the wanted instructions."""
        tasks = {row["id"]: row for row in core.found.accepted}
        number = writing.options.reformulations
        room = writing.shared.model_copy(update={"instructions": len(tasks) * (1 + number)})
        intake = Intake(replace(writing, shared=room), core.pool, found=core.found)
        ids = {f"{id_}-v{k}": row for id_, row in tasks.items() for k in range(number)}
        with writing.open_journal("reformulations") as journal:
            requests = [_reformulation(writing, i, row["instruction"], row["input"]) for i, row in ids.items()]
            said = generate_all(writing.engine, requests, journal, "reformulations")
        for i, row in ids.items():
            item = Item(said[i].text, unquoted(said[i].text), row["input"], cut=said[i].finish == "length")
            same = words(item.instruction) == words(row["instruction"])
            problem = ("unchanged", "") if same else intake.problem(item, {row["instruction"]})
            kept = {name: row[name] for name in ("demonstrations", "stated_constraints")}
            intake.found.tokens += said[i].num_tokens
            intake.take(i, item, {**kept, "parents": [row["id"]], "operator": OTHER_WORDS}, problem)
        return intake.found


def _draw(shown: Sequence[Shown], number: int, seed: int) -> list[Shown]:
    return random.Random(seed).sample(shown, number)  # noqa: S311 - reproducible, not secret


def _request(writing: Writing[UnnaturalOptions], id_: str, shown: Sequence[Shown]) -> Request:
    number = len(shown) + 1
    text = writing.prompts.render("unnatural_instructions-example.txt", number=str(number))
    begun = begin_fields([each.fields for each in shown], writing.prompts)
    return text_request(writing, id_, text, f"{before(writing, SHOWN, 'number')} {number + 1}", begun=begun)


def _read(writing: Writing[UnnaturalOptions], said: Completion) -> tuple[Fields, list[str]]:
    """Read the example that the model went on with after the label of its instruction."""
    return read_fields(said.text, writing.prompts.label_of(SHOWN, "instruction"))


def _reformulation(writing: Writing[UnnaturalOptions], id_: str, instruction: str, given: str) -> Request:
    text = writing.prompts.render("unnatural_instructions-reformulation.txt", instruction=instruction, input=given)
    return text_request(writing, id_, text, before(writing, "unnatural_instructions-reformulation.txt", "instruction"))


def _refuse_long(writing: Writing[UnnaturalOptions], shown: Sequence[Shown]) -> None:
    """Refuse seeds that do not fit the model's context together with the longest others."""
    counts = writing.lengths({each.id: write_fields([each.fields], writing.prompts) for each in shown})
    ranked = sorted(shown, key=lambda each: -counts.get(each.id, 0))
    number, long = writing.options.demonstrations, dict[str, str]()
    while len(ranked) >= number:
        prompt = _request(writing, "", ranked[:number]).prompt
        if not writing.overlong({"": prompt}, writing.shared.instruction_tokens):
            break
        longest = ranked.pop(0)
        long[longest.id] = f"{counts[longest.id]} tokens"
    writing.refuse_seeds(long, "shorten or remove them, or lower synthesize.options.demonstrations or instruction_tokens")


def _take(intake: Intake, id_: str, said: Completion, shown: Sequence[Shown], seen: set[tuple[str, str]]) -> None:
    """Take one example in, by the published filters first and the rules then."""
    fields, lacking = _read(intake.writing, said)
    given, cut = _input(intake.writing, fields), said.finish == "length"
    item, pair = Item(said.text, fields.instruction, given, cut), (fields.instruction, fields.input)
    problem = None
    if lacking and not cut:
        problem = ("missing_field", ", ".join(lacking))
    elif pair in {each.fields[:2] for each in shown}:
        problem = ("copies_demonstration", "")
    elif pair in seen:
        problem = ("same_task", "")
    intake.found.tokens += said.num_tokens
    lineage = {"demonstrations": [each.id for each in shown], "stated_constraints": fields.constraints}
    if intake.take(id_, item, lineage, problem):
        seen.add(pair)


def _input(writing: Writing[Any], fields: Fields) -> str:
    """Return what the instruction works on, with the constraints after it, as answers are asked for and learned."""
    if not fields.constraints:
        return fields.input
    return writing.prompts.render("unnatural_instructions-input.txt", input=fields.input, constraints=fields.constraints)
