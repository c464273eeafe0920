"""Frames that wait until what belongs to them is ready too."""

from collections import deque

import numpy as np
import numpy.typing as npt

__all__ = ["Waiting"]

type _Frames = npt.NDArray[np.float64]


class Waiting:
    """A queue of frames of any shape; put in blocks of any length, taken in any other."""

    def __init__(self, *shape: int) -> None:
        self._none = np.zeros((0, *shape))
        self._blocks: deque[_Frames] = deque()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, block: _Frames) -> None:
        """Let a block wait behind the others."""
        if len(block):
            self._blocks.append(block)
            self._length += len(block)

    def take(self, frames: int) -> _Frames:
        """The first `frames` frames, which must be there."""
        taken = [self._none]
        while frames:
            block = self._blocks.popleft()
            taken.append(block[:frames])
            if len(block) > frames:
                self._blocks.appendleft(block[frames:])
            frames -= len(taken[-1])
            self._length -= len(taken[-1])
        return taken[1] if len(taken) == 2 else np.concatenate(taken)
