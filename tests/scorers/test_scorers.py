"""Every scorer: its name, its columns and what these mean; what each computes is in `tests/assess/test_scoring.py`."""

from typing import get_args

import pytest

from isheep_lib.params.old_names import SCORERS as OLD_NAMES
from isheep_lib.prompting.chat import Frame
from isheep_lib.record.code import code_digests, root_of
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.likelihoods import TEXTS, likelihoods
from isheep_lib.scorers.scorer import Choice, Level, Likelihood, Odds, Written, criteria
from isheep_lib.scorers.table import OLD, SCORERS, KnownScorer, columns, columns_of, learns, scorer, scorer_of
from isheep_lib.scorers.verdict import Question

LEVELS = get_args(Level)
COLUMNS = {"perplexity": ["perplexity_output", "perplexity_pair"]}


@pytest.mark.parametrize(
    ("level", "expected"),
    [("both", ("quality", "following")), ("quality", ("quality",)), ("following", ("following",)), ("none", ())],
)
def test_a_level_asks_about_these_criteria(level, expected):
    assert criteria(level) == expected


def test_the_names_that_parameters_allow_are_those_of_the_table():
    assert list(SCORERS) == list(get_args(KnownScorer))
    assert all(name == each.name for name, each in (*SCORERS.items(), *OLD.items()))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", SCORERS)
def test_a_scorer_that_asks_has_a_column_a_criterion_and_the_others_do_not_mind_the_level(name, level):
    asking = [f"{name}_{criterion}" for criterion in criteria(level)]
    assert columns(name, level) == (asking if SCORERS[name].asks else COLUMNS.get(name, [name]))


def test_no_two_scorers_share_a_column():
    every = columns_of([*SCORERS, *OLD], "both")
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("name", [*SCORERS, *OLD])
def test_a_column_knows_its_scorer_and_a_score_of_1_to_10_is_one_that_is_asked_for(name):
    for column in columns(name, "both"):
        assert scorer_of(column) == scorer(name)
    assert (scorer(name).unit == "1 to 10") == scorer(name).asks


def test_of_a_column_that_no_scorer_fills_only_the_name_is_known():
    assert (scorer_of("luck").name, scorer_of("luck").asks, scorer_of("luck").lower_is_better) == ("luck", False, False)


def test_every_scorer_is_of_a_known_kind():
    kinds = {
        name: [kind for kind in (Likelihood, Choice, Odds, Written) if isinstance(SCORERS[name], kind)] for name in SCORERS
    }
    assert all(len(found) == 1 for found in kinds.values())
    assert all(SCORERS[name].lower_is_better for name in ("ifd_loss", "ifd_perplexity", "perplexity"))
    assert not any(each.lower_is_better for each in SCORERS.values() if each.asks or each.name == "pmi")
    assert kinds["greedy"] == kinds["sampled"] == [Written] and kinds["expected"] == [Choice]
    assert kinds["verdict"] == kinds["learned"] == [Odds]


@pytest.mark.parametrize(("names", "found"), [([], False), (["pmi", "verdict"], False), (["pmi", "learned"], True)])
def test_only_one_scorer_must_learn_before_it_is_asked(names, found):
    assert learns(names) is found


def test_odds_are_the_difference_of_the_logs_of_yes_and_no_after_one_question():
    assert scorer("verdict").score([-1.0, -3.5]) == scorer("learned").score([-1.0, -3.5]) == 2.5
    question = Question(Frame("f", "{{ messages[0]['content'] }}|"))
    asked = question.about(Pair("p", "Add.", "1, 2", "three"))
    assert question.answers == ["Yes", "No"]
    assert "Add.\n\n1, 2" in asked and "three" in asked and asked.endswith("Answer Yes or No.|")


@pytest.mark.parametrize("name", [name for name, each in SCORERS.items() if isinstance(each, Likelihood)])
def test_a_scorer_that_reads_fills_its_columns_from_the_losses_that_it_names(name):
    each = SCORERS[name]
    assert set(each.needs) <= {text for group in TEXTS for text in group}
    for output in ("said", ""):
        assert list(each.score(dict.fromkeys(each.needs, 1.0), Pair("p", "Do.", "", output))) == each.columns("both")


def test_a_record_of_an_older_scorer_is_repeated_under_its_old_name():
    class Engine:
        def logprobs(self, pairs):
            return [(-float(len(context)), 1) for context, _ in pairs]

    pair, frame = Pair("p", "Do.", "", "done"), Frame("f", "<", ">", "END")
    for old, new in OLD_NAMES.items():
        (now,), (then,) = (likelihoods(Engine(), frame, [pair], [scorer(name)]) for name in (new, old))
        assert list(now) == [new] and list(then) == [old]
        assert list(now.values()) == list(then.values())


@pytest.mark.parametrize("name", SCORERS)
def test_the_code_of_a_scorer_holds_no_other_but_those_that_it_is_made_of(name):
    found = set(code_digests((root_of(type(SCORERS[name])),)))
    others = {type(each).__name__ for each in SCORERS.values()} & found
    assert others == {base.__name__ for base in type(SCORERS[name]).__mro__} & {type(e).__name__ for e in SCORERS.values()}
