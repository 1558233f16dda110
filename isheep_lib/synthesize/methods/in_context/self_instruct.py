"""Self-Instruct: instructions after seeds and own tasks, each then found to be classification or not, and given instances.

A row of `examples.jsonl`:
    {"id": "i1-r0-p003-t1-n0", "instruction": "…", "input": "…", "output": "…", "finish": "end", "num_tokens": 12,
     "demonstrations": ["seed-004", …], "classification": true}
"""

import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from isheep_lib.display.table import Table
from isheep_lib.engines.generate import ask, generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.languages.words import count_words
from isheep_lib.params.kinds import Positive
from isheep_lib.record.funnel import require
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates
from isheep_lib.synthesize.demonstrated import Demonstrated
from isheep_lib.synthesize.demonstrations import DemonstrationOptions, Demonstrations
from isheep_lib.synthesize.extras.asking import (
    answer_request,
    before,
    count_tokens,
    numbered,
    read_entries,
    refuse_narrow,
    text_request,
    yes_shares,
)
from isheep_lib.synthesize.method import Example
from isheep_lib.synthesize.methods.in_context.instances import Instance, problems, read_input_first, read_output_first
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {True: "self_instruct-output_first.txt", False: "self_instruct-input_first.txt"}
LABEL_WORDS = 3  # at most
PROGRAM = ("write a program", "写一个程序", "编写一个程序", "编写程序")  # none begins so (released code, and in Chinese)


class SelfInstructOptions(DemonstrationOptions):
    """Which tasks are shown, how many are asked for, and how many instances a task has."""

    demonstrations: Positive = Field(8, description="tasks shown in a prompt (8 in the paper)")
    generated_demonstrations: int = Field(
        2, description="of them tasks accepted earlier in the run, at most (2 in the paper)", ge=0
    )
    tasks_per_prompt: Positive = Field(
        16, description="tasks that a prompt asks for, the shown ones included (16 in the paper)"
    )
    instances: Positive = Field(5, description="pairs of input and output kept of an instruction, at most (5 in the paper)")


class OneEach(Demonstrations):
    """Demonstrations that take an instruction once, however many instances of it earlier iterations accepted."""

    def draw(self, earlier: list[Task], options: DemonstrationOptions, seed: int) -> list[Task]:
        """Draw a prompt's tasks."""
        return super().draw(list({task.instruction: task for task in earlier}.values()), options, seed)


class SelfInstruct(Demonstrated[SelfInstructOptions]):
    """Instructions after seeds and tasks of the model's own, each given instances: output first where it is classification."""

    name = "self_instruct"
    source = "Self-Instruct (arXiv 2212.10560), sections 3.1 to 3.4; steps and filters as published, prompts in our words"
    Options = SelfInstructOptions
    brings_answers = True
    people = "rules that drop instances"
    prompts = ("self_instruct-instructions.txt", "self_instruct-classification.txt", *KINDS.values())
    advice = "look at the examples; raise max_batches or instruction_tokens, change the seeds, or lower min_instructions"
    reasons: ClassVar[dict[str, str]] = {
        "about_a_program": "the instruction begins with: write a program",
        "no_instance": "no pair of input and output could be read from what the model wrote for the instruction",
        "no_output": "an instance without an output",
        "output_is_input": "an instance whose output is its input",
        "ends_in_colon": "an instance whose input or output ends in a colon",
        "copies_example": "an instance of the prompt's own examples",
        "one_input_two_outputs": "two instances of the instruction have one input and two outputs, so none of them is kept",
        "same_instance": "an instance that the instruction has already",
        "beyond_instances": "the instruction has as many instances as wanted",
    }

    def conflicts(self, shared: Shared, options: SelfInstructOptions) -> list[str]:
        """Name values that contradict one another."""
        found = super().conflicts(shared, options)
        if options.tasks_per_prompt <= options.demonstrations:
            found.append("tasks_per_prompt: must be more than demonstrations, or no new task is asked for")
        return found

    def request(self, writing: Writing[SelfInstructOptions], id_: str, shown: list[Task], seed: int) -> Request:
        """Ask for the continuation of a list of instructions, which shows no inputs."""
        count, begun = writing.options.tasks_per_prompt, numbered([task.instruction for task in shown])
        words = writing.prompts.render("self_instruct-instructions.txt", count=str(count))
        return text_request(writing, id_, words, f"\n{count + 1}.", seed=seed, begun=begun)

    def read(self, said: Completion, writing: Writing[SelfInstructOptions]) -> list[Item]:
        """Cut the list into instructions."""
        return read_entries(said, f"{writing.options.demonstrations + 1}.")

    def example(self, writing: Writing[SelfInstructOptions]) -> Example:
        """Ask for one list, and take its first instruction that passes the rules through the other steps."""
        first = super().example(writing)
        listed = self.read(Completion("", first.said, "end", 0), writing)
        task = next((i.instruction for i in listed if not writing.rule_problem(i)), None)
        if task is None:
            return first
        with writing.open_journal("example") as journal:
            (share,) = yes_shares(writing, {"": _class_question(writing, task)}, journal, "classification or not").values()
        said = ask(writing.engine, _instance_request(writing, "example/instances", task, share > 0.5))
        read = _read(said, share > 0.5)
        steps: list[dict[str, Any]] = [
            *({"step": "instruction", **row} for row in first.rows),
            {"step": "classification?", "instruction": task, "rule": f"{share:.0%} yes"},
            *(
                {"step": "instance", "input": i.input, "output": i.output, "rule": reason or "passes"}
                for i, (reason, _) in zip(read, problems(read), strict=True)
            ),
        ]
        return Example(first.prompt, f"{first.said}\n\n[instances of: {task}]\n{said.text}", steps)

    def write(self, writing: Writing[SelfInstructOptions]) -> Candidates:
        """Write instructions in batches, then tell which are classification, then write instances of each.

        Raises:
            ParameterError: the model's context has no room for these steps.
            YieldError: fewer than `min_instructions` instructions, or pairs, were accepted; with the top reasons.
        """
        spare = writing.shared.instruction_tokens + writing.shared.response_tokens
        prompts = {name: _instance_request(writing, "", "", kind).prompt for kind, name in KINDS.items()}
        prompts["self_instruct-classification.txt"] = writing.frame.prompt(_class_question(writing, ""))
        refuse_narrow(writing, prompts, spare)
        listed = super().write(writing)
        found = Candidates(dropped=listed.dropped, tokens=listed.tokens)
        tasks = {row["id"]: row for row in listed.accepted if not row["instruction"].lower().startswith(PROGRAM)}
        programs = [row for row in listed.accepted if row["id"] not in tasks]
        found.dropped += [{**row, "reason": "about_a_program", "detail": "", "raw": row["instruction"]} for row in programs]
        with writing.open_journal("classification") as sorted_, writing.open_journal("instances") as written:
            questions = {id_: _class_question(writing, row["instruction"]) for id_, row in tasks.items()}
            shares = yes_shares(writing, questions, sorted_, "classification or not")
            kinds = {id_: share > 0.5 for id_, share in shares.items()}
            requests = [_instance_request(writing, id_, row["instruction"], kinds[id_]) for id_, row in tasks.items()]
            said = generate_all(writing.engine, requests, written, "instances")
        for id_, row in tasks.items():
            self._take(writing, found, {**row, "classification": kinds[id_]}, said[id_])
        require(len(found.accepted), writing.shared.min_instructions, "pairs", found.dropped, self.advice)
        return found

    def evidence(self, candidates: Candidates) -> Table:
        """Show what either kind of task brought."""
        rows = []
        for kind, name in ((True, "classification, output first"), (False, "other, input first")):
            kept, lost = ([r for r in each if r.get("classification") is kind] for each in _both(candidates))
            reasons = Counter(row["reason"] for row in lost)
            tasks = {row["instruction"] for row in (*kept, *lost)}
            given = sum(bool(row["input"]) for row in kept)
            why = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
            rows.append({"kind": name, "tasks": len(tasks), "pairs": len(kept), "with input": given, "dropped": why})
        return Table(rows, "what each kind of task brought")

    def figure(self, candidates: Candidates) -> "Figure":
        """Draw how many pairs either kind has, kept and dropped."""
        from isheep_lib.synthesize.extras.figures import shares

        names = {True: "classification", False: "other"}
        kept, lost = ([names[r["classification"]] for r in each if "classification" in r] for each in _both(candidates))
        return shares(kept, lost, "pairs of input and output")

    def _demonstrations(self, writing: Writing[SelfInstructOptions]) -> Demonstrations:
        return OneEach(**vars(super()._demonstrations(writing)))

    def _take(
        self, writing: Writing[SelfInstructOptions], found: Candidates, task: Mapping[str, Any], said: Completion
    ) -> None:
        """Take the instances of one instruction in, each accepted or dropped; of too many, some drawn at random stay."""
        most = writing.options.instances
        instances = _read(said, task["classification"])
        found.tokens += said.num_tokens
        if not instances:
            found.dropped.append({**task, "reason": "no_instance", "detail": "", "raw": said.text})
        reasons = problems(instances)
        shown = _instance_words(writing, "", task["classification"])
        for number, each in enumerate(instances):  # what is wrong with the input, as with that of any task
            broken = "copies_example" if _copied(each, shown) else ""
            broken = broken or writing.rule_problem(Item(each.raw, task["instruction"], each.input))
            reasons[number] = reasons[number] if reasons[number][0] else (broken, "")
        good = [number for number, (reason, _) in enumerate(reasons) if not reason]
        draw = random.Random(writing.seed_of(f"{task['id']}/instances"))  # noqa: S311 - reproducible, not secret
        for number in {*good} - {*draw.sample(good, min(most, len(good)))}:
            reasons[number] = ("beyond_instances", f"at most {most}")
        for number, (each, (reason, detail)) in enumerate(zip(instances, reasons, strict=True)):
            row = {**task, "id": f"{task['id']}-n{number}", "input": each.input, "output": each.output}
            if reason:
                found.dropped.append({**row, "reason": reason, "detail": detail, "raw": each.raw})
            else:
                length = count_tokens(writing, each.output)
                found.tokens -= length  # which count as those of a response
                found.accepted.append({**row, "finish": "end", "num_tokens": length})


def _both(candidates: Candidates) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return candidates.accepted, candidates.dropped


def _class_question(writing: Writing[SelfInstructOptions], instruction: str) -> str:
    return writing.prompts.render("self_instruct-classification.txt", task=instruction)


def _instance_request(writing: Writing[SelfInstructOptions], id_: str, instruction: str, classification: bool) -> Request:
    words = _instance_words(writing, instruction, classification)
    return answer_request(writing, id_, words, before(writing, KINDS[classification], "task"))


def _instance_words(writing: Writing[SelfInstructOptions], instruction: str, classification: bool) -> str:
    return writing.prompts.render(KINDS[classification], count=str(writing.options.instances), task=instruction)


def _copied(instance: Instance, shown: str) -> bool:
    """Tell whether an instance's own text, if it is no mere label, stands in the prompt."""
    text = instance.input or instance.output
    return count_words(text) > LABEL_WORDS and text in shown


def _read(said: Completion, classification: bool) -> list[Instance]:
    return read_output_first(said) if classification else read_input_first(said)
