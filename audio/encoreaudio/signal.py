"""What passes from stage to stage."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Block", "Finder", "Stage", "exactly", "joined", "mean_squares", "through"]

type Block = npt.NDArray[np.float64]
"""Samples of shape (frames, channels), full scale at 1.0."""


class Stage(Protocol):
    """One step over a stream of sound.

    What comes out of all `process` calls and `flush` together is as long as what went in, and
    aligned to it: a stage's delay is given back. `latency` is how many frames it may hold back
    until then.
    """

    @property
    def latency(self) -> int:
        """Frames held back at most, at the stage's input rate."""
        ...

    def process(self, block: Block) -> Block:
        """Take a block; give what is ready, which may be nothing."""
        ...

    def flush(self) -> Block:
        """The stream has ended: give the rest."""
        ...


class Finder[T](Protocol):
    """Listens to a whole stream once, and then tells what it found."""

    def add(self, block: Block) -> None:
        """Take a block (frames, channels)."""
        ...

    def finish(self) -> T:
        """The stream has ended: what was found in it."""
        ...


def through(blocks: Iterable[Block], stages: Sequence[Stage]) -> Iterator[Block]:
    """The stream after all stages, in order; empty blocks are left out."""
    for block in blocks:
        yield from _onward(block, stages)
    for index, stage in enumerate(stages):
        yield from _onward(stage.flush(), stages[index + 1 :])


def exactly(blocks: Iterable[Block], frames: int, channels: int) -> Iterator[Block]:
    """The stream cut, or filled with silence, to `frames` frames."""
    for block in blocks:
        if frames:
            yield block[:frames]
        frames -= min(frames, len(block))
    if frames:
        yield np.zeros((frames, channels))


def joined(blocks: Sequence[Block], channels: int) -> Block:
    """The blocks as one; of no frames where there are no blocks."""
    return np.concatenate(blocks) if blocks else np.zeros((0, channels))


def mean_squares(block: Block) -> Block:
    """The mean power of each channel, (channels,)."""
    # Ten times quicker than squares summed along the first axis.
    powers: Block = np.einsum("fc,fc->c", block, block) / len(block)
    return powers


def _onward(block: Block, stages: Sequence[Stage]) -> Iterator[Block]:
    for stage in stages:
        if not len(block):
            return
        block = stage.process(block)
    if len(block):
        yield block
