"""Every notebook's parameter class, by the notebook's name."""

from isheep_lib.ablate.params import AblateParams
from isheep_lib.explore.params import ExploreParams
from isheep_lib.iterate.run_params import IterateParams
from isheep_lib.paper.params import PaperParams
from isheep_lib.params.kinds import Section

# Notebooks that are no stage.
OTHER_PARAMS: dict[str, type[Section]] = {
    "iterate": IterateParams,
    "paper": PaperParams,
    "ablate": AblateParams,
    "explore": ExploreParams,
}
