"""IterAlign: the model finds its bad answers, writes rules from them, and answers again by the rules, round after round.

A row of `examples.jsonl`, whose output was written with the constitution before the task:
    {"id": "i1-g2-004", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 58,
     "parents": ["seed-012"], "operator": "revise", "generation": 2, "constitution_version": 2, "first_output": "…"}

What a row of `constitution.jsonl` holds, see `revising.constitution`; the next iteration begins with these rules.
"""

import random
from collections import Counter
from typing import Any, ClassVar

from pydantic import Field

from isheep_lib.display.table import Table, samples
from isheep_lib.params.kinds import Positive, Section
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.extras.needs import seeds_of
from isheep_lib.synthesize.extras.own import WithFiles, rows_of
from isheep_lib.synthesize.method import Example, Method, Need
from isheep_lib.synthesize.respond import respond
from isheep_lib.synthesize.revising.aligning import bad_answers, begin, proposed, revision_request, take_round
from isheep_lib.synthesize.revising.constitution import judge, propose, taken
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

FILE = "constitution.jsonl"
ADVICE = "look at the examples; raise rounds or batch, give other seeds, or lower min_instructions"


class IterAlignOptions(Section):
    """How many tasks are answered in a round, how many rounds there are, and how many rules each may add."""

    batch: Positive = Field(20, description="seeds answered in a round (20 in the paper's code)")
    rounds: Positive = Field(8, description="rounds at most; one without a bad answer ends them")
    rules: Positive = Field(3, description="rules that the model is asked for after a round")


class IterAlign(Method[IterAlignOptions]):
    """The model's bad answers become rules, and answers by these rules become what it learns."""

    name = "iteralign"
    source = "IterAlign (arXiv 2403.18341); the model itself finds bad answers, writes rules and revises; prompts in our words"
    Options = IterAlignOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")
    brings_answers = True
    one_answer = True
    keeps_instructions = True
    carries: ClassVar[str] = FILE
    prompts = tuple(f"iteralign-{name}.txt" for name in ("bad", "case", "propose", "vague", "revise"))
    reasons: ClassVar[dict[str, str]] = {
        "no_violation": "the model finds nothing wrong with its first answer",
        "no_constitution": "the answer is bad, and no rule could be taken so far",
        "answer_unchanged": "the answer by the constitution says what the first one says",
        "too_long_to_revise": "the constitution and the task leave no room for an answer in the model's context",
    }

    def reads_earlier(self, options: IterAlignOptions) -> bool:
        """Tell that seeds whose answers earlier iterations revised are not asked again."""
        return True

    def most(self, shared: Shared, options: IterAlignOptions) -> int:
        """Return how many seeds can be answered."""
        return min(len(seeds_of(shared)), options.batch * options.rounds)

    def given(self, writing: Writing[IterAlignOptions]) -> Table:
        """Show the tasks that are answered."""
        rows = [vars(task) for task in self._seeds(writing)]
        return samples(rows, ["id", "kind", "instruction", "input"], 3, 0, f"{len(rows)} tasks to answer, for example")

    def prepared(self, writing: Writing[IterAlignOptions]) -> Table:
        """Show the constitution that an earlier iteration left."""
        rows = [{"version": row["version"], "rule": row["rule"]} for row in writing.carried if not row["reason"]]
        return Table(rows or [{"rule": "none yet"}], "the constitution that this iteration begins with")

    def example(self, writing: Writing[IterAlignOptions]) -> Example:
        """Take one seed through a round, step by step."""
        seed, course = self._seeds(writing)[0], begin(writing)
        with writing.open_journal("example") as journal:
            row = {"id": "example", "instruction": seed.instruction, "input": seed.input}
            (first,) = respond(writing, [row], journal)
            bad = bad_answers(writing, journal, [first])
            said, finish, _ = propose(
                writing, journal, "example", {"": (user_words(seed), first["output"])}, writing.options.rules
            )
            rules = judge(writing, journal, proposed(writing, "example", 1, said, finish), taken(course.rules))
        steps = {"task": user_words(seed), "answer": first["output"], "bad": bad.get("example", "no")}
        steps |= {f"rule {n}": f"{rule.rule} ({rule.reason or 'taken'})" for n, rule in enumerate(rules, start=1)}
        prompt = revision_request(writing, "example", seed, taken([*course.rules, *rules])).prompt
        return Example(prompt, said, [{"step": name, "text": text} for name, text in steps.items()])

    def write(self, writing: Writing[IterAlignOptions]) -> Candidates:
        """Answer, judge, write rules and answer again, batch by batch, until enough are accepted or nothing is bad.

        Raises:
            YieldError: fewer than `min_instructions` were accepted; with the top reasons and examples.
        """
        waiting, course, options = self._seeds(writing), begin(writing), writing.options
        known = [task.instruction for task in (*writing.seeds, *writing.earlier)]
        intake = Intake(writing, pool_of(known, writing.shared.max_rouge))
        with writing.open_journal("rounds") as journal:
            for generation in range(1, options.rounds + 1):
                batch, waiting = waiting[: options.batch], waiting[options.batch :]
                if not batch or intake.full:
                    break
                seeds = {f"i{writing.iteration}-g{generation}-{n:03d}": seed for n, seed in enumerate(batch)}
                if not take_round(writing, intake, journal, course, seeds):
                    break
        found = intake.require(ADVICE)
        rules = [vars(rule) for rule in course.rules]
        return WithFiles(found.accepted, found.dropped, found.tokens + course.tokens, {FILE: rules})

    def evidence(self, candidates: Candidates) -> Table:
        """Show every rule with its version and what became of it, and how many answers each version revised."""
        rows = rows_of(candidates, FILE)
        used = Counter(row["constitution_version"] for row in candidates.accepted)
        shown = [
            {
                "version": row["version"],
                "rule": row["rule"],
                "": ": ".join(filter(None, (row["reason"], row["detail"]))) or "taken",
                "answers accepted by this version": used[row["version"]],
            }
            for row in rows
        ]
        return Table(shown or [{"rule": "none was written"}], "the constitution, version by version")

    def figure(self, candidates: Candidates) -> Any:
        """Draw what each round brought."""
        from isheep_lib.synthesize.extras.figures import generations

        return generations(candidates.accepted, candidates.dropped)

    def _seeds(self, writing: Writing[IterAlignOptions]) -> list[Task]:
        """Draw the seeds of which no earlier iteration learned, in an order of this iteration's own."""
        long = writing.overlong(
            {seed.id: revision_request(writing, "", seed, []).prompt for seed in writing.seeds}, writing.shared.response_tokens
        )
        writing.refuse_seeds(long, "shorten or remove them, or lower synthesize.response_tokens")
        asked = {(task.instruction, task.input) for task in writing.earlier}
        found = [seed for seed in writing.seeds if (seed.instruction, seed.input) not in asked]
        random.Random(writing.seed_of("parents")).shuffle(found)  # noqa: S311 - reproducible, not secret
        return found
