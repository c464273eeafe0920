"""A history that fits a page, however long the show: when it is full, two neighbours become one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["History", "Trace"]

type _Array = npt.NDArray[np.float64]

_MOST_ROWS = 2048


@dataclass(frozen=True)
class History:
    """Values at equal steps of time: the n-th stands for n * step_s to (n + 1) * step_s."""

    step_s: float
    values: tuple[float, ...]


class Trace:
    """Takes rows of `width` values, one after `step_s` seconds, and keeps at most 2048 of them.

    keep: what neighbours become, their mean or, for peaks, the higher.
    """

    def __init__(
        self, step_s: float, width: int = 1, keep: Literal["mean", "max"] = "mean"
    ) -> None:
        self._step_s = step_s
        self._peaks = keep == "max"
        self._rows = np.zeros((_MOST_ROWS, width))
        self._filled = 0
        self._each = 1  # how many given rows one kept row stands for
        self._waiting: list[_Array] = []

    def add(self, row: npt.ArrayLike) -> None:
        """Take the next row."""
        self._waiting.append(np.atleast_1d(np.asarray(row, dtype=np.float64)))
        if len(self._waiting) == self._each:
            self._keep_waiting()

    def rows(self) -> tuple[float, _Array]:
        """The step in seconds, and what was kept, (rows, width)."""
        if self._waiting:
            self._keep_waiting()
        return self._step_s * self._each, self._rows[: self._filled].copy()

    def history(self) -> History:
        """The same for rows of one value."""
        step_s, rows = self.rows()
        return History(step_s, tuple(round(float(value), 3) for value in rows[:, 0]))

    def _keep_waiting(self) -> None:
        self._rows[self._filled] = self._one(np.array(self._waiting), 0)
        self._waiting = []
        self._filled += 1
        if self._filled == _MOST_ROWS:
            pairs = self._rows.reshape(_MOST_ROWS // 2, 2, -1)
            self._rows[: _MOST_ROWS // 2] = self._one(pairs, 1)
            self._filled //= 2
            self._each *= 2

    def _one(self, neighbours: _Array, axis: int) -> _Array:
        one: _Array = neighbours.max(axis) if self._peaks else neighbours.mean(axis)
        return one
