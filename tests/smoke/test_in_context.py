"""In-context methods with the tiny model: each runs, and one of the family that is killed is resumed to the same bytes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.engines.transformers_engine import TransformersEngine
from isheep_lib.synthesize.grounds.tables import load_tables
from isheep_lib.synthesize.methods.in_context.designs import usable
from tests.runs import alone, claimed, digests, killed_and_resumed

METHODS = {
    "self_instruct": "{demonstrations: 2, generated_demonstrations: 1, tasks_per_prompt: 4, prompts_per_batch: 12}",
    "unnatural_instructions": "{demonstrations: 1, reformulations: 1, prompts_per_batch: 24}",
    "lamini": "{demonstrations: 1, tasks_per_prompt: 4, topic_list: TOPICS, topics_per_prompt: 1, prompts_per_batch: 12}",
    "dynosaur": "{tables: seeds/tables, tries: 1, benchmark_text: keep}",
}
SMALL = ("synthesize.min_instructions:2", "synthesize.instructions:8")


def chosen(name: str, folder: Path) -> tuple[str, ...]:
    (folder / "topics.txt").write_text("Rivers\nWindows\n")
    options = METHODS[name].replace("TOPICS", str(folder / "topics.txt"))
    return (f"synthesize.method:{name}", f"synthesize.options:{options}", "model.base_frame:chatml", *SMALL)


def in_form(request: Request, completion: Completion) -> Completion:
    """Give what the tiny model wrote the lines that a method reads, since it knows no such lines."""
    words = f"{completion.text} and then the river or the window".split()
    table = re.fullmatch(r"i1-([a-z-]+)-[db]\d", request.id)
    if table:
        (found,) = [each for each in load_tables("seeds/tables", "x") if each.description.name == table[1]]
        given, answer = usable(found)[:2]
        text = f"Instruction: {' '.join(words[:9])}\nInput fields: {given}\nOutput field: {answer}"
    elif re.fullmatch(r"i1-r\d+-p\d+", request.id) and "Write 2 examples" in request.prompt:
        text = f"{' '.join(words[:9])}\nInput: {' '.join(words[9:] or words)}\nConstraints: None."
    else:
        return completion
    return replace(completion, text=text, finish="end")


@pytest.mark.parametrize("name", METHODS)
def test_the_method_writes_pairs_that_say_where_they_are_from(
    root: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    generate = TransformersEngine.generate

    def formed(engine, batches, *tick):
        for batch, found in zip(batches, generate(engine, batches, *tick), strict=True):
            yield list(map(in_form, batch, found))

    monkeypatch.setattr(TransformersEngine, "generate", formed)
    run = claimed(root, tmp_path / "r", tiny_model, *chosen(name, tmp_path))
    alone(root, run, "synthesize")
    manifest = json.loads((run / "iter-1/synthesize/manifest.json").read_text())
    rows = [json.loads(line) for line in (run / "iter-1/synthesize/examples.jsonl").read_text().splitlines()]
    assert len(rows) >= 2
    assert manifest["counts"]["kept"] == len(rows)
    origin = {"demonstrations", "topics", "parents", "table"}
    assert all(origin & set(row) for row in rows)


@pytest.mark.long
def test_a_killed_stage_is_resumed_to_the_bytes_of_one_that_was_not(root: Path, tiny_model: Path, tmp_path: Path) -> None:
    whole, killed = (claimed(root, tmp_path / n, tiny_model, *chosen("self_instruct", tmp_path)) for n in ("whole", "killed"))
    alone(root, whole, "synthesize")
    journal = "iter-1/synthesize/.work-*/instances.jsonl"
    killed_and_resumed(root, killed, lambda: any(p.read_bytes().count(b"\n") >= 3 for p in killed.glob(journal)))
    assert digests(killed) == digests(whole)
