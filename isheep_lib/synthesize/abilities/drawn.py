"""A figure of a method's own, where it has one; a method that draws imports what draws when it does."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from isheep_lib.synthesize.candidates import Candidates
from isheep_lib.synthesize.method import Method

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Drawn(ABC):
    """A method that draws what it wrote."""

    @abstractmethod
    def figure(self, candidates: Candidates) -> "Figure":
        """Draw what the method's own choices brought."""


def own_figure(method: Method[Any], candidates: Candidates) -> "Figure":
    """Draw a method's own figure, nothing where it has none."""
    from isheep_lib.display.figures import nothing

    return method.figure(candidates) if isinstance(method, Drawn) else nothing()
