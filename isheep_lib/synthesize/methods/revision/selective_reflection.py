"""Selective Reflection-Tuning: the model revises a pair's instruction, then its answer; its own losses choose what stays.

A row of `examples.jsonl`:
    {"id": "i1-seed-012", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 58,
     "parents": ["seed-012"], "operator": "response", "ifd_before": 0.61, "ifd_revised": 0.55, "rifd_before": 0.8,
     "rifd_revised": 0.7}
"""

import random
from collections import Counter
from typing import Any, ClassVar

from pydantic import Field

from isheep_lib.display.table import Table, samples
from isheep_lib.errors import DataError
from isheep_lib.params.kinds import Section
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.extras.needs import seeds_of
from isheep_lib.synthesize.method import Example, Method, Need
from isheep_lib.synthesize.revising.revision import Revision, as_pair, instruction_request, revise, revision_request
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

ADVICE = "look at the examples; give more seeds with outputs, raise instruction_tokens, or lower min_instructions"


class ReflectionOptions(Section):
    """How many pairs are revised."""

    parents: int = Field(0, description="seeds that are revised at most, 0 is all that have an output", ge=0)


class SelectiveReflection(Method[ReflectionOptions]):
    """Seeds whose instructions and answers the model revises, where its own losses say that the revision is better."""

    name = "selective_reflection"
    source = "Selective Reflection-Tuning (arXiv 2402.10110); the model itself is teacher and student; prompts in our words"
    Options = ReflectionOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")
    brings_answers = True
    prompts = ("reflection-instruction.txt", "reflection-response.txt", "reflection-guess.txt")
    one_answer = True
    keeps_instructions = True
    reasons: ClassVar[dict[str, str]] = {
        "nothing_better": "neither the revised instruction is harder nor the revised answer tells more of its instruction",
        "no_help": "in the end the instruction does not help to foresee the answer: IFD is 1 or more",
        "no_trace": "in the end the answer does not help to foresee the instruction: the reversed IFD is 1 or more",
        "too_long_to_compare": "the pair leaves no room in the model's context to read how likely it is",
    }

    def check_data(self, shared: Shared, options: ReflectionOptions) -> dict[str, str]:
        """Refuse seeds of which none has an output."""
        seeds = seeds_of(shared)
        if not any(seed.output for seed in seeds):
            raise DataError(
                f"None of the {len(seeds)} seed tasks has an output, so there is no pair to revise",
                where=shared.seeds,
                do="give seeds with outputs, or say in synthesize.seed_fields where they lie, such as output=answer",
            )
        return {}

    def most(self, shared: Shared, options: ReflectionOptions) -> int:
        """Return how many pairs can be revised."""
        pairs = sum(bool(seed.output) for seed in seeds_of(shared))
        return min(pairs, options.parents or pairs)

    def given(self, writing: Writing[ReflectionOptions]) -> Table:
        """Show the pairs that are revised."""
        rows = [vars(task) for task in self._seeds(writing)]
        return samples(rows, ["id", "instruction", "input", "output"], 3, 0, f"{len(rows)} pairs to revise, for example")

    def example(self, writing: Writing[ReflectionOptions]) -> Example:
        """Revise one pair, step by step."""
        seed = self._seeds(writing)[0]
        with writing.open_journal("example") as journal:
            (found,) = revise(writing, journal, {"example": seed}).values()
            said = journal.rows.get("example/instruction", {}).get("text", "")
        steps = {"was": user_words(seed), "answer was": seed.output, "is": user_words(found.now), "answer is": found.now.output}
        steps |= {name: str(value) for name, value in (found.ratios or {}).items()}
        steps["verdict"] = found.problem[0] or f"revised: {', '.join(found.revised)}"
        prompt = instruction_request(writing, "example", seed).prompt
        return Example(prompt, said, [{"step": name, "text": text} for name, text in steps.items()])

    def write(self, writing: Writing[ReflectionOptions]) -> Candidates:
        """Revise pairs in an order drawn at random, until enough are accepted.

        Raises:
            YieldError: fewer than `min_instructions` were accepted; with the top reasons and examples.
        """
        waiting, known = self._seeds(writing), [task.instruction for task in (*writing.seeds, *writing.earlier)]
        intake = Intake(writing, pool_of(known, writing.shared.max_rouge))
        with writing.open_journal("revisions") as journal:
            while waiting and not intake.full:
                number = writing.shared.instructions - len(intake.found.accepted)
                batch, waiting = waiting[:number], waiting[number:]
                found = revise(writing, journal, {f"i{writing.iteration}-{seed.id}": seed for seed in batch})
                for id_, revision in found.items():
                    _take(intake, id_, revision)
        intake.found.tokens += _tokens_beside(intake.found, journal)
        return intake.require(ADVICE)

    def evidence(self, candidates: Candidates) -> Table:
        """Show what was revised, and how the ratios moved."""
        rows: list[dict[str, Any]] = []
        written = [*candidates.accepted, *candidates.dropped]
        for operator, number in sorted(Counter(row["operator"] for row in written).items()):
            own = [row for row in candidates.accepted if row["operator"] == operator]
            line: dict[str, Any] = {"revised": operator, "pairs": number, "accepted": len(own)}
            for name in ("ifd_before", "ifd_revised", "rifd_before", "rifd_revised"):
                values = [row[name] for row in own if name in row]
                line[f"mean {name.replace('_', ' ')}"] = round(sum(values) / len(values), 3) if values else ""
            rows.append(line)
        return Table(rows or [{"revised": "nothing"}], "what was revised, and the ratios of the accepted pairs")

    def figure(self, candidates: Candidates) -> Any:
        """Draw the ratios before and after each revision."""
        from isheep_lib.synthesize.extras.figures import revisions

        return revisions([*candidates.accepted, *candidates.dropped])

    def _seeds(self, writing: Writing[ReflectionOptions]) -> list[Task]:
        """Draw the pairs, in the order of this iteration; all must leave room for a revision."""
        found = [seed for seed in writing.seeds if seed.output]
        prompts = {seed.id: instruction_request(writing, "", seed).prompt for seed in found}
        long = writing.overlong(prompts, writing.shared.instruction_tokens)
        long |= writing.overlong(
            {s.id: revision_request(writing, "", as_pair(s.id, s)).prompt for s in found}, writing.shared.response_tokens
        )
        writing.refuse_seeds(long, "shorten or remove them, or lower synthesize.instruction_tokens or response_tokens")
        random.Random(writing.seed_of("parents")).shuffle(found)  # noqa: S311 - reproducible, not secret
        return found[: writing.options.parents or len(found)]


def _take(intake: Intake, id_: str, one: Revision) -> None:
    item = Item(one.now.output, one.now.instruction, one.now.input)
    problem = one.problem if one.problem[0] else intake.problem(item, {one.seed.instruction})
    answer = {"output": one.now.output, "finish": one.now.finish, "num_tokens": one.now.num_tokens}
    lineage = {"parents": [one.seed.id], "operator": "+".join(one.revised) or "none", **(one.ratios or {})}
    intake.take(id_, item, {**lineage, **answer}, problem)


def _tokens_beside(found: Candidates, journal: Journal) -> int:
    """Count the tokens generated beside those of the answers that were accepted."""
    kept = sum(row["num_tokens"] for row in found.accepted)
    return sum(row.get("num_tokens", 0) for row in journal.rows.values()) - kept
