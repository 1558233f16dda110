"""A scripted model that says something new to each request, in the form that a method reads, for every method.

    Talker("evol_instruct")

What it says, judges and finds likely follows from the request alone, so two of them agree in all.
"""

import itertools
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from isheep_lib.engines.protocol import Request
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.grounds.tables import load_tables
from isheep_lib.synthesize.methods.in_context.designs import usable
from tests.scripted import ScriptedEngine

SYLLABLES = ["".join(letters) for letters in itertools.product("bdfgklmnprst", "aeiou", "lmnrst")]
SEEDS = [
    Task(f"seed-{n:02d}", f"Add {n} apples to {n} pears.", output=str(2 * n), kind="code" if n % 2 else "number")
    for n in range(24)
]
CODE = "```python\ndef double(x):\n    return 2 * x\n```"
TESTS = "assert double(2) == 4\nassert double(0) == 0"
STEPS = "1. Ask for one more thing that the answer must hold. 2. Keep all that the task says. 3. Read it again."
OPTIONS: dict[str, dict[str, Any]] = {
    "list": {"demonstrations": 2, "tasks_per_prompt": 4},
    "dialogue": {"demonstrations": 2},
    "self_instruct": {"demonstrations": 2, "generated_demonstrations": 1, "tasks_per_prompt": 4},
    "lamini": {"demonstrations": 2, "topics": 4},
    "dynosaur": {"tables": "seeds/tables", "tries": 1},
    "evol_instruct": {"rounds": 2},
    "wizard_coder": {"rounds": 2},
    "wizard_math": {"rounds": 2, "votes": 3, "checked_seeds": 2},
    "auto_evol": {"steps": 1, "candidates": 2, "batch": 2, "stages": 2, "development": 4},
    "instruction_backtranslation": {"curation": "probabilities", "min_score": 1},
    "dog_instruct": {"min_grounding": 0.0, "min_answer_share": 0.0},
    "iteralign": {"batch": 6, "rounds": 2},
    "dromedary": {"topics": 2},
    "llm2llm": {"kinds": [], "rounds": 2},
    "llms_as_instructors": {"kinds": [], "rounds": 1},
    "autodetect": {"skills": 2, "first_cases": 2, "cases": 4, "weak_score": 9, "added_skills": 1},
    "rainbow": {"children": 16, "batch": 8},
}
GROUNDED = ("longform", "instruction_backtranslation", "dog_instruct", "udit")


def values_of(method: str) -> dict[str, Any]:
    """Return the section `synthesize` with which a method is tried here, small."""
    options = OPTIONS.get(method, {}) | ({"benchmark_text": "keep"} if method in GROUNDED else {})
    seeds = {"seeds": "seeds/with-constraints.jsonl"} if method == "unnatural_instructions" else {}
    wanted = {"instructions": 6, "min_instructions": 1, "max_rouge": 1.0, "instruction_rules": False}
    return {"method": method, "options": options, **wanted, **seeds}


class Talker(ScriptedEngine):
    """Talks as a method wants it."""

    tokenizer = staticmethod(lambda text, add_special_tokens: {"input_ids": text.split()})

    def __init__(self, method: str) -> None:
        """Remember whom it talks to."""
        super().__init__(self.say, batch=2)
        self._form = FORMS.get(method, _plain)

    def say(self, request: Request) -> str:
        """Say something about a new thing."""
        draw = Random(_number(request.id, request.prompt))
        return self._form(request, f"Write {' '.join(draw.sample(SYLLABLES, 6))}.")

    def logprobs(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int]]:
        """Find every text as likely as its letters say."""
        self.calls.append(pairs)
        return [(-1.0 - _number(before, rest) % 97 / 50, 4) for before, rest in pairs]

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Prefer labels by the letters of the prompt."""
        self.calls.append(prompts)
        return [[-0.1 - _number(prompt, label) % 89 / 10 for label in labels] for prompt in prompts]


def _number(*texts: str) -> int:
    return zlib.crc32("/".join(texts).encode())


def _plain(request: Request, new: str) -> str:
    return new


def _listed(request: Request, new: str) -> str:
    return new if "-t" in request.id else f" {new}"


def _instances(request: Request, new: str) -> str:
    if "Label:" in request.prompt:
        return f"Label: a\nInput: {new}"
    return f"Output: {new}" if "Output:" in request.prompt else f" {new}"


def _fields(request: Request, new: str) -> str:
    return new if "-t" in request.id or "/v" in request.id else f" {new}\nInput: {new[6:12]}\nConstraints: None."


def _topics_first(request: Request, new: str) -> str:
    if request.id.startswith("topics"):
        return "1. Tea\n2. Chess\n3. Old maps\n4. Rivers"
    return _listed(request, new)


def _designs(request: Request, new: str) -> str:
    (table,) = [t for t in load_tables("seeds/tables", "x") if f"-{t.description.name}-" in request.id] or [None]
    given, answer = usable(table or load_tables("seeds/tables", "x")[0])[:2]
    return f"Instruction: {new}\nInput fields: {given}\nOutput field: {answer}"


def _programs(request: Request, new: str) -> str:
    if request.id.endswith("/tests"):
        return TESTS
    return CODE if request.prompt.startswith("<Write a") else f"Write a Python function `double(x)` that doubles {new[6:]}"


def _sums(request: Request, new: str) -> str:
    return "The answer is 7." if "-a" in request.id else new


def _versions(request: Request, new: str) -> str:
    return f"{STEPS} {new}" if "/candidate-" in request.id else new


def _wrapped(request: Request, new: str) -> str:
    return f"#instruction#: {new}\n#input#: none\n#output#: {new}"


def _rules(request: Request, new: str) -> str:
    return f"1. {new}\n2. Say plainly what you do not know." if request.id.endswith("-rules") else new


def _capitals(request: Request, new: str) -> str:
    return "\n".join(word.capitalize() for word in new[6:-1].split()[:3]) if "topics" in request.id else new


def _mistakes(request: Request, new: str) -> str:
    if request.id.endswith("/answer"):
        number = int(request.id[5:7])
        return str(2 * number) if number % 3 == 0 else "999"
    return "42" if "-a" in request.id else f"Task: {new}\nAnswer: 42"


def _skills(request: Request, new: str) -> str:
    if request.id.endswith("-skills"):
        return "1. word limits\n2. answers in a table"
    return "Nothing. [[Stop]]" if request.id.endswith("/proposed") else new


FORMS: dict[str, Callable[[Request, str], str]] = {
    "list": _listed,
    "self_instruct": _instances,
    "unnatural_instructions": _fields,
    "lamini": _topics_first,
    "dynosaur": _designs,
    "wizard_coder": _programs,
    "wizard_math": _sums,
    "auto_evol": _versions,
    "dog_instruct": _wrapped,
    "iteralign": _rules,
    "dromedary": _capitals,
    "llm2llm": _mistakes,
    "llms_as_instructors": _mistakes,
    "autodetect": _skills,
}
