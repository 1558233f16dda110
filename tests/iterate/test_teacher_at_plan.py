"""A teacher that cannot write is refused before anything is computed; without one a fingerprint does not know the word."""

import shutil

import pytest

from isheep_lib.errors import ModelError, ParameterError
from isheep_lib.iterate import needs
from isheep_lib.iterate.chain import prepare
from isheep_lib.iterate.fingerprint_parts import fingerprint_parts
from isheep_lib.iterate.run_params import load_run
from isheep_lib.synthesize.all_methods import METHODS
from isheep_lib.synthesize.extras.own import LEARNERS, part_of_learner
from tests.runs import PARAMS
from tests.teachers import teacher_beside

CHOOSING = {"iteralign", "selective_reflection"}


@pytest.fixture
def teacher(tiny_model, tmp_path):
    return teacher_beside(tiny_model, tmp_path / "teacher")


def loaded(root, model, *changes):
    return load_run(root / PARAMS, " ".join([f"model.base_model:{model}", *changes]), "r")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            ["synthesize.teacher:org/large", "model.engine:server", "model.base_urls:[http://x]"],
            "a server has the run's model alone",
        ),
        (["synthesize.teacher:org/small"], "org/small is model.base_model, no foreign model"),
        (
            ["synthesize.teacher:org/large", "synthesize.method:wizard_math", "synthesize.options:{}", "synthesize.answers:2"],
            "of 2 answers one would be the teacher's",
        ),
    ],
)
def test_what_keeps_a_teacher_from_writing_is_refused_with_the_parameters(root, changes, said):
    with pytest.raises(ParameterError, match=r"synthesize\.teacher") as caught:
        loaded(root, "org/small", "model.base_frame:chatml", *changes)
    assert said in str(caught.value)


@pytest.mark.parametrize("method", [name for name, way in METHODS.items() if part_of_learner(way)])
def test_no_other_model_writes_where_the_one_that_is_to_learn_has_a_part(root, method):
    with pytest.raises(ParameterError, match=f"synthesize.teacher.*in the method {method} the model that is to learn"):
        changes = ("model.base_frame:chatml", f"synthesize.method:{method}", "synthesize.options:{}")
        loaded(root, "org/small", *changes, "synthesize.teacher:org/large")


def test_the_feedback_methods_and_those_whose_losses_or_answers_choose_are_the_learner_s():
    found = {name for name, way in METHODS.items() if part_of_learner(way)}
    assert found == set(LEARNERS) == {"llm2llm", "llms_as_instructors", "autodetect", "rainbow", *CHOOSING}


def test_a_base_model_answers_what_a_teacher_wrote_by_a_method_for_aligned_ones(root):
    changes = ("model.base_frame:plain", "synthesize.method:dialogue", "synthesize.options:{}")
    with pytest.raises(ParameterError, match="needs a model that answers in a chat frame"):
        loaded(root, "org/small", *changes)
    assert loaded(root, "org/small", *changes, "synthesize.teacher:org/large").synthesize.teacher == "org/large"


def checked(root, tmp_path, model, teacher):
    override = f"model.base_model:{model} synthesize.teacher:{teacher}"
    given = {"iteration": 1, "params": str(root / PARAMS), "run": str(tmp_path / "run"), "override": override}
    params, run_params, run_dir = prepare(given | {"stale": "stop", "share": True})
    needs.check(run_params, run_dir, params.iteration)


def test_a_teacher_is_looked_for_at_the_plan_with_its_chat_template(root, tiny_model, teacher, tmp_path):
    checked(root, tmp_path, tiny_model, teacher)
    bare = shutil.copytree(tiny_model, tmp_path / "bare")
    with pytest.raises(ModelError, match=r"no chat template\n *where: synthesize.teacher\n"):
        checked(root, tmp_path, tiny_model, bare)
    (teacher / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"where: synthesize\.teacher: "):
        checked(root, tmp_path, tiny_model, teacher)


def test_a_fingerprint_names_a_teacher_by_its_weights_and_template_and_says_nothing_without_one(
    root, tiny_model, teacher, tmp_path
):
    def parts(*changes):
        return fingerprint_parts(tmp_path / "run", "synthesize", loaded(root, tiny_model, *changes).stage("synthesize", 1))

    without, with_it = parts(), parts(f"synthesize.teacher:{teacher}")
    assert "teacher" not in without and "teacher" not in without["parameters"]
    assert set(with_it["teacher"]) == {"model", "frame"}
    assert with_it["teacher"]["model"] != without["model"]["base"] == with_it["model"]["base"]
    named = with_it["parameters"].pop("teacher")
    code = with_it.pop("code")
    assert "open_writer" in code.keys() - without.pop("code").keys()
    assert named == str(teacher) and {**with_it, "teacher": ""} == {**without, "teacher": ""}
