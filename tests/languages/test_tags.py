"""Tags of languages: their form, their letters, and how they are looked up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.languages.tags import canonical, shortened

WRITTEN = {
    "EN": "en",
    "zh-hant-tw": "zh-Hant-TW",
    "PT-br": "pt-BR",
    "es-419": "es-419",
    "sl-ROZAJ-biske": "sl-rozaj-biske",
    "de-CH-1996": "de-CH-1996",
    "en-u-ca-gregory": "en-u-ca-gregory",
    "zh-x-Mine": "zh-x-mine",
    "fil": "fil",
}


@pytest.mark.parametrize("tag", WRITTEN)
def test_a_tag_is_written_in_the_usual_letters(tag):
    assert canonical(tag) == WRITTEN[tag]


@pytest.mark.parametrize("tag", ["", "e", "en_US", "en-", "-en", "en US", "中文", "123", "en-toolongsubtag", "en--us"])
def test_what_is_no_tag_is_refused(tag):
    with pytest.raises(ValueError, match="no language tag"):
        canonical(tag)


@given(st.sampled_from(sorted(WRITTEN)))
def test_writing_a_tag_again_changes_nothing(tag):
    assert canonical(canonical(tag)) == canonical(tag)


def test_a_tag_is_looked_up_from_its_whole_to_its_language():
    assert shortened("zh-Hant-TW") == ["zh-Hant-TW", "zh-Hant", "zh"]
    assert shortened("zh-x-mine") == ["zh-x-mine", "zh"]  # a single letter ends nothing
