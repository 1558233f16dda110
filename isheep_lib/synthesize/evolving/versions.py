"""A way of rewriting that the model itself improves: its versions, what is wrong with each, and the one that fails least.

    failure("Understood. What would you like to know?")     # ("stagnant", "understood")
    failure_rate([None, ("stagnant", "understood")])        # 0.5

Covers analysis, improvement and choice (Auto Evol-Instruct, Section 3). Does not cover rewriting all tasks by what was chosen
(`methods.evolution.auto_evol`).
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.languages.words import words
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.evolving.rounds import Problem, filled, read_rewriting
from isheep_lib.synthesize.extras.asking import text_request
from isheep_lib.synthesize.respond import respond
from isheep_lib.synthesize.writing import Writing

# Words of a response that tell that the rewriting which it answers went wrong; the first two kinds end in a question.
STAGNANT = re.compile(
    r"\b(?:understood|thank you|thanks|noted|got it|okay|ok|alright|all right)\b|明白了|好的|收到|谢谢", re.IGNORECASE
)
UNQUALIFIED = re.compile(r"\b(?:sure|certainly|of course|happy to help|glad to help)\b|当然|没问题|乐意", re.IGNORECASE)
UNCLEAR = re.compile(r"\b(?:what do you mean|could you explain what you mean)\b|您?是什么意思", re.IGNORECASE)
LOST = re.compile(
    r"\b(?:please (?:provide|share|give me)|need more (?:information|details)|(?:could|can) you (?:please )?clarify"
    r"|what exactly)\b|请(?:您)?(?:提供|补充|说明一下)|需要更多(?:的)?(?:信息|细节)|能否(?:请您)?(?:说明|澄清)",
    re.IGNORECASE,
)
FEWEST_WORDS = 12  # of a way of rewriting


class Improving(Protocol):
    """The options of a method that improves its way of rewriting."""

    @property
    def steps(self) -> int:
        """Improvements at most."""

    @property
    def candidates(self) -> int:
        """New versions that each step compares."""

    @property
    def batch(self) -> int:
        """Seeds that are rewritten for an analysis."""

    @property
    def stages(self) -> int:
        """Times that each of them is rewritten."""

    @property
    def development(self) -> int:
        """Seeds on which versions are compared."""

    @property
    def method_tokens(self) -> int:
        """New tokens that an analysis or a version may have."""


@dataclass(frozen=True)
class Version:
    """One way of rewriting: its text, what it was made from and after which analysis, and how often it failed."""

    number: int
    text: str
    made_from: int = -1  # -1 for the first
    feedback: str = ""
    unusable: str = ""  # why it was not tried
    failures: tuple[Problem | None, ...] = ()

    @property
    def rate(self) -> float | None:
        """The share of development seeds on which it failed, None where it was not tried."""
        return failure_rate(self.failures) if self.failures else None

    def row(self, chosen: int) -> dict[str, Any]:
        """Return what is recorded of it."""
        reasons = Counter(problem[0] for problem in self.failures if problem)
        own = {"id": f"v{self.number}", "version": self.number, "made_from": self.made_from, "text": self.text}
        found = {"failure_rate": self.rate, "failures": dict(sorted(reasons.items())), "tried_on": len(self.failures)}
        return {**own, **found, "unusable": self.unusable, "feedback": self.feedback, "chosen": self.number == chosen}


def failure(response: str) -> Problem | None:
    """Say by its response how a rewriting failed, None where it did not: stagnant, unqualified, or information lost."""
    asks = response.rstrip().rstrip("\"'*”」").endswith(("?", "？"))
    for reason, found in (
        ("stagnant", asks and STAGNANT.search(response)),
        ("unqualified", (asks and UNQUALIFIED.search(response)) or UNCLEAR.search(response)),
        ("lost_information", LOST.search(response)),
    ):
        if found:
            return reason, found[0].lower()
    return None


def failure_rate(failures: Sequence[Problem | None]) -> float:
    """Return the share of failures, 0 to 1; what did not fail is None."""
    return sum(problem is not None for problem in failures) / len(failures)


def best_of(versions: Sequence[Version]) -> Version:
    """Return the version that failed least often; of equal ones the first."""
    tried = [version for version in versions if version.rate is not None]
    return min(tried, key=lambda version: (version.rate, version.number))


@dataclass
class Improvement:
    """The search for a way of rewriting that fails least: all versions, and the tokens that it took."""

    writing: Writing[Any]
    options: Improving
    journal: Journal
    versions: list[Version] = field(default_factory=list)
    tokens: int = 0

    def run(self, first: str, seeds: Sequence[Task]) -> Version:
        """Improve the first way of rewriting until a step brings no gain, nothing fails, or all steps are used up."""
        drawn = list(seeds)
        random.Random(self.writing.seed_of("development")).shuffle(drawn)  # noqa: S311 - reproducible, not secret
        held, others = drawn[: self.options.development], drawn[self.options.development :]
        best = self._tried(Version(0, first), held)
        for step in range(1, self.options.steps + 1):
            if not best.rate:
                break
            draw = random.Random(self.writing.seed_of(f"batch-{step}"))  # noqa: S311 - reproducible, not secret
            batch = draw.sample(others, min(self.options.batch, len(others)))
            feedback = self._analysis(best, self._trajectories(best, batch, step), step)
            fresh = [self._tried(version, held) for version in self._new_versions(best, feedback, step)]
            lowest = best_of([best, *fresh])
            if lowest is best:
                break
            best = lowest
        return best

    def _tried(self, version: Version, held: Sequence[Task]) -> Version:
        """Rewrite the development seeds by a version, answer them, and note what failed."""
        if not version.unusable:
            said = self._rewritten(version, {f"v{version.number}/{seed.id}": seed for seed in held})
            tasks = {i: read_rewriting(text, self.writing.read_in).instruction for i, text in said.items()}
            usable = {
                i: text
                for (i, text), seed in zip(tasks.items(), held, strict=True)
                if said[i].finish != "length" and text and words(text) != words(user_words(seed))
            }
            rows = [{"id": i, "instruction": text, "input": ""} for i, text in usable.items()]
            answers = {row["id"]: row for row in respond(self.writing, rows, self.journal)}
            self.tokens += sum(row["num_tokens"] for row in answers.values())
            found = [failure(answers[i]["output"]) if i in answers else ("no_rewriting", "") for i in tasks]
            version = Version(version.number, version.text, version.made_from, version.feedback, "", tuple(found))
        self.versions.append(version)
        return version

    def _rewritten(self, version: Version, tasks: dict[str, Task]) -> dict[str, Completion]:
        """Rewrite tasks by a version; ids of the rewritings are those of the answers with a mark."""
        requests = [apply_version(self.writing, version.text, f"{i}/rewriting", task) for i, task in tasks.items()]
        said = self._asked(requests, f"rewriting by version {version.number}")
        return {i: said[f"{i}/rewriting"] for i in tasks}

    def _trajectories(self, best: Version, batch: Sequence[Task], step: int) -> list[list[str]]:
        """Rewrite each task of a batch several times in a row, and return the texts that it went through."""
        lines = [[task] for task in batch]
        for stage in range(1, self.options.stages + 1):
            tasks = {f"step-{step}/stage-{stage}/{line[0].id}": line[-1] for line in lines}
            for line, (i, said) in zip(lines, self._rewritten(best, tasks).items(), strict=True):
                text = read_rewriting(said, self.writing.read_in).instruction
                line.append(Task(i, text) if text and said.finish != "length" else line[-1])
        return [[user_words(task) for task in line] for line in lines]

    def _analysis(self, best: Version, lines: list[list[str]], step: int) -> str:
        """Have the model say what went wrong, of as many trajectories as its context holds."""
        for number in range(len(lines), 0, -1):
            cases = "\n\n".join(self._case(place, line) for place, line in enumerate(lines[:number], start=1))
            asked = self.writing.prompts.render("auto_evol-analyse.txt", method=best.text, cases=cases)
            if not self.writing.overlong({"": self.writing.frame.prompt(asked)}, self.options.method_tokens):
                request = self._long(f"step-{step}/analysis", asked)
                return self._asked([request], "analysis")[request.id].text.strip()
        return ""

    def _case(self, place: int, texts: list[str]) -> str:
        """Write down a task and what became of it."""
        render = self.writing.prompts.render
        stages = [render("auto_evol-stage.txt", number=str(n), text=text) for n, text in enumerate(texts)]
        return render("auto_evol-case.txt", number=str(place), texts="\n".join(stages))

    def _new_versions(self, best: Version, feedback: str, step: int) -> list[Version]:
        """Have the model write new versions, each sampled apart."""
        asked = self.writing.prompts.render("auto_evol-improve.txt", method=best.text, feedback=feedback)
        requests = [self._long(f"step-{step}/candidate-{k}", asked) for k in range(self.options.candidates)]
        if self.writing.overlong({"": requests[0].prompt}, self.options.method_tokens):
            return []
        said = self._asked(requests, "new ways of rewriting")
        number, texts = len(self.versions), {version.text for version in self.versions}
        found = []
        for place, completion in enumerate(said[request.id] for request in requests):
            text = completion.text.strip()
            found.append(Version(number + place, text, best.number, feedback, self._why_not(text, completion.finish, texts)))
            texts.add(text)
        return found

    def _why_not(self, text: str, finish: str, known: set[str]) -> str:
        """Say why a version cannot be tried, "" where it can."""
        tokens = self.writing.shared.instruction_tokens
        checks: tuple[tuple[str, Callable[[], object]], ...] = (
            ("cut_off", lambda: finish == "length"),
            ("too_short", lambda: len(words(text)) < FEWEST_WORDS),
            ("known", lambda: text in known),
            ("beyond_context", lambda: self.writing.overlong(_longest(self.writing, text), 2 * tokens)),
        )
        return next((reason for reason, broken in checks if broken()), "")

    def _long(self, id_: str, asked: str) -> Request:
        """Ask for a text as long as a version may be."""
        request = text_request(self.writing, id_, asked)
        return replace(request, max_new_tokens=self.options.method_tokens)

    def _asked(self, requests: list[Request], label: str) -> dict[str, Completion]:
        said = generate_all(self.writing.engine, requests, self.journal, label)
        self.tokens += sum(completion.num_tokens for completion in said.values())
        return said


def apply_version(writing: Writing[Any], text: str, id_: str, task: Task) -> Request:
    """Ask for one rewriting by a version."""
    return text_request(writing, id_, filled(writing, "auto_evol-apply.txt", task, method=text))


def _longest(writing: Writing[Any], text: str) -> dict[str, str]:
    """Return the prompts by a version of all seeds, by id; a rewriting may be as much longer as one may write."""
    return {seed.id: apply_version(writing, text, "", seed).prompt for seed in writing.seeds}
