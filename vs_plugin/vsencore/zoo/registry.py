"""Models that can be fetched: where each is, and how to know that it is the right file.

The list is data, `registry.toml` beside this module.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from .descriptor import Purpose

__all__ = ["Entry", "Kind", "entries"]

Kind = Literal["torch", "onnx"]


@dataclass(frozen=True)
class Entry:
    """One model to fetch. `scale` is None for what gives no picture."""

    name: str
    about: str
    kind: Kind
    purpose: Purpose
    url: str
    size_bytes: int
    sha256: str
    licence: str
    credit: str
    scale: int | None = None


@cache
def entries() -> dict[str, Entry]:
    """The models that can be fetched, by name."""
    text = files(__package__).joinpath("registry.toml").read_text(encoding="utf-8")
    return {name: Entry(name, **facts) for name, facts in tomllib.loads(text).items()}
