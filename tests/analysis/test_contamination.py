"""Contamination: verbatim questions and texts are found whatever their spelling, boilerplate and neighbours are not."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isheep_lib.analysis.contamination import (
    CLIP,
    COMMON,
    CONTAINED,
    FIELDS,
    KINDS,
    LONG,
    SHORTEST,
    Hit,
    Index,
    Item,
    hits_by_benchmark,
    hits_by_kind,
    normalised,
)

many = settings(max_examples=150, deadline=None)
QUESTION = "Which river flows through the old town of Heidelberg before it joins the Rhine near Mannheim?"
PASSAGE = (
    "The lighthouse keeper wrote down the weather every evening for thirty years. When the tower was closed, a museum took "
    "over his forty notebooks, and a student found in them the first record of a storm that nobody else had described."
)
# No words of theirs are the same, and none is short or a number, so that every window of eight tells something.
item_words = st.sampled_from(["straße", "ﬁsh", "Ｗide", "café", "ΐota", "mole", "Ångström", "tree", "река", "lamp"])
other_words = st.sampled_from(["bird", "cloud", "Öl", "dog", "море", "pen", "x7", "the", "of", "4"])
gaps = st.sampled_from([" ", "  ", ", ", "\n", " - ", "_", "... ", "\u2028", " ?! "])
fillings = st.lists(other_words, max_size=30).map(" ".join)


def row(instruction="", input="", output="", id="r"):  # noqa: A002
    return {"id": id, "instruction": instruction, "input": input, "output": output}


def found(rows, *texts):
    """Return field and kind of each hit of one item."""
    return [(hit.field, hit.kind) for hit in Index(rows).find([Item("bench", "1", texts)])]


def distinct(number, letter="w"):
    return " ".join(f"{letter}ord{place}" for place in range(number))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What's  the CAPITAL\nof France?", ["what", "s", "the", "capital", "of", "france"]),
        ("has_close_elements(numbers)", ["has", "close", "elements", "numbers"]),
        ("It was _____ who", ["it", "was", "who"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("Ｆｕｌｌ ﬁx cafe\u0301", ["full", "fix", "café"]),
        ("ΐ Ϊ́", ["ΐ", "ΐ"]),
        ("", []),
        ("?! ___", []),
    ],
)
def test_words_are_the_same_in_all_cases_widths_and_ligatures(text, expected):
    assert normalised(text) == expected


@pytest.mark.parametrize(
    ("rows", "text", "expected"),
    [
        (row("What is the capital of France?"), "what is the capital of france", [("instruction", "exact")]),
        (row("Answer the question.", "What is the capital of France?"), "What is the capital of France", [("input", "exact")]),
        (row("", "What is the capital of France?"), "What is the capital of France", [("input", "exact")]),
        (row("What is the capital", "of France?"), "What is the capital of France", [("instruction", "exact")]),
        (row("Q: what is the capital of France? A:"), "What is the capital of France", [("instruction", "contains")]),
        (row("Tell me: what is the", "capital of France?"), "What is the capital of France", [("instruction", "contains")]),
        (row("Ask.", output="1. What is the capital of France?"), "What is the capital of France", [("output", "contains")]),
        (row("Say", output="what is the capital of france"), "What is the capital of France", [("output", "exact")]),
        (row("What is the capital", output="of France?"), "What is the capital of France", []),
        (row("What is the capital of Francesca?"), "What is the capital of France", []),
        (row("What is the capital of that France?"), "What is the capital of France", []),
        (row("Why is the sky blue?"), "why is the sky blue", [("instruction", "exact")]),
        (row("Why", "is the sky blue?"), "why is the sky blue", [("instruction", "exact")]),
        (row("Explain why is the sky blue"), "why is the sky blue", []),
        (row("Name a novel.", output="A Tale of Two Cities"), "A tale of two cities?", []),
        (row("ice box"), "ice box", []),
        (row("Solve x + 4 = 9"), "Solve x + 4 = 9", [("instruction", "exact")]),
        (row("Count.", output="0 1 2 3 4 5 6 7 8 9"), "1 2 3 4 5 6 7 8", []),
        (row("Count.", output="0 1 2 3 4 5 6 7 8 9"), "1 2 3 4 5 6 7", []),
    ],
)
def test_a_short_text_counts_when_it_stands_there_whole(rows, text, expected):
    assert found([rows], text) == expected


@pytest.mark.parametrize(
    ("rows", "text", "expected"),
    [
        (row(QUESTION), QUESTION.upper(), [("instruction", "exact")]),
        (row("Read: " + QUESTION), QUESTION, [("instruction", "contains")]),
        (row(*QUESTION.split(" old ")), QUESTION.replace(" old", ""), [("instruction", "exact")]),
        (row(QUESTION[:38], QUESTION[38:] + " Why?"), QUESTION, [("instruction", "contains")]),
        (row(QUESTION.replace("Which", "What")), QUESTION, [("instruction", "13-gram")]),
        (row("Name it.", QUESTION.replace("Heidelberg", "Heilbronn")), QUESTION, [("input", "8-gram")]),
        (row("Name it.", QUESTION.replace("old town", "old little town")), QUESTION, [("input", "8-gram")]),
        (row(QUESTION.replace("through", "under").replace("joins the Rhine", "meets a Neckar")), QUESTION, []),
        (row("Which river flows through the old town of Tokyo?"), QUESTION, []),
        (row("a", "b", "They saw " + " ".join(PASSAGE.split()[5:19])), PASSAGE, [("output", "13-gram")]),
        (row("a", "b", "They saw " + " ".join(PASSAGE.split()[5:17])), PASSAGE, []),
        (row(" ".join(PASSAGE.split()[:6]), " ".join(PASSAGE.split()[6:14])), PASSAGE, [("instruction", "13-gram")]),
        (row(" ".join(PASSAGE.split()[:6]), "", " ".join(PASSAGE.split()[6:14])), PASSAGE, []),
        (
            row("What is the more common name for the disease variola?"),
            "What is the more common name for the disease mumps?",
            [],
        ),
        (row(output="1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"), "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", []),
        (row(output="ha " * 40), "well " + "ha " * 20, []),
        (row(output="while y: x, y = y, x % y; return x, y, x, y, x"), "while(y): x, y = y, x % y\n return x y x y x z", []),
    ],
)
def test_a_long_text_counts_by_a_long_run_or_by_most_of_its_words(rows, text, expected):
    assert found([rows], text) == expected


@pytest.mark.parametrize("kept", range(6, 16))
def test_thirteen_words_of_a_passage_are_enough_and_twelve_are_not(kept):
    passage = distinct(60)
    shared = " ".join(passage.split()[20 : 20 + kept])
    expected = [("output", "13-gram")] if kept >= LONG else []
    assert found([row("Tell.", "", f"It said {shared} and stopped.")], passage) == expected


@pytest.mark.parametrize("length", range(1, 9))
def test_how_long_a_text_has_to_be(length):
    text = distinct(length)
    assert found([row(text)], text) == ([("instruction", "exact")] if length >= SHORTEST else [])
    assert found([row("x", text)], text) == ([("input", "exact")] if length >= SHORTEST else [])
    assert found([row(f"so {text} then")], text) == ([("instruction", "contains")] if length >= CONTAINED else [])
    assert found([row(output=text)], text) == ([("output", "exact")] if length >= CONTAINED else [])


@pytest.mark.parametrize("changed", range(14))
def test_a_question_of_fourteen_words_is_found_with_any_one_changed_that_leaves_a_window(changed):
    words = distinct(14).split()
    words[changed] = "other"
    longest = max(changed, 13 - changed)
    expected = [("instruction", "13-gram" if longest == 13 else "8-gram")] if longest >= 8 else []
    assert found([row(" ".join(words))], distinct(14)) == expected


@pytest.mark.parametrize("kept", range(8, 13))
def test_of_fifteen_words_twelve_have_to_stand_there_in_order(kept):
    shared = " ".join(distinct(15).split()[:kept])
    expected = [("input", "8-gram")] if kept >= 12 else []
    assert found([row("Go on.", f"{shared} {distinct(15, 'o')}")], distinct(15)) == expected


@pytest.mark.parametrize(
    ("instruction", "input", "expected"),
    [
        ("1-5 x x x x 6-15", "", "instruction"),  # the part before the long run begins four words early
        ("6-15 x x x x 1-5", "", None),  # words in another order
        ("1-5 " + "x " * 14 + "6-15", "", None),  # too far apart
        ("1-9 x", "11-15", "instruction"),
        ("1-5 x", "7-15", "input"),
        ("1-9 x 11-12", "y z", None),
    ],
)
def test_most_words_of_a_question_may_stand_about_a_window_in_instruction_and_input(instruction, input, expected):  # noqa: A002
    words = distinct(15).split()

    def spelled(parts):
        spans = [part.split("-") for part in parts.split()]
        return " ".join(" ".join(words[int(span[0]) - 1 : int(span[1])]) if len(span) == 2 else span[0] for span in spans)

    hits = found([row(spelled(instruction), spelled(input), id="a")], distinct(15))
    assert hits == ([(expected, "8-gram")] if expected else [])


def test_what_stands_in_the_output_or_the_next_row_is_no_part_of_a_question():
    words = distinct(15).split()
    start, end = " ".join(words[:9]), " ".join(words[10:])
    assert found([row(f"{start} x", "", end)], distinct(15)) == []
    assert found([row("a", "b", f"{start} x"), row(end)], distinct(15)) == []
    assert found([row("a", "b", f"{start} x {end}")], distinct(15)) == [("output", "8-gram")]


def test_two_runs_with_a_word_between_are_no_long_run():
    words = distinct(21).split()
    assert found([row(" ".join([*words[:10], "other", *words[11:]]))], distinct(21)) == [("instruction", "8-gram")]


def test_two_runs_that_begin_anew_are_no_long_run():
    words = distinct(60).split()
    assert found([row(output=" ".join([*words[:10], "and", *words[3:13]]))], distinct(60)) == []


def test_of_several_runs_the_longest_counts_and_is_shown():
    words = distinct(60).split()
    short, long = " ".join(words[:9]), " ".join(words[20:34])
    for output in (f"{short} and {long}", f"{long} and {short}"):
        [hit] = Index([row(output=output)]).find([Item("bench", "1", (distinct(60),))])
        assert (hit.kind, hit.text) == ("13-gram", long)


def test_a_row_that_shares_a_window_and_has_the_other_words_elsewhere_is_no_hit():
    start, end = distinct(8), distinct(8, "v")
    assert found([row(f"{start} and then {distinct(30, 'u')} until {end}")], f"{start} {end} {distinct(4, 't')}") == []


@many
@given(
    st.lists(item_words, min_size=CONTAINED, max_size=25),
    st.lists(gaps, min_size=25, max_size=25),
    fillings,
    fillings,
    st.sampled_from(FIELDS),
    st.sampled_from([str.upper, str.lower, str.title, str.swapcase, str]),
)
def test_an_item_that_stands_in_a_row_is_found_whatever_the_case_punctuation_and_spacing(
    item, between, before, after, field, spelled
):
    if len(set(map(str.lower, item[:8]))) < 4:
        item = ["river", "stone", "mountain", "valley", *item]
    text = "".join(word + gap for word, gap in zip(item, between * 2, strict=False))
    rows = [row(id="far", output=before), row() | {field: f"{before} {spelled(text)} {after}"}]
    [hit] = Index(rows).find([Item("bench", "1", (" ".join(item),))])
    assert (hit.row_id, hit.field) == ("r", field)
    assert hit.kind == ("contains" if normalised(before) or normalised(after) else "exact")
    assert hit.text == " ".join(normalised(text))[:CLIP]


@many
@given(st.lists(fillings, max_size=6), st.lists(st.lists(item_words, max_size=30).map(" ".join), max_size=4))
def test_texts_without_a_common_word_never_hit(fields, texts):
    rows = [row(text, text[:20], text[5:], id=str(place)) for place, text in enumerate(fields)]
    assert Index(rows).find([Item("bench", str(place), (text,)) for place, text in enumerate(texts)]) == []


@many
@given(st.text(max_size=80), st.text(max_size=80))
@example("\ud800", "\x00")
def test_any_text_is_read_and_hits_name_what_was_given(first, second):
    items = [Item("bench", "1", (first, "")), Item("bench", "2", (second,))]
    for hit in Index([row(first, second, first)]).find(items):
        assert (hit.row_id, hit.benchmark) == ("r", "bench")
        assert hit.field in FIELDS
        assert hit.kind in KINDS
        assert len(normalised(hit.text)) >= SHORTEST


sentences = st.lists(st.sampled_from("red blue green white black brown grey pink gold".split()), max_size=18).map(" ".join)


@many
@given(
    st.lists(sentences, max_size=5), st.lists(st.tuples(sentences, sentences), max_size=14), st.randoms(use_true_random=False)
)
def test_neither_the_order_of_items_nor_that_of_rows_changes_what_is_found(texts, pairs, rng):
    rows = [row(text, texts[0], text[4:], id=str(place)) for place, text in enumerate(texts)]
    items = [Item(f"b{place % 3}", str(place), pair) for place, pair in enumerate(pairs)]
    hits = Index(rows).find(items)
    assert Index(rows).find(rng.sample(items, len(items))) == hits
    assert set(Index(rng.sample(rows, len(rows))).find(items)) == set(hits)
    assert len({(hit.row_id, hit.field, hit.benchmark, hit.item_id) for hit in hits}) == len(hits)


def test_hits_come_in_the_order_of_rows_fields_benchmarks_and_ids():
    rows = [row(QUESTION, PASSAGE, QUESTION, id="z"), row(PASSAGE, id="a")]
    items = [Item("two", "1", (QUESTION, PASSAGE)), Item("one", "2", (PASSAGE,)), Item("one", "1", (QUESTION,))]
    found = [(hit.row_id, hit.field, hit.benchmark, hit.item_id) for hit in Index(rows).find(items)]
    assert found == [
        ("z", "instruction", "one", "1"),
        ("z", "instruction", "two", "1"),
        ("z", "input", "one", "2"),
        ("z", "input", "two", "1"),
        ("z", "output", "one", "1"),
        ("z", "output", "two", "1"),
        ("a", "instruction", "one", "2"),
        ("a", "instruction", "two", "1"),
    ]


def test_a_field_and_an_item_give_one_hit_the_strongest():
    copied = row(QUESTION, output=f"{PASSAGE[:120]} {QUESTION} {QUESTION}")
    item = Item("bench", "1", (QUESTION.replace("Which", "What"), PASSAGE, QUESTION))
    assert [(hit.field, hit.kind) for hit in Index([copied]).find([item])] == [("instruction", "exact"), ("output", "contains")]


def test_the_shared_words_are_shown_and_clipped():
    passage = distinct(80)
    [hit] = Index([row(output=f"a {passage} b")]).find([Item("bench", "7", (f"x {passage} y",))])
    assert hit == Hit("r", "output", "bench", "7", "13-gram", passage[:CLIP])


def questions(number, start="Which of the following is the best way to"):
    return [Item("bench", str(place), (f"{start} {distinct(6, f'n{place}')}",)) for place in range(number)]


def test_words_that_many_items_begin_with_are_evidence_for_none():
    start = "Which of the following statements about the history of the old kingdom of the north is best supported by"
    prompt = row(f"{start} the text?")
    few, enough = questions(COMMON - 1, start), questions(COMMON, start)
    assert {hit.kind for hit in Index([prompt]).find(few)} == {"13-gram"}
    assert Index([prompt]).find(enough) == []
    assert [hit.kind for hit in Index([row(enough[0].texts[0])]).find(enough)] == ["exact"]


@pytest.mark.parametrize(
    "start", ["Which of the following is true", "Which of the following statements is true", "Which statement is true"]
)
def test_a_short_question_that_other_items_begin_with_says_nothing(start):
    item = Item("bench", "short", (start,))
    rows = [row(start), row(f"Wind moves air. {start}?")]
    assert Index(rows).find([item])
    assert Index(rows).find([item, *questions(COMMON, start)]) == []


def test_a_question_that_stands_under_many_items_says_nothing():
    same = [Item("bench", str(place), ("Which of these is correct here?",)) for place in range(COMMON)]
    assert len(Index([row("Which of these is correct here?")]).find(same[1:])) == COMMON - 1
    assert Index([row("Which of these is correct here?")]).find(same) == []


def test_a_passage_under_many_questions_is_evidence_for_each():
    items = [Item("bench", str(place), (distinct(9, f"q{place}"), PASSAGE)) for place in range(COMMON * 2)]
    assert {hit.kind for hit in Index([row("Sum up.", PASSAGE)]).find(items)} == {"exact"}
    assert len(Index([row("Sum up.", PASSAGE)]).find(items)) == COMMON * 2


def test_texts_of_one_item_count_once_for_what_is_common():
    item = Item("bench", "1", tuple(f"{QUESTION} {distinct(3, f'c{place}')}" for place in range(COMMON + 2)))
    assert [hit.kind for hit in Index([row(QUESTION)]).find([item])] == ["13-gram"]


def test_more_items_than_are_looked_up_at_a_time_are_all_compared_and_counted_together():
    items = [Item("bench", str(place), (f"{distinct(3, f'n{place}')} stands in item number {place}",)) for place in range(4500)]
    rows = [row(items[place].texts[0], id=str(place)) for place in (0, 1999, 2000, 4499)]
    assert [hit.item_id for hit in Index(rows).find(iter(items))] == ["0", "1999", "2000", "4499"]
    spread = [Item("other", str(place), (QUESTION + f" {place}",)) for place in range(COMMON)]
    apart = [one for place in range(COMMON) for one in (*items[place * 400 : place * 400 + 400], spread[place])]
    assert Index([row(QUESTION)]).find(apart[:-1]) != []
    assert Index([row(QUESTION)]).find(apart) == []


@pytest.mark.parametrize("rows", [[], [row()], [{"id": "bare"}], [row("?!", "...", None)]])
@pytest.mark.parametrize("texts", [(), ("",), ("?!",), (QUESTION,), ("two words",)])
def test_empty_rows_and_empty_texts_never_hit(rows, texts):
    assert Index(rows).find([Item("bench", "1", texts)]) == []


def test_every_row_of_a_large_random_set_is_found_by_its_own_words_alone():
    rng = random.Random(0)
    texts = [" ".join(rng.choices([f"term{n}" for n in range(60)], k=rng.randint(6, 40))) for _ in range(400)]
    rows = [row("Say it.", output=f"so {text} then", id=str(place)) for place, text in enumerate(texts)]
    hits = Index(rows).find([Item("bench", str(place), (text,)) for place, text in enumerate(texts)])
    assert [(hit.row_id, hit.kind) for hit in hits if hit.row_id == hit.item_id] == [
        (str(place), "contains") for place in range(400)
    ]
    for hit in hits:
        assert hit.text in rows[int(hit.row_id)]["output"]


def test_hits_are_counted_for_tables():
    hits = [Hit("r", "input", name, str(place), kind, "") for place, (name, kind) in enumerate([
        ("b", "exact"), ("a", "13-gram"), ("c", "exact"), ("c", "exact")
    ])]  # fmt: skip
    assert list(hits_by_benchmark(hits).items()) == [("c", 2), ("a", 1), ("b", 1)]
    assert list(hits_by_kind(hits).items()) == [("exact", 3), ("contains", 0), ("13-gram", 1), ("8-gram", 0)]
    assert hits_by_benchmark([]) == {}
