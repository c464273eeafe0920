"""Clipped samples: flat tops at a channel's own extreme.

A single sample at full scale is just a loud sample, and a recording that was clipped and then
turned down clips below full scale. So what counts is a run of three or more equal samples at the
highest (or the lowest) value that a channel has, where that is near full scale.
"""

import numpy as np
import numpy.typing as npt

from .signal import Block

__all__ = ["ClippedRuns"]

_NEAR_FULL_SCALE = 0.7  # -3 dBFS
_SHORTEST_RUN = 3


class ClippedRuns:
    """Counts the clipped samples of a stream."""

    def __init__(self, channels: int) -> None:
        self._tops = [_Top() for _ in range(2 * channels)]

    def add(self, block: Block) -> None:
        """Take a block (frames, channels)."""
        for channel, plane in enumerate(np.ascontiguousarray(block.T)):
            self._tops[2 * channel].add(plane)
            self._tops[2 * channel + 1].add(-plane)

    @property
    def samples(self) -> int:
        """How many samples lie in such runs, over all channels."""
        return sum(top.count for top in self._tops)


class _Top:
    """One channel's upper extreme, and the runs that lie on it."""

    def __init__(self) -> None:
        self._height = _NEAR_FULL_SCALE
        self._run = 0  # how many samples at the end of what was seen lie on the extreme
        self._counted = 0

    @property
    def count(self) -> int:
        return self._counted + (self._run if self._run >= _SHORTEST_RUN else 0)

    def add(self, plane: npt.NDArray[np.float64]) -> None:
        highest = float(plane.max(initial=0.0))
        if highest > self._height:
            self._height, self._run, self._counted = highest, 0, 0
        if highest < self._height:
            self._counted, self._run = self.count, 0
            return
        edges = np.diff(np.concatenate(([0], plane == self._height, [0])).astype(np.int8))
        starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        runs = ends - starts
        if starts[0] == 0:
            runs[0] += self._run
        else:
            self._counted = self.count
        self._run = 0
        if ends[-1] == len(plane):
            self._run = int(runs[-1])
            runs = runs[:-1]
        self._counted += int(runs[runs >= _SHORTEST_RUN].sum())
