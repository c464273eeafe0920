"""What a stream looks like: level over time and pitch, small enough for a page.

Every stretch of 8192 samples gives one column; the bands are equally wide on the mel scale
(Stevens, Volkmann and Newman 1937), which spreads hum at one end and hiss at the other.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from .signal import Block
from .trace import Trace

__all__ = ["Spectrogram", "SpectrogramFinder"]

_SIZE = 8192
_BANDS = 200
_LOWEST_HZ, _HIGHEST_HZ = 20.0, 22000.0
_SILENCE_DB = -160.0


@dataclass(frozen=True)
class Spectrogram:
    """step_s: seconds a column; edges_hz: the bands' edges, rising; level_db: (bands, columns),
    each band's mean power in a column against a full-scale sine."""

    step_s: float
    edges_hz: npt.NDArray[np.float64]
    level_db: npt.NDArray[np.float64]


class SpectrogramFinder:
    """Hears a stream of blocks (frames, channels); the channels' powers are averaged."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        highest = min(_HIGHEST_HZ, sample_rate_hz / 2)
        self._edges_hz = _mel_edges(_LOWEST_HZ, highest)
        centres = np.arange(_SIZE // 2 + 1) * sample_rate_hz / _SIZE
        self._starts = np.minimum(np.searchsorted(centres, self._edges_hz), _SIZE // 2)
        self._window = scipy.signal.windows.hann(_SIZE, sym=False)[:, np.newaxis]
        self._scale = 4 / float(self._window.sum()) ** 2
        self._held: Block = np.zeros((0, channels))
        self._trace = Trace(_SIZE / sample_rate_hz, _BANDS)

    def add(self, block: Block) -> None:
        """Take a block."""
        held = np.concatenate((self._held, block))
        whole = len(held) - len(held) % _SIZE
        for at in range(0, whole, _SIZE):
            self._trace.add(self._column(held[at : at + _SIZE]))
        self._held = held[whole:]

    def finish(self) -> Spectrogram:
        """The picture of the stream, which has ended."""
        if len(self._held):
            rest = np.pad(self._held, ((0, _SIZE - len(self._held)), (0, 0)))
            self._trace.add(self._column(rest))
        step_s, power = self._trace.rows()
        level = 10 * np.log10(np.maximum(power.T, 10 ** (_SILENCE_DB / 10)))
        return Spectrogram(step_s, self._edges_hz, level)

    def _column(self, frames: Block) -> npt.NDArray[np.float64]:
        spectrum = scipy.fft.rfft(frames * self._window, axis=0)
        power = np.mean(np.square(np.abs(spectrum)), axis=1) * self._scale
        sums = np.concatenate(([0.0], np.cumsum(power)))
        # A band narrower than a bin shows the bin that it lies in.
        ends = np.maximum(self._starts[1:], self._starts[:-1] + 1)
        band: npt.NDArray[np.float64] = (sums[ends] - sums[self._starts[:-1]]) / (
            ends - self._starts[:-1]
        )
        return band


def _mel_edges(lowest_hz: float, highest_hz: float) -> npt.NDArray[np.float64]:
    low, high = (1127 * np.log1p(hz / 700) for hz in (lowest_hz, highest_hz))
    edges: npt.NDArray[np.float64] = 700 * np.expm1(np.linspace(low, high, _BANDS + 1) / 1127)
    return edges
