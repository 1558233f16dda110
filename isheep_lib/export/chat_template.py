"""A chat frame as a template that a tokenizer carries: others' programs then ask a model as it was trained.

    write(get_frame("chatml", "Be brief.", tokenizer), "Be brief.", tokenizer)    # Jinja, as in chat_template.jinja

Without a system message the template has the system prompt of the training; with one it takes the one given, and refuses it
where the frame has no place for any. A conversation that ends with an answer ends with what was learned to end it.
Covers writing the template. Does not cover frames (`prompting.chat`).
"""

from typing import Any

from isheep_lib.engines.tokens import encode, encode_rest
from isheep_lib.prompting.chat import Frame, get_frame

MARK = "SYSTEM7f3a"  # stands where a frame has its system prompt
TEMPLATE = """\
{{#- The chat frame {name}, as this model was trained. -#}}
{{%- set trained = {system} -%}}
{{%- if messages and messages[0]['role'] == 'system' -%}}
{{%- set system, turns = messages[0]['content'], messages[1:] -%}}
{refusal}
{{%- else -%}}
{{%- set system, turns = trained, messages -%}}
{{%- endif -%}}
{{{{- {before} if system == trained else [{parts}] | join(system) -}}}}
{{%- for turn in turns -%}}
{{%- if turn['role'] != ('assistant' if loop.index0 % 2 else 'user') -%}}
{{{{- raise_exception('After an optional system message, user and assistant must take turns.') -}}}}
{{%- endif -%}}
{{{{- turn['content'] -}}}}
{{%- if turn['role'] == 'user' -%}}
{{%- if loop.revindex > 2 -%}}{{{{- {replied} -}}}}
{{%- elif not loop.last or add_generation_prompt -%}}{{{{- {after} -}}}}
{{%- endif -%}}
{{%- else -%}}{{{{- {end} if loop.last else {between} -}}}}
{{%- endif -%}}
{{%- endfor -%}}"""
REFUSAL = "{{- raise_exception('This model was trained without a system prompt.') -}}"


def write(frame: Frame, system: str, tokenizer: Any) -> str:
    """Write the template of a frame.

    Args:
        frame: as a model was trained with it.
        system: the system prompt of the training.
        tokenizer: of the model; what it puts before every text by itself, the template has to write.
    """
    opening = _opening(tokenizer, frame.before)
    parts = _system_parts(frame.name, tokenizer)
    return TEMPLATE.format(
        name=frame.name,
        system=_literal(system),
        refusal=REFUSAL if len(parts) == 1 else "",
        before=_literal(opening + frame.before),
        parts=", ".join(map(_literal, [opening + parts[0], *parts[1:]])),
        replied=_literal(frame.replied or frame.after),
        after=_literal(frame.after),
        end=_literal(frame.end),
        between=_literal(frame.between or frame.end + frame.before),
    ).replace("\n\n", "\n")


def takes_system(name: str, tokenizer: Any) -> bool:
    """Tell whether a frame has a place for a system prompt."""
    return len(_system_parts(name, tokenizer)) > 1


def _system_parts(name: str, tokenizer: Any) -> list[str]:
    """Return what stands around the system prompt before the user's first words."""
    return get_frame(name, MARK, tokenizer).before.split(MARK)


def end_token(frame: Frame, tokenizer: Any) -> int | None:
    """Return the token that ends an answer, None where the frame's end is no single token."""
    ids = encode_rest(tokenizer, frame.end)
    return ids[0] if len(ids) == 1 and tokenizer.decode(ids) == frame.end else None


def _opening(tokenizer: Any, text: str) -> str:
    """Return what the tokenizer puts before a text by itself; programs that use a template tell it not to."""
    framed = f"{text}a"
    ids, bare = encode(tokenizer, framed), encode_rest(tokenizer, framed)
    number = next((i for i in range(len(ids)) if ids[i : i + len(bare)] == bare), 0)
    return "".join(tokenizer.convert_ids_to_tokens(ids[:number]))


def _literal(text: str) -> str:
    """Write text as a string of Jinja."""
    return "'" + "".join(_letter(letter) for letter in text) + "'"


def _letter(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    return letter.encode("unicode_escape").decode("ascii")
