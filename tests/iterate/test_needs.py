"""What each stage needs: order, inputs, models, prompts, as its section of parameters says."""

import itertools

import pytest

from isheep_lib.iterate.run_params import SECTIONS, STAGE_PARAMS
from isheep_lib.judge.params import prompt_files
from isheep_lib.params.old_names import renew
from isheep_lib.prompting import chat
from isheep_lib.prompting.prompt_files import english
from isheep_lib.record.stages import ORDER, feeds, steps
from isheep_lib.synthesize.all_methods import METHODS


def parameters(stage, **values):
    return STAGE_PARAMS[stage](**renew(values, stage).values)


def own_prompts(params):
    """Name the prompt files; the questions of benchmarks are the task files', see test_session."""
    return [name for name in params.prompt_files() if not name.startswith("tasks/")]


def benchmarks_of(params):
    return params.benchmarks() if hasattr(params, "benchmarks") else {}


VARIANTS = [
    *(
        ("synthesize", {"dedup_scope": scope, "generated_demonstrations": n})
        for scope in ("batch", "round", "run")
        for n in (0, 2)
    ),
    *(("assess", {"assessor": model, "vectors": vectors}) for model in ("current", "base") for vectors in (False, True)),
    *(("filter", {"steps": names}) for names in ([], ["rules"], ["density"], ["top", "density_perplexity"])),
    *(("train", {"setting": setting}) for setting in ("one_base", "one_last", "total_base")),
    ("evaluate", {}),
    ("judge", {"judged": ["alpaca_eval", "mt_bench"]}),
]


def test_the_base_model_is_evaluated_before_everything():
    assert steps(0) == [(0, "evaluate")]
    assert steps(2)[:3] == [(0, "evaluate"), (1, "synthesize"), (1, "assess")]
    assert steps(2)[-1] == (2, "evaluate")
    assert len(steps(3)) == len(set(steps(3))) == 16


def test_a_judge_reads_the_answers_of_every_model_right_after_they_are_recorded():
    found = steps(2, judged=True)
    assert [step for step in found if step[1] != "judge"] == steps(2)
    assert [found[i - 1] for i, (_, stage) in enumerate(found) if stage == "judge"] == [(k, "evaluate") for k in range(3)]


def test_only_the_judge_of_the_same_iteration_waits_for_an_evaluation():
    assert [(later, k) for later in ORDER for k in (1, 2, 3) if feeds("evaluate", 2, later, k)] == [("judge", 2)]
    assert not [(later, k) for later in ORDER for k in (1, 2, 3) if feeds("judge", 2, later, k)]


def test_the_order_names_the_sections_of_stages():
    assert list(STAGE_PARAMS) == list(ORDER) == [name for name in SECTIONS if name != "model"]


@pytest.mark.parametrize(("stage", "values"), VARIANTS)
def test_every_input_and_every_model_comes_from_a_step_done_before(stage, values):
    order, params = steps(4, judged=True), parameters(stage, **values)
    for position, (iteration, name) in enumerate(order):
        if name != stage:
            continue
        found = params.inputs(iteration)
        assert len(found) == len(set(found))
        assert all(order.index((k, made_by)) < position for k, made_by, _ in found)
        if trained := params.model_iteration(iteration):
            assert order.index((trained, "train")) < position


def files(stage, file, *iterations):
    return [(k, stage, file) for k in iterations]


TASKS, PAIRS = ("synthesize", "examples.jsonl"), ("filter", "kept.jsonl")
SCORED = [*files(*TASKS, 3), *files("synthesize", "demonstrations.jsonl", 3), *files("assess", "scores.jsonl", 3)]
WITH_VECTORS = [*SCORED, *files("assess", "vectors.npy", 3)]


@pytest.mark.parametrize(
    ("stage", "values", "expected"),
    [
        ("synthesize", {}, files(*TASKS, 1, 2)),
        ("synthesize", {"dedup_scope": "round"}, []),
        ("synthesize", {"dedup_scope": "batch"}, []),
        ("synthesize", {"dedup_scope": "round", "generated_demonstrations": 1}, files(*TASKS, 1, 2)),
        ("synthesize", {"dedup_scope": "batch", "generated_demonstrations": 1}, files(*TASKS, 1, 2)),
        ("synthesize", {"dedup_scope": "run", "generated_demonstrations": 1}, files(*TASKS, 1, 2)),
        ("assess", {}, files(*TASKS, 3)),
        ("assess", {"assessor": "base", "vectors": True}, files(*TASKS, 3)),
        ("filter", {}, SCORED),
        ("filter", {"steps": []}, SCORED),
        ("filter", {"steps": ["top", "perplexity"]}, SCORED),
        ("filter", {"steps": ["rules", "density"]}, WITH_VECTORS),
        ("filter", {"steps": ["density_perplexity", "rules"]}, WITH_VECTORS),
        ("filter", {"steps": ["density", "density_perplexity"]}, WITH_VECTORS),
        ("train", {}, files(*PAIRS, 3)),
        ("train", {"setting": "one_last"}, files(*PAIRS, 3)),
        ("train", {"setting": "total_base"}, files(*PAIRS, 1, 2, 3)),
        ("evaluate", {}, []),
        ("judge", {}, []),
        ("judge", {"judged": ["mt_bench"]}, files("evaluate", "samples-mt_bench.jsonl", 3)),
    ],
)
def test_a_stage_of_the_third_iteration_reads_these_files(stage, values, expected):
    assert parameters(stage, **values).inputs(3) == expected


@pytest.mark.parametrize(("stage", "values"), VARIANTS)
def test_nothing_is_read_from_before_the_first_iteration(stage, values):
    assert {k for k, _, _ in parameters(stage, **values).inputs(1)} <= {1}


@pytest.mark.parametrize(
    ("stage", "values", "models"),
    [
        ("synthesize", {}, {1: 0, 2: 1, 5: 4}),  # M_{t-1} writes
        ("assess", {}, {1: 0, 2: 1, 5: 4}),  # and judges
        ("assess", {"assessor": "base"}, {1: 0, 2: 0, 5: 0}),
        ("filter", {}, {1: 0, 5: 0}),
        ("train", {}, {1: 0, 2: 0, 5: 0}),
        ("train", {"setting": "total_base"}, {1: 0, 2: 0, 5: 0}),
        ("train", {"setting": "one_last"}, {1: 0, 2: 1, 5: 4}),
        ("evaluate", {}, {0: 0, 1: 1, 5: 5}),
        ("judge", {}, {0: 0, 1: 0, 5: 0}),  # the base model judges, if no other is named
    ],
)
def test_a_stage_uses_the_model_of_this_iteration(stage, values, models):
    assert {k: parameters(stage, **values).model_iteration(k) for k in models} == models


def test_every_setting_has_the_same_first_training():
    found = [parameters("train", setting=setting) for setting in ("one_base", "one_last", "total_base")]
    assert [(p.inputs(1), p.model_iteration(1)) for p in found] == [([(1, *PAIRS)], 0)] * 3


ASKED = {"both": ["quality", "following"], "quality": ["quality"], "following": ["following"], "none": []}


@pytest.mark.parametrize(("level", "variant"), itertools.product(ASKED, ("combined", "simple", "icl")))
def test_an_assessment_uses_one_prompt_of_its_kind_for_each_axis(level, variant):
    expected = [f"{axis}-{variant}.txt" for axis in ASKED[level]]
    asked = {} if level != "none" else {"scorers": [], "checked_scorers": []}
    found = list(parameters("assess", level=level, assessment_prompt=variant, **asked).prompt_files())
    assert found == [*expected, *chat.FRAMES]
    assert all(len(digest) == 64 for digest in english().digests(*found).values())


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("synthesize", ["synthesize.txt", *chat.FRAMES]),
        ("filter", []),
        ("train", [*chat.FRAMES]),
        ("evaluate", [*chat.FRAMES]),
    ],
)
def test_the_prompts_of_the_other_stages_are_these_and_exist(stage, expected):
    assert own_prompts(parameters(stage)) == expected
    assert all(len(digest) == 64 for digest in english().digests(*expected).values())


@pytest.mark.parametrize("verdicts", ["written", "probabilities"])
@pytest.mark.parametrize("engine", ["transformers", "chat"])
def test_the_prompts_of_a_judge_are_those_that_judging_fills_for_its_benchmarks(verdicts, engine):
    for name in ("alpaca_eval", "mt_bench"):
        found = parameters("judge", judged=[name], verdicts=verdicts, judge_engine=engine).prompt_files()
        assert sorted({*found} - {*chat.FRAMES}) == sorted(prompt_files(name, verdicts))
        assert ({*chat.FRAMES} <= {*found}) == (engine != "chat")


def test_every_prompt_of_the_package_is_used_by_a_stage():
    assess = [{"level": "both", "assessment_prompt": variant} for variant in ("combined", "simple", "icl")]
    used = {name for values in assess for name in own_prompts(parameters("assess", **values))}
    judge = [{"judged": ["alpaca_eval", "mt_bench"], "verdicts": verdicts} for verdicts in ("written", "probabilities")]
    used |= {name for values in judge for name in own_prompts(parameters("judge", **values))}
    used |= {name for method in METHODS for name in own_prompts(parameters("synthesize", method=method))}
    chosen = [
        ("list", {"input_lines": "where_given"}),
        ("longform", {"length_units": ["sentences"]}),
        ("instruction_backtranslation", {"curation": "probabilities"}),
        ("llms_as_instructors", {"learning": "error"}),
        ("rainbow", {"grid": "safety"}),
    ]
    used |= {name for method, given in chosen for name in own_prompts(parameters("synthesize", method=method, options=given))}
    used |= {*own_prompts(parameters("assess", scorers=["verdict"]))}
    used |= {name for stage in ORDER for name in own_prompts(parameters(stage))}
    assert used == {path.name for path in english().folder.glob("*.txt")} | set(chat.FRAMES)


@pytest.mark.parametrize(
    ("stage", "values", "expected"),
    [
        ("evaluate", {"tasks": ["arc_easy:4", "mmlu"]}, {"arc_easy": "", "mmlu": ""}),
        ("evaluate", {"tasks": ["squadv2:4"], "data": ["squadv2=a.json", "nq_open=b.json"]}, {"squadv2": "a.json"}),
        ("evaluate", {"tasks": []}, {}),
        ("filter", {"decontaminate_against": ["mmlu", "squadv2=a.json"]}, {"mmlu": "", "squadv2": "a.json"}),
        ("filter", {"decontaminate": "list", "decontaminate_against": ["mmlu"]}, {"mmlu": ""}),
        ("filter", {"decontaminate": "ignore", "decontaminate_against": ["mmlu"]}, {}),
        ("synthesize", {}, {}),
        ("assess", {}, {}),
        ("train", {}, {}),
    ],
)
def test_a_stage_reads_the_items_of_these_benchmarks(stage, values, expected):
    assert benchmarks_of(parameters(stage, **values)) == expected


@pytest.mark.parametrize(
    ("stage", "values", "expected"),
    [
        ("synthesize", {}, ["regex", "langdetect"]),
        ("synthesize", {"language": "any"}, ["regex"]),
        ("synthesize", {"instruction_rules": False}, ["regex"]),
        ("synthesize", {"demonstration_choice": "one_a_cluster"}, ["numpy", "regex", "langdetect"]),
        ("assess", {}, ["regex"]),
        ("assess", {"corruptions": ["shuffled"]}, []),
        ("assess", {"checked_scorers": []}, []),
        ("assess", {"checked_scorers": ["learned"], "corruptions": ["shuffled"]}, ["regex"]),
        ("filter", {}, ["regex", "langdetect"]),
        ("filter", {"other_languages": "chinese"}, ["regex"]),
        ("filter", {"language": "any"}, ["regex"]),
        ("filter", {"decontaminate": "ignore", "steps": ["threshold"]}, []),
        ("filter", {"decontaminate": "ignore", "steps": ["threshold"], "preferences": ["cut"]}, ["regex"]),
        ("filter", {"decontaminate": "ignore", "steps": ["density"]}, ["numpy"]),
        ("filter", {"steps": ["rules", "density_perplexity"]}, ["regex", "numpy", "langdetect"]),
        ("train", {}, []),
        ("evaluate", {}, ["lm_eval", "regex"]),
    ],
)
def test_these_packages_decide_what_a_stage_makes(stage, values, expected):
    assert parameters(stage, **values).packages() == expected


@pytest.mark.parametrize(
    ("stage", "values", "expected"),
    [
        ("evaluate", {"tasks": ["ifeval", "mbpp:4"]}, True),
        ("evaluate", {"tasks": ["ifeval", "mmlu"]}, False),
        ("filter", {"decontaminate_against": ["humaneval"]}, False),  # items are read, nothing is run
    ],
)
def test_only_an_evaluation_with_code_benchmarks_runs_programs(stage, values, expected):
    assert ("programs" in parameters(stage, **values).more_parts()) is expected
