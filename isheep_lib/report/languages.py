"""The language of a page's parts: its own words are English, what a run made is in the run's language.

Covers which tag stands on a page. Does not cover tags themselves or where they stand (`report/templates`).
"""

from collections.abc import Callable, Mapping
from typing import Any

from isheep_lib.languages import rules
from isheep_lib.languages.rules import tags_of
from isheep_lib.params.kinds import language_recorded

PAGE = "en"  # the words of the pages themselves


def language_of(params: Mapping[str, Any]) -> str:
    """Return the BCP 47 tag of the language that a run's texts are in, "" where it is not one: several, or any.

    HTML's lang is then empty as well, which says that the language is unknown.
    """
    tags = tags_of(language_recorded(params))
    return tags[0] if len(tags) == 1 else ""


def attribute(params: Mapping[str, Any]) -> str:
    """Return the attribute of what a run made, with a space before it; nothing where that is in the page's own language."""
    from markupsafe import Markup

    tag = language_of(params)
    return Markup("") if tag == PAGE else Markup(' lang="{}"').format(tag)


def holds(params: Mapping[str, Any]) -> Callable[[str], object]:
    """Return what tells whether a text may hold words of the run's language: letters of its scripts, where it has rules.

    An output with none is in the page's own language: tables of numbers and reasons are English in a run in Chinese, too.
    """
    import regex

    try:
        scripts = rules.of(language_of(params) or rules.ANY).scripts
    except ValueError:  # an older or foreign record names what has no rules here
        scripts = []
    if not scripts or "Latin" in scripts:
        return lambda text: True
    return regex.compile("[" + "".join(rf"\p{{Script={script}}}" for script in scripts) + "]").search
