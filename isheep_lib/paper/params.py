"""The parameters of `paper.ipynb`."""

from typing import Annotated

from pydantic import AfterValidator, Field

from isheep_lib.params.kinds import Section, distinct


def _rows(entries: list[str]) -> list[str]:
    for entry in entries:
        row, equals, run = entry.partition("=")
        if not (row.strip() and equals and run.strip()):
            raise ValueError(f"{entry!r} should be a row of the tables, an equals sign and a run, like one_base=smollm2-135m")
    return distinct(entries)


Rows = Annotated[list[str], AfterValidator(_rows)]


class PaperParams(Section):
    """Parameters of `paper.ipynb`."""

    runs: Rows = Field(
        [], description="what was measured: a row of the tables, an equals sign, a run; none is the reference record"
    )
    map_sets: list[str] = Field(["seeds/tasks.jsonl"], description="files of tasks whose vectors span the map of Figure 4")
    map_model: str = Field("", description="model whose vectors place instructions, empty is the base model of the first run")
    out: str = Field("results/paper", description="folder for tables and figures", min_length=1)
