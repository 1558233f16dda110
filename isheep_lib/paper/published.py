"""The number tables and headline claims of the I-SHEEP paper, as published.

`table("1").rows[1]["alpaca_eval"]` is 1.51 (Qwen1.5-1.8B, iter1); `claims()[0].recomputed` is 78.16.

Covers reading the files of `published`, what each column measures, which benchmark of the catalogue measures it here,
and computing headline claims again. Does not cover judging the numbers (`paper.audit`). Table 6 shows texts, no numbers.
"""

import csv
import functools
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isheep_lib.errors import DataError
from isheep_lib.record.rows import bad_rows, read_text

FOLDER = Path(__file__).parent / "published"
PERCENT, GRADE = "%", "1 to 10"
HALF = 0.5 + 1e-6  # of a stated number's last digit; the sum of decimals is not exact
Cell = str | float | None


@dataclass(frozen=True)
class Published:
    """One table of the paper; `rows` hold its key columns as text and its values as numbers, None where not reported."""

    number: str
    title: str
    keys: tuple[str, ...]
    values: tuple[str, ...]
    rows: tuple[dict[str, Cell], ...]
    file: str


@dataclass(frozen=True)
class Column:
    """What a number measures.

    Attributes:
        title: for people.
        unit: "%" or "1 to 10".
        benchmark: name in our catalogue, "" where it has none.
        metric: our metric for it.
        number_of_items: what a percentage is a share of, where it is known; None else.
        note: where our measure differs from the paper's.
    """

    title: str
    unit: str = PERCENT
    benchmark: str = ""
    metric: str = ""
    number_of_items: int | None = None
    note: str = ""


PROMPTS, INSTRUCTIONS = 541, 834  # of IFEval; one to three instructions a prompt
_LIKELY = "log-probabilities as lm-eval compares them; the paper's are of OpenCompass' perplexity mode"
_CODE = "our own instruction and extraction of code"
_TRIVIAQA = "the 7993 questions of the Wikipedia validation set; OpenCompass asks others"
MAIN = {
    "alpaca_eval": Column("AlpacaEval", PERCENT, "alpaca_eval", "win_rate", None, "the judge of the run, not GPT-4"),
    "mt_bench": Column("MT-Bench", GRADE, "mt_bench", "score", None, "the judge of the run, not GPT-4"),
    "ifeval_prompt_strict": Column("IFEval prompt-level strict", PERCENT, "ifeval", "prompt_strict", PROMPTS),
    "ifeval_inst_strict": Column("IFEval instruction-level strict", PERCENT, "ifeval", "inst_strict", INSTRUCTIONS),
    "ifeval_prompt_loose": Column("IFEval prompt-level loose", PERCENT, "ifeval", "prompt_loose", PROMPTS),
    "ifeval_inst_loose": Column("IFEval instruction-level loose", PERCENT, "ifeval", "inst_loose", INSTRUCTIONS),
    "humaneval": Column("HumanEval", PERCENT, "humaneval", "pass_at_1", 164, _CODE),
    "humaneval_plus": Column("HumanEval+", PERCENT, "humaneval_plus", "pass_at_1", 164, _CODE),
    "mbpp": Column("MBPP", PERCENT, "mbpp", "pass_at_1", 500, _CODE),
    "triviaqa": Column("TriviaQA", PERCENT, "triviaqa", "exact_match", None, _TRIVIAQA),
    "squad2": Column("SQuAD2.0", PERCENT, "squadv2", "exact_match", None, "the development set, asked in our own words"),
}
IFEVAL = tuple(name for name in MAIN if name.startswith("ifeval"))
CATEGORIES = ("role_play", "coding", "extraction", "humanities", "math", "reasoning", "stem", "writing")
_TURNS = {
    "single_turn_score": Column("Mean of the turn", GRADE, "mt_bench", "single_turn_score"),
    **{name: Column(name.replace("_", "-").capitalize(), GRADE, "mt_bench", name) for name in CATEGORIES if name != "stem"},
    "stem": Column("STEM", GRADE, "mt_bench", "stem"),
    "mt_bench_average": Column("MT-Bench, both turns", GRADE, "mt_bench", "average"),
}
_RUNS = {
    "base": Column("Base model"),
    "iter1": Column("Iteration 1"),
    **{
        f"{setting}_iter{k}": Column(f"{setting.capitalize()}, iteration {k}")
        for setting in ("one_base", "one_last", "total_base")
        for k in (2, 3)
    },
    "direct_20k": Column("Direct, 20k rows"),
    "direct_30k": Column("Direct, 30k rows"),
}
COLUMNS: dict[str, Column] = {**MAIN, **_TURNS, **_RUNS}
# The rows of Tables 7 to 10. ARC: OpenCompass leaves out the questions that have not four answers.
DATASETS: dict[str, Column] = {
    "boolq": Column("BoolQ", PERCENT, "boolq", "acc", 3270, _LIKELY),
    "piqa": Column("PIQA", PERCENT, "piqa", "acc_norm", 1838, _LIKELY),
    "siqa": Column("SIQA", PERCENT, "social_iqa", "acc", 1954, _LIKELY),
    "gpqa_diamond": Column("GPQA diamond", PERCENT, "gpqa_diamond", "acc", 198, "by log-probability; the paper's is generated"),
    "hellaswag": Column("HellaSwag", PERCENT, "hellaswag", "acc_norm", 10042, _LIKELY),
    "winogrande": Column("WinoGrande", PERCENT, "winogrande", "acc", 1267, _LIKELY),
    "arc_e": Column("ARC easy", PERCENT, "arc_easy", "acc_norm", 567, f"{_LIKELY}; all 570 validation questions"),
    "arc_c": Column("ARC challenge", PERCENT, "arc_challenge", "acc_norm", 295, f"{_LIKELY}; all 299 validation questions"),
    "openbookqa_fact": Column(
        *("OpenBookQA with the fact", PERCENT, "openbookqa", "acc_norm", 500),
        f"{_LIKELY}; on the validation set, without the fact",
    ),
    "commonsense_qa": Column("CommonsenseQA", PERCENT, "commonsense_qa", "acc", 1221, _LIKELY),
    "mmlu": Column("MMLU", PERCENT, "mmlu", "acc", None, f"{_LIKELY}; the mean over questions, the paper's over subjects"),
    "humaneval": MAIN["humaneval"],
    "mbpp": MAIN["mbpp"],
    "nq": Column("NQ", PERCENT, "nq_open", "exact_match", 3610),
    "triviaqa": MAIN["triviaqa"],
    "squad2": MAIN["squad2"],
}
_OPENCOMPASS = ("dataset", "opencompass_version", "metric", "mode")
# Title, file, key columns, value columns. The order of Tables 7 to 10 is ours.
_TABLES: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "1": ("Models and iterations", "table1_main.csv", ("model", "setting"), tuple(MAIN)),
    "2": ("Ways to iterate, 72B", "table2_iterative_settings.csv", ("setting", "step"), ("alpaca_eval", "mt_bench", *IFEVAL)),
    "3": ("Filters, 72B: IFEval", "table3_11_filters.csv", ("setting", "step"), IFEVAL),
    "4": ("What is assessed, 72B", "table4_assessment_level.csv", ("setting", "step"), IFEVAL),
    "5": ("Llama-3 70B", "table5_llama3.csv", ("model", "step"), IFEVAL),
    **{
        number: (f"{title}, 72B: OpenCompass", "tables7_10_opencompass.csv", _OPENCOMPASS, ("base", "iter1", *columns))
        for number, title, columns in (
            ("7", "One_base", ("one_base_iter2", "one_base_iter3")),
            ("8", "One_last", ("one_last_iter2", "one_last_iter3")),
            ("9", "Total_base", ("total_base_iter2", "total_base_iter3")),
            ("10", "Direct", ("direct_20k", "direct_30k")),
        )
    },
    "11": (
        *("Filters, 72B: code and knowledge", "table3_11_filters.csv", ("setting", "step")),
        ("humaneval", "humaneval_plus", "mbpp", "triviaqa", "squad2"),
    ),
    "12": ("MT-Bench by turn and category, 72B", "table12_mt_bench_turns.csv", ("step", "turn"), tuple(_TURNS)),
}
NUMBERS = tuple(_TABLES)


def measure(row: dict[str, Cell], column: str) -> Column:
    """Say what a cell measures: in Tables 7 to 10 its row decides, elsewhere its column."""
    return DATASETS[str(row["dataset"])] if "dataset" in row else COLUMNS[column]


@functools.cache
def table(number: str) -> Published:
    """Return a table of the paper.

    Raises:
        DataError: its file is absent or damaged; bad lines are all named.
    """
    if number not in _TABLES:
        raise DataError(f"Table {number!r} holds no numbers", allowed=", ".join(NUMBERS), do="name one of these tables")
    title, file, keys, values = _TABLES[number]
    rows = read_rows(FOLDER / file, keys, values)
    return Published(number, title, keys, values, tuple(rows), file)


def read_rows(path: Path, keys: tuple[str, ...], values: tuple[str, ...] = ()) -> list[dict[str, Cell]]:
    """Read some columns of a CSV file: keys as text, values as numbers, None where a value is empty.

    Raises:
        DataError: a column is absent, a row is longer or shorter than the header, repeats its keys or holds no number
            where one belongs. All such rows are named.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    header = next(reader, [])
    if absent := [name for name in (*keys, *values) if name not in header]:
        raise DataError(f"{path.name} lacks the column(s) {', '.join(absent)}", where=str(path), do="take the committed file")
    rows: list[dict[str, Cell]] = []
    problems, seen = [], {}
    for fields in reader:
        place = f"{path}:{reader.line_num}"
        if len(fields) != len(header):
            problems.append(f"{place}: {len(fields)} field(s), the header has {len(header)}")
            continue
        texts = dict(zip(header, fields, strict=True))
        wrong = [f"{name} {texts[name]!r} is no number" for name in values if not _is_number(texts[name])]
        name = " ".join(texts[key] for key in keys)
        if name in seen:
            wrong.append(f"{name!r} stands on line {seen[name]} already")
        seen[name] = reader.line_num
        problems += [f"{place}: {text}" for text in wrong]
        if not wrong:
            numbers: dict[str, Cell] = {key: float(texts[key]) if texts[key] else None for key in values}
            rows.append({key: texts[key] for key in keys} | numbers)
    if problems:
        raise bad_rows(path.name, problems, "numbers with a decimal point, empty where not reported", "take the committed file")
    return rows


def _is_number(text: str) -> bool:
    return re.fullmatch(r"(-?[0-9]+(\.[0-9]+)?)?", text) is not None


@dataclass(frozen=True)
class Claim:
    """A headline claim beside what Table 1 gives for it.

    Attributes:
        name: of the claim in claims.csv.
        title: for people.
        kind: "relative" (percent of the earlier value) or "absolute" (percentage points).
        stated: the paper's number.
        recomputed: ours, from the cells.
        cells: row, column and value, two for each part.
        formula: the computation as text.
        parts: the change in each column; the claim is their mean.
        holds: both agree within the rounding of the stated digits.
    """

    name: str
    title: str
    kind: str
    stated: float
    recomputed: float
    cells: tuple[tuple[str, str, float], ...]
    formula: str
    parts: dict[str, float]
    holds: bool


def claims() -> list[Claim]:
    """Return every headline claim, computed again from Table 1.

    Raises:
        DataError: claims.csv is damaged, or names a cell that Table 1 has not.
    """
    keys = ("name", "title", "kind", "stated", "model", "after", "before", "columns")
    stated = read_rows(FOLDER / "claims.csv", keys)
    return [recompute({key: str(value) for key, value in row.items()}, table("1")) for row in stated]


def recompute(claim: dict[str, str], main: Published) -> Claim:
    """Compute one row of claims.csv from Table 1."""
    kinds: dict[str, tuple[str, Callable[[float, float], float]]] = {
        "relative": ("{after:.2f} / {before:.2f} − 1", lambda after, before: 100 * (after / before - 1)),
        "absolute": ("{after:.2f} − {before:.2f}", lambda after, before: after - before),
    }
    if claim["kind"] not in kinds:
        raise DataError(f"{claim['kind']!r} is no kind of claim", where="claims.csv", allowed=", ".join(kinds))
    shown, change = kinds[claim["kind"]]
    cells, parts, texts = [], {}, []
    for column in claim["columns"].split():
        rows = {step: f"{claim['model']} {claim[step]}" for step in ("after", "before")}
        found = {step: _value(main, row, column) for step, row in rows.items()}
        cells += [(rows[step], column, found[step]) for step in rows]
        parts[column] = change(found["after"], found["before"])
        texts.append(f"{shown.format(**found)} = {parts[column]:.2f}{' %' if claim['kind'] == 'relative' else ''}")
    mean = sum(parts.values()) / len(parts)
    formula = texts[0] if len(texts) == 1 else f"mean of {', '.join(texts)} = {mean:.2f}"
    stated, digits = float(claim["stated"]), len(claim["stated"].partition(".")[2])
    holds = abs(mean - stated) <= HALF * 10**-digits
    return Claim(claim["name"], claim["title"], claim["kind"], stated, mean, tuple(cells), formula, parts, holds)


def _value(main: Published, name: str, column: str) -> float:
    for row in main.rows:
        if " ".join(str(row[key]) for key in main.keys) == name and isinstance(value := row.get(column), float):
            return value
    raise DataError(f"Table {main.number} has no {column} of {name}", where=main.file, do="mend claims.csv")


@dataclass(frozen=True)
class Paper:
    """What the paper states.

    Attributes:
        tables: by number.
        same_runs: a run, a table and a row of it, or a column of Tables 7 to 10, that shows this run.
        claims: the headline claims.
        drops: where the text puts the drop of MT-Bench's second turn: the statement, and the last step before it.
    """

    tables: dict[str, Published]
    same_runs: tuple[tuple[str, ...], ...] = ()
    claims: tuple[Claim, ...] = ()
    drops: tuple[tuple[str, ...], ...] = ()


def read_paper() -> Paper:
    """Read everything that the paper states."""

    def texts(file: str, *keys: str) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(str(row[key]) for key in keys) for row in read_rows(FOLDER / file, keys))

    return Paper(
        {number: table(number) for number in NUMBERS},
        texts("same_runs.csv", "run", "table", "row"),
        tuple(claims()),
        texts("second_turn.csv", "statement", "last_before_drop"),
    )
