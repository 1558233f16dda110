"""Every objective of training by its name."""

from typing import Any, Literal

from isheep_lib.train.objectives.dpo import Dpo
from isheep_lib.train.objectives.objective import Objective
from isheep_lib.train.objectives.orpo import Orpo
from isheep_lib.train.objectives.sft import Sft

ObjectiveName = Literal["sft", "dpo", "orpo"]
OBJECTIVES: dict[str, Objective[Any]] = {objective.name: objective for objective in (Sft(), Dpo(), Orpo())}
