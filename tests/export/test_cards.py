"""The cards of an export: what they say follows from the record, and nothing that a model wrote is on them."""

import json
import re
from dataclasses import replace

import pytest
import yaml

from isheep_lib.errors import RecordError
from isheep_lib.export import contents as export_contents
from isheep_lib.export import data_card, loading, model_card
from isheep_lib.export.contents import STAGES
from isheep_lib.export.data import write_preferences
from isheep_lib.export.loading import Weights
from isheep_lib.iterate.grade import grade_of_run
from isheep_lib.record import manifests
from isheep_lib.record.rows import read_jsonl, write_jsonl
from tests.export.test_export import HOSTILE, PAIRS, edit, made
from tests.export.test_export import record as recorded
from tests.frames import hand_made

FRAME = hand_made("chatml", "<s>", "</s>", "<end>")
COMMIT = "0123456789" * 4


class Base:
    name, digest = "some/folder", "ba5e" * 16


def weights(**changes):
    values = {"adapters": ("adapter",), "whole": "", "frame": FRAME, "ends": (2,), "knows_end": True, "rank": 8}
    return Weights(**{**values, "takes_system": True, "same": 3, **changes})


@pytest.fixture
def run_dir(tmp_path):
    """A record without weights."""
    made(tmp_path / "a|run", 1, Base)
    return tmp_path / "a|run"


def read(run_dir, iteration=1):
    return export_contents.read(run_dir, iteration, True)


def based(run_dir, name):
    """Let the run have another base."""
    edit(run_dir, "train", lambda manifest: manifest["parameters"].update(base_model=name))
    return read(run_dir)


def front(text):
    return yaml.safe_load(text.split("---")[1])


def evaluated(run_dir, iteration, frame="chatml", trained_on=0, value=50.0):
    score = {"value": value, "standard_error": 10.0, "items": 25}
    task = {"subset": "25 of 99 (seed 0)", "values": {"acc": score}, "trained_on": trained_on, "clean": {"acc": score}}
    folder = run_dir / f"iter-{iteration}/evaluate"
    folder.mkdir(parents=True)
    metrics = {"frame": frame, "absent": {"squadv2": "no data"}, "tasks": {"piqa": {**task, "metric": "acc"}}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    recorded(run_dir, iteration, "evaluate", ["metrics.json"])


# The model card


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "embedded:smollm2-135m-instruct",
            {"license": "apache-2.0", "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct", "base_model_relation": "adapter"},
        ),
        (
            "embedded:gemma3-270m",
            {"license": "gemma", "base_model": "google/gemma-3-270m", "base_model_relation": "adapter"},
        ),
        (f"org/small@{COMMIT}", {"base_model": "org/small", "base_model_relation": "adapter"}),
        ("/some/folder", {}),
    ],
)
def test_the_hub_is_told_of_base_and_licence_where_they_are_known(run_dir, name, expected):
    card = model_card.model_card(based(run_dir, name), weights())
    found = front(card)
    assert {key: found[key] for key in found if key in ("license", "base_model", "base_model_relation")} == expected
    assert found["library_name"] == "peft"
    assert ("not stated here: it follows from the licence of the base model" in card) == ("license" not in expected)


@pytest.mark.parametrize("shown", [weights(), None])
def test_terms_that_hold_for_derivatives_stand_on_both_cards(run_dir, shown):
    record = based(run_dir, "embedded:gemma3-270m")
    card = model_card.model_card(record, shown)
    assert "| licence | Gemma Terms of Use, https://ai.google.dev/gemma/terms |" in card
    assert "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms" in card
    assert ("NOTICE.txt" in card) == (shown is not None)
    assert "https://ai.google.dev/gemma/terms" in data_card.data_card(record)
    other = based(run_dir, "embedded:smollm2-135m-instruct")
    assert "## Terms" not in model_card.model_card(other, shown)
    assert "claim no right" not in data_card.data_card(other)


@pytest.mark.parametrize(("method", "library"), [("lora", "peft"), ("qlora", "peft"), ("full", "transformers")])
def test_the_library_follows_from_what_was_trained(run_dir, method, library):
    edit(run_dir, "train", lambda manifest: manifest["parameters"].update(method=method))
    card = model_card.model_card(read(run_dir), None)
    assert front(card)["library_name"] == library
    assert ("lora" in front(card)["tags"]) == (library == "peft")
    assert ("in 4 bits" in card) == (method == "qlora")


def test_nothing_that_a_model_wrote_and_no_markdown_of_a_name_is_on_a_card(run_dir):
    record = read(run_dir)
    for card in (model_card.model_card(record, weights()), data_card.data_card(record)):
        assert not [text for row in PAIRS for text in (row["instruction"], row["output"]) if text in card]
        assert "<script>" not in card
        assert "# a\\|run, " in card
    assert any(row["output"] == HOSTILE for row in record.rows)


@pytest.mark.parametrize(("best", "said"), [(1.5, "fell from 2.0000 to 1.5000"), (2.0, "did not fall"), (2.5, "did not fall")])
def test_the_held_out_loss_is_told_as_it_is(run_dir, best, said):
    edit(run_dir, "train", lambda manifest: manifest["held_out"].update(best=best))
    assert said in model_card.held_out(read(run_dir))


ANSWERS = {"instruction": "Name.", "input": "", "chosen": HOSTILE, "rejected": "no", "kind": "cut"}


@pytest.fixture
def preferred(run_dir):
    """Let the training have learned from pairs of answers."""
    path = run_dir / "iter-1/filter/pairs.jsonl"
    write_jsonl(path, [{"id": "i-t0-cut", **ANSWERS}])
    outputs = {"pairs.jsonl": manifests.describe_file(path)}
    edit(run_dir, "filter", lambda manifest: manifest["outputs"].update(outputs))
    edit(run_dir, "train", lambda manifest: manifest["parameters"].update(objective="dpo", objective_options={"beta": 0.1}))
    inputs = {"iter-1/filter/pairs.jsonl": outputs["pairs.jsonl"]["sha256"]}
    edit(run_dir, "train", lambda manifest: manifest["parts"].update(inputs=inputs))
    figures = {"accuracy before": 0.5, "accuracy at best": 0.75}
    edit(run_dir, "train", lambda manifest: manifest["held_out"].update(figures))
    return run_dir


def test_the_cards_say_what_was_minimised_and_name_the_pairs_of_answers(run_dir, preferred):
    record = read(preferred)
    card = model_card.model_card(record, None)
    assert "| objective | dpo: Rafailov et al. 2023, arXiv 2305.18290" in card
    assert "fell from 2.0000 to 1.5000 nats per pair (step 4). Of held-out pairs of answers 75% have a margin" in card
    assert "dpo" in front(card)["tags"]
    data = data_card.data_card(record)
    assert "preferences.jsonl" in data and "1 by cut" in data
    assert HOSTILE not in card + data


def test_a_training_on_kept_answers_is_said_to_be_one(run_dir):
    record = read(run_dir)
    assert record.preferences == []
    assert "| objective | sft: I-SHEEP, arXiv 2408.08072" in model_card.model_card(record, None)
    assert "preferences.jsonl" not in data_card.data_card(record)


def test_pairs_of_answers_that_were_made_anew_are_refused(preferred):
    path = preferred / "iter-1/filter/pairs.jsonl"
    write_jsonl(path, [{"id": "other", **ANSWERS}])
    edit(preferred, "filter", lambda manifest: manifest["outputs"].update({"pairs.jsonl": manifests.describe_file(path)}))
    with pytest.raises(RecordError, match=r"pairs\.jsonl is not what iteration 1 was trained on"):
        read(preferred)


def test_pairs_of_answers_are_written_as_conversations(tmp_path):
    write_preferences(tmp_path, [{"id": "p", **ANSWERS, "input": "salt"}], "Be brief.")
    (row,) = read_jsonl(tmp_path / "preferences.jsonl")
    assert row == {
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name.\n\nsalt"}],
        "chosen": [{"role": "assistant", "content": HOSTILE}],
        "rejected": [{"role": "assistant", "content": "no"}],
    }


def test_a_record_without_a_held_out_loss_says_so(run_dir):
    edit(run_dir, "train", lambda manifest: manifest.pop("held_out"))
    assert "no held-out loss" in model_card.held_out(read(run_dir))


def test_what_became_of_the_pairs_is_counted_and_parameters_are_those_recorded(run_dir):
    edit(run_dir, "train", lambda manifest: manifest["parameters"].update(learning_rate=0.0002, target_modules=["q", "v"]))
    card = model_card.model_card(read(run_dir), None)
    for row in ("| learning_rate | 0.0002 |", "| target_modules | q, v |", "| pairs learned | 1 |", "| pairs held out | 1 |"):
        assert row in card
    assert "| pairs beyond max rows | 1 |" in card


def test_scores_stand_beside_those_of_the_base_with_errors(run_dir):
    evaluated(run_dir, 0, value=40.0)
    evaluated(run_dir, 1)
    card = model_card.model_card(read(run_dir), None)
    assert "| PIQA | 25 of 99 (seed 0) | accuracy | 40.0 ± 10.0 | 50.0 ± 10.0 |" in card
    assert "± is one standard error" in card
    assert "Left out for want of data: squadv2." in card
    assert "different frames" not in card
    assert "trained on are among these" not in card


def test_what_makes_scores_doubtful_is_said(run_dir):
    evaluated(run_dir, 0, frame="plain")
    evaluated(run_dir, 1, trained_on=3)
    card = model_card.model_card(read(run_dir), None)
    assert "M_0 in the frame plain, M_1 in the frame chatml" in card
    assert "trained on are among these: piqa 3." in card


def test_a_model_that_was_not_evaluated_and_one_without_its_base_beside_it_say_so(run_dir):
    assert "This model was not evaluated." in model_card.model_card(read(run_dir), None)
    evaluated(run_dir, 1)
    assert "The base model was not evaluated" in model_card.model_card(read(run_dir), None)


def test_later_iterations_and_their_scores_are_not_on_the_card(run_dir):
    made(run_dir, 2, Base)
    evaluated(run_dir, 2)
    card = model_card.model_card(read(run_dir), None)
    assert "iter-2" not in card
    assert "This model was not evaluated." in card
    later = model_card.model_card(read(run_dir, 2), None)
    assert all(f"iter-{k}/{stage}" in later for k in (1, 2) for stage in STAGES)


def test_commits_packages_seeds_and_digests_are_told(run_dir):
    edit(run_dir, "assess", lambda manifest: manifest["environment"]["packages"].update(torch="2.1"))
    edit(run_dir, "filter", lambda manifest: manifest.pop("git"))
    card = model_card.model_card(read(run_dir), None)
    assert "peft 0.1, torch 2.0 and 2.1" in card
    assert "Random seed 7. Seed tasks: `seeds/tasks.jsonl`, SHA-256 5eed." in card
    assert "| iter-1/train | 1train1train1tra | 0123abc | 5 | 3 |" in card
    assert "| iter-1/filter | 1filter1filter1f | not known |" in card
    assert Base.digest in card


@pytest.mark.parametrize(
    ("method", "options", "digests", "said", "not_said"),
    [
        ("list", {}, {"seeds": "5eed"}, "after the pattern of seed tasks", "texts that people wrote"),
        ("magpie", {}, {}, "after nothing but its own chat frame", "seed tasks"),
        ("longform", {"documents": "d.jsonl"}, {"documents": "d0c5"}, "for texts that people wrote", "seed tasks"),
        ("udit", {"documents": "d.jsonl"}, {"documents": "d0c5"}, "for texts that people wrote", "seed tasks"),
        ("dog_instruct", {"documents": "d.jsonl"}, {"documents": "d0c5"}, "from texts that people wrote", "seed tasks"),
        (
            "instruction_backtranslation",
            {"documents": "d.jsonl"},
            {"seeds": "5eed", "documents": "d0c5"},
            "for texts that people wrote",
            "after the pattern of",
        ),
    ],
)
def test_cards_say_what_tasks_were_written_from(run_dir, method, options, digests, said, not_said):
    def change(manifest):
        old = ("demonstrations", "generated_demonstrations")
        manifest["parameters"] = {n: v for n, v in manifest["parameters"].items() if n not in old}
        manifest["parameters"] |= {"method": method, "options": options}
        manifest["parts"]["inputs"] = digests

    edit(run_dir, "synthesize", change)
    for card in (model_card.model_card(read(run_dir), None), data_card.data_card(read(run_dir))):
        assert said in card
        assert not_said not in card.lower()
        assert all(f"SHA-256 {digest}." in card for digest in digests.values())


def test_a_foreign_model_that_wrote_tasks_stands_on_both_cards(run_dir):
    def cards():
        return model_card.model_card(read(run_dir), None), data_card.data_card(read(run_dir))

    assert not any("self-contained" in card or "another model" in card.lower() for card in cards())
    edit(run_dir, "synthesize", lambda manifest: manifest["parameters"].update(teacher="org/large"))
    (run_dir / "params.yaml").write_text("synthesize:\n  teacher: org/large\n")
    for card in cards():
        assert "B, not self-contained: org/large writes its tasks; apart from that, " in card
        assert "nother model, `org/large`, wrote instructions" in card or "written by another model, `org/large`" in card
    assert "chosen by scores that the same model gave" not in cards()[0]


def test_licences_of_documents_stand_on_both_cards(run_dir):
    sources = {"documents": {"from": "d.jsonl", "number": 5, "licences": {"CC0-1.0": 2, "not | stated": 3}}}
    assert "Licences of" not in data_card.data_card(read(run_dir))
    edit(run_dir, "synthesize", lambda manifest: manifest.update(sources=sources))
    for card in (model_card.model_card(read(run_dir), None), data_card.data_card(read(run_dir))):
        assert "Licences of the 5 documents that tasks were written from: CC0-1.0 2, not \\| stated 3. They hold" in card


# Loading


def lines(record, **changes):
    return loading.loading(record, weights(**changes))


@pytest.mark.parametrize(
    ("name", "peft", "vllm"),
    [
        ("embedded:smollm2-135m-instruct", 'base = find_model("embedded:smollm2-135m-instruct").path', "find_model('embedded:"),
        (
            f"org/small@{COMMIT}",
            'base = "org/small"',
            f"vllm serve org/small --revision {COMMIT} --tokenizer-revision {COMMIT} ",
        ),
        ("/a folder/x", 'base = "/a folder/x"', "vllm serve '/a folder/x' "),
    ],
)
def test_every_kind_of_base_is_found_by_the_lines_on_the_card(run_dir, name, peft, vllm):
    text = lines(based(run_dir, name))
    assert peft in text
    assert vllm in text
    assert "--enable-lora --max-lora-rank 8 --lora-modules 'a|run-1'=adapter --chat-template chat_template.jinja" in text
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(block, "card", "exec")


def test_a_merged_model_is_served_as_it_is_and_a_stack_of_adapters_is_not_offered_to_vllm(run_dir):
    record = read(run_dir)
    assert "vllm serve merged --served-model-name" in lines(record, whole="merged")
    text = lines(record, adapters=("adapter-1", "adapter-2"), rank=0)
    assert 'for adapter in ["adapter-1", "adapter-2"]:' in text
    assert "export it with --merged" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"knows_end": False}, '{"stop_token_ids": [2]}'),
        ({"knows_end": False, "whole": "merged"}, ""),
        ({"ends": ()}, '{"stop": ["<end>"]}'),
        ({"ends": (), "whole": "merged"}, '{"stop": ["<end>"]}'),
    ],
)
def test_what_a_server_must_be_told_to_stop_at_is_said_where_it_does_not_know(run_dir, changes, said):
    text = lines(read(run_dir), **changes)
    assert ("stop_token_ids" in text) == ("stop_token_ids" in said)
    assert ('"stop":' in text) == ('"stop":' in said)
    assert said in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"same": 3}, "all 3 pairs"),
        ({"same": 2}, "2 of 3 pairs"),
        ({"takes_system": True}, "it has the system prompt of the training"),
        ({"takes_system": False}, "takes no system message"),
    ],
)
def test_the_frame_is_shown_with_how_far_the_template_keeps_to_it(run_dir, changes, said):
    card = model_card.model_card(read(run_dir), weights(**changes))
    assert "```\n<s>WORDS</s>\n```" in card
    assert "ends with `<end>`" in card
    assert said in card


# The data card


def test_the_data_card_counts_through_every_stage_and_step(run_dir):
    card = data_card.data_card(read(run_dir))
    for stage in STAGES:
        assert f"| {stage} | in | 5 |\n|  | - cut_off | 2 |\n|  | kept | 3 |" in card
    assert "| rules | 5 | 3 |" in card
    assert "| threshold | 0.25 |" in card
    assert front(card)["size_categories"] == ["n<1K"]
    assert "license" not in front(card)


def test_scores_are_told_by_their_quartiles_and_what_was_not_scored_is_not_counted(run_dir):
    card = data_card.data_card(read(run_dir))
    assert "| a | 1 to 10 | 2 | 0.5 | 0.625 | 0.75 | 0.875 | 1 |" in card
    assert "| b | 1 to 10 | 1 | -0.25 | -0.25 | -0.25 | -0.25 | -0.25 |" in card
    assert "none was checked" in card


def test_how_far_scores_can_be_trusted_is_told(run_dir):
    area = {"value": 0.75, "low": 0.5, "high": 0.9, "true_pairs": 9, "wrong_pairs": 9}
    few = {"value": None, "low": None, "high": None, "true_pairs": 0, "wrong_pairs": 0}
    check = {"a": {"auroc": {"wrong_task": area, "shuffled": few}}}
    edit(run_dir, "assess", lambda manifest: manifest.update(check=check))
    card = data_card.data_card(read(run_dir))
    assert "| a | wrong task | 0.75 (0.50 to 0.90) |" in card
    assert "| a | shuffled | too few readable scores |" in card


def test_the_models_that_wrote_and_judged_are_named_by_digests(run_dir):
    edit(run_dir, "synthesize", lambda manifest: manifest["parts"]["model"].update({"iter-0/adapter": "ada0" * 16}))
    card = data_card.data_card(read(run_dir))
    assert f"Written by the base model `some/folder` ({Base.digest[:16]}) with iter-0/adapter ({'ada0' * 4})." in card
    assert f"Scored by the base model `some/folder` ({Base.digest[:16]})." in card


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("drop", "Those that repeat one were dropped: 2 pair(s)."),
        ("list", "listed only, and are among these pairs: 2 pair(s)."),
        ("ignore", "not compared with benchmark items"),
    ],
)
def test_what_was_done_about_benchmark_items_is_told(run_dir, how, said):
    found = {"pairs": 2, "hits": {"piqa": 2}, "not_looked_at": {"squadv2": "no data"}}
    edit(run_dir, "filter", lambda manifest: manifest.update(contamination=found))
    edit(run_dir, "filter", lambda manifest: manifest["parameters"].update(decontaminate=how))
    card = data_card.data_card(read(run_dir))
    assert said in card
    assert ("by benchmark: piqa 2" in card) == (how != "ignore")
    assert ("Not looked at, for want of data: squadv2." in card) == (how != "ignore")


@pytest.mark.parametrize("setting", ["one_base", "total_base"])
def test_rows_of_earlier_iterations_that_are_not_here_are_told_of(run_dir, setting):
    edit(run_dir, "train", lambda manifest: manifest["parameters"].update(setting=setting))
    assert ("all iterations before" in data_card.data_card(read(run_dir))) == (setting == "total_base")


def test_both_cards_state_the_grade_as_it_follows_from_the_run_s_parameters(run_dir):
    (run_dir / "params.yaml").write_text("synthesize:\n  instruction_rules: false\nfilter:\n  steps: [threshold]\n")
    record = read(run_dir)
    said = grade_of_run(run_dir).line
    assert said.startswith("A: ")
    for card in (model_card.model_card(record, weights()), data_card.data_card(record)):
        assert said in card


def test_the_data_card_says_of_constraints_who_wrote_and_checked_them(run_dir):
    record = read(run_dir)
    assert "hold constraints" not in data_card.data_card(record) and "free_instruction" not in data_card.data_card(record)
    held = {
        "free_instruction": HOSTILE,
        "constraints": [{"family": "no_commas", "arguments": {}, "text": HOSTILE, "kept": True}],
    }
    card = data_card.data_card(replace(record, rows=[record.rows[0] | held, *record.rows[1:]]))
    assert "1 instruction(s) hold constraints" in card and "free_instruction" in card
    assert HOSTILE not in card
