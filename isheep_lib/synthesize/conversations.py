"""Conversations as seeds: the first user turn is the instruction, the assistant's turn after it the reference output.

    read_conversation([{"role": "user", "content": "Add 2 and 3."}, {"role": "assistant", "content": "5"}])

System turns are left out, as a run has a system prompt of its own (`model.system_prompt`); so is whatever follows the first
answer. Covers one row's turns, under all names that are in use. Does not cover the row's other fields (`synthesize.seeds`).
"""

from dataclasses import dataclass, field
from typing import Any

FIELDS = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat", "turns")
ROLE_NAMES, TEXT_NAMES = ("role", "from", "speaker", "author"), ("content", "value", "text", "message")
USER, ASSISTANT, SYSTEM, TOOL = "user", "assistant", "system", "tool"
ROLES = {
    **dict.fromkeys(("user", "human", "prompter", "instruction", "question"), USER),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot", "ai", "chatbot", "response", "answer"), ASSISTANT),
    **dict.fromkeys(("system", "developer"), SYSTEM),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "function_call", "tool_call", "function_response"), TOOL),
}
CALLS = ("tool_calls", "function_call")


@dataclass
class Conversation:
    """What a seed takes of a conversation, and what is wrong with it; `has_system` tells that a system turn was left out."""

    instruction: str = ""
    output: str = ""
    has_system: bool = False
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Turn:
    """One turn: its number from 1, whose it is, its text, and what is wrong with it."""

    number: int
    role: str
    text: str
    problem: str = ""


def is_conversation(value: Any) -> bool:
    """Tell whether a value is a list of turns, each an object that says whose it is."""
    return (
        isinstance(value, list) and bool(value) and all(isinstance(turn, dict) and _named(turn, ROLE_NAMES) for turn in value)
    )


def read_conversation(turns: Any) -> Conversation:
    """Read the first user turn and the answer to it."""
    if not isinstance(turns, list) or not turns:
        return Conversation(problems=["a conversation must be a list of turns with role and content"])
    read = [_turn(number, turn) for number, turn in enumerate(turns, start=1)]
    found = Conversation(has_system=any(turn.role == SYSTEM for turn in read))
    # Until the first answer; what comes after it is no part of the seed.
    spoken = [turn for turn in read if turn.role != SYSTEM]
    first, second = [*spoken, None, None][:2]
    if first is None:
        found.problems.append("no user turn, only system turns")
    elif first.problem:
        found.problems.append(first.problem)
    elif first.role != USER:
        found.problems.append(f"turn {first.number}, the first, is the {first.role}'s; a seed begins with the user's")
    elif not first.text.strip():
        found.problems.append(f"turn {first.number}, the user's, is empty")
    elif second and second.problem:
        found.problems.append(second.problem)
    elif second and second.role != ASSISTANT:
        found.problems.append(
            f"turn {second.number} is the {second.role}'s; a seed has the assistant's answer after the user's"
        )
    else:
        found.instruction, found.output = first.text, second.text if second else ""
    return found


def role_at(turn: Any) -> str:
    """Name whose turn an object is: user, assistant, system, tool; "" for anything else."""
    return _turn(1, turn).role if isinstance(turn, dict) and _named(turn, ROLE_NAMES) else ""


def _named(turn: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((name for name in names if name in turn), "")


def _turn(number: int, turn: Any) -> Turn:
    place = f"turn {number}"
    if not isinstance(turn, dict) or not (named := _named(turn, ROLE_NAMES)):
        return Turn(number, "", "", f"{place} must be an object with role and content, or from and value")
    said = turn[named]
    role = ROLES.get(said.strip().lower(), "") if isinstance(said, str) else ""
    if not role:
        return Turn(number, "", "", f"{place}: the {named} {said!r:.60} should be one of {', '.join(ROLES)}")
    content = turn.get(_named(turn, TEXT_NAMES))
    if role == ASSISTANT and any(turn.get(name) for name in CALLS):
        return Turn(number, role, "", f"{place} calls a tool; a seed's answer is text")
    if isinstance(content, list):
        return _of_parts(number, role, content)
    if content is not None and not isinstance(content, str):
        return Turn(number, role, "", f"{place}: what is said must be text or a list of parts of text")
    return Turn(number, role, content or "")


def _of_parts(number: int, role: str, parts: list[Any]) -> Turn:
    """Join the text of parts, as {"type": "text", "text": ...}; parts of other types are a problem."""
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) and part.get("type", "text") in ("text", "input_text") else part
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            return Turn(number, role, "", f"turn {number} holds a part that is no text ({kind!r:.60})")
        texts.append(text)
    return Turn(number, role, "\n".join(texts))
