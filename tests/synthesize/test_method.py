"""Methods as objects: one table, and what is not chosen neither is checked nor counts."""

import ast
import inspect
import re

import pytest

from isheep_lib.errors import ParameterError
from isheep_lib.params.check import check
from isheep_lib.prompting.prompt_files import english
from isheep_lib.record.code import code_digests
from isheep_lib.synthesize.all_methods import METHODS
from isheep_lib.synthesize.params import Synthesize


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_method_says_what_it_is(method):
    assert method.source
    assert inspect.getdoc(type(method)).split("\n")[0].endswith(".")
    assert all((english().folder / name).is_file() for name in method.prompts)
    assert all(field.description for field in method.Options.model_fields.values())
    assert method.Options().model_dump(), "its options have defaults"


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_reason_that_a_method_names_is_one_that_it_gives(method):
    module = inspect.getmodule(type(method))
    tree = ast.parse(inspect.getsource(module))
    (reasons,) = [n for n in ast.walk(tree) if isinstance(n, ast.AnnAssign) and getattr(n.target, "id", "") == "reasons"] or [
        None
    ]
    named = [key.value for key in reasons.value.keys] if reasons else []
    assert named == list(method.reasons)
    shared = {inspect.getmodule(value) for value in vars(module).values()}  # modules and what comes from them
    shared = {each for each in shared if each and re.match(r"isheep_lib\.synthesize\.\w+\.", each.__name__)} | {module}
    trees = [ast.parse(inspect.getsource(each)) for each in shared]
    texts = [n.value for each in trees for n in ast.walk(each) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    assert all(texts.count(name) >= 2 for name in named)


@pytest.mark.parametrize("name", METHODS)
def test_only_the_chosen_method_counts(name):
    params = Synthesize(method=name)
    assert params.deciding()["options"] == METHODS[name].Options().model_dump()
    found = set(code_digests(params.code()))
    assert {type(method).__name__ for method in METHODS.values()} & found == {type(METHODS[name]).__name__}
    assert {n for n in params.prompt_files() if n.endswith(".txt")} == set(params.chosen.prompt_files(params.options))
    assert set(params.chosen.prompt_files(params.options)) <= set(METHODS[name].prompts)


def test_a_list_counts_the_one_prompt_that_it_fills():
    found = [Synthesize(options={"input_lines": lines}).prompt_files() for lines in ("always", "where_given")]
    assert [{n for n in prompts if n.endswith(".txt")} for prompts in found] == [
        {"synthesize.txt"},
        {"synthesize-where_given.txt"},
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"method": "evolve"}, f"method: 'evolve' should be one of {', '.join(METHODS)}"),
        ({"options": {"demonstration": 3}}, "the method list has no demonstration; did you mean demonstrations"),
        ({"options": {"rounds": 3}}, "the method list has no rounds"),
        ({"method": "longform", "options": {"demonstrations": 3}}, "the method longform has no demonstrations"),
        ({"method": "longform", "demonstrations": 3}, "demonstrations: no such parameter"),
        ({"method": "evol_instruct", "options": {"rounds": 0}}, "options.rounds: 0 should be greater than or equal to 1"),
        ({"method": "evol_instruct", "options": {"operators": ["deepen", "deepen"]}}, "none twice"),
        ({"method": "longform", "options": {"min_document_words": 900}}, "options.min_document_words: must be at most"),
        ({"method": "magpie", "seeds": "mine.jsonl"}, "seeds: the method magpie reads no seeds; leave it out"),
        ({"options": {"tasks_per_prompt": 2}}, "options.tasks_per_prompt: must be more than demonstrations"),
        ({"options": 3}, "options: "),
    ],
)
def test_options_are_checked_by_the_class_of_their_method(values, said):
    with pytest.raises(ParameterError) as caught:
        check(Synthesize, values, "x")
    assert said in str(caught.value)


def test_problems_of_options_are_listed_with_all_others():
    with pytest.raises(ParameterError) as caught:
        check(Synthesize, {"instructions": "many", "options": {"max_batches": "few", "demonstrations": 0}}, "x")
    assert "3 problem(s)" in str(caught.value)
