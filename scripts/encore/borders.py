"""Black borders: lines at the edge that stay black while the line beside them is lit.

A concert is dark, and a dark edge is not a border. So a border must be black in every frame looked
at, must end in one straight line, and just inside that line most of the picture's width must have
been lit at some time. What was never lit is left alone: cropping picture is damage, a thin black
line is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from encore.facts import Borders
from encore.frames import Luma

__all__ = ["BorderSearch"]

_STEP = 8
"""Samples averaged along a line, so that noise is not taken for light."""
_ABOVE_BLACK = 8.0
_LIT = 14.0
_LIT_SHARE = 0.85
_SOFT_LINES = 6
"""Within so many lines a soft border becomes picture."""
_DEEPEST = 0.4
_BRIGHTEST = 3
"""A line counts as lit when this many frames light it: one broken frame does not."""


@dataclass
class BorderSearch:
    """Collects frames; `found` tells the borders."""

    black: float
    """The code of black on the scale of 8 bits: 16, or 0 for full range."""
    _rows: list[NDArray[np.uint8]] = field(default_factory=list)
    _columns: list[NDArray[np.uint8]] = field(default_factory=list)

    def look(self, luma: Luma) -> None:
        """Take one frame (height, width), 0..255."""
        height, width = luma.shape
        if height < 4 * _STEP or width < 4 * _STEP:
            return
        wide, high = width // _STEP, height // _STEP
        rows = luma[:, : wide * _STEP].reshape(height, wide, _STEP).mean(axis=2)
        columns = luma[: high * _STEP].reshape(high, _STEP, width).mean(axis=1).T
        self._rows.append(np.clip(rows, 0, 255).astype(np.uint8))
        self._columns.append(np.clip(columns, 0, 255).astype(np.uint8))

    def found(self, *, interlaced: bool) -> Borders:
        """The borders, in numbers that chroma survives: even, or multiples of 4 between fields."""
        if not self._rows:
            return Borders()
        rows, columns = self._brightest(self._rows), self._brightest(self._columns)
        across = 4 if interlaced else 2
        return Borders(
            left=self._depth(columns) // 2 * 2,
            right=self._depth(columns[::-1]) // 2 * 2,
            top=self._depth(rows) // across * across,
            bottom=self._depth(rows[::-1]) // across * across,
        )

    def _brightest(self, maps: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        stack = np.stack(maps)
        nth = max(0, len(maps) - _BRIGHTEST)
        return np.asarray(np.partition(stack, nth, axis=0)[nth])

    def _depth(self, lines: NDArray[np.uint8]) -> int:
        """How many lines at the beginning are border."""
        dark = np.percentile(lines, 98, axis=1) < self.black + _ABOVE_BLACK
        depth = int(np.argmin(dark)) if not dark.all() else len(dark)
        if depth == 0 or depth > _DEEPEST * len(lines):
            return 0
        inside = lines[depth : depth + _SOFT_LINES].max(axis=0)
        # The corners belong to the other two borders.
        lit = inside > self.black + _LIT
        middle = lit[len(lit) // 6 : len(lit) - len(lit) // 6]
        return depth if middle.mean() >= _LIT_SHARE else 0
