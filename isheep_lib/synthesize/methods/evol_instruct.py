"""Evol-Instruct: tasks rewritten, round after round, by operators drawn at random, and what failed eliminated (WizardLM).

A row of `examples.jsonl`:
    {"id": "i1-g2-004", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 58,
     "parents": ["i1-g1-004"], "operator": "add_constraint", "generation": 2}
"""

import math
import random
import re
from collections import Counter
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from isheep_lib.display.table import Table, samples
from isheep_lib.engines.generate import ask, choose_all, generate_all
from isheep_lib.engines.protocol import SPARE, Completion, Request
from isheep_lib.languages import rules
from isheep_lib.languages.rules import Language
from isheep_lib.languages.words import words
from isheep_lib.params.kinds import Positive, Section, distinct
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.method import Example, Method, Need, Writing
from isheep_lib.synthesize.respond import respond
from isheep_lib.synthesize.rules import Item, unquoted

Operator = Literal["add_constraint", "deepen", "concretise", "add_reasoning", "complicate_input", "in_breadth"]
OPERATORS: tuple[Operator, ...] = ("add_constraint", "deepen", "concretise", "add_reasoning", "complicate_input", "in_breadth")
BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
MOST_BULLETS, SHORT_APOLOGY = 10, 80  # as h2o-wizardlm's list limit, and words of WizardLM's apology


class EvolOptions(Section):
    """How often tasks are rewritten, and by what."""

    rounds: Positive = Field(4, description="times that every task is rewritten (4 in the paper)")
    parents: int = Field(0, description="seeds that are rewritten, 0 is as many as the wanted instructions need", ge=0)
    operators: Annotated[list[Operator], Field(min_length=1), AfterValidator(distinct)] = Field(
        list(OPERATORS), description="what a rewriting may do, one drawn at random for each"
    )


class EvolInstruct(Method[EvolOptions]):
    """Seeds rewritten round after round, harder or rarer, and failed rewritings eliminated."""

    name = "evol_instruct"
    source = "WizardLM (arXiv 2304.12244); the model itself rewrites, compares and answers; prompts in our words"
    Options = EvolOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")
    brings_answers = True
    people = "rules that eliminate rewritings and answers"
    prompts = (*(f"evol-{name}.txt" for name in OPERATORS), "evol-equal.txt")
    reasons: ClassVar[dict[str, str]] = {
        "unchanged": "the rewriting says what its parent says",
        "leaked_marker": "words of the prompt, such as a rewritten task, stand in the task",
        "malformed": "line breaks more than twice the spaces, more than ten list items, or an assistant speaking of itself",
        "equal": "the model finds the same constraints, depth and breadth as in its parent",
        "apology": "the response is short and apologises",
        "says_nothing": "the response holds punctuation and stop words alone",
    }

    def packages(self, options: EvolOptions) -> list[str]:
        """Name whose stop words are taken."""
        return ["scikit-learn"]

    def given(self, writing: Writing[EvolOptions]) -> Table:
        """Show the seeds that are rewritten."""
        rows = [vars(task) for task in self._parents(writing)]
        return samples(rows, ["id", "kind", "instruction", "input"], 3, 0, f"{len(rows)} tasks to rewrite, for example")

    def example(self, writing: Writing[EvolOptions]) -> Example:
        """Rewrite one seed by the first operator."""
        parent, operator = self._parents(writing)[0], writing.options.operators[0]
        request = _request(writing, "example", parent, operator)
        said = ask(writing.engine, request)
        item = read_rewriting(said, writing.read_in)
        return Example(request.prompt, said.text, [{"was": user_words(parent), "operator": operator, "is": item.instruction}])

    def write(self, writing: Writing[EvolOptions]) -> Candidates:
        """Rewrite, compare and answer round by round; a task whose rewriting failed is rewritten again in the next round.

        A rewriting is compared with all tasks known so far but those it was made from.

        Raises:
            YieldError: fewer than `min_instructions` were accepted; with the top reasons and examples.
        """
        lines = {f"{n:03d}": [task] for n, task in enumerate(self._parents(writing))}  # a seed, then what became of it
        known = [task.instruction for task in (*writing.seeds, *writing.earlier)]
        intake = Intake(writing, pool_of(known, writing.shared.max_rouge))
        with writing.open_journal("rewritings") as rewritten, writing.open_journal("answers") as answered:
            for generation in range(1, writing.options.rounds + 1):
                if not intake.full:
                    self._evolve(writing, intake, (rewritten, answered), lines, generation)
        return intake.require(
            "look at the examples; raise rounds or parents, choose other operators, or lower min_instructions"
        )

    def evidence(self, candidates: Candidates) -> Table:
        """Show what each operator brought."""
        kept = Counter(row["operator"] for row in candidates.accepted)
        lost = Counter((row["operator"], row["reason"]) for row in candidates.dropped)
        rows: list[dict[str, Any]] = []
        for operator in OPERATORS:
            reasons = {reason: number for (name, reason), number in lost.items() if name == operator}
            written = kept[operator] + sum(reasons.values())
            top = max(reasons, key=lambda reason: reasons[reason], default="")
            rows += (
                [{"operator": operator, "written": written, "accepted": kept[operator], "mostly lost by": top}]
                if written
                else []
            )
        return Table(rows or [{"operator": "none was used"}], "what each operator brought")

    def _parents(self, writing: Writing[EvolOptions]) -> list[Task]:
        """Draw the seeds that are rewritten; all must fit the model's context, whichever are drawn."""
        writing.refuse_seeds(_overlong_seeds(writing), "shorten or remove them, or lower synthesize.instruction_tokens")
        wanted = writing.options.parents or -(-writing.shared.instructions // writing.options.rounds)
        draw = random.Random(writing.seed_of("parents"))  # noqa: S311 - reproducible, not secret
        return draw.sample(writing.seeds, min(wanted, len(writing.seeds)))

    def _evolve(
        self,
        writing: Writing[EvolOptions],
        intake: Intake,
        journals: tuple[Journal, Journal],
        lines: dict[str, list[Task]],
        generation: int,
    ) -> None:
        """Rewrite the last task of every line once; what is accepted becomes the line's last task."""
        ids = {f"i{writing.iteration}-g{generation}-{key}": line for key, line in lines.items()}
        drawn = {i: random.Random(writing.seed_of(f"{i}/operator")).choice(writing.options.operators) for i in ids}  # noqa: S311
        requests = [_request(writing, i, line[-1], drawn[i]) for i, line in ids.items()]
        said = generate_all(writing.engine, requests, journals[0], f"rewriting, round {generation}")
        items = {i: read_rewriting(said[i], writing.read_in) for i in ids}
        intake.found.tokens += sum(completion.num_tokens for completion in said.values())
        apart = {i: {task.instruction for task in line} for i, line in ids.items()}
        problems = {i: _rewriting_problem(items[i], ids[i][-1], intake) or intake.problem(items[i], apart[i]) for i in ids}
        left = {i: (ids[i][-1], items[i]) for i in ids if not problems[i][0]}
        problems |= _equal(writing, journals[0], left)
        rows = [{"id": i, "instruction": items[i].instruction, "input": ""} for i in left if not problems[i][0]]
        answers = {row["id"]: row for row in respond(writing, rows, journals[1])}
        for i, line in ids.items():
            answer = {name: answers[i][name] for name in ("output", "finish", "num_tokens")} if i in answers else {}
            problem = (
                problems[i]
                if problems[i][0]
                else _answer_problem(answer["output"], writing.shared.language) or intake.problem(items[i], apart[i])
            )
            lineage = {"parents": [line[-1].id], "operator": drawn[i], "generation": generation}
            if intake.take(i, items[i], {**lineage, **answer}, problem):
                line.append(Task(i, items[i].instruction))


def read_rewriting(said: Completion, language: Language = "en") -> Item:
    """Read a rewritten task: the text without a label of some languages before it and quotes around it."""
    text = said.text.strip()
    label = rules.of(language).first("rewriting", text)
    return Item(said.text, unquoted(text[label.end() :] if label else text), "", cut=said.finish == "length")


def _request(writing: Writing[EvolOptions], id_: str, task: Task, operator: Operator) -> Request:
    """Ask for one rewriting, in the model's frame."""
    shared, frame = writing.shared, writing.frame
    prompt = frame.prompt(writing.prompts.render(f"evol-{operator}.txt", task=user_words(task)))
    sampling = (shared.instruction_tokens, shared.instruction_temperature, shared.instruction_top_p)
    return Request(id_, prompt, *sampling, writing.seed_of(id_), stop=(frame.end,))


def _overlong_seeds(writing: Writing[EvolOptions]) -> dict[str, str]:
    """Say by id how long the prompts of seeds are that have no room for a rewriting, or to be compared with it."""
    limit, long = writing.shared.instruction_tokens, dict[str, str]()
    for operator in writing.options.operators:
        prompts = {task.id: _request(writing, "", task, operator).prompt for task in writing.seeds}
        long = writing.overlong(prompts, limit) | long
    compared = {task.id: _equal_prompt(writing, task, "") for task in writing.seeds}
    return writing.overlong(compared, limit + SPARE) | long


def _rewriting_problem(item: Item, parent: Task, intake: Intake) -> tuple[str, str] | None:
    """Return the first reason to eliminate a rewriting by its text alone, None if there is none (WizardLM, h2o-wizardlm)."""
    text = item.instruction
    if rule := intake.writing.rule_problem(item):
        return rule, ""
    if words(text) in (words(parent.instruction), words(user_words(parent))):
        return "unchanged", ""
    own = rules.of(intake.writing.read_in)
    if found := own.first("prompt_leak", text):
        return "leaked_marker", found.group()
    broken = text.count("\n") > 2 * text.count(" ") or len(BULLET.findall(text)) > MOST_BULLETS
    return ("malformed", "") if broken or own.finds("of_itself", text) else None


def _equal(writing: Writing[EvolOptions], journal: Journal, left: dict[str, tuple[Task, Item]]) -> dict[str, tuple[str, str]]:
    """Ask the model which rewritings equal their parents; return those that do, with the probability it gives to yes."""
    prompts = {i: _equal_prompt(writing, parent, item.instruction) for i, (parent, item) in left.items()}
    logs = choose_all(writing.engine, prompts, writing.prompts.words.answers, journal, "comparing")
    yes = {i: 1 / (1 + math.exp(min(700.0, other - same))) for i, (same, other) in logs.items()}
    return {i: ("equal", f"{share:.0%} yes") for i, share in yes.items() if share > 0.5}


def _equal_prompt(writing: Writing[EvolOptions], parent: Task, rewritten: str) -> str:
    return writing.frame.prompt(writing.prompts.render("evol-equal.txt", first=user_words(parent), second=rewritten))


def _answer_problem(answer: str, language: Language) -> tuple[str, str] | None:
    """Return the reason to eliminate a rewriting by its response, None if there is none."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    said, own = words(answer), rules.stop_words(language)
    if rules.of(language).finds("apology", answer) and len(said) < SHORT_APOLOGY:
        return "apology", ""
    return ("says_nothing", "") if all(word in ENGLISH_STOP_WORDS or word in own for word in said) else None
