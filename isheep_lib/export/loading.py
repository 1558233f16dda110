"""How others load an exported model: lines for peft, transformers and vLLM that run in the export's folder as they are.

    text = loading(record, weights)      # paragraphs and blocks of code for the model card

Covers what an export holds of a model, and what a card says of loading it. Does not cover the card's other parts
(`export.model_card`) or what is written (`export.run`).
"""

from dataclasses import dataclass

from isheep_lib.export.contents import Record
from isheep_lib.export.markdown import render
from isheep_lib.prompting.chat import Frame


@dataclass(frozen=True)
class Weights:
    """What an export holds of a model."""

    adapters: tuple[str, ...]  # folders of adapters, in the order in which they apply; none where all weights were trained
    whole: str  # folder of a model that loads by itself, "" where there is none
    frame: Frame  # the chat frame of the training
    ends: tuple[int, ...]  # tokens at which an answer ends, the frame's own included; none where that is no single token
    knows_end: bool  # the base ends its answers at the frame's end by itself
    rank: int  # what vLLM must make room for to apply the adapter; 0 where it cannot apply it
    takes_system: bool  # the frame has a place for a system prompt
    same: int  # pairs whose task the template turns into the tokens that the training read


def loading(record: Record, weights: Weights) -> str:
    """Say how the model is loaded, with code that runs in the export's folder."""
    return render("loading.md.j2", record=record, weights=weights)
