"""Where what can be made again is kept between runs."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder for converted models and digests."""
    return Path(os.environ.get("ISHEEP_CACHE") or Path.home() / ".cache" / "isheep")
