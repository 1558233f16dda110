"""Vectors of texts: a model's own, or of their words where no model is at hand.

A model's are kept below the cache folder, one array for a model and a list of texts, so that a page that is shown again does
not wait for them; the ones used longest ago are removed beyond a limit, and the folder `vectors` there may be deleted.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isheep_lib.engines.open import KINDS, open_engine, preflight
from isheep_lib.engines.params import Model
from isheep_lib.errors import RecordError
from isheep_lib.languages.words import words
from isheep_lib.models.base import ModelRef, find_model
from isheep_lib.record.code import code_digests
from isheep_lib.record.folders import cache_folder
from isheep_lib.record.progress import Progress
from isheep_lib.record.provenance import versions
from isheep_lib.record.rows import canonical_json, digest_text, write_atomic

CHUNK = 128  # texts between two lines of progress
MOST_BYTES = 2**30  # of all arrays that are kept


def settings_for(settings: Model, base_model: str) -> Model:
    """Return the section `params.Model` for another base model, which a server knows by another name."""
    changed = {} if base_model == settings.base_model else {"base_model": base_model, "served_model": ""}
    return settings.model_copy(update=changed)


def vectors_by_model(texts: Sequence[str], base_model: str, settings: Model) -> np.ndarray:
    """Return a base model's final-layer vectors, mean over each text's tokens: float32, texts x size.

    Raises:
        ModelError, EngineError: the model is not at hand; `vectors_by_words` needs none.
    """
    model, settings = find_model(base_model), settings_for(settings, base_model)
    kept = _place(texts, model, settings)
    if (known := _read(kept, len(texts))) is not None:
        return known
    vectors = _computed(texts, model, settings)
    _keep(kept, vectors)
    return vectors


def _computed(texts: Sequence[str], model: ModelRef, settings: Model) -> np.ndarray:
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


def _place(texts: Sequence[str], model: ModelRef, settings: Model) -> Path:
    """Name the file of what a model makes of texts, by everything that decides it."""
    kind = KINDS[settings.engine]
    asked = [settings.engine, settings.inference_dtype, settings.numerics, settings.context_tokens, settings.served_model]
    code = code_digests((kind.code,))
    key = canonical_json([model.digest, *asked, versions(kind.packages), code, list(texts)])
    return cache_folder() / "vectors" / f"{digest_text(key)[:32]}.npy"


def _read(path: Path, number: int) -> np.ndarray | None:
    """Return vectors that were kept, None where there are none or the file is damaged: they can be made again."""
    try:
        found = np.load(path)  # plain numbers: arrays of objects are refused
        os.utime(path)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.dtype == np.float32 and found.ndim == 2 and len(found) == number else None


def _keep(path: Path, vectors: np.ndarray) -> None:
    """Keep vectors, and remove those used longest ago beyond the limit; what cannot be written costs time, nothing else."""
    buffer = io.BytesIO()
    np.save(buffer, vectors)
    try:
        write_atomic(path, buffer.getvalue())
        kept = sorted(path.parent.glob("*.npy"), key=lambda file: file.stat().st_mtime, reverse=True)
        total = 0
        for file in kept:
            total += file.stat().st_size
            if total > MOST_BYTES and file != path:
                file.unlink(missing_ok=True)
    except (RecordError, OSError) as error:
        print(f"These vectors are not kept: {error}")


def vectors_by_words(texts: Sequence[str]) -> np.ndarray:
    """Return vectors of the words alone, which need no model: TF-IDF over these texts, of length 1, float32, texts x words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(words(text) for text in texts):
        return np.zeros((len(texts), 1), np.float32)
    return TfidfVectorizer(analyzer=words, dtype=np.float32).fit_transform(list(texts)).toarray()
