"""The concert's light: a wash that changes colour, lamps that sweep in haze, blinders, one spot.

Everything is linear light. Each bar has its own pair of colours, faded into within a quarter of a
second; the lamps take the two in turn and change places on every beat.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from encore.concert import score

__all__ = ["HORIZON", "LAMPS", "Rig", "Show"]

Plane = NDArray[np.float32]
Colour = NDArray[np.float32]

HORIZON = 0.66
"""Where the backdrop meets the floor, in scene units."""
LAMPS = tuple((0.12 + 1.537 * n / 7, 0.085) for n in range(8))
"""Where the lamps hang."""
_FLOOR_AT = 0.80
_FADE_S = 0.25

_MAGENTA, _CYAN = (1.0, 0.08, 0.55), (0.05, 0.65, 1.0)
_AMBER, _BLUE = (1.0, 0.42, 0.06), (0.08, 0.14, 1.0)
_GREEN, _VIOLET = (0.12, 0.95, 0.30), (0.50, 0.10, 1.0)
_RED, _WHITE = (1.0, 0.06, 0.05), (0.85, 0.80, 0.75)
_PAIRS = ((_BLUE, _MAGENTA), (_AMBER, _BLUE), (_VIOLET, _CYAN), (_RED, _WHITE), (_CYAN, _GREEN))


@dataclass(frozen=True)
class Show:
    """The light at one moment."""

    wash: Colour
    """What floods the backdrop from below."""
    top: Colour
    """What comes down from above, and from behind the figures."""
    spot: Colour
    """The follow spot on the singer."""
    flash: float
    lamps: tuple[tuple[float, Colour], ...]
    """Each lamp's angle from straight down, in radians, and its colour."""

    @classmethod
    def at(cls, t: float) -> Show:
        """The light at `t` seconds."""
        first, second = _pair(t)
        pulse = math.exp(-(t % score.BEAT_S) / 0.16)
        beat = math.floor(t / score.BEAT_S + 1e-9)
        lamps = []
        for number in range(len(LAMPS)):
            angle = 0.62 * math.sin(2 * math.pi * t / 3.1 + 0.9 * number) - 0.10 * (number - 3.5)
            colour = first if (number + beat) % 2 else second
            lamps.append((angle, colour * (0.55 + 0.6 * pulse)))
        return cls(
            wash=first * (0.75 + 0.25 * pulse),
            top=second * 0.9,
            spot=np.array([1.0, 0.86, 0.70], np.float32) * (0.95 + 0.05 * math.sin(5.1 * t)),
            flash=score.flash(t),
            lamps=tuple(lamps),
        )


class Rig:
    """The beams and the haze as one camera's grid of scene coordinates sees them."""

    def __init__(self, x: Plane, y: Plane, seed: int) -> None:
        self._x, self._y = x, y
        self._haze = _clouds(seed, y.shape[0], x.shape[1])
        up = np.exp((np.minimum(y, HORIZON) - HORIZON) / 0.30)
        self._from_below = np.where(y < HORIZON, up, 0.30 + 0 * y)
        self._from_above = np.where(y < HORIZON, np.exp(-y / 0.35), 0.10 + 0.5 * (y - HORIZON))
        self._fall = np.where(y < HORIZON, 1.0, 0.0)

    def surfaces(self, show: Show) -> Plane:
        """The light that falls on the backdrop and the floor, (h, w, 3)."""
        white = np.float32(show.flash)
        total = (
            0.62 * self._from_below[..., None] * show.wash
            + (0.30 * self._from_above)[..., None] * show.top
        )
        total = np.broadcast_to(total, (len(self._y), self._x.shape[1], 3)).copy()
        total += 0.012 + 0.6 * white
        for (lx, ly), (angle, colour) in zip(LAMPS, show.lamps, strict=True):
            at = lx + math.tan(angle) * (_FLOOR_AT - ly)
            across = ((self._x - at) / 0.13) ** 2
            pool = np.exp(-across - ((self._y - _FLOOR_AT) / 0.035) ** 2) * (1 - self._fall)
            spill = (
                0.16 * np.exp(-0.25 * across) * np.exp(-(((self._y - 0.5) / 0.2) ** 2)) * self._fall
            )
            total += (2.2 * pool + spill)[..., None] * colour
        return np.asarray(total, np.float32)

    def air(self, show: Show, t: float) -> Plane:
        """The light that the haze sends to the camera: beams and a veil, (h, w, 3)."""
        haze = 0.55 + 0.5 * self._drift(0, 9 * t) + 0.4 * self._drift(1, -17 * t)
        veil = 0.035 * show.wash + 0.020 * show.top + 0.20 * np.float32(show.flash)
        total = haze[..., None] * veil
        for (lx, ly), (angle, colour) in zip(LAMPS, show.lamps, strict=True):
            sin, cos = np.float32(math.sin(angle)), np.float32(math.cos(angle))
            dx, dy = self._x - np.float32(lx), self._y - np.float32(ly)
            along = np.maximum(dx * sin + dy * cos, 0)
            across = (dx * cos - dy * sin) / (0.010 + 0.085 * along)
            beam = np.exp(-(across * across)) * (along > 0) * (0.055 / (0.10 + along))
            total += (beam * haze)[..., None] * (1.15 * colour)
        return total

    def _drift(self, layer: int, px: float) -> Plane:
        """A cloud moved sideways by a fraction of its own grid, round and round."""
        whole = math.floor(px)
        part = np.float32(px - whole)
        cloud = self._haze[layer]
        return np.roll(cloud, whole, 1) * (1 - part) + np.roll(cloud, whole + 1, 1) * part


def _pair(t: float) -> tuple[Colour, Colour]:
    bar = math.floor(t / score.BAR_S + 1e-9)
    share = min(1.0, (t - bar * score.BAR_S) / _FADE_S)
    new, old = np.array(_PAIRS[bar % 5], np.float32), np.array(_PAIRS[(bar - 1) % 5], np.float32)
    first, second = old + np.float32(share) * (new - old) if bar else new
    return first, second


@functools.cache
def _clouds(seed: int, height: int, width: int) -> tuple[Plane, ...]:
    rng = np.random.default_rng([seed, 0x4A2E])
    return tuple(_cloud(rng, (height, width), size * height) for size in (0.10, 0.05))


def _cloud(rng: np.random.Generator, shape: tuple[int, int], size: float) -> Plane:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), (size, 1.8 * size), mode="wrap")
    return np.clip(0.5 + 0.25 * noise / noise.std(), 0, 1).astype(np.float32)
