"""A mapping of parameters whose class another parameter chooses, such as the own parameters of a method."""

import difflib
from typing import Any

from isheep_lib.params.kinds import Section


def checked_options(given: Any, kind: type[Section], owner: str) -> Section:
    """Check the own parameters of what was chosen by their class.

    Args:
        given: a mapping, or parameters that were checked already.
        kind: their class.
        owner: what was chosen, such as "the method list".

    Raises:
        ValueError: a name that it does not have, with the nearest, or a value that does not do.
    """
    if type(given) is kind:
        return given
    if isinstance(given, dict) and (unknown := [name for name in given if name not in kind.model_fields]):
        near = difflib.get_close_matches(str(unknown[0]), kind.model_fields, n=1, cutoff=0.5)
        own = f"its own are {', '.join(kind.model_fields)}" if kind.model_fields else "it has no parameters of its own"
        said = f"did you mean {near[0]}" if near else own
        raise ValueError(f"{owner} has no {', '.join(map(str, unknown))}; {said}")
    return kind.model_validate(given)
