"""A stream of blocks cut into equal windows that overlap.

A stage that looks around each sample (a long filter, a look-ahead) works on windows of `before +
hop + after` frames, of which it answers for the `hop` in the middle. The windows depend only on how
many frames have passed, never on how the stream was chopped, so a stage built on them gives the
same bits for every block size.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from .signal import Block

__all__ = ["Windows"]


class Windows:
    """Cuts blocks (frames, channels) into windows of `before + hop + after` frames.

    Beyond the stream's ends a window holds zeros (`edge="zero"`) or the stream mirrored at its end
    (`edge="mirror"`, so that a constant goes on as a constant).
    """

    def __init__(
        self,
        hop: int,
        before: int,
        after: int,
        channels: int,
        edge: Literal["zero", "mirror"] = "zero",
    ) -> None:
        self.hop, self.before, self.after = hop, before, after
        self._pad: Literal["constant", "symmetric"] = "constant" if edge == "zero" else "symmetric"
        self._held: Block = np.zeros((0, channels))
        self._begun = False

    def push(self, block: Block) -> Iterator[Block]:
        """The windows that this block completes."""
        self._held = np.concatenate((self._held, block))
        # Mirroring the beginning needs as many frames as are mirrored.
        if not self._begun and len(self._held) >= max(self.hop + self.after, self.before):
            self._held = self._extended(self._held, self.before, 0)
            self._begun = True
        if self._begun:
            yield from self._cut()

    def finish(self) -> Iterator[tuple[Block, int]]:
        """The windows that are left, each with how many of its middle frames really exist."""
        if not self._begun:
            if not len(self._held):
                return
            self._held = self._extended(self._held, self.before, 0)
        left = len(self._held) - self.before
        if left <= 0:
            return
        filled = -(-left // self.hop) * self.hop
        self._held = self._extended(self._held, 0, filled - left + self.after)
        for window in self._cut():
            yield window, min(self.hop, left)
            left -= self.hop
            if left <= 0:
                return

    def _cut(self) -> Iterator[Block]:
        size = self.before + self.hop + self.after
        while len(self._held) >= size:
            yield self._held[:size]
            self._held = self._held[self.hop :]

    def _extended(self, block: Block, front: int, back: int) -> Block:
        return np.pad(block, ((front, back), (0, 0)), mode=self._pad)
