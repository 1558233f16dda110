"""Judging: another model reads the open answers that `evaluate` recorded, and what its verdicts add up to.

A row of `verdicts-alpaca_eval.jsonl`, two per item, and one of `verdicts-mt_bench.jsonl`, two per question; `raw` is what the
judge wrote, or the logarithms of its labels' probabilities:
    {"id": "00012", "order": "model_first", "preference": 0.8, "unread": "", "raw": [-0.25, -1.64]}
    {"id": "81", "category": "writing", "turn": 2, "score": 7.0, "unread": "", "raw": "Vivid, but long. [[7]]"}

Covers who judges, what is read, the measures with the judge's own biases. Does not cover asking (`judge.verdicts`), the
statistics (`analysis.win_rates`) or showing (`display.judge_tables`).
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from isheep_lib.analysis import win_rates
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.data import ITEM, read_docs
from isheep_lib.engines import parity
from isheep_lib.engines.open import open_engine, preflight
from isheep_lib.engines.protocol import Engine
from isheep_lib.errors import DataError, ParameterError, YieldError
from isheep_lib.judge import verdicts
from isheep_lib.judge.params import JudgeParams, prompt_files
from isheep_lib.judge.stage import Stage
from isheep_lib.languages.rules import Language
from isheep_lib.models.base import find_model
from isheep_lib.prompting.chat import Frame, get_frame
from isheep_lib.record import manifests
from isheep_lib.record.fingerprints import stale_reason
from isheep_lib.record.funnel import funnel
from isheep_lib.record.journal import Journal

PAIRS, GRADES = "alpaca_eval", "mt_bench"
DIGITS = 6  # of recorded statistics
EXAMPLE = 80  # letters of a reply that an error shows
Rows = dict[str, list[dict[str, Any]]]  # verdicts by benchmark


@dataclass(frozen=True)
class Answered:
    """The answers of the judged model to one benchmark."""

    name: str  # of the benchmark
    docs: list[dict[str, Any]]  # its answered items, each with "id", in the order of answers
    answers: dict[str, dict[str, Any]]  # what `evaluate` recorded, by id
    total: int  # items of the whole benchmark
    language: Language = "en"  # of the run

    @property
    def subset(self) -> str:
        """Say how many items were answered."""
        return f"all {self.total}" if len(self.docs) == self.total else f"{len(self.docs)} of {self.total}"

    def first(self) -> "Answered":
        """Return the same with its first item alone."""
        return replace(self, docs=self.docs[:1])


def open_answers(stage: Stage) -> list[Answered]:
    """Put the recorded answers and the benchmarks' items together.

    Raises:
        ParameterError: nothing is to be judged.
        DataError: answers belong to other data than the judge reads.
    """
    if not stage.params.judged:
        raise ParameterError("No benchmark is to be judged", where="judge.judged", allowed=f"{PAIRS}, {GRADES}", do="name one")
    found = []
    for name in stage.params.judged:
        docs = {doc[ITEM]: doc for doc in read_docs(BENCHMARKS[name])}
        rows = stage.read("evaluate", f"samples-{name}.jsonl")
        _require_same_data(stage, name, [row["id"] for row in rows if row["id"] not in docs])
        chosen = [{**docs[row["id"]], "id": row["id"]} for row in rows]
        found.append(Answered(name, chosen, {row["id"]: row for row in rows}, len(docs), stage.params.language))
    return found


def _require_same_data(stage: Stage, name: str, strange: list[str]) -> None:
    """Refuse answers to other data than the known ones, which are all that a judge can read."""
    folder = manifests.stage_folder(stage.run_dir, stage.params.iteration, "evaluate")
    answered = (manifests.read_manifest(folder) or {"parts": {"inputs": {}}})["parts"]["inputs"].get(f"benchmarks/{name}")
    read = stage.parts["inputs"].get(f"benchmarks/{name}")
    if strange or answered != read:
        raise DataError(
            f"{BENCHMARKS[name].title} was answered with other data than the judge reads"
            + (f": {len(strange)} unknown items, such as {strange[0]}" if strange else ""),
            where=manifests.short(folder),
            allowed="the data of the installed package",
            do=f"take {name} out of evaluate.data and evaluate again",
        )


def open_judge(stage: Stage) -> verdicts.Judge:
    """Load the judge, or find its servers, or raise what keeps it away; its facts become part of the stage's record."""
    params = stage.params
    settings = judge_settings(params)
    if params.judge_engine == "chat":
        from isheep_lib.engines.chat_engine import ChatEngine
        from isheep_lib.engines.chat_engine import preflight as find_chat

        def asked() -> Engine:
            find_chat(params.judge_model, settings)
            return ChatEngine(params.judge_model, settings)

        engine = stage.recorded(asked, None, settings)
        frame = Frame("chat", "{{ messages[0]['content'] }}")  # the server's own template stands around a prompt
        stage.engine_facts = engine.facts()
    else:
        model = find_model(settings.base_model)

        def opened() -> Engine:
            preflight(model, settings)
            found = open_engine(model, settings)
            stage.engine_facts = {"parity": parity.hold_against_weights(found, stage.run_dir, model, 0, settings)}
            return found

        engine = stage.recorded(opened, model, settings)
        frame = get_frame(params.judge_frame, params.system_prompt, engine.tokenizer, params.template_date)
        print(*frame.notes.values(), sep="\n", end="\n" if frame.notes else "")
        stage.engine_facts |= {**engine.facts(), **frame.notes}
    return verdicts.Judge(engine, frame, params.verdicts, params.verdict_tokens, stage.prompts)


def judge_settings(params: JudgeParams) -> JudgeParams:
    """Return the parameters with the judge in place of the run's model, as engines read them; transformers alone is exact."""
    numerics = params.numerics if params.judge_engine == "transformers" else "plain"
    if params.judge_engine == "chat":
        return params.model_copy(update={"base_urls": params.judge_urls, "numerics": numerics})
    given: dict[str, Any] = {"engine": params.judge_engine, "base_urls": params.judge_urls, "numerics": numerics}
    if params.judge_model:
        given |= {"base_model": params.judge_model, "served_model": ""}  # the base model's name at servers is not the judge's
    return params.model_copy(update=given)


def shown_prompts(judge: verdicts.Judge, opened: Sequence[Answered]) -> dict[str, str]:
    """Show the judge's prompts in its frame, by file; names stand for the texts of data and answers."""
    files = [file for a in opened for file in prompt_files(a.name, judge.verdicts)]
    given = {file: {name: f"⟨{name}⟩" for name in _words(file)} for file in files}
    return {file: judge.frame.prompt(judge.prompts.render(file, **words)) for file, words in given.items()}


def _words(file: str) -> list[str]:
    if "pair" in file:
        return ["instruction", "first", "second"]
    earlier = ["first_question", "first_answer"] if "turn2" in file else []
    return [*earlier, "question", "answer", *(["reference"] if "reference" in file else [])]


def ask(judge: verdicts.Judge, opened: Sequence[Answered], seed_of: Callable[[str], int], journal: Journal) -> Rows:
    """Ask for every verdict that the journal lacks: both orders of a pair, both turns of a conversation."""
    reading = {PAIRS: verdicts.judge_pairs, GRADES: verdicts.grade_turns}
    return {a.name: reading[a.name](judge, a.docs, a.answers, seed_of, journal) for a in opened}


def tokens_of(journal: Journal) -> int:
    """Count the tokens of all written verdicts."""
    return sum(row.get("num_tokens", 0) for row in journal.rows.values())


def require_read(rows: Rows, max_unread: float) -> None:
    """Stop where more than this share of verdicts is unread (YieldError), with the reasons and an example of each."""
    lines = []
    for name, group in rows.items():
        asked = [row for row in group if row["unread"] != verdicts.NO_ANSWER]
        unread = [row for row in asked if row["unread"]]
        if len(unread) <= max_unread * len(asked):
            continue
        first = {row["unread"]: row["raw"] for row in reversed(unread)}
        lines.append(f"{BENCHMARKS[name].title}: {len(unread)} of {len(asked)}")
        reasons = Counter(row["unread"] for row in unread).most_common()
        lines += [f"  {n:4d} {reason:12s} such as {str(first[reason])[-EXAMPLE:]!r}" for reason, n in reasons]
    if lines:
        raise YieldError(
            "The judge's verdicts cannot be read:\n  " + "\n  ".join(lines),
            where="judge.max_unread_verdicts",
            allowed=f"{max_unread:.0%} unread verdicts at most",
            do="raise judge.verdict_tokens if verdicts are cut off, read verdicts from probabilities, or take another judge",
        )


def counts(rows: Rows) -> dict[str, Any]:
    """Count verdicts: what was read is kept, the rest is dropped by the reason why it was not."""
    every = [row for group in rows.values() for row in group]
    return funnel(len(every), [{"reason": row["unread"]} for row in every if row["unread"]])


def metrics(stage: Stage, opened: Sequence[Answered], rows: Rows) -> dict[str, Any]:
    """Return everything that the verdicts say of the model, and of the judge."""
    found: dict[str, Any] = {"judge": describe(stage.params, stage.parts)}
    if left_out := stage.engine_facts.get("left_out"):  # numbers of a judge that is asked otherwise are not compared with these
        found["judge"]["left_out"] = left_out
    for answered in opened:
        group = rows[answered.name]
        facts = {"subset": answered.subset, "digest": BENCHMARKS[answered.name].digest, "label_mass": label_mass(group)}
        if answered.name == PAIRS:
            facts |= pair_metrics(answered, group)
        else:
            facts |= win_rates.mt_bench_summary(group)
        found[answered.name] = _settled(facts)
    return found


def _settled(value: Any) -> Any:
    """Round all numbers of a document to digits that every machine finds; the last bits of a fit are each machine's own."""
    if isinstance(value, dict):
        return {name: _settled(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_settled(one) for one in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def pair_metrics(answered: Answered, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return win rates against the benchmark's baseline and what favours an answer for its place or its length."""
    lengths = verdicts.answer_lengths(answered.docs, answered.answers)
    own, baseline = zip(*lengths.values(), strict=True) if lengths else ((), ())
    return {
        "baseline": next((str(doc["generator"]) for doc in answered.docs if doc.get("generator")), "the data's own answers"),
        "mean_characters": [round(sum(side) / len(side), 1) if side else None for side in (own, baseline)],
        "win_rate": win_rates.win_rate(rows),
        "length_controlled": win_rates.length_controlled(rows, lengths),
        "position_bias": win_rates.position_bias(rows),
        "length_bias": win_rates.length_bias(rows, lengths),
    }


def label_mass(rows: Sequence[dict[str, Any]]) -> float | None:
    """Return the mean probability that fell on the labels at all, None for written verdicts."""
    masses = [math.fsum(map(math.exp, row["raw"])) for row in rows if row["raw"] and not isinstance(row["raw"], str)]
    return round(min(1.0, math.fsum(masses) / len(masses)), 6) if masses else None


def describe(params: JudgeParams, parts: dict[str, Any]) -> dict[str, Any]:
    """Say who judges and how; equal descriptions mean numbers that may be compared.

    Attributes of the result: name, local, own (whether it is the run's base model M_0), digest of the weights or "",
    engine, frame, verdicts.
    """
    digest = parts["judge"].get("model", "")
    local = params.judge_engine != "chat"
    own = local and digest == find_model(params.base_model).digest
    return {
        "name": params.judge_model or params.base_model,
        "local": local,
        "own": own,
        "digest": digest,
        "engine": params.judge_engine,
        "frame": params.judge_frame if local else "the server's own",
        "verdicts": params.verdicts,
    }


def self_preference(stage: Stage, opened: Sequence[Answered], rows: Rows) -> dict[str, Any]:
    """Compare the model's verdicts with those that the judge gave to its own answers, where this run has them.

    No output rests on it, as these may come later; it stands in the notebook and in the manifest.

    Returns:
        As `preferences.self_preference`; where `difference` is None, "why" says why it is not measurable.
    """
    lacking: dict[str, Any] = {"difference": None, "se": None, "items": 0, "controlled": None, "controlled_se": None}
    why = _not_measurable(stage)
    if why:
        return {**lacking, "why": why}
    own_rows = stage.read("judge", f"verdicts-{PAIRS}.jsonl", 0)
    own_answers = {row["id"]: row for row in stage.read("evaluate", f"samples-{PAIRS}.jsonl", 0)}
    (pairs,) = [answered for answered in opened if answered.name == PAIRS]
    lengths = verdicts.answer_lengths(pairs.docs, pairs.answers)
    shared = [row for row in own_rows if row["id"] in lengths]
    own_docs = [doc for doc in pairs.docs if doc["id"] in own_answers]
    own_lengths = verdicts.answer_lengths(own_docs, own_answers)
    found = win_rates.self_preference(shared, rows[PAIRS], own_lengths, lengths)
    return found if found["items"] else {**lacking, "why": "no item of both models was read in both orders"}


def _not_measurable(stage: Stage) -> str:
    """Say why no verdicts on the judge's own answers stand beside these, or ""."""
    params = stage.params
    if PAIRS not in params.judged:
        return "no pairs were judged"
    if not describe(params, stage.parts)["own"]:
        return (
            "the judge is not known to have written answers of this run"
            if params.judge_engine == "chat"
            else ("the judge is no model of this run")
        )
    if params.iteration == 0:
        return "these answers are the judge's own; those of later models are compared with them"
    folder = manifests.stage_folder(stage.run_dir, 0, "judge")
    recorded = manifests.read_manifest(folder)
    if recorded is None or f"verdicts-{PAIRS}.jsonl" not in recorded["outputs"]:
        return "the judge's own answers, those of M_0, are not judged in this run"
    if other := stale_reason(_comparable(recorded["parts"]), _comparable(stage.parts)):
        return f"M_0's answers were judged otherwise: it {other}"
    manifests.require_intact(folder, [f"verdicts-{PAIRS}.jsonl"])
    samples = f"samples-{PAIRS}.jsonl"
    made = manifests.require_intact(manifests.stage_folder(stage.run_dir, 0, "evaluate"), [samples])["outputs"].get(samples, {})
    if made.get("sha256") != recorded["parts"]["inputs"].get(f"iter-0/evaluate/{samples}"):
        return "M_0 was evaluated anew after its answers were judged"
    return ""


def _comparable(parts: dict[str, Any]) -> dict[str, Any]:
    """Return what two judgements must share to be compared: all but whose answers were judged."""
    inputs = {name: digest for name, digest in parts["inputs"].items() if name == f"benchmarks/{PAIRS}"}
    parameters = {name: value for name, value in parts["parameters"].items() if name not in ("iteration", "judged")}
    prompts = {name: digest for name, digest in parts["prompts"].items() if "turn" not in name}
    return {**parts, "inputs": inputs, "parameters": parameters, "prompts": prompts}
