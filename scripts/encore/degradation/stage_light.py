"""The light of a show, put on a clean picture: washes, spots, cues, strobes, exposure.

The picture is taken as reflectance in linear light and multiplied by the light that falls on it;
haze adds a little of its own. A camera then exposes it, rolls its highlights off and clips. The
light of a moment depends on the recipe and the moment alone, so a clip may be lit in parts, except
for the exposure, which is set once on what is shown first, as an operator does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from encore.degradation.recipe import Recipe

__all__ = ["light_up"]

Pictures = NDArray[np.uint8]
Field = NDArray[np.float32]
Grid = NDArray[np.floating]

_CELL = 6
_STEPS_PER_UNIT = 16384  # of linear light: a quarter of a code in the dark
_TOP = 4.0
_TO_LINEAR = np.where(
    np.arange(256) <= 10,
    np.arange(256) / 255 / 12.92,
    ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4,
).astype(np.float32)
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def light_up(frames: Pictures, recipe: Recipe) -> Pictures:
    """Clean R'G'B' (moments, height, width, 3) as the show lit it, same shape.

    Raises ValueError for any other shape or type.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(
            f"frames are uint8 (T, H, W, 3), T >= 1; got {frames.dtype} {frames.shape}"
        )
    _, height, width, _ = frames.shape
    rig = _Rig(recipe, height, width)
    exposure = np.float32(rig.exposure(frames))
    codes = _camera(rig.knee)
    lit = np.empty_like(frames)
    for moment, picture in enumerate(frames):
        light, haze = rig.at(moment)
        both = np.concatenate((light, haze), -1).transpose(2, 0, 1) * exposure
        full = torch.nn.functional.interpolate(
            torch.from_numpy(np.ascontiguousarray(both))[None], (height, width), mode="bilinear"
        )[0]
        clean = torch.from_numpy(_TO_LINEAR.take(picture.transpose(2, 0, 1)))
        sent = clean.mul_(full[:3]).add_(full[3:])
        steps = sent.mul_(_STEPS_PER_UNIT).clamp_(0, len(codes) - 1).to(torch.int32).numpy()
        lit[moment] = codes.take(steps).transpose(1, 2, 0)
    return lit


@dataclass(frozen=True)
class _Lamp:
    """A spot that moves on a curve; places and sizes in picture heights."""

    x: float
    y: float
    swing_x: float
    swing_y: float
    radians_per_moment: float
    phase: float
    radius: float
    level: float


class _Rig:
    """The lamps of a recipe over one picture's grid of cells."""

    def __init__(self, recipe: Recipe, height: int, width: int) -> None:
        rng = np.random.default_rng([recipe.light_seed, 0x51A6E])
        rows, columns = max(2, height // _CELL), max(2, width // _CELL)
        aspect = width / height
        self._y = ((np.arange(rows, dtype=np.float32) + 0.5) / rows)[:, None]
        self._x = ((np.arange(columns, dtype=np.float32) + 0.5) / columns * aspect)[None, :]
        self._seed = recipe.light_seed
        self._calm = recipe.light == "calm"
        self._slow = 50 / recipe.moments_hz
        self.knee = float(rng.uniform(0.6, 0.92))
        self._level = float(rng.uniform(0.25, 1.0) if self._calm else rng.uniform(0.06, 0.5))
        # Where the bright parts come to lie, linear: a show is mostly dark.
        self._key = float(rng.uniform(0.2, 0.95) if self._calm else 0.1 * 8.5 ** rng.random())
        warmth = rng.normal(0, 0.08 if self._calm else 0.15)
        self._tint = np.exp(np.array([warmth, 0.0, -warmth], np.float32))
        self._purity = float(rng.uniform(0.35, 0.97))
        self._cue_moments = int(rng.integers(5, 40))
        self._cue_offset = int(rng.integers(0, 40))
        self._fade = int(rng.integers(2, 10)) if rng.random() < 0.35 else 0
        self._haze = float(rng.uniform(0.0, 0.05)) * (0.3 if self._calm else 1.0)
        self._wash = float(rng.uniform(0.2, 1.0)) * (0.15 if self._calm else 1.0)
        self._slopes = _slopes(rng, self._x, self._y, aspect)
        count = 0 if self._calm else int(rng.integers(1, 4))
        self._lamps = [_lamp(rng, aspect, self._slow) for _ in range(count)]
        self._strobe = _Strobe(rng, recipe.moments_hz) if recipe.light == "strobe" else None
        self._drift = float(rng.uniform(0, 0.12)), float(rng.uniform(0.02, 0.2))

    def at(self, moment: int, *, flashes: bool = True) -> tuple[Field, Field]:
        """What falls on the scene and what the haze sends, (rows, columns, 3) each."""
        colours = self._colours(moment)
        wash = sum(slope[..., None] * colours[n] for n, slope in enumerate(self._slopes))
        light = self._level * self._tint + self._wash * np.asarray(wash, np.float32)
        for number, lamp in enumerate(self._lamps):
            light = light + self._pool(lamp, moment)[..., None] * colours[2 + number]
        depth, rate = self._drift
        light = light * (1 + depth * math.sin(rate * moment * self._slow))
        haze = self._haze * (0.5 * np.asarray(wash, np.float32) + self._wash * colours[0])
        if self._strobe and flashes:
            rest, flash = self._strobe.at(moment)
            burst = flash * self._strobe.colour
            light, haze = light * rest + burst, haze * rest + self._strobe.veil * burst
        return np.asarray(light, np.float32), np.asarray(haze, np.float32)

    def exposure(self, frames: Pictures) -> float:
        """The gain that brings the bright parts to the operator's mark; flashes do not count."""
        seen, peak = [], 0.0
        for moment in sorted({0, len(frames) // 3, 2 * len(frames) // 3}):
            light, haze = self.at(moment, flashes=False)
            rows, columns, _ = light.shape
            small = frames[moment][
                np.linspace(0, frames.shape[1] - 1, rows).astype(int)[:, None],
                np.linspace(0, frames.shape[2] - 1, columns).astype(int)[None, :],
            ]
            seen.append((_TO_LINEAR[small] * light + haze) @ _LUMA)
            peak = max(peak, float(np.percentile(light @ _LUMA, 98)))
        bright = float(np.percentile(np.stack(seen), 93))
        # More light than the photo's own would show the photo's own noise.
        return min(self._key / max(bright, 1e-3), 1.3 / max(peak, 1e-3))

    def _pool(self, lamp: _Lamp, moment: int) -> Field:
        turn = lamp.radians_per_moment * moment + lamp.phase
        x = lamp.x + lamp.swing_x * math.sin(turn)
        y = lamp.y + lamp.swing_y * math.sin(0.7 * turn + 1)
        away = ((self._x - x) ** 2 + (self._y - y) ** 2) / lamp.radius**2
        return np.asarray(lamp.level / (1 + away**2.5), np.float32)

    def _colours(self, moment: int) -> Field:
        """Of the two washes and the lamps, (5, 3): at once at a cue, or faded into."""
        cue, since = divmod(moment + self._cue_offset, self._cue_moments)
        new = self._cue(cue)
        if self._fade and since < self._fade:
            share = np.float32((since + 1) / (self._fade + 1))
            return self._cue(cue - 1) * (1 - share) + new * share
        return new

    def _cue(self, cue: int) -> Field:
        rng = np.random.default_rng([self._seed, 0xC0E, cue + 1])
        hue = rng.uniform(0, 6, (5, 1))
        pure = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
        white = rng.random((5, 1)) < 0.3
        purity = np.where(white, 0.1, self._purity) * (0.25 if self._calm else 1.0)
        level = rng.uniform(0.5, 1.2, (5, 1))
        return np.asarray(level * (1 - purity + purity * pure), np.float32)


class _Strobe:
    """Flashes at 5 to 12 Hz, one to three moments long, over the rig or over the dark."""

    def __init__(self, rng: np.random.Generator, moments_hz: float) -> None:
        self._period = moments_hz / float(rng.uniform(5, 12))
        self._length = min(int(rng.integers(1, 4)), max(1, int(0.4 * self._period)))
        self._phase = float(rng.uniform(0, self._period))
        self._flash = float(rng.uniform(0.5, 3.0))
        self._rest = 1.0 if rng.random() < 0.6 else float(rng.uniform(0.1, 0.6))
        self.veil = float(rng.uniform(0.0, 0.08))
        tint = rng.uniform(0.1, 1.0, 3) if rng.random() < 0.2 else rng.uniform(0.8, 1.0, 3)
        self.colour = np.asarray(tint / tint.max(), np.float32)

    def at(self, moment: int) -> tuple[float, float]:
        """What is left of the other light, and the flash's own."""
        lit = (moment + self._phase) % self._period < self._length
        return (1.0, self._flash) if lit else (self._rest, 0.0)


def _slopes(rng: np.random.Generator, x: Grid, y: Grid, aspect: float) -> tuple[Field, Field]:
    """Two washes that come from opposite sides."""
    angle = float(rng.uniform(0, 2 * math.pi))
    along = (x / aspect - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle)
    soft = float(rng.uniform(0.15, 0.6))
    one = (0.5 * (1 + np.tanh(along / soft))).astype(np.float32)
    return one, 1 - one


def _lamp(rng: np.random.Generator, aspect: float, slow: float) -> _Lamp:
    return _Lamp(
        x=float(rng.uniform(0.1, 0.9)) * aspect,
        y=float(rng.uniform(0.1, 0.9)),
        swing_x=float(rng.uniform(0, 0.6)),
        swing_y=float(rng.uniform(0, 0.3)),
        radians_per_moment=float(rng.uniform(0.0, 0.12)) * slow,
        phase=float(rng.uniform(0, 2 * math.pi)),
        radius=float(rng.uniform(0.12, 0.55)),
        level=float(rng.uniform(0.5, 2.0)),
    )


def _camera(knee: float) -> Pictures:
    """From steps of linear light to codes: a shoulder above the knee, then sRGB's curve."""
    linear = np.arange(int(_TOP * _STEPS_PER_UNIT)) / _STEPS_PER_UNIT
    room = 1 - knee
    # The shoulder reaches 1 at 2.5 times white, so a flash is white and white is not grey.
    over = np.clip((linear - knee) / (2.5 - knee), 0, 1)
    slope = (2.5 - knee) / room
    rolled = knee + room * (1 - (1 - over) ** slope)
    seen = np.where(linear <= knee, linear, rolled)
    curve = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return np.asarray(np.clip(255 * curve + 0.5, 0, 255), np.uint8)
