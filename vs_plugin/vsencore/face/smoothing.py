"""A path solved as a whole from what was seen of it now and then and how it moved in between.

What is seen is right on average, but jitters; steps hardly jitter, but their errors add up. The
path that fits both best, each by its deviation, and that bends no more than it must where there
is neither, is one band of linear equations: the smoother of Rauch, Tung and Striebel (1965) written
at once. Past and future count alike, so nothing lags; what lies far off counts less and less
(Cauchy's weights, three rounds).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

__all__ = ["Deviations", "Seen", "Stepped", "solve"]

Values = NDArray[np.float64]
Places = NDArray[np.int_]

_ROUNDS = 3
# An error of so many deviations, squared, halves what a look or a step counts.
_FAR_OFF = 8.0


@dataclass
class Seen:
    """What was seen: in which places of the path, its values (n, 2), and what each counts."""

    at: Places
    values: Values
    weight: Values


@dataclass
class Stepped:
    """Steps: from which place to which, how far (m, 2), and what each counts."""

    start: Places
    end: Places
    move: Values
    weight: Values


@dataclass(frozen=True)
class Deviations:
    """Of what is seen, of a step, and of a path's bend from one place to the next."""

    seen: float
    step: float
    bend: float


def solve(length: int, seen: Seen, steps: Stepped, expected: Deviations) -> Values:
    """The path (length, 2) that fits best; something must have been seen."""
    middle = seen.values.mean(0)
    values = seen.values - middle
    weights = seen.weight / expected.seen**2, steps.weight / expected.step**2
    trusted = np.ones_like(weights[0]), np.ones_like(weights[1])
    bend = float(np.median(seen.weight)) / expected.bend**2
    path = np.zeros((length, 2))
    for _ in range(_ROUNDS):
        path = _solved(
            length,
            Seen(seen.at, values, weights[0] * trusted[0]),
            Stepped(steps.start, steps.end, steps.move, weights[1] * trusted[1]),
            bend,
        )
        off = ((path[seen.at] - values) ** 2).sum(1) * weights[0]
        slip = ((path[steps.end] - path[steps.start] - steps.move) ** 2).sum(1) * weights[1]
        trusted = 1 / (1 + off / _FAR_OFF), 1 / (1 + slip / _FAR_OFF)
    return path + middle


def _solved(length: int, seen: Seen, steps: Stepped, bend: float) -> Values:
    spans = np.abs(steps.end - steps.start)
    width = max(2, int(spans.max(initial=0)))
    band = np.zeros((width + 1, length))  # row i - j, column j
    right = np.zeros((length, 2))
    np.add.at(band[0], seen.at, seen.weight)
    np.add.at(right, seen.at, seen.weight[:, None] * seen.values)
    np.add.at(band[0], steps.start, steps.weight)
    np.add.at(band[0], steps.end, steps.weight)
    np.subtract.at(band.ravel(), spans * length + np.minimum(steps.start, steps.end), steps.weight)
    np.add.at(right, steps.end, steps.weight[:, None] * steps.move)
    np.subtract.at(right, steps.start, steps.weight[:, None] * steps.move)
    # The square of x[n] - 2 x[n + 1] + x[n + 2].
    count = max(0, length - 2)
    for row, column, factor in ((0, 0, 1), (0, 1, 4), (0, 2, 1), (1, 0, -2), (1, 1, -2), (2, 0, 1)):
        band[row, column : column + count] += bend * factor
    band[0] += 1e-9 * float(band[0].max())
    if length == 1:
        return np.asarray(right / band[0, 0])
    return np.asarray(solveh_banded(band[:length], right, lower=True), np.float64)
