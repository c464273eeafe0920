"""Another sample rate, by soxr at its very high quality."""

import numpy as np
import soxr

from .signal import Block

__all__ = ["Resampler"]


class Resampler:
    """A stream at `to_hz` from one at `from_hz`: round(frames * to / from) frames, aligned."""

    def __init__(self, from_hz: int, to_hz: int, channels: int) -> None:
        self._from, self._to = from_hz, to_hz
        self._channels = channels
        self._stream = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float64", quality="VHQ")
        self._in = self._out = 0

    @property
    def latency(self) -> int:
        """Frames held back at most: soxr's filter, a fraction of a second."""
        return self._from

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give what is ready."""
        self._in += len(block)
        return self._counted(self._stream.resample_chunk(np.ascontiguousarray(block)))

    def flush(self) -> Block:
        """The rest of the stream, cut or filled to the exact length."""
        rest = self._stream.resample_chunk(np.zeros((0, self._channels)), last=True)
        left = round(self._in * self._to / self._from) - self._out
        return np.pad(rest[:left], ((0, max(0, left - len(rest))), (0, 0)))

    def _counted(self, block: Block) -> Block:
        self._out += len(block)
        return block
