"""Clipped samples: flat tops at a channel's own extreme.

A single sample at full scale is just a loud sample, and a recording that was clipped and then
turned down clips below full scale. So what counts is a run of three or more equal samples at the
highest (or the lowest) value that a channel has, wherever that lies.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .signal import Block

__all__ = ["ClipFinder", "Clipping"]

_SHORTEST_RUN = 3
# What lies on its extreme for more than this share of the time is its wave, as a square wave's is.
_MOST_CLIPPED = 0.3
_FAINTEST = 0.01  # -40 dBFS


@dataclass(frozen=True)
class Clipping:
    """Each channel's lower and upper level: height above zero, full scale at 1.0, or None.

    None: that side has no flat tops. samples: how many lie on the levels, over all channels.
    share: of all samples.
    """

    levels: tuple[tuple[float | None, float | None], ...]
    samples: int
    share: float


class ClipFinder:
    """Finds the levels at which a stream of any channels was clipped, wherever they lie."""

    def __init__(self, channels: int) -> None:
        self._tops = [(_Top(), _Top()) for _ in range(channels)]
        self._frames = 0

    def add(self, block: Block) -> None:
        """Take a block (frames, channels)."""
        self._frames += len(block)
        for plane, (low, high) in zip(np.ascontiguousarray(block.T), self._tops, strict=True):
            low.add(-plane)
            high.add(plane)

    def finish(self) -> Clipping:
        """The stream has ended."""
        levels = tuple((self._level(low), self._level(high)) for low, high in self._tops)
        tops = [top for pair in self._tops for top in pair if self._level(top) is not None]
        samples = sum(top.touched for top in tops)
        return Clipping(levels, samples, samples / max(1, self._frames * len(self._tops)))

    def _level(self, top: "_Top") -> float | None:
        clipped = top.count and top.touched <= _MOST_CLIPPED * self._frames
        return top.height if clipped else None


class _Top:
    """One channel's upper extreme, and the runs that lie on it."""

    def __init__(self) -> None:
        self.height = _FAINTEST
        self.touched = 0  # samples on the extreme, alone or not
        self._run = 0  # how many samples at the end of what was seen lie on the extreme
        self._counted = 0

    @property
    def count(self) -> int:
        return self._counted + (self._run if self._run >= _SHORTEST_RUN else 0)

    def add(self, plane: npt.NDArray[np.float64]) -> None:
        highest = float(plane.max(initial=0.0))
        if highest > self.height:
            self.height, self._run, self._counted = highest, 0, 0
            self.touched = 0
        if highest < self.height:
            self._counted, self._run = self.count, 0
            return
        edges = np.diff(np.concatenate(([0], plane == self.height, [0])).astype(np.int8))
        starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        runs = ends - starts
        self.touched += int(runs.sum())
        if starts[0] == 0:
            runs[0] += self._run
        else:
            self._counted = self.count
        self._run = 0
        if ends[-1] == len(plane):
            self._run = int(runs[-1])
            runs = runs[:-1]
        self._counted += int(runs[runs >= _SHORTEST_RUN].sum())
