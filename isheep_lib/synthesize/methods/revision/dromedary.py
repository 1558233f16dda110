"""Dromedary (SELF-ALIGN): questions of twenty kinds about topics, answered with principles in context and learned without.

A row of `examples.jsonl`, whose output was written with the principles before the question:
    {"id": "i1-r0-p003-t0", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 58,
     "kind": "questions whose answer has changed over time", "topic": "Postal rates", "demonstrations": ["seed-012", …]}

A row of `topics.jsonl`: {"id": "topic-0007", "kind": "…", "topic": "Postal rates", "reason": ""}
"""

import random
from collections import Counter
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from isheep_lib.display.table import Table
from isheep_lib.engines.generate import ask, generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.errors import DataError, YieldError
from isheep_lib.params.kinds import Positive
from isheep_lib.prompting.chat import user_words
from isheep_lib.prompting.special_tokens import find_special
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import BatchOptions, Candidates, Prompt, write_in_batches
from isheep_lib.synthesize.evolving.rounds import read_rewriting
from isheep_lib.synthesize.extras.asking import answer_request, text_request
from isheep_lib.synthesize.extras.own import WithFiles, rows_of
from isheep_lib.synthesize.method import Example, Method, Need
from isheep_lib.synthesize.revising.topics import Topic, brainstorm, topics_request
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

FILE = "topics.jsonl"
ADVICE = "look at the examples; raise max_batches, topics or instruction_tokens, or lower min_instructions"


class DromedaryOptions(BatchOptions):
    """How many topics and examples the questions are written from."""

    topics: Positive = Field(10, description="topics of each kind of questions at most")
    demonstrations: Positive = Field(5, description="seed tasks shown in a prompt for a question")


class Dromedary(Method[DromedaryOptions]):
    """Questions of many kinds about topics, answered with principles in context, which the learned pair does not show."""

    name = "dromedary"
    source = "Dromedary, SELF-ALIGN (arXiv 2305.03047), steps 1 to 3; kinds of questions, principles and prompts in our words"
    Options = DromedaryOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")
    people = "principles and kinds of questions that people wrote"
    prompts = tuple(f"dromedary-{name}.txt" for name in ("kinds", "topics", "question", "principles", "answer"))
    brings_answers = True
    answers_last = True
    one_answer = True

    def most(self, shared: Shared, options: DromedaryOptions) -> int:
        """Return how many questions are written at most."""
        return options.most_prompts

    def given(self, writing: Writing[DromedaryOptions]) -> Table:
        """Show the kinds of questions."""
        return Table([{"kind of questions": kind} for kind in kinds(writing)], "for each of which topics are brainstormed")

    def prepared(self, writing: Writing[DromedaryOptions]) -> Table:
        """Show the principles."""
        lines = writing.prompts.render("dromedary-principles.txt").splitlines()
        return Table([{"principle": line} for line in lines], "in context of every answer, and of no learned pair")

    def example(self, writing: Writing[DromedaryOptions]) -> Example:
        """Go from a kind of questions to a topic, a question, and its answer with and without the principles shown."""
        self._require_room(writing)
        topic_request = topics_request(writing, "example-topics", kinds(writing)[0], writing.options.topics)
        topics = ask(writing.engine, topic_request).text
        first = next((line for line in topics.splitlines() if line.strip()), "")
        request, _ = self._question(writing, "example", Topic(kinds(writing)[0], first.strip()))
        said = ask(writing.engine, request)
        (item,) = _read(writing, said)
        asked = _answer_request(writing, "example-answer", {"instruction": item.instruction, "input": ""})
        steps = {"kind": kinds(writing)[0], "topics": topics, "question": item.instruction, "asked with": asked.prompt}
        steps |= {"answer": ask(writing.engine, asked).text, "learned as the answer to": item.instruction}
        return Example(request.prompt, said.text, [{"step": name, "text": text} for name, text in steps.items()])

    def write(self, writing: Writing[DromedaryOptions]) -> Candidates:
        """Brainstorm topics, then ask for questions about them batch by batch; see `write_in_batches`.

        Raises:
            YieldError: there are no topics, or fewer than `min_instructions` were accepted; with the top reasons and examples.
        """
        self._require_room(writing)
        with writing.open_journal("topics") as journal:
            topics, tokens = brainstorm(writing, journal, kinds(writing), writing.options.topics)
        usable = _by_kind(topics)
        if not usable:
            reasons = Counter(topic.reason for topic in topics).most_common(4)
            dropped = ", ".join(f"{number} {reason}" for reason, number in reasons)
            such = ", ".join(repr(topic.topic[:60]) for topic in topics[:4])
            raise YieldError(
                f"No kind of questions got a topic; dropped: {dropped or 'nothing'}, such as {such or 'nothing'}",
                do="look at the examples; raise instruction_tokens, change sampling, or take a better model",
            )

        def prompt_of(id_: str, tasks: list[Task]) -> Prompt:
            draw = random.Random(writing.seed_of(f"{id_}/topic"))  # noqa: S311 - reproducible, not secret
            topic = draw.choice(usable[draw.choice(list(usable))])  # a kind with few topics is asked for as often
            request, shown = self._question(writing, id_, topic)
            return Prompt(request, {"kind": topic.kind, "topic": topic.topic, "demonstrations": shown}, partial(_read, writing))

        found = write_in_batches(writing, [task.instruction for task in writing.seeds], prompt_of, ADVICE)
        rows = [{"id": f"topic-{place:04d}", **vars(topic)} for place, topic in enumerate(topics)]
        return WithFiles(found.accepted, found.dropped, found.tokens + tokens, {FILE: rows})

    def respond(
        self, writing: Writing[DromedaryOptions], accepted: list[dict[str, Any]], journal: Journal
    ) -> list[dict[str, Any]]:
        """Answer with the principles in context; rows hold the question alone, which engraves the principles (step 3)."""
        requests = [_answer_request(writing, row["id"], row) for row in accepted]
        said = generate_all(writing.engine, requests, journal, "responses")
        return [_answered(writing, row, said[row["id"]]) for row in accepted if row["id"] in said]

    def evidence(self, candidates: Candidates) -> Table:
        """Show what each kind of questions brought."""
        topics = rows_of(candidates, FILE)
        used = Counter(row["kind"] for row in topics if not row["reason"])
        kept, lost = (Counter(row["kind"] for row in rows) for rows in (candidates.accepted, candidates.dropped))
        rows = [
            {"kind": k, "topics": used[k], "accepted": kept[k], "dropped": lost[k]}
            for k in dict.fromkeys(row["kind"] for row in topics)
        ]
        return Table(rows, f"{sum(used.values())} topics of {len(topics)} that were written")

    def figure(self, candidates: Candidates) -> Any:
        """Draw accepted and dropped questions of each kind."""
        from isheep_lib.synthesize.extras.figures import shares

        return shares(*([row["kind"] for row in rows] for rows in (candidates.accepted, candidates.dropped)), "questions")

    def _words(self, writing: Writing[DromedaryOptions], topic: Topic, shown: list[Task]) -> str:
        examples = "\n".join(f"- {user_words(task)}" for task in shown)
        return writing.prompts.render("dromedary-question.txt", kind=topic.kind, topic=topic.topic, examples=examples)

    def _question(self, writing: Writing[DromedaryOptions], id_: str, topic: Topic) -> tuple[Request, list[str]]:
        """Ask for one question of a kind about a topic, and name the seeds that the prompt shows."""
        draw = random.Random(writing.seed_of(f"{id_}/demonstrations"))  # noqa: S311 - reproducible, not secret
        shown = draw.sample(writing.seeds, min(writing.options.demonstrations, len(writing.seeds)))
        return text_request(writing, id_, self._words(writing, topic, shown)), [task.id for task in shown]

    def _require_room(self, writing: Writing[DromedaryOptions]) -> None:
        """Refuse a context that does not hold the principles, a question and its answer, or the longest seeds together."""
        shared = writing.shared
        asked = _answer_request(writing, "", {"instruction": "", "input": ""}).prompt
        long = writing.overlong({"the principles": asked}, shared.instruction_tokens + shared.response_tokens)
        if long:
            raise DataError(
                f"The principles leave no room for a question and its answer: {long['the principles']}",
                where="synthesize.method",
                do="lower synthesize.response_tokens or instruction_tokens, or take a model with a longer context",
            )
        sizes = writing.lengths({task.id: user_words(task) for task in writing.seeds})
        longest = sorted(writing.seeds, key=lambda task: -sizes.get(task.id, 0))[: writing.options.demonstrations]
        examples = "\n".join(f"- {user_words(task)}" for task in longest)
        words = writing.prompts.render(
            "dromedary-question.txt", kind=kinds(writing)[0], topic="Topic of words", examples=examples
        )
        full = writing.overlong({"": writing.frame.prompt(words)}, shared.instruction_tokens)
        writing.refuse_seeds(
            {task.id: f"{sizes[task.id]} tokens" for task in longest} if full else {},
            "shorten or remove them, or lower synthesize.options.demonstrations",
        )


def kinds(writing: Writing[Any]) -> list[str]:
    """Name the kinds of questions."""
    return writing.prompts.render("dromedary-kinds.txt").splitlines()


def _by_kind(topics: list[Topic]) -> dict[str, list[Topic]]:
    """Group the topics that are used by their kind."""
    found: dict[str, list[Topic]] = {}
    for topic in topics:
        if not topic.reason:
            found.setdefault(topic.kind, []).append(topic)
    return found


def _read(writing: Writing[Any], said: Completion) -> list[Item]:
    return [read_rewriting(said, writing.read_in)]


def _answer_request(writing: Writing[DromedaryOptions], id_: str, row: dict[str, Any]) -> Request:
    """Ask for the answer to a question, the principles before it."""
    task = user_words(Task("", row["instruction"], row["input"]))
    words = writing.prompts.render(
        "dromedary-answer.txt", principles=writing.prompts.render("dromedary-principles.txt"), task=task
    )
    return answer_request(writing, id_, words)


def _answered(writing: Writing[DromedaryOptions], row: dict[str, Any], said: Completion) -> dict[str, Any]:
    answer = {"output": said.text.strip(), "finish": said.finish, "num_tokens": said.num_tokens}
    special = find_special(writing.frame.words, row["instruction"], row["input"], answer["output"])
    return {**row, **answer, **({"special_tokens": special} if special else {})}
