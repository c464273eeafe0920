"""Where models are: shipped in the wheel, kept in the user's folder, or at a path.

A model `NAME` in the user's folder is `NAME.safetensors` and, beside it, `NAME.json`: its size,
sha256, licence and where it came from. One record a model, so that two processes that add models
never write the same file. A file put there by hand has no record, and works without.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .descriptor import Descriptor, describe

__all__ = ["find", "models_dir"]


def models_dir() -> Path:
    """The user's folder of models: `$ENCORE_MODELS`, or `models` in Encore's cache folder.

    The cache folder is `$ENCORE_CACHE`, or the platform's usual place. Neither need exist yet.
    """
    chosen = os.environ.get("ENCORE_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    return _cache_dir() / "models"


def find(name_or_path: str | Path) -> Descriptor:
    """The model of a name, or in a file.

    Raises:
        ZooError: there is no such model, or its file cannot be used.
    """
    return describe(Path(name_or_path).expanduser(), Path(name_or_path).stem)


def _cache_dir() -> Path:
    # The same places as encore.cache: this package knows nothing of that one.
    chosen = os.environ.get("ENCORE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "encore" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "encore"
    chosen = os.environ.get("XDG_CACHE_HOME")
    return (Path(chosen) if chosen else Path.home() / ".cache") / "encore"
