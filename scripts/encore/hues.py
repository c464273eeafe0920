"""A light's colour in words and numbers: what a lamp operator would call it.

A colour is judged by its hue angle and chroma in CIELAB (CIE 15) with its strongest primary at
full, as sRGB primaries under D65, so that a dim blue is as blue as a bright one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEUTRAL", "hex_of", "hue_of", "lab", "name_of", "names_of"]

NEUTRAL = 36.0
"""CIELAB chroma under which a light is white, warm or cold: skin under tungsten is 30."""

_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = np.array([0.9505, 1.0, 1.089])
# Up to which hue angle a colour has its name.
_UPPER = np.array([20.0, 50.0, 82.0, 115.0, 165.0, 225.0, 309.0, 318.0, 345.0])
_NAMES = np.array(
    ["pink", "red", "amber", "yellow", "green", "cyan", "blue", "violet", "magenta", "pink"]
)


def lab(linear: NDArray[np.floating] | Sequence[float]) -> NDArray[np.float64]:
    """CIELAB (..., 3) of linear light (..., 3), its strongest primary brought to 1."""
    light = np.asarray(linear, np.float64)
    full = light / np.maximum(light.max(-1, keepdims=True), 1e-12)
    share = full @ _TO_XYZ.T / _WHITE
    root = np.where(share > (6 / 29) ** 3, np.cbrt(share), share / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def hue_of(linear: Sequence[float] | NDArray[np.floating]) -> tuple[float, float]:
    """Hue angle, 0..360 degrees, and chroma of linear light (3)."""
    _, a, b = lab(linear)
    return float(np.degrees(np.arctan2(b, a)) % 360), float(np.hypot(a, b))


def name_of(linear: Sequence[float] | NDArray[np.floating]) -> str:
    """A word for the colour of linear light (3): "white", or one of nine hues."""
    return str(names_of(np.asarray(linear)[None])[0])


def names_of(linear: NDArray[np.floating]) -> NDArray[np.str_]:
    """Words (N) for the colours of linear light (N, 3)."""
    _, a, b = np.moveaxis(lab(linear), -1, 0)
    hues = np.degrees(np.arctan2(b, a)) % 360
    return np.where(np.hypot(a, b) < NEUTRAL, "white", _NAMES[np.searchsorted(_UPPER, hues)])


def hex_of(linear: Sequence[float] | NDArray[np.floating], *, full: bool = False) -> str:
    """sRGB "#rrggbb" of linear light (3); with `full` its strongest primary is brought to 1."""
    light = np.clip(np.asarray(linear, np.float64), 0, 1)
    if full:
        light = light / max(float(light.max()), 1e-9)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * float(one)):02x}" for one in coded)
