"""Which prompts a run asks with: the same in every stage, told before anything is made, named by what they say."""

import json
import shutil
from pathlib import Path

import pytest

from isheep_lib.errors import DataError, ParameterError
from isheep_lib.iterate import claims
from isheep_lib.iterate.chain import prepare
from isheep_lib.iterate.run_params import STAGE_PARAMS, load_run, prompts_of, recorded_params
from isheep_lib.params.kinds import Shard
from isheep_lib.prompting.chat import FRAMES
from isheep_lib.prompting.prompt_files import WORDS, english, open_prompts

PARAMS = Path("params/smollm2-135m.yaml")
ASKING = ("synthesize", "assess", "judge")


def given(run, override):
    return {"iteration": 1, "params": str(PARAMS), "run": str(run), "override": override, "stale": "stop", "share": True}


def digests(params):
    return prompts_of(params).digests(*params.prompt_files()) | params.other_prompts()


@pytest.mark.parametrize(
    ("change", "language"),
    [
        ("", "en"),
        ("synthesize.language:zh", "zh"),
        ("synthesize.language:zh-Hans-CN", "zh"),
        ("synthesize.language:[zh,en]", "en"),
        ("synthesize.language:fr", "en"),
        ("model.prompts:zh", "zh"),
        ("model.prompts:en synthesize.language:zh", "en"),
    ],
)
@pytest.mark.parametrize("stage", ASKING)
def test_every_stage_asks_in_the_language_of_the_run(stage, change, language):
    assert prompts_of(load_run(PARAMS, change).stage(stage, 1)).language == language


@pytest.mark.parametrize("stage", ASKING)
def test_a_stage_that_is_opened_by_hand_takes_the_language_from_its_run(tmp_path, stage):
    claims.claim_params(tmp_path, {"model": {"prompts": "auto"}, "synthesize": {"language": "zh"}})
    values = claims.complete_params(STAGE_PARAMS[stage], {"run": str(tmp_path), "language": "en"}, stage)
    assert values["language"] == "zh"


def test_a_run_does_not_change_its_prompts_in_the_middle(tmp_path):
    claims.claim_params(tmp_path, {"model": {"prompts": "zh"}})
    with pytest.raises(ParameterError, match=r"model.prompts: the run has 'zh', now 'en'"):
        claims.claim_params(tmp_path, {"model": {"prompts": "en"}})


def test_a_run_from_before_there_were_prompts_by_language_goes_on(tmp_path):
    values = load_run(PARAMS).model_dump(exclude={"run"})
    old = {**values, "model": {n: v for n, v in values["model"].items() if n != "prompts"}}
    old["synthesize"] = {n: v for n, v in values["synthesize"].items() if n != "language"}
    claims.claim_params(tmp_path, old)
    claims.claim_params(tmp_path, values)
    stage = load_run(PARAMS).stage("assess", 1)
    assert claims.claim_stage(tmp_path, "assess", stage) == stage


@pytest.mark.parametrize("stage", STAGE_PARAMS)
def test_language_and_choice_decide_nothing_but_through_the_prompts_themselves(stage):
    plain, chinese = (load_run(PARAMS, change).stage(stage, 1) for change in ("", "synthesize.language:zh model.prompts:zh"))
    assert plain.deciding() == chinese.deciding()
    assert not {"prompts", "language"} & set(plain.deciding())
    same = stage not in ("assess",)  # magpie asks with no prompt, nothing is judged
    assert (digests(plain) == digests(chinese)) == same


def test_a_copy_of_the_shipped_prompts_is_the_same_stage_wherever_it_lies(tmp_path):
    shutil.copytree(english().folder, tmp_path / "p")
    plain, own = (load_run(PARAMS, change).stage("assess", 1) for change in ("", f"model.prompts:{tmp_path / 'p'}"))
    assert digests(plain) == digests(own)
    (tmp_path / "p" / "quality-combined.txt").write_text("{task} {response}")
    assert {name for name, digest in digests(own).items() if digest != digests(plain)[name]} == {"quality-combined.txt"}


def test_an_own_folder_is_looked_at_for_all_stages_before_anything_is_made(tmp_path):
    shutil.copytree(open_prompts("zh").folder, tmp_path / "p")
    (tmp_path / "p" / "following-combined.txt").unlink()
    (tmp_path / "p" / "dialogue.txt").write_text("写给{user}")
    override = f"model.prompts:{tmp_path / 'p'} synthesize.method:dialogue"
    with pytest.raises(DataError) as caught:
        prepare(given(tmp_path / "run", override))
    assert caught.value.what.splitlines()[1:] == [
        "  dialogue.txt: unknown variable {user}; allowed: none",
        "  following-combined.txt: is missing",
    ]
    assert not (tmp_path / "run").exists()


def test_prompts_that_are_nowhere_stop_a_run_before_it_is_made(tmp_path):
    with pytest.raises(DataError, match="There are no prompts 'klingon'"):
        prepare(given(tmp_path / "run", "model.prompts:klingon"))


def test_what_a_recorded_stage_asked_with_has_the_same_name_and_digest_today(root):
    folder = root / "results/reference/smollm2-135m"
    found = {}
    for path in sorted(folder.glob("iter-1/*/manifest.json")):
        manifest = json.loads(path.read_text())
        params = recorded_params(manifest, str(path))
        found[manifest["stage"]] = digests(params) == manifest["parts"]["prompts"]
        own = {name: value for name, value in params.deciding().items() if name not in Shard.model_fields}
        assert own == manifest["parts"]["parameters"], "and its parameters decide as they did"
    assert found == dict.fromkeys(found, True) and {"synthesize", "assess", "filter", "train"} <= set(found)


def test_chinese_prompts_are_named_with_the_words_beside_them():
    params = load_run(PARAMS, "synthesize.language:zh synthesize.method:dialogue").stage("synthesize", 1)
    assert list(digests(params)) == ["dialogue.txt", *FRAMES, WORDS]
