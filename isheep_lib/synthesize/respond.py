"""Zero-shot responses to accepted tasks."""

from collections.abc import Callable
from typing import Any

from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Engine, Request
from isheep_lib.prompting.chat import Frame, user_words
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task


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
