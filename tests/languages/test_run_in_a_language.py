"""A run's language: its parameters, seeds at the plan, fingerprints as before in English, evaluation and cards in words."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from isheep_lib.analysis.collapse import answer_signs
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.display.evaluation_tables import named, results_table
from isheep_lib.errors import DataError, ParameterError, YieldError
from isheep_lib.evaluate.params import EvaluateParams
from isheep_lib.export.model_card import language_metadata, language_of_record
from isheep_lib.filter.params import Filter
from isheep_lib.filter.steps.rules import Rules, rule_problem
from isheep_lib.iterate.chain import prepare
from isheep_lib.iterate.claims import as_sections, complete_params
from isheep_lib.iterate.run_params import FilterParams, SynthesizeParams, load_run, recorded_params
from isheep_lib.languages import rules
from isheep_lib.paper.runs import Measured, Run
from isheep_lib.params.check import check
from isheep_lib.params.old_names import renew
from isheep_lib.record.rows import Pair
from isheep_lib.synthesize import candidates
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.evolving import eliminator
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.synthesize.rules import Item, instruction_problem
from isheep_lib.synthesize.seeds import digest_seeds, load_seeds
from tests.scripted import ScriptedEngine
from tests.writings import writing

ROOT = Path(__file__).resolve().parents[2]
CHINESE = ["请写一首关于大海的短诗。", "请列出三种在海边常做的事情。", "请解释潮汐是怎样形成的。", "把下面的句子改成疑问句。"]


def seeds(folder, texts, **more):
    path = folder / "seeds.jsonl"
    path.write_text("".join(json.dumps({"instruction": text, **more}, ensure_ascii=False) + "\n" for text in texts))
    return str(path)


@pytest.mark.parametrize(("language", "found"), [("ZH", "zh"), (["en", "zh"], ["en", "zh"]), ("any", "any"), (["fr"], "fr")])
def test_a_params_file_names_a_tag_several_or_any(language, found):
    override = f"synthesize.language:{json.dumps(language)}"
    run = load_run(ROOT / "params/smollm2-135m.yaml", override)
    assert run.synthesize.language == found
    assert [getattr(run.stage(stage, 1), "language", None) for stage in ("synthesize", "filter", "evaluate")] == [found] * 3


@pytest.mark.parametrize("language", ["pt", "english", "zh_CN", "[any, en]", "[]", "7"])
def test_a_language_without_rules_is_refused_before_anything_runs(language):
    with pytest.raises(ParameterError, match=r"synthesize\.language"):
        load_run(ROOT / "params/smollm2-135m.yaml", f"synthesize.language:{language}")


def test_every_language_that_there_is_and_any_are_offered():
    with pytest.raises(ParameterError, match=f"{', '.join(rules.known())}; any takes every language"):
        check(SynthesizeParams, {"language": "pt"}, "here")


def test_constraints_are_english_and_so_must_be_the_run():
    given = {"constraints": "hindsight", "method": "list"}
    assert Synthesize(**given).conflicts() == []
    for language, name in (("zh", "Chinese"), ("any", "any language"), (["en", "fr"], "English and French")):
        (problem,) = Synthesize(**given, language=language).conflicts()
        assert problem.startswith(f"constraints: their texts are English, and the tasks are in {name}; set constraints to none")


def test_in_english_a_run_has_the_parameters_in_its_fingerprint_that_it_had():
    assert not any("language" in params.deciding() for params in (SynthesizeParams(), FilterParams(), EvaluateParams()))
    assert Filter().deciding()["other_languages"] == "mismatch"
    looked_at = 0
    for stage in ("synthesize", "filter", "evaluate"):
        for folder, manifest in recorded(stage):
            if "smollm2-135m" in folder.parts:
                assert recorded_params(manifest, "here").deciding() == manifest["parts"]["parameters"], folder
                looked_at += 1
    assert looked_at >= 3


def test_the_files_of_rules_that_a_language_takes_are_named_by_their_digests():
    assert list(rules.digests("en")) == ["rules/en.yaml"]
    assert list(rules.digests(["zh-Hant", "fr", "zh"])) == ["rules/fr.yaml", "rules/zh.yaml"]
    assert list(rules.digests("any")) == [f"rules/{tag}.yaml" for tag in rules.known()]


def test_an_old_record_was_filtered_by_chinese_characters_and_is_repeated_so():
    old = {"stage": "filter", "parameters": {"run": "r", "iteration": 1}}
    assert recorded_params(old, "here").other_languages == "chinese"
    new = {"stage": "filter", "parameters": {"run": "r", "iteration": 1, "other_languages": "mismatch"}}
    assert recorded_params(new, "here").other_languages == "mismatch"


def test_an_old_file_with_the_releases_placeholders_had_its_rule_against_chinese_too():
    assert renew({"placeholders": "any_tag"}, "filter").values["other_languages"] == "chinese"
    assert renew({"placeholders": "any_tag", "other_languages": "mismatch"}, "filter").values["other_languages"] == "mismatch"
    assert "other_languages" not in renew({"placeholders": "to_fill_in"}, "filter").values
    assert load_run(ROOT / "params/isheep-as-released.yaml").filter.other_languages == "chinese"
    others = [path for path in (ROOT / "params").glob("*.yaml") if path.stem != "isheep-as-released"]
    assert {load_run(path).filter.other_languages for path in others} == {"mismatch"}


def test_a_stage_that_runs_alone_takes_the_language_of_its_run_and_claims_it(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 1\nsynthesize: {language: [en, zh]}\n")
    assert complete_params(FilterParams, {"run": str(tmp_path)}, "filter")["language"] == ["en", "zh"]
    claimed = as_sections(FilterParams, FilterParams(language="zh").model_dump(), "filter")
    assert claimed["synthesize"] == {"language": "zh"}
    assert "language" not in claimed["filter"]


def test_the_plan_refuses_seeds_in_another_language_before_any_model_is_looked_for(tmp_path):
    override = 'synthesize.method:list synthesize.options:{"demonstrations":5} synthesize.language:zh'
    asked = {"params": str(ROOT / "params/smollm2-135m.yaml"), "run": str(tmp_path / "run"), "override": override}
    with pytest.raises(DataError, match="seed tasks are not in Chinese, such as") as caught:
        prepare(asked)
    assert caught.value.do.startswith("set synthesize.language to en, or to any")
    assert not (tmp_path / "run").exists()


def test_seeds_in_another_language_are_refused_with_what_to_set(tmp_path):
    path = seeds(tmp_path, CHINESE)
    with pytest.raises(DataError) as caught:
        digest_seeds(path, [])
    assert "4 of 4 seed tasks are not in English, such as '请写一首" in caught.value.what
    assert caught.value.do.startswith("set synthesize.language to zh, or to any, which applies only what holds in every")
    assert digest_seeds(path, [], "zh") == digest_seeds(path, [], "any") == digest_seeds(path, [], ["en", "zh"])


def test_seeds_of_a_language_without_rules_are_refused_and_any_is_offered(tmp_path):
    greek = ["Γράψε ένα σύντομο ποίημα για τη θάλασσα.", "Πες μου τρία πράγματα που κάνουμε στην παραλία."]
    with pytest.raises(DataError, match="or to any") as caught:
        digest_seeds(seeds(tmp_path, greek), [])
    assert "the language of the seeds" in caught.value.do
    assert digest_seeds(seeds(tmp_path, greek), [], "any")


def test_a_few_seeds_in_other_languages_are_left_alone(tmp_path):
    assert digest_seeds(seeds(tmp_path, ["Write a poem about the sea.", "Name three fish in the sea.", CHINESE[0]]), [])


def test_the_projects_english_seeds_are_english():
    assert digest_seeds(str(ROOT / "seeds/tasks.jsonl"), [])


def test_no_input_is_read_in_the_runs_language_and_in_english(tmp_path):
    for said, language in (("（无）", "zh"), ("Sin entrada.", "es"), ("N/A", "ru"), ("<入力なし>", "any")):
        assert load_seeds(seeds(tmp_path, ["…"], input=said), [], language)[0].input == "", said
    assert load_seeds(seeds(tmp_path, ["…"], input="Sin entrada."), [])[0].input == "Sin entrada."


def test_an_instruction_in_another_language_is_dropped_with_the_share(tmp_path):
    params = Synthesize(language="zh", method="list", instructions=2, min_instructions=1)
    intake = Intake(writing(ScriptedEngine(), tmp_path, params, []), pool_of([], 0.7), asks=False)
    assert intake.take("a", Item("", "请写一首关于大海的短诗。", ""), {})
    assert not intake.take("b", Item("", "Write a short poem about the sea.", ""), {})
    (row,) = intake.found.dropped
    assert (row["reason"], row["detail"]) == ("language_mismatch", "0% of its words are written in Han")


def test_too_few_tasks_say_what_to_do_by_the_reason_that_dropped_them(tmp_path):
    params = Synthesize(language="zh", method="list", instructions=9, min_instructions=9)
    intake = Intake(writing(ScriptedEngine(), tmp_path, params, []), pool_of([], 0.7), asks=False)
    for number in range(8):
        intake.take(f"t{number}", Item("", f"Write a short poem about the sea, number {number}.", ""), {})
    with pytest.raises(YieldError) as caught:
        intake.require("raise max_batches")
    assert "8 language_mismatch such as 'Write a short poem about the sea, number 0.'" in str(caught.value)
    said = "8 of 8 were dropped as language_mismatch: the model does not write in synthesize.language; set"
    assert caught.value.do.startswith(said) and caught.value.do.endswith("more of them would not help")


def test_where_no_one_reason_drops_nearly_all_the_methods_own_advice_stands():
    rows = [{"reason": reason} for reason in ("near_duplicate", "near_duplicate", "too_short")]
    cut = Candidates(accepted=[{}] * 5, dropped=[{"reason": "cut_off"}] * 5)
    for found in (Candidates(dropped=rows), Candidates(), Candidates(dropped=[{"reason": "beyond_target"}] * 9), cut):
        assert candidates.advice(found, "its own") == "its own"
    assert candidates.advice(Candidates(dropped=cut.dropped), "own").endswith("raise synthesize.instruction_tokens; else own")


def test_methods_ask_the_rules_by_the_run_alone():
    files = sorted((ROOT / "isheep_lib/synthesize").rglob("*.py"))
    calling = {path.name for path in files if re.search(r"(?<!def )\binstruction_problem\(", path.read_text())}
    assert calling == {"writing.py"}


@pytest.mark.parametrize(
    ("answer", "language"), [("很抱歉，我做不到。", "zh"), ("Lo siento mucho.", "es"), ("I am sorry.", "en")]
)
def test_a_short_apology_eliminates_a_rewriting_in_any_language(answer, language):
    assert eliminator.answer_problem(answer, language) == ("apology", "")


def test_refusals_are_counted_in_the_runs_language_and_in_english():
    answers = ["很抱歉，我无法回答。", "I'm sorry, but I can't.", "大海很宽。", "The sea is wide."]
    assert answer_signs(answers)["refusal_rate"] == 0.25
    assert answer_signs(answers, language="zh")["refusal_rate"] == 0.5
    assert answer_signs(answers, language="any")["refusal_rate"] == 0.5


def test_all_benchmarks_are_those_in_english_and_in_the_runs_languages():
    english = [name for name, row in BENCHMARKS.items() if row.language == "en"]
    assert list(FilterParams().benchmarks()) == list(FilterParams(language="any").benchmarks()) == english
    assert list(FilterParams(language=["en", "zh-Hant"]).benchmarks()) == [*english, "cmmlu", "ceval-valid"]


def metrics(**more):
    values = {"prompt_strict": {"value": 50.0, "standard_error": 1.0, "items": 4}}
    task = {"metric": "prompt_strict", "subset": "4 of 541", "values": values, "trained_on": 0, "clean": {}}
    return {"tasks": {"ifeval": task}, "absent": {}, "signs": {}, "frame": "chatml", **more}


def test_an_english_benchmark_is_marked_beside_a_run_in_another_language():
    assert {name for name, row in BENCHMARKS.items() if row.language != "en"} == {"cmmlu", "ceval-valid"}
    assert named("cmmlu", "zh") == named("cmmlu", "zh-Hant") == "CMMLU" and named("cmmlu", "en") == "CMMLU (in Chinese)"
    titles = [named("ifeval", language) for language in ("en", ["en", "zh"], "zh", "any")]
    assert titles == ["IFEval", "IFEval", "IFEval (in English)", "IFEval (in English)"]
    assert results_table({0: metrics()}).rows[0]["benchmark"] == "IFEval"
    assert results_table({0: metrics(language="zh")}).rows[0]["benchmark"] == "IFEval (in English)"


def test_the_papers_list_of_runs_names_languages_where_one_is_not_english():
    def run(language):
        params = load_run(ROOT / "params/smollm2-135m.yaml", f"synthesize.language:{language}").model_dump()
        return Run("quality", language, Path("r"), "m", "d", {}, {}, {}, params)

    assert "language" not in Measured((run("en"),)).table().rows[0]
    rows = Measured((run("en"), run("zh"))).table().rows
    assert [row["language"] for row in rows] == ["English", "Chinese"]


CARDS = {
    "en": {"language": ["en"]},
    "zh-Hant": {"language": ["zh"], "language_bcp47": ["zh-Hant"]},
    ("en", "fr"): {"language": ["en", "fr"]},
    "any": {"language": ["multilingual"]},
    None: {"language": ["en"]},  # an old record says nothing
}


@pytest.mark.parametrize("language", CARDS, ids=str)
def test_cards_name_the_language_as_the_hub_reads_it(language):
    given = list(language) if isinstance(language, tuple) else language
    record = SimpleNamespace(manifest=lambda stage: {"parameters": {} if given is None else {"language": given}})
    assert language_metadata(record) == CARDS[language]
    assert language_of_record(record) == (given or "en")


def recorded(stage):
    """List the manifests of a stage in the committed records, each with its folder."""
    found = sorted((ROOT / "results/reference").rglob(f"{stage}/manifest.json"))
    return [(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in found]


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_committed_pairs_are_filtered_by_the_rules_as_they_were():
    looked_at = 0
    for folder, manifest in recorded("filter"):
        params = recorded_params(manifest, "here", other_languages="mismatch")
        for row in [*rows_of(folder / "kept.jsonl"), *rows_of(folder / "dropped.jsonl")] if "rules" in params.steps else []:
            was = row.pop("reason", ""), row.pop("detail", "")
            pair = Pair.from_row({name: value for name, value in row.items() if name != "scores"})
            now = rule_problem(pair, params.max_copy_share, params, params.language)
            assert now == (was if was[0] in Rules.meanings else ("", "")) or was[0] in ("benchmark_item", "not_drawn"), pair.id
            looked_at += 1
    assert looked_at > 200


def test_committed_instructions_are_accepted_as_they_were():
    looked_at = 0
    for folder, manifest in recorded("synthesize"):
        rows = rows_of(folder / "examples.jsonl") if manifest["parameters"].get("constraints", "none") == "none" else []
        for row in rows if manifest["parameters"]["instruction_rules"] else []:
            item, language = Item("", row["instruction"], row["input"]), manifest["parameters"].get("language", "en")
            assert instruction_problem(item, language=language) == "", (folder, row["id"])
            looked_at += 1
    assert looked_at > 100
