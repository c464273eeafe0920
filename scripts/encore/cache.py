"""Where fetched models and other things that can be had again are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """The user's cache folder for Encore: `$ENCORE_CACHE`, or the platform's usual place.

    It need not exist yet.
    """
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
