"""Tags of languages (BCP 47, RFC 5646): `zh`, `pt-BR`, `zh-Hant-TW`, in their usual letters.

    canonical("ZH-hant-tw")      # "zh-Hant-TW"
    shortened("zh-Hant-TW")      # ["zh-Hant-TW", "zh-Hant", "zh"], the order in which a tag is looked up (RFC 4647, 3.4)

Covers the form of a tag. Does not cover whether a language has rules (`languages.rules`).
"""

import re

TAG = re.compile(
    r"(?P<language>[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})(?P<script>-[a-z]{4})?(?P<region>-(?:[a-z]{2}|\d{3}))?"
    r"(?P<rest>(?:-(?:[a-z\d]{5,8}|\d[a-z\d]{3}))*(?:-[a-wyz\d](?:-[a-z\d]{2,8})+)*(?:-x(?:-[a-z\d]{1,8})+)?)",
    re.IGNORECASE | re.ASCII,
)


def canonical(tag: str) -> str:
    """Write a tag as is usual: language in small letters, script with a capital, region in capitals.

    Raises:
        ValueError: it has not the form of a tag.
    """
    found = TAG.fullmatch(tag)
    if not found:
        raise ValueError(f"{tag!r} is no language tag (BCP 47), such as en, zh or pt-BR")
    script, region = (found["script"] or "").title(), (found["region"] or "").upper()
    return f"{found['language'].lower()}{script}{region}{found['rest'].lower()}"


def shortened(tag: str) -> list[str]:
    """Return a tag and what is left of it as its ends are taken away, the language alone last."""
    parts = tag.split("-")
    return ["-".join(parts[:number]) for number in range(len(parts), 0, -1) if number == 1 or len(parts[number - 1]) > 1]
