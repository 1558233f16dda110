"""The parameters of `ablate.ipynb`."""

from typing import Literal

from pydantic import Field

from isheep_lib.params.kinds import Section
from isheep_lib.params.names import FolderName


class AblateParams(Section):
    """Parameters of `ablate.ipynb`."""

    sweep: str = Field("params/ablations/small-threshold.yaml", description="sweep file: axes, values, seeds", min_length=1)
    name: FolderName = Field("", description="folder under results or a path for the runs, empty takes the name in the file")
    override: str = Field("", description="changes to the params file for all runs, after those of the sweep file")
    dry: bool = Field(False, description="plan and estimate only")
    probe: bool = Field(False, description="run a small probe first where no record says what a stage costs")
    stale: Literal["stop", "redo", "keep"] = Field("stop", description="what to do with stages made by other code")
