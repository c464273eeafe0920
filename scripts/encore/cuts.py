"""Hard cuts: where the picture becomes another picture, and not only another light.

Each frame is reduced to a small picture of its top field (one field belongs to one moment, a woven
frame may belong to two shots) and that to the *order* of its brightnesses, which a lamp that comes
up or a flash does not change much. A cut separates two frames before it from two after it: every
one of the four comparisons across it is unlike, and both sides are like themselves. A flash fails
that test, because the frame after it is like the frame before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encore.frames import Luma

__all__ = ["Sketch", "cuts_in", "sketch"]

Sketch = NDArray[np.float32]
"""The ranks of a small picture's brightnesses, of mean 0 and length 1."""

_ROWS, _COLUMNS = 12, 16
_UNLIKE = 0.4
_TIMES_SIDES = 2.5


def sketch(luma: Luma) -> Sketch:
    """Reduce a frame (height, width), 0..255."""
    field = luma[0::2]
    rows, columns = min(_ROWS, field.shape[0]), min(_COLUMNS, field.shape[1])
    line, sample = field.shape[0] // rows, field.shape[1] // columns
    kept = field[: rows * line, : columns * sample]
    small = kept.reshape(rows, line, columns, sample).mean(axis=(1, 3)).ravel()
    # A code's worth of rounding joins what noise alone would put in order.
    _, place, ties = np.unique(np.round(small), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - 0.5 * ties)[place]
    ranks -= ranks.mean()
    length = float(np.linalg.norm(ranks))
    return np.asarray(ranks / length if length else ranks, np.float32)


def cuts_in(start: int, sketches: list[Sketch]) -> list[int]:
    """The frames that begin a shot, in a run of frames that begins with frame `start`."""
    found = []
    for n in range(2, len(sketches) - 1):
        before, after = sketches[n - 2 : n], sketches[n : n + 2]
        across = min(_unlikeness(one, other) for one in before for other in after)
        sides = max(_unlikeness(*before), _unlikeness(*after))
        if across > _UNLIKE and across > _TIMES_SIDES * sides:
            found.append(start + n)
    return found


def _unlikeness(one: Sketch, other: Sketch) -> float:
    """0 for pictures of one order, 1 for unrelated ones."""
    return 1.0 - float(one @ other)
