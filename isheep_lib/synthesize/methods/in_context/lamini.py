"""LaMini-LM: many instructions after few examples, in half of the prompts about topics that the model named before.

A row of `examples.jsonl`:
    {"id": "i1-r0-p003-t1", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 41,
     "demonstrations": ["seed-004", …], "topics": ["Astronomy", "Folk music", "Rivers"]}
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from isheep_lib.display.table import Table
from isheep_lib.engines.generate import ask
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.errors import YieldError
from isheep_lib.params.kinds import Positive
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.rows import Task, canonical_json, digest_text
from isheep_lib.synthesize.candidates import Candidates, Prompt, write_in_batches
from isheep_lib.synthesize.demonstrated import Demonstrated
from isheep_lib.synthesize.demonstrations import DemonstrationOptions
from isheep_lib.synthesize.extras.asking import numbered, read_entries, text_request
from isheep_lib.synthesize.method import Example, Need
from isheep_lib.synthesize.methods.in_context.topics import Topics, brainstorm, load_topics
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARAMETER = "synthesize.options.topic_list"
OF_TOPICS = ("topic_list", "topics", "topics_per_prompt")
LONG_TOPIC = "Intergovernmental Organisations"  # stands for a topic where only the length of a prompt counts


class LaMiniOptions(DemonstrationOptions):
    """Which examples and topics a prompt shows, and how many instructions it asks for."""

    demonstrations: Positive = Field(3, description="tasks shown in a prompt (3 in the paper)")
    tasks_per_prompt: Positive = Field(20, description="new instructions that a prompt asks for (20 in the paper)")
    guided: Literal["both", "topics", "examples"] = Field(
        "both", description="by topics and examples in half of the prompts, drawn at random; in all; or by examples alone"
    )
    topic_list: str = Field(
        "", description="topics of one's own: a .txt file, or rows with topic; empty lets the model name them"
    )
    topics: Positive = Field(100, description="topics that the model is to name, it writes with as many as it finds")
    topics_per_prompt: Positive = Field(3, description="topics that a prompt names (3 in the paper)")


class LaMini(Demonstrated[LaMiniOptions]):
    """Many instructions after few examples, in half of the prompts about topics that the model has named."""

    name = "lamini"
    source = "LaMini-LM (arXiv 2304.14402), section 2; the model names the topics that the paper takes from Wikipedia"
    Options = LaMiniOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")
    prompts = ("lamini-examples.txt", "lamini-guided.txt", "lamini-topics.txt")
    advice = "look at the examples; raise max_batches or instruction_tokens, change the topics, or lower min_instructions"

    def prompt_files(self, options: LaMiniOptions) -> tuple[str, ...]:
        """Name those that are filled."""
        used = {"lamini-examples.txt": options.guided != "topics", "lamini-guided.txt": options.guided != "examples"}
        used["lamini-topics.txt"] = options.guided != "examples" and not options.topic_list
        return tuple(name for name in self.prompts if used[name])

    def conflicts(self, shared: Shared, options: LaMiniOptions) -> list[str]:
        """Name values that contradict one another."""
        found, fields = super().conflicts(shared, options), LaMiniOptions.model_fields
        given = {name for name in OF_TOPICS if getattr(options, name) != fields[name].default}
        if options.guided == "examples":
            found += [f"{n}: no prompt names topics; leave it out, or set guided to both or topics" for n in sorted(given)]
        elif options.topic_list and "topics" in given:
            found.append("topics: those of topic_list are all taken; leave out one of the two")
        elif not options.topic_list and options.topics < options.topics_per_prompt:
            found.append("topics: must be at least topics_per_prompt")
        return found

    def data_digests(self, options: LaMiniOptions) -> dict[str, str]:
        """Hash the topics of one's own."""
        if not options.topic_list or options.guided == "examples":
            return {}
        return {"topics": digest_text(canonical_json(load_topics(options.topic_list, PARAMETER)))}

    def request(self, writing: Writing[LaMiniOptions], id_: str, shown: list[Task], seed: int) -> Request:
        """Ask as the longest prompt does, with topics that stand for any."""
        options = writing.options
        return _request(writing, id_, shown, [LONG_TOPIC] * options.topics_per_prompt * (options.guided != "examples"), seed)

    def read(self, said: Completion, writing: Writing[LaMiniOptions]) -> list[Item]:
        """Cut the list into instructions."""
        return read_entries(said, f"{writing.options.demonstrations + 1}.")

    def prepared(self, writing: Writing[LaMiniOptions]) -> Table:
        """Show the topics, or what weighs or groups the seeds where there are none."""
        if writing.options.guided == "examples":
            return super().prepared(writing)
        topics = self._topics(writing)
        lost = ", ".join(f"{n} {reason}" for reason, n in topics.dropped.most_common()) or "none"
        return Table([{"topics": len(topics.names), "for example": ", ".join(topics.names[:12]), "dropped": lost}])

    def example(self, writing: Writing[LaMiniOptions]) -> Example:
        """Ask once, by topics where any prompt has some."""
        seed = writing.seed_of("example")
        shown = self._demonstrations(writing).draw(writing.earlier, writing.options, seed)
        topics = self._topics(writing).draw(writing.options.topics_per_prompt, seed)
        request = _request(writing, "example", shown, topics, seed)
        said = ask(writing.engine, request)
        named = {"topics": ", ".join(topics)} if topics else {}
        items = [(i, writing.rule_problem(i) or "passes the rules") for i in self.read(said, writing)]
        return Example(request.prompt, said.text, [{**named, "instruction": i.instruction, "rule": rule} for i, rule in items])

    def write(self, writing: Writing[LaMiniOptions]) -> Candidates:
        """Ask by examples and by topics, each prompt as its own draw says; see `write_in_batches`."""
        options, demonstrations, topics = writing.options, self._demonstrations(writing), self._topics(writing)

        def prompt_of(id_: str, tasks: list[Task]) -> Prompt:
            shown = demonstrations.draw(tasks, options, writing.seed_of(f"{id_}/demonstrations"))
            seed = writing.seed_of(f"{id_}/topics")
            named = topics.draw(options.topics_per_prompt, seed) if _is_guided(options, seed) else []
            lineage = {"demonstrations": [task.id for task in shown], **({"topics": named} if named else {})}
            request = _request(writing, id_, shown, named, writing.seed_of(id_))
            return Prompt(request, lineage, lambda said: self.read(said, writing))

        found = write_in_batches(writing, [task.instruction for task in writing.seeds], prompt_of, self.advice)
        return replace(found, tokens=found.tokens + topics.tokens)

    def evidence(self, candidates: Candidates) -> Table:
        """Show what either kind of prompt brought, and how evenly tasks are spread over topics."""
        rows: list[dict[str, Any]] = []
        for kind, has in (("topics and examples", True), ("examples alone", False)):
            kept, lost = ([r for r in each if ("topics" in r) is has] for each in (candidates.accepted, candidates.dropped))
            why = ", ".join(f"{n} {reason}" for reason, n in Counter(row["reason"] for row in lost).most_common())
            named, covered = ({name for row in each for name in row.get("topics", [])} for each in ([*kept, *lost], kept))
            spread = {"topics": f"{len(covered)} of {len(named)}", "entropy (bits)": round(_entropy(kept), 2)} if has else {}
            rows.append({"guided by": kind, "accepted": len(kept), **spread, "dropped": why})
        return Table(rows, "what each kind of prompt brought; topics: those with an accepted task, of all that were named")

    def figure(self, candidates: Candidates) -> "Figure":
        """Draw how many tasks stand under each topic, accepted and dropped; a prompt's tasks stand under all of its topics."""
        from isheep_lib.synthesize.extras.figures import shares

        kept, lost = ([n for r in each for n in r.get("topics", [])] for each in (candidates.accepted, candidates.dropped))
        return shares(kept, lost, "tasks of prompts that name the topic")

    def _topics(self, writing: Writing[LaMiniOptions]) -> Topics:
        """Read or ask for topics, none where no prompt names any."""
        options = writing.options
        if options.guided == "examples":
            return Topics()
        if options.topic_list:
            return Topics(load_topics(options.topic_list, PARAMETER))
        found = brainstorm(writing, options.topics)
        if len(found.names) < options.topics_per_prompt:
            lost = ", ".join(f"{n} {reason}" for reason, n in found.dropped.most_common()) or "nothing at all"
            raise YieldError(
                f"The model named {len(found.names)} topics, {options.topics_per_prompt} are needed; dropped: {lost}"
                + (f", such as {', '.join(map(repr, found.examples))}" if found.examples else ""),
                do="give topics of your own (synthesize.options.topic_list), or set guided to examples",
            )
        return found


def _is_guided(options: LaMiniOptions, seed: int) -> bool:
    """Tell whether a prompt names topics: all do, or each second one by a draw."""
    return options.guided == "topics" or (options.guided == "both" and random.Random(seed).random() < 0.5)  # noqa: S311


def _request(writing: Writing[LaMiniOptions], id_: str, shown: Sequence[Task], topics: Sequence[str], seed: int) -> Request:
    count, first = writing.options.tasks_per_prompt + len(shown), str(len(shown) + 1)
    if topics:
        words = writing.prompts.render("lamini-guided.txt", count=str(count), first=first, topics=", ".join(topics))
    else:
        words = writing.prompts.render("lamini-examples.txt", count=str(count))
    begun = numbered([user_words(task) for task in shown])
    return text_request(writing, id_, words, f"\n{count + 1}.", seed=seed, begun=begun)


def _entropy(rows: Sequence[dict[str, Any]]) -> float:
    """Return the entropy of the topics of rows, in bits; a row counts for each of its topics."""
    counts = Counter(name for row in rows for name in row["topics"])
    return -sum(n / counts.total() * math.log2(n / counts.total()) for n in counts.values()) + 0.0
