"""Constant offset and rumble, taken out below the music.

A linear-phase high-pass: the stream minus its own low-pass, whose gain at 0 Hz is exactly one, so
that an offset goes exactly. Linear phase, because a recursive high-pass turns the phase of the
lowest octaves and so changes the shape, and with it the peaks, of a kick or a bass that it was not
meant to touch; the ringing that a linear-phase filter has before an attack lies at the cut-off,
below hearing, and 60 dB down from 1.4 times the cut-off the music passes within 0.01 dB. The delay
is half the filter, and is given back. Convolution by overlap-save.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.signal

from .signal import Block, joined, mean_squares
from .waiting import Waiting
from .window import Windows

__all__ = ["HighPass", "Rumble", "RumbleFinder"]

type _Taps = np.ndarray[tuple[int], np.dtype[np.float64]]

_STOPBAND_DB = 60.0
_TRANSITION = 0.8  # of the cut-off: 16 Hz stops below 9.6 Hz and passes above 22.4 Hz


# Less (-60 dBFS) is heard by nobody, takes no headroom, and is what a lopsided wave has by itself.
_OFFSET = 1e-3
_RUMBLE_DBFS = -50.0
_QUIET_SHARE = 20.0  # percent of the seconds
_MOST_SECONDS = 12 * 3600
# The finder hears the low end at a lower rate: what folds onto it then lies 90 dB down.
_LOW_RATE_HZ = 6000
_LOW_RATE_OF_CUTOFF = 300
_CELLS_AT_ONCE = 4096


@dataclass(frozen=True)
class Rumble:
    """What lies below the music.

    offset: the largest mean of a channel, full scale at 1.0. level_dbfs: of what else lies under
    the cut-off, in the quieter seconds, where music would have none; the louder channel.
    has_offset, has_rumble: whether they are worth taking out.
    """

    offset: float
    level_dbfs: float
    has_offset: bool
    has_rumble: bool


class RumbleFinder:
    """Listens for a constant offset, and for rumble under `cutoff_hz` that never stops."""

    def __init__(self, sample_rate_hz: int, channels: int, cutoff_hz: float) -> None:
        least_hz = max(_LOW_RATE_HZ, _LOW_RATE_OF_CUTOFF * cutoff_hz)
        self._factor = max(1, int(sample_rate_hz / least_hz))
        rate = round(sample_rate_hz / self._factor)
        # A triangle of two cells, whose zeros lie at the multiples of the lower rate.
        rise = (np.arange(self._factor) + 0.5) / self._factor**2
        self._triangle = np.kron(np.stack((rise, rise[::-1]), axis=1), np.eye(channels))
        self._cells = Windows(_CELLS_AT_ONCE * self._factor, 0, self._factor, channels)
        self._high = HighPass(rate, channels, cutoff_hz)
        self._waiting = Waiting(channels)
        self._seconds = Windows(rate, 0, 0, channels)
        self._sums: list[Block] = []
        self._powers: list[Block] = []

    def add(self, block: Block) -> None:
        """Take a block (frames, channels)."""
        for cells in self._cells.push(block):
            self._take(cells, _CELLS_AT_ONCE)

    def finish(self) -> Rumble:
        """The stream has ended."""
        for cells, real in self._cells.finish():
            self._take(cells, real // self._factor - 1)
        self._hear(self._high.flush())
        if not self._sums:
            return Rumble(0.0, -math.inf, False, False)
        means = np.mean(self._sums, axis=0)
        offset = float(means[np.argmax(np.abs(means))])
        quiet = np.percentile(self._powers, _QUIET_SHARE, axis=0) - means**2
        power = float(quiet.max())
        level_dbfs = 10 * math.log10(power) if power > 1e-30 else -math.inf
        return Rumble(offset, level_dbfs, abs(offset) > _OFFSET, level_dbfs > _RUMBLE_DBFS)

    def _take(self, cells: Block, count: int) -> None:
        """Hear the first of these cells, at the lower rate: means under a triangle of two."""
        flat = cells.reshape(_CELLS_AT_ONCE + 1, -1)
        rising, falling = np.hsplit(flat @ self._triangle, 2)
        low = (rising[:-1] + falling[1:])[: max(0, count)]
        self._waiting.put(low)
        self._hear(self._high.process(low))

    def _hear(self, high: Block) -> None:
        low = self._waiting.take(len(high)) - high
        for second in self._seconds.push(low):
            if len(self._sums) < _MOST_SECONDS:
                self._sums.append(second.mean(axis=0))
                self._powers.append(mean_squares(second))


class HighPass:
    """Linear-phase high-pass, -6 dB at `cutoff_hz`, exactly nothing at 0 Hz.

    amount: the share of it that is taken out; 0 passes every bit. The stream's ends are mirrored,
    so that an offset makes no step there.
    """

    def __init__(
        self, sample_rate_hz: int, channels: int, cutoff_hz: float, amount: float = 1.0
    ) -> None:
        self._amount = amount
        taps = _low_pass(sample_rate_hz, cutoff_hz)
        self._half = len(taps) // 2
        size = scipy.fft.next_fast_len(max(4 * len(taps), 16384), real=True)
        self._response = scipy.fft.rfft(taps, size)[:, np.newaxis]
        self._size = size
        hop = size - 2 * self._half
        self._windows = Windows(hop, self._half, self._half, channels, edge="mirror")
        self._channels = channels

    @property
    def latency(self) -> int:
        """Frames held back at most: half the filter, and one window's hop."""
        return self._half + self._windows.hop

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give what is ready."""
        return joined(
            [self._filtered(window) for window in self._windows.push(block)], self._channels
        )

    def flush(self) -> Block:
        """The rest of the stream."""
        return joined(
            [self._filtered(window)[:real] for window, real in self._windows.finish()],
            self._channels,
        )

    def _filtered(self, window: Block) -> Block:
        spectrum = scipy.fft.rfft(window, self._size, axis=0)
        spectrum *= self._response
        low: Block = scipy.fft.irfft(spectrum, self._size, axis=0)[2 * self._half :]
        middle = window[self._half : self._half + self._windows.hop]
        low *= -self._amount
        low += middle
        return low


def _low_pass(sample_rate_hz: int, cutoff_hz: float) -> _Taps:
    width = _TRANSITION * cutoff_hz / (sample_rate_hz / 2)
    count, beta = scipy.signal.kaiserord(_STOPBAND_DB, width)
    half = math.ceil(count / 2)
    at = np.arange(-half, half + 1)
    taps = np.sinc(2 * cutoff_hz / sample_rate_hz * at) * np.kaiser(2 * half + 1, beta)
    normal: _Taps = taps / taps.sum()
    return normal
