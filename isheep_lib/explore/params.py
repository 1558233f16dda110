"""The parameters of `explore.ipynb`."""

from pydantic import Field

from isheep_lib.params.kinds import Section


class ExploreParams(Section):
    """Parameters of `explore.ipynb`."""

    run: str = Field("", description="name under results, or a path, empty is your newest run, else the reference record")
    iteration: int = Field(1, description="whose pairs are looked at first", ge=1)
    pair: str = Field("", description="id of the pair that is followed, empty is the first kept one")
    search: str = Field("", description="show only pairs with this text in task or response")
    sort: str = Field("id", description="column that pairs are sorted by")
    ask_models: bool = Field(False, description="ask this model and the next one the followed task again; needs their weights")
    map_model: str = Field("", description="model whose vectors place pairs on the map, empty is the base model of the run")
