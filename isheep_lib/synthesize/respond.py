"""Zero-shot responses to accepted tasks (Algorithm 1, R_t)."""

from collections.abc import Mapping
from typing import Any

from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Request
from isheep_lib.prompting.chat import Frame, user_words
from isheep_lib.prompting.special_tokens import find_special
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.writing import Writing


def respond(writing: Writing[Any], rows: list[dict[str, Any]], journal: Journal) -> list[dict[str, Any]]:
    """Answer tasks in the model's frame; rows gain output, finish and num_tokens, those that have them stay as they are.

    A row that holds words which the model's tokenizer takes for special tokens names them in `special_tokens`. Of several
    workers, each returns the rows that it has at hand.
    """
    shared, frame = writing.shared, writing.frame
    requests = [
        Request(
            row["id"],
            response_prompt(writing, row),
            shared.response_tokens,
            shared.response_temperature,
            shared.response_top_p,
            writing.seed_of(f"{row['id']}/response"),
            stop=(frame.end,),
        )
        for row in rows
        if "output" not in row
    ]
    answers = generate_all(writing.engine, requests, journal, "responses")
    said = {id_: {"output": a.text.strip(), "finish": a.finish, "num_tokens": a.num_tokens} for id_, a in answers.items()}
    full = [{**row, **said.get(row["id"], {})} for row in rows if "output" in row or row["id"] in said]
    return [row | _special(row, frame) for row in full]


def response_prompt(writing: Writing[Any], row: Mapping[str, Any]) -> str:
    """Ask for the response to a task, given as its instruction and input, in the model's frame."""
    return writing.frame.prompt(user_words(Task("", row["instruction"], row["input"])))


def _special(row: Mapping[str, Any], frame: Frame) -> dict[str, list[str]]:
    found = find_special(frame.words, row["instruction"], row["input"], row["output"])
    return {"special_tokens": found} if found else {}
