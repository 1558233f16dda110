"""Vectors of texts: a model's own, or of their words where no model is at hand."""

from collections.abc import Sequence

import numpy as np

from isheep_lib.analysis.words import words
from isheep_lib.engines.dtype import resolve_dtype
from isheep_lib.engines.open import open_engine, preflight
from isheep_lib.engines.params import Model
from isheep_lib.models.base import find_model
from isheep_lib.record.progress import Progress

CHUNK = 128  # texts between two lines of progress


def settings_for(settings: Model, base_model: str) -> Model:
    """Return the section `params.Model` for another base model, with its number format settled."""
    changed = {} if base_model == settings.base_model else {"base_model": base_model, "served_model": ""}
    if settings.inference_dtype == "auto":
        changed["inference_dtype"], _ = resolve_dtype("auto", settings.engine, find_model(base_model).path)
    return settings.model_copy(update=changed)


def vectors_by_model(texts: Sequence[str], base_model: str, settings: Model) -> np.ndarray:
    """Return a base model's final-layer vectors, mean over each text's tokens: float32, texts x size.

    Raises:
        ModelError, EngineError: the model is not at hand; `vectors_by_words` needs none.
    """
    model, settings = find_model(base_model), settings_for(settings, base_model)
    preflight(model, settings)
    engine = open_engine(model, settings)
    parts = []
    try:
        with Progress("vectors", len(texts)) as progress:
            for start in range(0, len(texts), CHUNK):
                part = list(texts[start : start + CHUNK])
                parts.append(np.asarray(engine.embed(part), dtype=np.float32))
                progress.advance(len(part))
    finally:
        engine.close()
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


def vectors_by_words(texts: Sequence[str]) -> np.ndarray:
    """Return vectors of the words alone, which need no model: TF-IDF over these texts, of length 1, float32, texts x words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(words(text) for text in texts):
        return np.zeros((len(texts), 1), np.float32)
    return TfidfVectorizer(analyzer=words, dtype=np.float32).fit_transform(list(texts)).toarray()
