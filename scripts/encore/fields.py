"""How far apart in time two fields are, told from their pictures, block by block.

For neighbouring frames n and n+1 with top fields T and bottom fields B, five distances are taken
in each block, all as mean squares on the scale of 8 bits:

    a  T_n   B_n        b  B_n  T_n+1        c  T_n  B_n+1        (lines of unlike parity)
    tt T_n   T_n+1      bb B_n  B_n+1                             (lines of like parity)

Fields of unlike parity are compared where both have a line in truth: each line with the cubic
interpolation of its neighbours in the other field, in both directions. What that comparison gets
from fine vertical detail and from noise is the same in a, b and c, as the mean square of
independent things adds; so the *differences* of a, b and c hold motion alone, and grow with the
time between the fields: a frame scanned whole has a = 0 < b = c; one whose top field is first
has a = b < c; one whose bottom field is first a = c < b.

Light is taken out before fields are compared: each block of a field has its own mean subtracted,
and pairs between which the light of most of the picture changes are left out altogether.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encore.frames import Luma

__all__ = ["BLOCK", "SMALLEST", "PairDistances", "distances"]

BLOCK = (8, 16)
"""Field lines and (thinned) samples of a block."""

SMALLEST = (2 * (BLOCK[0] + 3), BLOCK[1])
"""The height and width below which there is not one block."""

_THIN_TO = 400
"""Samples a line is averaged down to: noise falls, motion stays."""
_LIGHT_CODES, _LIGHT_SHARE = 2.0, 0.2
"""A change of a fifth leaves a residue of 4 % of a block's own variance: less than any motion."""

Map = NDArray[np.float32]


@dataclass(frozen=True)
class PairDistances:
    """The distances between the fields of two neighbouring frames, one value for each block."""

    a: Map
    b: Map
    c: Map
    tt: Map
    bb: Map
    light_changes: bool
    """True where the light of most of the picture changes between these four fields."""


def distances(first: Luma, second: Luma) -> PairDistances:
    """Compare the fields of two neighbouring frames, each (height, width) >= SMALLEST, 0..255."""
    top0, bottom0 = _fields(first)
    top1, bottom1 = _fields(second)
    within = (_unlike(top0, bottom0) + _unlike(top1, bottom1)) / np.float32(2)
    return PairDistances(
        a=within,
        b=_unlike(top1, bottom0),
        c=_unlike(top0, bottom1),
        tt=_like(top0, top1),
        bb=_like(bottom0, bottom1),
        light_changes=_light_changes([top0, bottom0, top1, bottom1]),
    )


def _fields(frame: Luma) -> tuple[Luma, Luma]:
    """The top and the bottom field, both thinned along the line."""
    height, width = frame.shape[0] // 2 * 2, frame.shape[1]
    step = max(1, round(width / _THIN_TO))
    kept = width // step * step
    thin = frame[:height, :kept:step].copy()
    for offset in range(1, step):
        thin += frame[:height, offset:kept:step]
    thin *= np.float32(1 / step)
    return thin[0::2], thin[1::2]


def _unlike(top: Luma, bottom: Luma) -> Map:
    """The distance between a top and a bottom field."""
    # Line i of the bottom field lies between lines i and i + 1 of the top field.
    at_bottom = _between(top)
    at_top = _between(bottom)
    return (_spread(bottom[1:-2] - at_bottom) + _spread(top[2:-1] - at_top)) / np.float32(2)


def _between(field: Luma) -> Luma:
    """The lines halfway between the lines of a field, by cubic interpolation."""
    near, far = field[1:-2] + field[2:-1], field[:-3] + field[3:]
    return near * np.float32(9 / 16) - far * np.float32(1 / 16)


def _like(first: Luma, second: Luma) -> Map:
    """The distance between two fields of the same parity."""
    return _spread(second[1:-2] - first[1:-2])


def _spread(difference: Luma) -> Map:
    """The variance of a difference in each block: its mean is light, not motion."""
    mean = _block_mean(difference)
    return _block_mean(difference * difference) - mean * mean


def _block_mean(plane: Luma) -> Map:
    lines, samples = BLOCK
    rows, columns = plane.shape[0] // lines, plane.shape[1] // samples
    kept = plane[: rows * lines, : columns * samples]
    # Down first: whole lines are added at once, which is many times quicker than block by block.
    summed = kept.reshape(rows, lines, columns * samples).sum(axis=1)
    return summed.reshape(rows, columns, samples).sum(axis=2) * np.float32(1 / (lines * samples))


def _light_changes(fields: list[Luma]) -> bool:
    """True where most blocks brighten, or most darken: what moves does as much of either."""
    means = np.stack([_block_mean(field) for field in fields])
    allowed = _LIGHT_CODES + _LIGHT_SHARE * means.mean(axis=0)
    for one in range(len(fields)):
        change = means[one] - means[one - 1]
        if abs(float(((change > allowed) * 1.0 - (change < -allowed)).mean())) > 0.5:
            return True
    return False
