"""docs/settings.md: every axis has its parameter and its test, and every setting's override works."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from isheep_lib.iterate.run_params import SECTIONS, load_run

ROOT = Path(__file__).resolve().parents[2]
KNOWN = yaml.safe_load((ROOT / "tools/axes.yaml").read_text(encoding="utf-8"))
METHOD = ("synthesize", "assess", "filter", "train")


def choices() -> set[str]:
    """Name the parameters of the method that are choices by name, lists of names, or switches."""
    found = set()
    for section in METHOD:
        schema = SECTIONS[section].model_json_schema()["properties"]
        for name, value in schema.items():
            if "enum" in value or "enum" in value.get("items", {}) or value.get("type") == "boolean":
                found.add(f"{section}.{name}")
    return found


def test_every_choice_of_the_method_belongs_to_an_axis() -> None:
    named = {name for row in KNOWN["axes"] for name in row["parameters"]}
    assert choices() <= named, f"{sorted(choices() - named)} belong to no axis"
    assert len(get_args(SECTIONS["filter"].model_fields["comparison"].annotation)) == 4


@pytest.mark.parametrize("row", KNOWN["axes"], ids=lambda row: row["axis"])
def test_an_axis_names_parameters_and_a_test_that_exist(row: dict) -> None:
    for name in row["parameters"]:
        section, _, field = name.partition(".")
        assert field in SECTIONS[section].known_names()
    file, _, test = row["test"].partition("::")
    assert re.search(rf"^def {test}\(", (ROOT / "tests" / file).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("row", KNOWN["settings"], ids=lambda row: row["name"])
@pytest.mark.parametrize("preset", ["isheep-paper", "isheep-fixed", "smollm2-135m"])
def test_a_settings_override_is_valid_on_every_preset(preset: str, row: dict) -> None:
    load_run(ROOT / "params" / f"{preset}.yaml", row["override"])
