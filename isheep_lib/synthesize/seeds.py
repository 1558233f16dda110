"""Seed tasks in the forms people have them: rows of tasks, of conversations, or of the Self-Instruct schema.

    load_seeds("seeds/tasks.jsonl", [])
    load_seeds("mine/chats.jsonl.gz", [])
    load_seeds("mine/questions.parquet", ["instruction=question", "output=meta.answer"])
    load_seeds("org/name@<40-hex commit>#config/split", [])

Covers mapping and checking them. Does not cover reading files (`record.sources`) or whether they suffice (`iterate.session`).
"""

import difflib
import json
import math
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from isheep_lib.errors import DataError
from isheep_lib.languages import rules
from isheep_lib.languages.mismatch import guess, mismatch
from isheep_lib.languages.rules import Language, Rules
from isheep_lib.record.provenance import find_file
from isheep_lib.record.rows import (
    SURROGATE,
    TASK_FIELDS,
    Task,
    bad_rows,
    canonical_json,
    digest_file,
    digest_text,
    parse_fields,
)
from isheep_lib.record.sources import Rows, read_rows
from isheep_lib.synthesize.conversations import ASSISTANT, USER, Conversation, is_conversation, read_conversation, role_at
from isheep_lib.synthesize.conversations import FIELDS as CONVERSATIONS

PARAMETER, MAPPING = "synthesize.seeds", "synthesize.seed_fields"
FIELDS = (
    "instruction (text), and optionally id, kind, input, output (text), a conversation (messages), or the Self-Instruct schema"
)
MEND = f"mend or remove these rows; fields of other names are told by {MAPPING}, such as instruction=question"
ABSENT = object()


def load_seeds(source: str, fields: list[str], language: Language = "en") -> list[Task]:
    """Read seed tasks: an instruction is required; `id`, `kind`, `input` and `output` are optional text.

    A Self-Instruct row gives one task, with its first instance; a conversation its first user turn and the answer to it
    (`synthesize.conversations`). A row without an id is named by its number; null is the same as no field.

    Args:
        source: a file, from the current folder or the clone's root, or a hub dataset pinned to a commit.
        fields: names of the fields in the source, ours=theirs (`records.parse_fields`).
        language: whose words for no input are read, beside the English ones.

    Raises:
        DataError: the source is absent, unreadable or empty, or a row is not an object, lacks an instruction, has a
            field that is not text, or repeats an id or an instruction with the same input. All such rows are listed.
    """
    mapping, found = parse_fields(fields), read_rows(source, PARAMETER)
    known = rules.with_english(language)
    if not found.rows and not found.problems:
        raise DataError(f"{found.name} holds no seed task", where=found.where, do="add rows with an instruction")
    if found.rows:
        _check_mapping(found, mapping)
    tasks, problems, seen, with_system = [], list(found.problems), {}, 0
    for row in found.rows:
        values, wrong, has_system = _read_row(row.content, mapping, known)
        task = Task(**{**values, "id": values["id"] or f"seed-{row.number:03d}"})
        if wrong := wrong or list(_repeats(task, seen, f"{found.unit} {row.number}")):
            problems.append((row.number, f"{row.place}: {'; '.join(wrong)}"))
        tasks.append(task)
        with_system += has_system
    if problems:
        raise bad_rows(found.name, [problem for _, problem in sorted(problems, key=lambda each: each[0])], FIELDS, MEND)
    if with_system:
        warnings.warn(
            f"{found.name}: {with_system} of {len(tasks)} conversations have a system turn, which no seed takes over; "
            "model.system_prompt is the run's own",
            stacklevel=2,
        )
    return tasks


def digest_seeds(source: str, fields: list[str], language: Language = "en") -> str:
    """Hash what decides the seed tasks: a file's bytes, or the tasks of a dataset.

    Raises:
        DataError: `load_seeds` refuses them, or most of them are in another language than the run's.
    """
    path = find_file(source)
    if path:
        digest = digest_file(path)
        _check(str(path), digest, tuple(fields), canonical_json(language))
        return digest
    tasks = load_seeds(source, fields, language)
    _require_language(tasks, source, language)
    return digest_text(canonical_json([vars(task) for task in tasks]))


@cache  # a run asks for the digest often; what was refused is read again
def _check(source: str, _digest: str, fields: tuple[str, ...], language: str) -> None:
    _require_language(load_seeds(source, list(fields), json.loads(language)), source, json.loads(language))


def _require_language(tasks: list[Task], source: str, language: Language) -> None:
    """Refuse seeds most of which are in another language; of one that shares the script, all are read together."""
    texts = [task.instruction for task in tasks]
    other = [text for text in texts if mismatch(text, language)]
    together = "" if 2 * len(other) > len(texts) else mismatch("\n".join(texts), language)
    if 2 * len(other) <= len(texts) and not together:
        return
    say = rules.in_words(language)
    what = (
        f"{len(other)} of {len(texts)} seed tasks are not in {say}" if other else f"The seed tasks are not in {say}: {together}"
    )
    like = guess("\n".join(texts))
    raise DataError(
        f"{what}, such as {(other or texts)[0][:60]!r}",
        where=f"{PARAMETER}, {source}; synthesize.language is {language!r}",
        allowed=f"seeds in {say}; languages with rules are {', '.join(rules.known())}",
        do=f"set synthesize.language to {like or 'the language of the seeds'}, or to any, which applies only what holds in "
        "every language; or give other seeds",
    )


def _value_at(content: Any, path: str) -> Any:
    """Follow a dotted path into objects and lists; a field whose own name has dots comes first."""
    if path in content:
        return content[path]
    for step in path.split("."):
        if isinstance(content, dict) and step in content:
            content = content[step]
        elif isinstance(content, list) and step in map(str, range(len(content))):
            content = content[int(step)]
        else:
            return ABSENT
    return content


def _paths(content: Any, prefix: str = "") -> Iterator[str]:
    """Name everything that a mapping can point at; of a list, its first item."""
    inner = content.items() if isinstance(content, dict) else enumerate(content[:1]) if isinstance(content, list) else ()
    for name, value in inner:
        yield f"{prefix}{name}"
        yield from _paths(value, f"{prefix}{name}.")


def _check_mapping(found: Rows, mapping: dict[str, str]) -> None:
    """Refuse a mapping to fields that no row has, once for the whole source."""
    contents = [row.content for row in found.rows]
    absent = {o: t for o, t in mapping.items() if all(_value_at(content, t) is ABSENT for content in contents)}
    if not absent:
        return
    known = list(dict.fromkeys(path for content in contents for path in _paths(content)))
    lines = []
    for ours, theirs in absent.items():
        near = difflib.get_close_matches(theirs, known, n=1)
        lines.append(f"{ours}={theirs}: no row has {theirs!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    raise DataError(
        f"Fields that {found.name} does not have:\n  " + "\n  ".join(lines),
        where=f"{MAPPING}, {found.where}",
        allowed=_listed(known[:30]),
        do="name a field that the rows have, ours=theirs",
    )


def _read_row(content: dict[str, Any], mapping: dict[str, str], known: Rules) -> tuple[dict[str, str], list[str], bool]:
    """Return the text of every field of a task, "" for none, what is wrong, and whether a system turn was left out."""
    names = {ours: mapping.get(ours, ours) for ours in TASK_FIELDS}
    problems: list[str] = []
    # A row or a mapping that says where input or output are has its instances for something else.
    by_instances = "instances" in content and not {"input", "output"} & {*content, *mapping}
    if by_instances:
        names |= {"input": "instances.0.input", "output": "instances.0.output"}
        problems += _instances_problems(content)
    spoken, talk = _conversation(content, mapping)
    problems += [f"{spoken}: {problem}" for problem in talk.problems]
    given = {"instruction": talk.instruction, "output": talk.output} if spoken else {}
    values = dict.fromkeys(TASK_FIELDS, "")
    for ours, theirs in names.items():
        label = ours if ours == theirs else f"{ours} ({theirs})"
        value = given[ours] if ours in given and (ours not in mapping or theirs == spoken) else _value_at(content, theirs)
        if spoken and ours == "instruction" and talk.problems:
            continue
        if value is ABSENT or value is None:
            if ours == "instruction":
                problems.append(f"no {label}; the row has {_listed(content) or 'no fields'}")
            continue
        text, wrong = _text(ours, label, value)
        values[ours] = text
        problems += wrong or _wrong_turn(content, ours, label, theirs)
    # An input of mere punctuation is one.
    values["input"] = "" if known.finds("no_input", values["input"]) else values["input"]
    if by_instances:
        values["kind"] = values["kind"] or ("classification" if content.get("is_classification") is True else "")
    return values, problems, talk.has_system


def _conversation(content: dict[str, Any], mapping: dict[str, str]) -> tuple[str, Conversation]:
    """Find the field that holds a row's turns, "" where it has an instruction or is told of one, and read them."""
    told = mapping.get("instruction", "")
    if told and is_conversation(value := _value_at(content, told)):
        return told, read_conversation(value)
    name = next((name for name in CONVERSATIONS if content.get(name) is not None), "")
    if told or not name or content.get("instruction") is not None:
        return "", Conversation()
    return name, read_conversation(content[name])


def _text(ours: str, label: str, value: Any) -> tuple[str, list[str]]:
    """Return a field's text, trimmed, and what is wrong with it."""
    if ours == "id" and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        value = str(value)
    if not isinstance(value, str):
        return "", [f"{label} must be text, it is {_kind(value)}"]
    if SURROGATE.search(value):
        return "", [f"{label} must be valid Unicode, it holds half a character: {value[:60]!r}"]
    if ours == "instruction" and not value.strip():
        return "", [f"no {label}; it is blank"]
    return value.strip(), []


def _wrong_turn(content: dict[str, Any], ours: str, label: str, theirs: str) -> list[str]:
    """Name a mapping to somebody else's turn, such as instruction=messages.0.content where that is a system turn."""
    wanted = {"instruction": USER, "output": ASSISTANT}.get(ours, "")
    role = role_at(_value_at(content, theirs.rpartition(".")[0])) if wanted else ""
    if role in ("", wanted):
        return []
    return [f"{label} is the {role}'s turn, not the {wanted}'s; without this mapping conversations are read by their roles"]


def _instances_problems(content: dict[str, Any]) -> Iterator[str]:
    instances, flag = content["instances"], content.get("is_classification")
    if not isinstance(instances, list):
        yield f"instances must be a list of objects with input and output, it is {_kind(instances)}"
    elif not instances:
        yield "instances is empty, it must hold an object with input and output"
    elif not isinstance(instances[0], dict):
        yield f"instances.0 must be an object with input and output, it is {_kind(instances[0])}"
    if flag is not None and not isinstance(flag, bool):
        yield f"is_classification must be true or false, it is {_kind(flag)}"


def _repeats(task: Task, seen: dict[tuple[str, str], str], place: str) -> Iterator[str]:
    """Compare a task with earlier ones by id, and by instruction and input in lower case; then remember it."""
    both = f"{task.instruction}\n{task.input}".lower()
    what = "instruction and input" if task.input else "instruction"
    for key, name, shown in (("id", task.id), "id", task.id), (("task", both), what, task.instruction):
        if key in seen:
            yield f"same {name} as {seen[key]}: {shown[:60]!r}"
        seen.setdefault(key, place)


def _kind(value: object) -> str:
    """Name a value's kind as JSON does."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _listed(names: Iterable[str]) -> str:
    """List names of fields, safe to print."""
    return ", ".join(name if name.isprintable() else repr(name) for name in names)
