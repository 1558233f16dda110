"""Methods of backtranslation with the tiny model: each runs, and one that is killed is resumed to the same bytes."""

import json
from pathlib import Path

import pytest

from isheep_lib.errors import YieldError
from tests.runs import alone, claimed, digests, killed_and_resumed

METHODS = {
    "longform": "{state_length: true, max_document_copy: 1.0}",
    "instruction_backtranslation": "{demonstrations: 1, curation: probabilities, min_score: 1, max_document_copy: 1.0}",
    "udit": "{kinds: [extractive, structure_to_text, sentiment], tasks_per_document: 3, min_confidence: 0.0}",
}
DOG = "{max_document_copy: 1.0}"
# Documents that leave room in the tiny model's context, and seeds that the plan lets pass.
SMALL = ("synthesize.min_instructions:2", "synthesize.instructions:6", "model.base_frame:chatml")
TEXTS = [
    f"The keeper of hut {n} lit the lamp at dusk, wrote {n + 10} names into the book, and told Ilse of the storm."
    for n in range(12)
]


def chosen(method: str, options: str, folder: Path) -> tuple[str, ...]:
    source = folder / "documents.jsonl"
    source.write_text("".join(json.dumps({"text": text, "licence": "MIT"}) + "\n" for text in TEXTS))
    own = options.replace("{", f"{{documents: '{source}', min_document_words: 5, benchmark_text: keep, ", 1)
    return (f"synthesize.method:{method}", f"synthesize.options:{own}", *SMALL)


def prepared(root: Path, model: Path, folder: Path, name: str, method: str) -> Path:
    return claimed(root, folder / name, model, *chosen(method, METHODS[method], folder))


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_stage_is_resumed_to_the_bytes_of_one_that_was_not(
    root: Path, tiny_model: Path, tmp_path: Path, method: str
) -> None:
    whole, killed = (prepared(root, tiny_model, tmp_path, name, method) for name in ("whole", "killed"))
    alone(root, whole, "synthesize")
    journal = "iter-1/synthesize/.work-*/instructions.jsonl"
    killed_and_resumed(root, killed, lambda: any(p.read_bytes().count(b"\n") >= 2 for p in killed.glob(journal)))
    assert digests(killed) == digests(whole)
    manifest = json.loads((whole / "iter-1/synthesize/manifest.json").read_text())
    rows = [json.loads(line) for line in (whole / "iter-1/synthesize/examples.jsonl").read_text().splitlines()]
    assert manifest["counts"]["kept"] == len(rows) >= 2
    assert manifest["sources"]["documents"]["licences"] == {"MIT": 12}
    assert all(row["document"].startswith("document-") for row in rows)


def test_what_a_random_model_cannot_wrap_stops_the_stage_with_reasons(root: Path, tiny_model: Path, tmp_path: Path) -> None:
    run = claimed(root, tmp_path / "dog", tiny_model, *chosen("dog_instruct", DOG, tmp_path))
    with pytest.raises(YieldError, match=r"(?s)Only 0 new instructions, 2 are needed.*(?:unreadable|cut_off)"):
        alone(root, run, "synthesize")
