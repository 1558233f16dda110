"""The judge's stage: whose answers are read, who judges, what stops it, what is measured, and what its tables say."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.benchmarks.data import data_digest
from isheep_lib.display import judge_tables
from isheep_lib.errors import DataError, EngineError, ModelError, ParameterError, RecordError, YieldError
from isheep_lib.iterate import session
from isheep_lib.iterate.fingerprint_parts import fingerprint_parts
from isheep_lib.iterate.run_params import JudgeParams, RunParams
from isheep_lib.judge import run as judge_run
from isheep_lib.judge.params import prompt_files
from isheep_lib.judge.run import (
    Answered,
    ask,
    counts,
    describe,
    judge_settings,
    label_mass,
    open_answers,
    open_judge,
    require_read,
    self_preference,
    shown_prompts,
    tokens_of,
)
from isheep_lib.judge.verdicts import NO_ANSWER, Judge
from isheep_lib.params import run_file
from isheep_lib.params.check import check
from isheep_lib.prompting.chat import FRAMES
from isheep_lib.record import manifests
from isheep_lib.record.rows import write_jsonl
from tests.engines.test_chat_engine import DIE, ChatServer, says
from tests.frames import hand_made
from tests.judge.test_verdicts import Scripted

few = settings(max_examples=50, deadline=None)
FRAME = hand_made("f", "<", ">", "END")
BOTH = ["alpaca_eval", "mt_bench"]
NUMBER = 12
DOCS = {
    "alpaca_eval": [
        {"item_id": f"{n:05d}", "instruction": f"Task {n}.", "output": "known " * 5, "generator": "known-model"}
        for n in range(2 * NUMBER)
    ],
    "mt_bench": [
        {"item_id": str(81 + n), "category": "writing", "turns": [f"First {n}.", f"Second {n}."], "reference": None}
        for n in range(6)
    ],
}
CHAT = {"judge_engine": "chat", "judge_model": "judge", "judge_urls": ["http://127.0.0.1:9/v1"], "verdicts": "written"}


@pytest.fixture(autouse=True)
def small_world(monkeypatch, tmp_path):
    """Give benchmarks of a few items, a cache of its own, and no key."""
    monkeypatch.setattr(judge_run, "read_docs", lambda benchmark: DOCS[benchmark.name])
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ISHEEP_SERVER_KEY", raising=False)


def a_model(folder, content="weights"):
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text(content)
    return folder


def answers(k):
    """Make what M_k answered; from the second item on, the base model answers at length."""
    pairs = [
        {"id": f"{n:05d}", "answer": "word " * (3 + n if k == 0 else 2 + (n * 7) % 9), "finish": "end"} for n in range(NUMBER)
    ]
    turns = [{"id": str(81 + n), "category": "writing", "answers": ["One.", "Two."], "finish": ["end"] * 2} for n in (0, 2)]
    return {"alpaca_eval": pairs[::-1], "mt_bench": turns}


def evaluated(run, k, names=BOTH, **digests):
    """Record an evaluation of M_k."""
    folder = run / f"iter-{k}" / "evaluate"
    files = [f"samples-{name}.jsonl" for name in names]
    for name, file in zip(names, files, strict=True):
        write_jsonl(folder / file, answers(k)[name])
    inputs = {f"benchmarks/{name}": digests.get(name, data_digest(name)) for name in names}
    outputs = {file: manifests.describe_file(folder / file) for file in files}
    manifests.write_manifest(folder, {"stage": "evaluate", "iteration": k, "outputs": outputs, "parts": {"inputs": inputs}})


@pytest.fixture
def run(tmp_path):
    """Return a run whose models 0 to 2 are evaluated."""
    for k in range(3):
        evaluated(tmp_path / "run", k)
    a_model(tmp_path / "base")
    return tmp_path / "run"


def opened(run, k=1, **values):
    """Open the stage as its notebook would."""
    given = {"run": str(run), "iteration": k, "judged": BOTH, "inference_dtype": "float32"}
    given |= {"base_model": str(run.parent / "base"), **values}
    return session.open_stage("judge", given)


def longer_wins(first, second):
    return 0.5 + 0.4 * (len(first) > len(second)) - 0.4 * (len(first) < len(second))


def wins_by_length(answer):
    return longer_wins(answer, "known " * 5)


def judged(stage, engine=None, verdicts="probabilities"):
    """Judge everything with a scripted engine."""
    found = open_answers(stage)
    with stage.journal("verdicts") as journal:
        reader = Judge(engine or Scripted(longer_wins), FRAME, verdicts, 99)
        return found, ask(reader, found, stage.seed, journal)


def recorded(run, k, engine=None, **values):
    """Judge M_k and record it."""
    stage = opened(run, k, **values)
    found, rows = judged(stage, engine)
    own, metrics = self_preference(stage, found, rows), judge_run.metrics(stage, found, rows)
    files = {f"verdicts-{name}.jsonl": group for name, group in rows.items()}
    stage.commit(files, counts(rows), {"metrics.json": metrics}, metrics=metrics, self_preference=own)
    return {**metrics, "self_preference": own}


# What is read


def test_answers_come_in_their_own_order_each_with_its_item(run):
    found = {answered.name: answered for answered in open_answers(opened(run))}
    assert [doc["id"] for doc in found["alpaca_eval"].docs] == [row["id"] for row in answers(1)["alpaca_eval"]]
    assert found["alpaca_eval"].docs[0]["instruction"] == "Task 11."
    assert [doc["turns"][0] for doc in found["mt_bench"].docs] == ["First 0.", "First 2."]
    assert (found["alpaca_eval"].subset, found["mt_bench"].subset) == ("12 of 24", "2 of 6")
    assert [doc["id"] for doc in found["mt_bench"].first().docs] == ["81"]


def test_answers_to_other_data_than_the_judge_reads_are_refused(run):
    evaluated(run, 1, alpaca_eval="0" * 64)
    with pytest.raises(DataError, match="AlpacaEval was answered with other data"):
        open_answers(opened(run, judged=["alpaca_eval"]))


def test_answers_to_unknown_items_are_refused_by_name(run, monkeypatch):
    monkeypatch.setattr(judge_run, "read_docs", lambda benchmark: DOCS[benchmark.name][:-4])
    with pytest.raises(DataError, match="1 unknown items, such as 83"):
        open_answers(opened(run, judged=["mt_bench"]))


def test_a_benchmark_that_was_not_answered_is_named_with_what_was(run):
    evaluated(run, 1, ["mt_bench"])
    with pytest.raises(RecordError) as caught:
        opened(run)
    assert "iter-1/evaluate has made no samples-alpaca_eval.jsonl" in str(caught.value)
    assert "samples-mt_bench.jsonl" in str(caught.value)


def test_a_stage_that_has_nothing_to_judge_says_so(run):
    with pytest.raises(ParameterError, match="No benchmark is to be judged"):
        open_answers(opened(run, judged=[]))


# Who judges

RUN = {"evaluate": {"tasks": ["arc_easy:4", "mt_bench:3"]}}


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"judged": ["mt_bench"]}, []),
        ({"judge_engine": "chat"}, []),  # nothing is judged
        ({"judged": BOTH}, ["judge.judged: evaluate.tasks do not hold alpaca_eval"]),
        ({"judged": ["mt_bench"], "judge_engine": "server"}, ["judge.judge_urls: the judge's engine server needs"]),
        ({"judged": ["mt_bench"], **CHAT}, []),
        ({"judged": ["mt_bench"], **CHAT, "verdicts": "probabilities"}, ["judge.verdicts: a chat server gives no prob"]),
        (
            {"judged": BOTH, "judge_engine": "chat"},
            ["judge.judge_urls: the", "judge.judge_model: a", "judge.verdicts: a", "judge.judged: evaluate.tasks"],
        ),
    ],
)
def test_parameters_of_a_judge_that_contradict_others_are_all_named(values, problems):
    parts = {name: {} for name in ("synthesize", "assess", "filter", "train", "model")}
    given = {"run": "r", "seed": 1, **parts, **RUN, "judge": values}
    if not problems:
        assert check(RunParams, given, "x").judge.judged == values.get("judged", [])
        return
    with pytest.raises(ParameterError) as caught:
        check(RunParams, given, "x")
    lines = str(caught.value).split("\n  ")[1:-2]
    assert len(lines) == len(problems)
    assert all(line.startswith(said) for line, said in zip(lines, problems, strict=True))


def test_the_notebook_of_the_judge_refuses_the_same_without_the_name_of_a_section():
    with pytest.raises(ParameterError, match="\n  judge_urls: the judge's engine chat"):
        check(JudgeParams, {"judged": BOTH, "judge_engine": "chat", "verdicts": "written", "judge_model": "x"}, "judge.ipynb")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ("transformers", [], "base", "at-home")),
        ({"judge_model": "other"}, ("transformers", [], "other", "")),
        ({"judge_engine": "server", "judge_urls": ["http://b/v1"]}, ("server", ["http://b/v1"], "base", "at-home")),
        ({**CHAT}, ("server", ["http://127.0.0.1:9/v1"], "base", "at-home")),  # a chat judge's name is given apart
    ],
)
def test_engines_get_the_judge_in_place_of_the_model_of_the_run(values, expected):
    params = JudgeParams(engine="server", base_urls=["http://a/v1"], base_model="base", served_model="at-home", **values)
    found = judge_settings(params)
    assert (found.engine, found.base_urls, found.base_model, found.served_model) == expected


@pytest.mark.parametrize(("values", "numerics"), [({}, "exact"), ({"judge_engine": "vllm"}, "plain"), ({**CHAT}, "plain")])
def test_a_judge_of_an_exact_run_is_exact_where_its_engine_can_be(values, numerics):
    assert judge_settings(JudgeParams(base_model="base", numerics="exact", **values)).numerics == numerics


def parts_of(run, **values):
    params = JudgeParams(run=str(run), judged=BOTH, base_model=str(run.parent / "base"), **values)
    return fingerprint_parts(run, "judge", params)


def test_the_fingerprint_names_a_local_judge_by_its_weights(run):
    a_model(run.parent / "other", "other weights")
    own, other = parts_of(run), parts_of(run, judge_model=str(run.parent / "other"))
    assert own["judge"] != other["judge"]
    assert own["judge"] == parts_of(run, judge_model=str(run.parent / "base"))["judge"]
    assert {"torch", "transformers"} <= set(own["engine"])
    assert "TransformersEngine" in own["engine_code"]
    assert "ChatEngine" not in own["engine_code"]
    assert {"judge-pair-probabilities.txt", "judge-turn2-reference-probabilities.txt", *FRAMES} <= set(own["prompts"])


def test_the_fingerprint_names_a_chat_judge_by_its_served_name_alone(run):
    found = parts_of(run, **CHAT)
    assert (found["judge"], found["engine"]) == ({"served": "judge"}, {})
    assert found == parts_of(run, **{**CHAT, "judge_urls": ["http://elsewhere/v1"]})
    assert found != parts_of(run, **{**CHAT, "judge_model": "other"})
    assert "ChatEngine" in found["engine_code"]
    assert "TransformersEngine" not in found["engine_code"]
    assert not {*FRAMES} & set(found["prompts"])


def test_a_chat_judge_needs_no_model_here(run):
    stage = opened(run, **CHAT, base_model="/no/such/model")
    assert describe(stage.params, stage.parts)["own"] is False
    assert self_preference(stage, open_answers(stage), {})["why"].startswith("the judge is not known")


def test_a_judge_that_is_not_there_is_named_by_its_own_parameter(run):
    with pytest.raises(ModelError) as caught:
        opened(run, judge_model="/no/such/judge")
    assert "where: judge.judge_model" in str(caught.value)


# Asking


def test_every_item_has_its_two_verdicts_and_a_resumed_judge_asks_only_for_the_rest(run):
    engine, stage = Scripted(longer_wins), opened(run)
    found, rows = judged(stage, engine)
    assert [row["id"] for row in rows["alpaca_eval"]] == [doc["id"] for doc in found[0].docs for _ in range(2)]
    assert [(row["id"], row["turn"]) for row in rows["mt_bench"]] == [("81", 1), ("81", 2), ("83", 1), ("83", 2)]
    stage.lock.release()  # it ended before its record
    asked = len(engine.calls)
    assert judged(opened(run), engine)[1] == rows
    assert len(engine.calls) == asked > 0


@pytest.fixture
def serve():
    """Start chat servers that stop after the test."""
    started = []

    def start(*args):
        started.append(ChatServer(*args))
        return started[-1]

    yield start
    for server in started:
        server.http.shutdown()
        server.http.server_close()


def decide(number, body):
    words = body["messages"][0]["content"]
    return 200, says("Both try. [[A]]" if "Answer B:" in words else "Plain. [[4]]")


def test_a_chat_judge_that_goes_away_stops_with_all_its_verdicts_kept(run, serve):
    dying = serve(lambda number, body: DIE if number == 9 else decide(number, body))
    first = opened(run, **{**CHAT, "judge_urls": [dying.url], "concurrency": 1, "timeout_seconds": 1})
    found, reader = open_answers(first), open_judge(first)
    with pytest.raises(EngineError), first.journal("verdicts") as journal:
        ask(reader, found, first.seed, journal)
    reader.engine.close()
    first.lock.release()
    healthy = serve(decide)
    second = opened(run, **{**CHAT, "judge_urls": [healthy.url], "concurrency": 1})
    reader = open_judge(second)
    with second.journal("verdicts") as journal:
        rows = ask(reader, found, second.seed, journal)
        assert tokens_of(journal) == 3 * 28
    reader.engine.close()
    assert len(healthy.asked) == 2 * NUMBER + 4 - 9
    assert healthy.asked[0]["messages"][0]["content"].startswith("Here is a task")  # in no frame of ours
    assert {row["preference"] for row in rows["alpaca_eval"]} == {0.0, 1.0}
    assert {row["score"] for row in rows["mt_bench"]} == {4.0}
    assert counts(rows) == {"in": 28, "kept": 28, "dropped": {}}
    assert second.engine_facts["requested"] == "judge"


def test_a_chat_judge_that_nobody_serves_is_refused_before_anything_is_asked(run, serve):
    server = serve()
    with pytest.raises(EngineError, match="No server lists 'jugde'"):
        open_judge(opened(run, **{**CHAT, "judge_model": "jugde", "judge_urls": [server.url]}))
    assert server.asked == []


def test_shown_prompts_are_framed_and_hold_names_in_place_of_texts(run):
    reader = Judge(Scripted(), FRAME, "written")
    shown = shown_prompts(reader, open_answers(opened(run)))
    assert list(shown) == [*prompt_files("alpaca_eval", "written"), *prompt_files("mt_bench", "written")]
    assert all(text.startswith("<") and text.endswith(">") and "⟨" in text for text in shown.values())
    assert "⟨reference⟩" in shown["judge-turn2-reference-written.txt"]
    assert not any("Task 11." in text for text in shown.values())


# What cannot be read


def rows_of(reasons, value=0.5):
    return [{"preference": None if why else value, "unread": why, "raw": f"words about {why}"} for why in reasons]


@pytest.mark.parametrize(
    ("unread", "limit", "stops"), [(2, 0.5, False), (3, 0.5, True), (1, 0.0, True), (0, 0.0, False), (4, 1.0, False)]
)
def test_more_unread_verdicts_than_allowed_stop_the_stage(unread, limit, stops):
    rows = {"alpaca_eval": rows_of(["no_verdict"] * unread + [""] * (4 - unread))}
    if stops:
        with pytest.raises(YieldError):
            require_read(rows, limit)
    else:
        require_read(rows, limit)


def test_what_cannot_be_read_is_counted_by_reason_with_an_example_for_every_benchmark():
    rows = {
        "alpaca_eval": rows_of(["ambiguous", "no_verdict", "no_verdict", ""]),
        "mt_bench": rows_of(["out_of_range", "out_of_range"]),
    }
    with pytest.raises(YieldError) as caught:
        require_read(rows, 0.1)
    said = str(caught.value)
    assert "AlpacaEval: 3 of 4" in said
    assert "MT-Bench: 2 of 2" in said
    assert "2 no_verdict   such as 'words about no_verdict'" in said
    assert said.index("no_verdict") < said.index("ambiguous")


def test_answers_that_do_not_exist_are_no_fault_of_the_judge():
    require_read({"alpaca_eval": rows_of([NO_ANSWER] * 9 + [""])}, 0.0)


@few
@given(st.lists(st.sampled_from(["", "no_verdict", "ambiguous", "cut_off"]), max_size=40))
def test_what_came_in_is_what_was_read_and_what_was_not(reasons):
    half = len(reasons) // 2
    found = counts({"alpaca_eval": rows_of(reasons[:half]), "mt_bench": rows_of(reasons[half:])})
    assert found["in"] == found["kept"] + sum(found["dropped"].values()) == len(reasons)
    assert found["dropped"].get("ambiguous", 0) == reasons.count("ambiguous")


# What is measured


def test_metrics_say_who_judged_what_and_how_and_are_a_json_document(run):
    stage = opened(run)
    found, rows = judged(stage)
    metrics = judge_run.metrics(stage, found, rows)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    described = metrics["judge"]
    assert (described["local"], described["own"], described["verdicts"]) == (True, True, "probabilities")
    assert described["digest"] == stage.parts["judge"]["model"]
    pairs = metrics["alpaca_eval"]
    assert (pairs["baseline"], pairs["win_rate"]["items"]) == ("known-model", NUMBER)
    assert pairs["position_bias"]["bias"] == pytest.approx(0, abs=1e-6)
    assert pairs["length_bias"]["longer_preferred"] == 1.0
    assert pairs["label_mass"] == pytest.approx(0.9)
    assert metrics["mt_bench"]["means"][0]["writing"] == pytest.approx(5)


def test_a_judge_that_likes_what_it_sees_first_is_seen_through(run):
    stage = opened(run, judged=["alpaca_eval"])
    found, rows = judged(stage, Scripted(lambda first, second: 0.9))
    pairs = judge_run.metrics(stage, found, rows)["alpaca_eval"]
    assert pairs["win_rate"]["win_rate"] == pytest.approx(0.5)
    assert (pairs["position_bias"]["bias"], pairs["position_bias"]["flipped"]) == (pytest.approx(0.4), 1.0)


def test_written_verdicts_have_no_label_mass(run):
    stage = opened(run, verdicts="written")
    found, rows = judged(stage, verdicts="written")
    assert judge_run.metrics(stage, found, rows)["alpaca_eval"]["label_mass"] is None


def test_the_mean_mass_of_labels_is_over_rows_that_were_read_from_probabilities():
    rows = [{"raw": [-1.0, -1.0]}, {"raw": ""}, {"raw": [-800.0, 0.0]}, {"raw": "[[A]]"}]
    assert label_mass(rows) == pytest.approx((2 * 2.718281828**-1 + 1) / 2, abs=1e-6)


# Self-preference


def test_a_judge_that_prefers_its_own_words_is_measured_against_the_same_items(run):
    assert "the judge's own" in recorded(run, 0)["self_preference"]["why"]
    own = {row["answer"] for row in answers(0)["alpaca_eval"]}
    fond = Scripted(lambda first, second: 0.9 if first in own else 0.1 if second in own else 0.5)
    plain = recorded(run, 1)["self_preference"]
    assert plain["items"] == NUMBER
    sides = [[wins_by_length(row["answer"]) for row in answers(k)["alpaca_eval"]] for k in (0, 1)]
    assert plain["difference"] == pytest.approx((sum(sides[0]) - sum(sides[1])) / NUMBER, abs=1e-5)
    other = run.parent / "fond"
    for k in (0, 1):
        evaluated(other, k)
    recorded(other, 0, fond)
    found = recorded(other, 1, fond)["self_preference"]
    shared = {row["answer"] for row in answers(1)["alpaca_eval"]} & own
    kept = sum(row["answer"] in shared for row in answers(1)["alpaca_eval"])
    assert found["difference"] == pytest.approx(0.4 * (NUMBER - kept) / NUMBER, abs=1e-5)


def reopened(run, k=1, **values):
    """Open the stage with other settings than the run's own."""
    run_file.params_path(run).unlink(missing_ok=True)
    return opened(run, k, **values)


def why(run, k=1, **values):
    stage = reopened(run, k, **values)
    found = stage.params.judged and open_answers(stage)
    rows = judged(stage)[1] if stage.params.judge_engine != "chat" else {}
    measured = self_preference(stage, found, rows)
    stage.lock.release()
    assert measured["difference"] is None
    return measured["why"]


def test_self_preference_is_not_measurable_without_the_judges_own_answers_judged_alike(run):
    assert why(run, judged=["mt_bench"]) == "no pairs were judged"
    assert why(run) == "the judge's own answers, those of M_0, are not judged in this run"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"judge_model": "OTHER"}, "the judge is no model of this run"),
        (CHAT, "the judge is not known to have written answers of this run"),
    ],
)
def test_a_judge_that_wrote_none_of_the_answers_has_no_self_preference(run, values, said):
    a_model(run.parent / "other", "other weights")
    values = {**values, "judge_model": values["judge_model"].replace("OTHER", str(run.parent / "other"))}
    assert why(run, **values) == said


def test_verdicts_of_another_way_of_judging_or_of_older_answers_are_not_compared(run):
    recorded(run, 0)
    evaluated(run, 0, ["alpaca_eval"])  # the same answers: nothing changes
    assert recorded(run, 1)["self_preference"]["items"] == NUMBER
    folder = manifests.stage_folder(run, 0, "judge")
    manifest = manifests.read_manifest(folder)
    manifest["parts"]["parameters"]["verdicts"] = "written"
    manifests.write_manifest(folder, manifest)
    assert why(run, 2) == "M_0's answers were judged otherwise: it differs in parameters (verdicts)"
    manifest["parts"]["parameters"]["verdicts"] = "probabilities"
    manifest["parts"]["inputs"]["iter-0/evaluate/samples-alpaca_eval.jsonl"] = "0" * 64
    manifests.write_manifest(folder, manifest)
    assert why(run, 2) == "M_0 was evaluated anew after its answers were judged"


# Tables


def shown(*tables):
    return "\n".join(repr(table) for table in tables)


def tables(found):
    return [judge_tables.win_table(found), judge_tables.mt_bench_table(found), judge_tables.bias_table(found)]


def test_every_caption_names_the_local_judge_with_its_biases(run):
    recorded(run, 0)
    recorded(run, 1)
    found = judge_tables.recorded(run)
    assert list(found) == [0, 1]
    assert list(judge_tables.recorded(run, 1)) == [0]
    for table in tables(found):
        assert f"Judge: local judge {run.parent / 'base'} (M_0 of this run, weights " in table.caption
        assert "Its biases on M_1: position " in table.caption
        assert "longer answer preferred 100.0 ± 0.0 %" in table.caption
        assert f"points ({NUMBER} pairs)" in table.caption
    wins, grades, _ = tables(found)
    assert [row["model"] for row in wins.rows] == ["M_0", "M_1"]
    assert [(row["model"], row["turn"]) for row in grades.rows] == [("M_0", 1), ("M_0", 2), ("M_1", 1), ("M_1", 2)]
    assert (grades.rows[0]["writing"], grades.rows[0]["coding"], grades.rows[0]["average"]) == ("5.00", "none", "5.00 ± 0.00")


def measured(run, **values):
    stage = reopened(run, **values)
    found = open_answers(stage)
    with stage.journal("verdicts") as journal:
        rows = ask(Judge(Scripted(longer_wins), FRAME, "written", 99), found, stage.seed, journal)
    own = self_preference(stage, found, rows)
    stage.lock.release()
    return {**judge_run.metrics(stage, found, rows), "self_preference": own}


def test_a_chat_judge_is_not_called_local(run):
    for table in tables({1: measured(run, **CHAT)}):
        assert "Judge: judge (a chat server; verdicts written)." in table.caption
        assert "local" not in table.caption
        assert "self-preference not measurable (the judge is not known to have written answers of this run)" in table.caption


def test_without_pairs_the_caption_says_that_biases_were_not_measured(run):
    metrics = {1: measured(run, judged=["mt_bench"])}
    assert all("not measured, as no pairs were judged" in table.caption for table in tables(metrics))
    assert judge_tables.win_table(metrics).rows == [{"AlpacaEval": "not judged"}]
    assert judge_tables.mt_bench_table({1: measured(run, judged=["alpaca_eval"])}).rows == [{"MT-Bench": "not judged"}]


def test_models_that_another_judge_read_are_left_out_by_name(run):
    found = {0: measured(run, **CHAT), 1: measured(run)}
    for table in tables(found):
        assert "Left out, read by another judge: M_0." in table.caption
    assert [row["model"] for row in judge_tables.win_table(found).rows] == ["M_1"]
    assert "M_0" not in judge_tables.bias_table(found).columns


def test_words_of_models_are_escaped_wherever_they_are_shown():
    evil = "<script>alert(1)</script>"
    pairs = Answered("alpaca_eval", [{"id": "1"}], {"1": {"answer": evil}}, 1)
    turns = Answered("mt_bench", [{"id": "81"}], {"81": {"answers": [evil, "b"]}}, 1)
    rows = {
        "alpaca_eval": [{"id": "1", "order": "model_first", "preference": None, "unread": "no_verdict", "raw": evil}],
        "mt_bench": [{"id": "81", "turn": 1, "score": 3.0, "unread": "", "raw": [-1.0] * 10}],
    }
    html = judge_tables.verdicts_table([pairs, turns], rows)._repr_html_()
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 3
    assert "unread: no_verdict" in html
    assert "grade 3.00" in html


def test_what_is_to_be_read_is_shown_with_its_judge(run):
    stage = opened(run)
    table = judge_tables.opened_table(open_answers(stage), describe(stage.params, stage.parts))
    assert [(row["benchmark"], row["verdicts"]) for row in table.rows] == [("AlpacaEval", 24), ("MT-Bench", 4)]
    assert table.caption.startswith("Judge: local judge ")


def test_a_stage_of_the_judge_is_not_divided_among_workers():
    assert not {"shard", "num_shards"} & set(JudgeParams.model_fields)
