"""Synthesis: new instructions from seed tasks in context, then zero-shot responses (Algorithm 1, P_t and R_t).

An example:
    {"id": "i1-r0-p003-t1", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 41,
     "demonstrations": ["seed-004", …]}

Covers prompts, parsing, rules on instructions and deduplication. Does not cover rules on pairs (`filter`).
"""

from collections.abc import Callable
from typing import Any

from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Engine
from isheep_lib.record.funnel import require
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Harvest, _accept_or_drop, pool_of
from isheep_lib.synthesize.demonstrations import Demonstrations
from isheep_lib.synthesize.lists import list_request, parse_list


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
