"""Clipped samples: flat tops at a channel's own extreme.

A single sample at full scale is just a loud sample, and a recording that was clipped and then
turned down clips below full scale. So what counts is a run of three or more equal samples at the
highest (or the lowest) value that a channel has, wherever that lies.

A few passages of each channel that reach its extremes are kept, for a repair to be tried on.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .signal import Block

__all__ = ["ClipFinder", "Clipping"]

_SHORTEST_RUN = 3
# What lies on its extreme for more than this share of the time is its wave, as a square wave's is.
_MOST_CLIPPED = 0.3
_FAINTEST = 0.01  # -40 dBFS
_PASSAGE = 8192  # samples
_MOST_PASSAGES = 16


@dataclass(frozen=True)
class Clipping:
    """Each channel's lower and upper level: height above zero, full scale at 1.0, or None.

    None: that side has no flat tops. samples: how many lie on the levels, over all channels.
    share: of all samples. passages: of each channel, some that reach its levels.
    """

    levels: tuple[tuple[float | None, float | None], ...]
    samples: int
    share: float
    passages: tuple[tuple[npt.NDArray[np.float64], ...], ...] = field(
        default=(), repr=False, compare=False
    )


class ClipFinder:
    """Finds the levels at which a stream of any channels was clipped, wherever they lie."""

    def __init__(self, channels: int) -> None:
        self._tops = [(_Top(), _Top()) for _ in range(channels)]
        self._passages = [_Passages() for _ in range(channels)]
        self._held: Block = np.zeros((0, channels))
        self._frames = 0

    def add(self, block: Block) -> None:
        """Take a block (frames, channels)."""
        self._frames += len(block)
        for plane, (low, high) in zip(np.ascontiguousarray(block.T), self._tops, strict=True):
            low.add(-plane)
            high.add(plane)
        held = np.concatenate((self._held, block))
        whole = len(held) // _PASSAGE * _PASSAGE
        for start in range(0, whole, _PASSAGE):
            for plane, kept in zip(held[start : start + _PASSAGE].T, self._passages, strict=True):
                kept.add(plane)
        self._held = held[whole:].copy()

    def finish(self) -> Clipping:
        """The stream has ended."""
        levels = tuple((self._level(low), self._level(high)) for low, high in self._tops)
        tops = [top for pair in self._tops for top in pair if self._level(top) is not None]
        samples = sum(top.touched for top in tops)
        share = samples / max(1, self._frames * len(self._tops))
        passages = tuple(one.kept if samples else () for one in self._passages)
        return Clipping(levels, samples, share, passages)

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


class _Passages:
    """Some passages of one channel that reach its extremes, spread over the stream.

    The first ones are all kept, then every second, every fourth, and so on.
    """

    def __init__(self) -> None:
        self._low = self._high = _FAINTEST
        self._reaching: list[tuple[float, float, npt.NDArray[np.float64]]] = []
        self._every = 1
        self._passed = 0

    @property
    def kept(self) -> tuple[npt.NDArray[np.float64], ...]:
        return tuple(passage for _, _, passage in self._reaching)

    def add(self, passage: npt.NDArray[np.float64]) -> None:
        low, high = -float(passage.min()), float(passage.max())
        if low < self._low and high < self._high:
            return
        if low > self._low or high > self._high:
            self._low, self._high = max(self._low, low), max(self._high, high)
            self._reaching = [
                one for one in self._reaching if one[0] == self._low or one[1] == self._high
            ]
            self._every, self._passed = 1, 0
        self._passed += 1
        if self._passed % self._every:
            return
        self._reaching.append((low, high, passage.copy()))
        if len(self._reaching) == _MOST_PASSAGES:
            self._reaching = self._reaching[1::2]
            self._every *= 2
