"""The grade of a run, from its parameters alone."""

from pathlib import Path

import pytest

from isheep_lib.iterate.grade import MEANINGS, grade_of, grade_of_run
from isheep_lib.iterate.run_params import load_run

PARAMS = Path(__file__).resolve().parents[2] / "params"
BARE = {
    "synthesize": {"instruction_rules": False},
    "filter": {"steps": ["threshold"]},
    "evaluate": {"tasks": ["ifeval", "ifbench:9"]},
}


def params(**changes):
    """Change single values of a run that is of grade A."""
    found = {section: dict(values) for section, values in BARE.items()}
    for name, value in changes.items():
        section, _, field = name.partition("__")
        found.setdefault(section, {})[field] = value
    return found


def constrained(*families, **more):
    return params(synthesize__constraints="asked", synthesize__constraint_families=list(families), **more)


@pytest.mark.parametrize(
    ("given", "name", "why"),
    [
        (params(), "A", []),
        (params(filter__steps=[]), "A", []),
        (params(filter__steps=["density", "top"], filter__random_control=True), "A", []),
        (params(filter__steps=["rules", "threshold"]), "B", ["filter.steps"]),
        (params(synthesize__instruction_rules=True), "B", ["synthesize.instruction_rules"]),
        (params(synthesize__method="evol_instruct"), "B", ["rules that eliminate rewritings"]),
        (params(synthesize__method="longform"), "B", ["documents that people wrote"]),
        (params(synthesize__method="instruction_backtranslation"), "B", ["documents that people wrote"]),
        (
            params(synthesize__method="dog_instruct"),
            "B",
            ["documents that people wrote, and rules that compare answers with them"],
        ),
        (params(synthesize__method="udit"), "B", ["documents that people wrote"]),
        (params(synthesize__method="gone"), "A", []),
        (params(filter__preferences=["score"]), "A", []),
        (params(filter__preferences=["score", "cut"]), "B", ["filter.preferences"]),
        (params(assess__scorers=["learned"]), "B", ["assess.scorers"]),
        (constrained("disjoint_from_ifbench", "like_ifbench", evaluate__tasks=["ifbench"]), "C", ["IFBench", "synthesize"]),
        (constrained("disjoint_from_both"), "B", ["synthesize.constraints"]),
        (constrained("disjoint_from_ifeval", evaluate__tasks=["ifeval"]), "B", ["synthesize.constraints"]),
        (constrained("disjoint_from_ifeval"), "C", ["families like IFBench's", "synthesize.constraints"]),
        (constrained("no_dashes", "no_commas"), "C", ["1 families like IFEval's, such as no_commas", "synthesize.constraints"]),
        (constrained("all", evaluate__tasks=["arc_easy"]), "B", ["synthesize.constraints"]),
        (constrained("like_ifeval", evaluate__tasks=["ifeval:64"]), "C", ["families like IFEval's", "synthesize.constraints"]),
        (params(synthesize__constraint_families=["all"]), "A", []),
    ],
)
def test_a_grade_follows_from_what_decides_about_texts_and_what_is_reported(given, name, why):
    found = grade_of(given)
    assert (found.name, len(found.reasons)) == (name, len(why))
    assert all(said in reason for said, reason in zip(why, found.reasons, strict=True))
    assert found.line.startswith(f"{name}: {MEANINGS[name]}")
    assert found.as_fact() == {"name": name, "reasons": list(found.reasons)}


def test_a_run_with_a_teacher_is_not_self_contained_whatever_its_grade():
    for name, rules in (("A", False), ("B", True)):
        found = grade_of(params(synthesize__instruction_rules=rules, synthesize__teacher="org/large@abc"))
        assert found.label == f"{name}, not self-contained: org/large@abc writes its tasks"
        assert found.line.startswith(f"{found.label}; apart from that, {MEANINGS[name]}")
        assert found.as_fact()["not_self_contained"] == "org/large@abc writes its tasks"
    assert grade_of(params()).label == "A"


def test_an_older_record_has_the_defaults_of_what_it_does_not_name(tmp_path, root):
    assert grade_of({}).name == grade_of_run(tmp_path).name == "B", "the heuristic rules are a default"
    assert grade_of({"synthesize": None}).name == "B"
    assert grade_of_run(root / "results/reference/smollm2-135m").name == "B"


@pytest.mark.parametrize("path", sorted(PARAMS.glob("**/*.yaml")), ids=lambda path: path.stem)
def test_every_params_file_has_a_grade(path):
    if path.parent.name != "ablations":
        assert grade_of(load_run(path).model_dump()).name in MEANINGS
