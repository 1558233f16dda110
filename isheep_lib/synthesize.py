"""Synthesis: new instructions from seed tasks in context, then zero-shot responses (Algorithm 1, P_t and R_t).

An example:
    {"id": "i1-r0-p003-t1", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 41,
     "demonstrations": ["seed-004", …]}

Covers prompts, parsing, rules on instructions and deduplication. Does not cover rules on pairs (`filter`).
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from isheep_lib.counts import funnel, require
from isheep_lib.demonstrations import Demonstrations
from isheep_lib.engines import Engine, Request, generate_all
from isheep_lib.journal import WAITS, Journal
from isheep_lib.near_duplicates import NearDuplicates
from isheep_lib.prompts import Frame, render, user_words
from isheep_lib.records import Task
from isheep_lib.text import words

NO_INPUT = re.compile(r"^\W*(?:<?\s*no\s*input\s*>?|<?none>?|n/?a)?\W*$", re.IGNORECASE)
ITEM = re.compile(
    r"^[ \t]*(\d{1,9})[ \t]*\.(?:[ \t]*(Instruction)[ \t]*:|(?![ \t]*(?:Input|Output)[ \t]*:))[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
LABEL = re.compile(r"^[ \t]*(?:\d+[ \t]*\.)?[ \t]*(Input|Output)[ \t]*:", re.IGNORECASE | re.MULTILINE)
STRAY = re.compile(r"\b(?:Instruction|Input|Output)[ \t]*:", re.IGNORECASE)
URL = re.compile(r"https?://|www\.", re.IGNORECASE)
FORBIDDEN = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot"),
    *("go to", "video", "videos", "audio", "music", "flowchart", "flowcharts", "diagram", "diagrams"),
)
FORBIDDEN_WORDS = re.compile(r"\b(?:" + "|".join(FORBIDDEN) + r")\b", re.IGNORECASE)
MIN_WORDS, MAX_WORDS = 4, 150  # of an instruction, as in the released code


@dataclass
class Harvest:
    """What one synthesis brought: accepted tasks in order, rows dropped with their reasons, tokens generated."""

    accepted: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0


def list_prompt(demonstrations: list[Task], count: int) -> str:
    """Render the meta-prompt and the numbered demonstrations, ending where the next instruction begins."""
    items = []
    for number, task in enumerate(demonstrations, start=1):
        items += [f"{number}. Instruction: {task.instruction}", f"{number}. Input: {task.input or '<none>'}"]
    items.append(f"{len(demonstrations) + 1}. Instruction:")
    return render("synthesize.txt", count=str(count), tasks="\n".join(items))


@dataclass(frozen=True)
class Item:
    """One task read from a continued list; `cut` if the token limit ended it."""

    raw: str
    instruction: str
    input: str
    cut: bool = False


def parse_list(text: str, first: int, finish: str) -> list[Item]:
    """Cut a continued list into tasks.

    A task begins at a line "7. Instruction:", or at a bare "7." when 7 is the number expected next.

    Args:
        text: the continuation of a prompt that ends in "6. Instruction:".
        first: that number, 6 here.
        finish: why the text ended; "length" marks the last task as cut.
    """
    whole = f"{first}. Instruction:{text}"
    starts, current = [], first - 1
    for found in ITEM.finditer(whole):
        number, labelled = int(found.group(1)), bool(found.group(2))
        if labelled or number == current + 1:
            starts.append(found)
            current = number
    ends = [found.start() for found in starts[1:]] + [len(whole)]
    items = []
    for found, end in zip(starts, ends, strict=True):
        parts = LABEL.split(whole[found.end() : end])
        bodies: dict[str, str] = {}
        for label, body in zip(parts[1::2], parts[2::2], strict=True):
            bodies.setdefault(label.lower(), body.strip())
        given = bodies.get("input", "")
        cut = finish == "length" and end == len(whole)
        items.append(Item(whole[found.start() : end], parts[0].strip(), "" if NO_INPUT.match(given) else given, cut))
    return items


def instruction_problem(item: Item, rules: bool = True) -> str:
    """Name the rule that an instruction breaks, "" if none (rules of the released code, see docs/rules.md).

    Without rules only what is no task at all is dropped: cut off, or empty.
    """
    instruction, both = item.instruction, f"{item.instruction}\n{item.input}"
    checks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("cut_off", lambda: item.cut),
        ("empty", lambda: not instruction),
        ("too_short", lambda: len(instruction.split()) < MIN_WORDS),
        ("too_long", lambda: len(instruction.split()) > MAX_WORDS),
        ("starts_oddly", lambda: not instruction[0].isascii() or not (instruction[0].isalnum() or instruction[0] in "\"'(")),
        ("stray_label", lambda: STRAY.search(both) or "noinput" in both.lower()),
        ("forbidden_word", lambda: FORBIDDEN_WORDS.search(both)),
        ("url", lambda: URL.search(both)),
        ("no_words", lambda: not words(instruction)),
    )
    return next((name for name, broken in (checks if rules else checks[:2]) if broken()), "")


def collect_instructions(
    engine: Engine,
    demonstrations: Demonstrations,
    earlier: list[Task],
    params: Any,
    seed_of: Callable[[str], int],
    journal: Journal,
) -> Harvest:
    """Generate batches of lists until enough tasks are accepted or the batches are used up.

    Deduplication compares with the seeds and, as `dedup_scope` says, with what was accepted in this batch, in this
    stage, or in the whole run, in the order of batches, prompts and items; so a batch depends on finished ones only.

    Args:
        engine: the model M_t.
        demonstrations: what prompts show.
        earlier: tasks accepted in earlier iterations.
        params: `SynthesizeParams`.
        seed_of: record id to seed.
        journal: of the raw lists.

    Raises:
        YieldError: fewer than `min_instructions` were accepted; with the top reasons and examples.
    """
    harvest = Harvest()
    known = [task.instruction for task in demonstrations.seeds]
    pool = pool_of([*known, *(task.instruction for task in earlier if params.dedup_scope == "run")], params.max_rouge)
    for batch in range(params.max_batches):
        if len(harvest.accepted) >= params.instructions:
            break
        if batch and params.dedup_scope == "batch":
            pool = pool_of(known, params.max_rouge)
        before = earlier + [Task(row["id"], row["instruction"], row["input"]) for row in harvest.accepted]
        ids = [f"i{params.iteration}-r{batch}-p{n:03d}" for n in range(params.prompts_per_batch)]
        shown = {id_: demonstrations.draw(before, params, seed_of(f"{id_}/demonstrations")) for id_ in ids}
        requests = [list_request(id_, shown[id_], params, seed_of(id_)) for id_ in ids]
        lists = generate_all(engine, requests, journal, f"instructions, batch {batch + 1}")
        for id_ in ids:
            harvest.tokens += lists[id_].num_tokens
            items = parse_list(lists[id_].text, params.demonstrations + 1, lists[id_].finish)
            for number, item in enumerate(items):
                _accept_or_drop(f"{id_}-t{number}", item, [task.id for task in shown[id_]], params, pool, harvest)
    do = "look at the examples; raise max_batches or instruction_tokens, change the seeds, or lower min_instructions"
    require(len(harvest.accepted), params.min_instructions, "new instructions", harvest.dropped, do)
    return harvest


def pool_of(texts: list[str], limit: float) -> NearDuplicates:
    """Fill a pool to compare with."""
    pool = NearDuplicates(limit)
    for text in texts:
        pool.add(text)
    return pool


def list_request(id_: str, demonstrations: list[Task], params: Any, seed: int) -> Request:
    """Ask for the continuation of one list; in the bare frame, as a list is text to continue and not a question."""
    return Request(
        id_,
        list_prompt(demonstrations, params.tasks_per_prompt),
        params.instruction_tokens,
        params.instruction_temperature,
        params.instruction_top_p,
        seed,
        stop=tuple(params.instruction_stops) or (f"\n{params.tasks_per_prompt + 1}.",),
    )


def _accept_or_drop(id_: str, item: Item, shown: list[str], params: Any, pool: NearDuplicates, harvest: Harvest) -> None:
    reason, detail = instruction_problem(item, params.instruction_rules), ""
    if not reason and (near := pool.find(item.instruction)):
        reason, detail = "near_duplicate", f"ROUGE-L {near[1]:.2f} with: {near[0]}"
    if not reason and len(harvest.accepted) >= params.instructions:
        reason = "beyond_target"
    row = {"id": id_, "instruction": item.instruction, "input": item.input, "demonstrations": shown}
    if reason:
        harvest.dropped.append({**row, "reason": reason, "detail": detail, "raw": item.raw})
    else:
        pool.add(item.instruction)
        harvest.accepted.append(row)


def respond(
    engine: Engine,
    frame: Frame,
    tasks: list[dict[str, Any]],
    params: Any,
    seed_of: Callable[[str], int],
    journal: Journal,
) -> list[dict[str, Any]]:
    """Answer tasks zero-shot in the model's frame; rows gain output, finish and num_tokens.

    Of several workers, each returns the rows that it has at hand.
    """
    requests = [
        Request(
            row["id"],
            frame.prompt(user_words(Task(row["id"], row["instruction"], row["input"]))),
            params.response_tokens,
            params.response_temperature,
            params.response_top_p,
            seed_of(f"{row['id']}/response"),
            stop=(frame.end,),
        )
        for row in tasks
    ]
    answers = generate_all(engine, requests, journal, "responses")
    return [
        {**row, "output": (a := answers[row["id"]]).text.strip(), "finish": a.finish, "num_tokens": a.num_tokens}
        for row in tasks
        if row["id"] in answers
    ]


def shown_tasks(harvest: Harvest, known: list[Task]) -> list[dict[str, Any]]:
    """List the tasks that prompts showed, with the number of generated tasks that followed each.

    Args:
        harvest: what the prompts brought.
        known: seeds and tasks of earlier iterations; those of this one are in the harvest.
    """
    times = Counter(id_ for row in (*harvest.accepted, *harvest.dropped) for id_ in row["demonstrations"])
    own = [Task(row["id"], row["instruction"], row["input"]) for row in harvest.accepted]
    fields = ("id", "instruction", "input", "output")
    return [{**{f: getattr(task, f) for f in fields}, "shown": times[task.id]} for task in [*known, *own] if task.id in times]


def funnel_of(harvest: Harvest, examples: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the tasks that the model wrote: answered, dropped by reason, or waiting for another worker's answer."""
    waiting = [{"reason": WAITS}] * (len(harvest.accepted) - len(examples))
    return funnel(len(harvest.accepted) + len(harvest.dropped), [*harvest.dropped, *waiting])
