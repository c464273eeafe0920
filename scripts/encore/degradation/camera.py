"""The camera: truth of any size to the fields (or frames) of SD, as float Y'CbCr codes.

Blur, sharpening, scaling and the broadcast's vertical low-pass are one matrix for each axis. In an
interlaced recording field k is taken at moment k, on the lines of its parity, and its chroma is
made of its own lines alone (ITU-T H.262 6.1.1.8): a top field's sits a quarter of a field line
below its first luma line, a bottom field's three quarters. Progressive chroma sits half way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encore.degradation import resampling
from encore.degradation.recipe import Recipe
from encore.degradation.resampling import Matrix

__all__ = ["Signal", "is_top", "shoot"]

Planes = NDArray[np.float32]


@dataclass
class Signal:
    """The picture on its way to the codec: (moments, lines, samples), 8-bit codes as float."""

    y: Planes
    u: Planes
    v: Planes


_SAME_LIGHT = 0.02  # of the mean level: more than motion does, less than a lamp


def is_top(moment: int, recipe: Recipe) -> bool:
    """Whether the field of this moment has the upper lines."""
    return (moment % 2 == 0) == recipe.top_first


def shoot(truth: NDArray[np.uint8], recipe: Recipe) -> Signal:
    """Truth R'G'B' (moments, height, width, 3) to limited-range BT.601, 4:2:0."""
    count, height, width, _ = truth.shape
    lines = recipe.height // 2 if recipe.interlaced else recipe.height
    frame_lines = _vertical(height, recipe)
    luma, chroma = _horizontal(width, recipe)
    signal = Signal(
        np.empty((count, lines, recipe.width), np.float32),
        np.empty((count, lines // 2, recipe.width // 2), np.float32),
        np.empty((count, lines // 2, recipe.width // 2), np.float32),
    )
    for moment in range(count):
        top = is_top(moment, recipe)
        rows = frame_lines[0 if top else 1 :: 2] if recipe.interlaced else frame_lines
        seen = resampling.down(rows, _exposed(truth, moment, recipe.motion_blur))
        r, g, b = (np.ascontiguousarray(seen[..., n]) for n in range(3))
        y = 0.299 * r + 0.587 * g + 0.114 * b
        share = 0.5 if not recipe.interlaced else 0.75 if top else 0.25
        signal.y[moment] = 16 + (219 / 255) * resampling.across(luma, y)
        for plane, colour, scale in ((signal.u, b, 1.772), (signal.v, r, 1.402)):
            difference = (colour - y) * np.float32(224 / 255 / scale)
            halved = share * difference[0::2] + (1 - share) * difference[1::2]
            plane[moment] = 128 + resampling.across(chroma, halved)
    return signal


def _exposed(truth: NDArray[np.uint8], moment: int, leak: float) -> Planes:
    """A moment with a share of those beside it, as what moves is blurred.

    Of a moment under another light nothing is taken: the light of a field is its own moment's, and
    what a flash would leave in its neighbours is no blur.
    """
    picture: Planes = truth[moment].astype(np.float32)
    if leak <= 0:
        return picture
    level = picture.mean()
    exposed = picture * np.float32(1 - 2 * leak)
    for number in (max(moment - 1, 0), min(moment + 1, len(truth) - 1)):
        other = truth[number].astype(np.float32)
        same = abs(other.mean() - level) <= _SAME_LIGHT * level
        exposed += (other if same else picture) * np.float32(leak)
    return exposed


def _vertical(height: int, recipe: Recipe) -> Matrix:
    lines = recipe.height
    blur = resampling.blurred(height, recipe.blur_px * height / lines)
    scale = resampling.scaled(height, lines, recipe.kernel)
    halo = resampling.sharpened(lines, 0.5 * recipe.halo, recipe.halo_px)
    low = np.eye(lines, dtype=np.float32)
    share = np.float32(0.25 * recipe.vertical_lowpass)
    up, downward = np.roll(low, -1, 1), np.roll(low, 1, 1)
    up[0], downward[-1] = low[0], low[-1]
    low = (1 - 2 * share) * low + share * (up + downward)
    return np.asarray(low @ halo @ scale @ blur, np.float32)


def _horizontal(width: int, recipe: Recipe) -> tuple[Matrix, Matrix]:
    """For luma and for chroma; the tape's bandwidth and delay are linear too, so they are here."""
    samples = recipe.width
    blur = resampling.blurred(width, recipe.blur_px * width / samples)
    scale = resampling.scaled(width, samples, recipe.kernel) @ blur
    halo = resampling.sharpened(samples, recipe.halo, recipe.halo_px)
    luma = resampling.blurred(samples, recipe.tape_blur_px) @ halo @ scale
    chroma = resampling.blurred(samples, recipe.chroma_bleed_px) @ scale
    if recipe.chroma_delay_px:
        chroma = resampling.shifted(samples, recipe.chroma_delay_px) @ chroma
    return luma, resampling.decimated(samples) @ chroma
