"""Cuts a show into chunks: bounded in length, at cuts where there are some, a new one at a chapter.

A frame depends on a window of source frames and on nothing else, so a chunk may begin anywhere and
its frames are those of a straight run; what a border costs is one key frame, which at a cut the
encoder would have set by itself.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Chunk", "borders_wanted", "chunks_of"]

_FROM_NOMINAL = 0.25
"""How far from its nominal place a border may go to meet a cut, in lengths of a chunk."""
_SHORTEST = 0.25
"""A chapter begins a chunk unless a border is nearer than this; then it is a key frame inside."""


@dataclass(frozen=True)
class Chunk:
    """Frames `first` to `last` (not taken) of the finished picture."""

    number: int
    first: int
    last: int
    keys: tuple[int, ...] = ()
    """Frames, counted from `first`, that must be key frames too: chapters begin there."""

    @property
    def frames(self) -> int:
        """How many frames it holds."""
        return self.last - self.first


def borders_wanted(frames: int, length: int, chapters: Iterable[int] = ()) -> list[int]:
    """Where borders lie when there are no cuts: chapters, and even steps between them."""
    fixed = _fixed(frames, length, chapters)
    wanted = []
    for first, last in itertools.pairwise(fixed):
        pieces = max(1, math.ceil((last - first) / length))
        wanted += [first + (last - first) * n // pieces for n in range(pieces)]
    return wanted[1:]


def chunks_of(
    frames: int, length: int, *, cuts: Iterable[int] = (), chapters: Iterable[int] = ()
) -> list[Chunk]:
    """The chunks of a picture of `frames` frames, none longer than 1.5 times `length`.

    `cuts` and `chapters` are frames that begin a shot, a chapter.
    """
    if frames < 1 or length < 1:
        raise ValueError(f"frames and length must be 1 or more, not {frames} and {length}")
    marks = sorted({mark for mark in chapters if 0 < mark < frames})
    fixed = set(_fixed(frames, length, marks))
    known = sorted({cut for cut in cuts if 0 < cut < frames})
    borders = [0]
    for border in borders_wanted(frames, length, marks):
        moved = border if border in fixed else _nearest_cut(border, length, known)
        if moved > borders[-1]:
            borders.append(moved)
    borders.append(frames)
    return [
        Chunk(number, first, last, tuple(mark - first for mark in marks if first < mark < last))
        for number, (first, last) in enumerate(itertools.pairwise(borders))
    ]


def _fixed(frames: int, length: int, chapters: Iterable[int]) -> list[int]:
    """Start, end, and the chapters that are far enough from each other and from both."""
    shortest = max(1, round(length * _SHORTEST))
    fixed = [0]
    for mark in sorted(set(chapters)):
        if mark - fixed[-1] >= shortest and frames - mark >= shortest:
            fixed.append(mark)
    return [*fixed, frames]


def _nearest_cut(border: int, length: int, cuts: Sequence[int]) -> int:
    place = bisect.bisect_left(cuts, border)
    near = cuts[max(0, place - 1) : place + 1]
    nearest = min(near, key=lambda cut: abs(cut - border), default=border)
    # Under a half even where both neighbours move: borders keep their order, chunks their bound.
    return nearest if abs(nearest - border) <= length * _FROM_NOMINAL else border
