"""The map of one iteration's pairs: where they lie by their vectors, in the colour of what became of them.

    placed = place(pairs(run_dir, 1))
    placed.picture("i1-r0-p003-t1")
    placed.neighbours("i1-r0-p003-t1")

Covers which vectors are taken and what is said of them. Does not cover the plane (`display.embedding_map`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from isheep_lib.display import embedding_map, figures
from isheep_lib.display.table import Table, clip
from isheep_lib.engines.open import model_settings
from isheep_lib.engines.vectors import vectors_by_model, vectors_by_words
from isheep_lib.errors import DataError, EngineError, ModelError, RecordError
from isheep_lib.explore.pairs import KEPT, Pairs
from isheep_lib.iterate.run_params import recorded_params
from isheep_lib.prompting.chat import user_words
from isheep_lib.record import manifests
from isheep_lib.record.rows import Task

VECTORS = "vectors.npy"
NUMBER = 6  # neighbours shown


@dataclass(frozen=True)
class Placed:
    """Pairs in the plane."""

    rows: list[dict[str, Any]]  # the pairs that have a place, kept ones first
    points: np.ndarray  # their places, rows x 2
    axes: tuple[str, str]  # labels of both axes
    caption: str  # whose vectors these are
    spread: Table  # kept and dropped pairs against all of them, in numbers

    def picture(self, marked: str = "") -> Figure:
        """Draw the pairs, one of them ringed."""
        groups = [row["reason"] or row["fate"] for row in self.rows]
        place = next((i for i, row in enumerate(self.rows) if row["id"] == marked), None)
        caption = f"{self.caption}; {marked} is ringed" if place is not None else self.caption
        return figures.points(self.points, groups, self.axes, caption, place)

    def neighbours(self, id_: str, number: int = NUMBER) -> Table:
        """Show the pairs that lie nearest to one pair on the map."""
        place = next((i for i, row in enumerate(self.rows) if row["id"] == id_), None)
        if place is None:
            return Table([{"neighbours": f"{id_} has no place on the map"}])
        rows = []
        for i, distance in embedding_map.nearest(self.points, place, number):
            row = self.rows[i]
            fate = row["reason"] or row["fate"]
            rows.append({"id": row["id"], "distance": distance, "fate": fate, "instruction": clip(row["instruction"])})
        return Table(rows or [{"neighbours": "none: it is the only pair"}], f"Nearest to {id_} on the map")


def place(found: Pairs, model: str = "") -> Placed:
    """Place pairs by the vectors of a model, or else by those that assess recorded, by the base model's, or by their words."""
    vectors, chosen, whose = _vectors(found, model)
    order = sorted(range(len(chosen)), key=lambda i: found.made[chosen[i]]["fate"] != KEPT)  # so kept pairs have one colour
    rows, vectors = [found.made[chosen[i]] for i in order], vectors[order]
    fewer = f", {len(rows)} of {len(found.made)}" if len(rows) < len(found.made) else ""
    caption = f"{len(found.made)} pairs of iteration {found.iteration}{fewer}, task and response together, by {whose}"
    try:
        plane = embedding_map.fit(vectors)
    except DataError as error:
        return Placed([], np.zeros((0, 2)), ("", ""), f"No map: {error.what}", Table([{"spread": "no map"}]))
    fates = dict.fromkeys(row["fate"] for row in rows)
    groups = {fate: vectors[[i for i, row in enumerate(rows) if row["fate"] == fate]] for fate in fates}
    spread = plane.spread({"all": vectors, **groups})
    return Placed(rows, plane.reference, plane.axes(), caption, Table(spread.rows, f"{caption}. {spread.caption}"))


def _vectors(found: Pairs, model: str) -> tuple[np.ndarray, list[int], str]:
    """Return vectors, the places among the pairs that they belong to, and whose they are."""
    folder = manifests.stage_folder(found.run_dir, found.iteration, "assess")
    manifest = manifests.read_manifest(folder)
    chosen = embedding_map.thinned(len(found.made))
    if manifest and VECTORS in manifest["outputs"] and not model:
        manifests.require_intact(folder, [VECTORS])
        assessor = recorded_params(manifest, f"iter-{found.iteration}/assess").model_iteration(found.iteration)
        return np.load(folder / VECTORS)[chosen], chosen, f"the vectors that assess recorded, of M_{assessor}"
    texts = [_text(found.made[i]) for i in chosen]
    try:
        settings = model_settings(found.run_dir)
        name = model or settings.base_model
        return vectors_by_model(texts, name, settings), chosen, f"the final layer of {name}"
    except (ModelError, EngineError, RecordError) as error:
        why = error.what[0].lower() + error.what[1:]
        return vectors_by_words(texts), chosen, f"their words (TF-IDF), as the model is not at hand: {why}"


def _text(row: dict[str, Any]) -> str:
    """Join task and response as assess does for its vectors."""
    return f"{user_words(Task(row['id'], row['instruction'], row['input']))}\n\n{row['output']}"
