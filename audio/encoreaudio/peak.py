"""True peaks: how high the waveform rises between the samples (ITU-R BS.1770-5, Annex 2).

The samples are interpolated fourfold by turning the spectrum of a tapered window, flat up to 0.93
of half the sample rate and rolled off above as a good converter does. BS.1770 leaves it at that,
and may read 0.7 dB low; here the surroundings of the high points alone are interpolated once more,
to 32 points a sample, by Lagrange's polynomial through seven points. On the fine grid the signal
fills a quarter of the band at most, where that polynomial errs by less than 0.01 dB.
"""

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from .signal import Block
from .window import Windows

__all__ = ["CONTEXT", "HOP", "TruePeak", "true_peaks"]

_FACTOR = 4
_SIZE = 16384
CONTEXT = 512
"""Frames that a window needs on each side of those it answers for."""
HOP = _SIZE - 2 * CONTEXT
"""Frames that one window answers for."""

_TAPER = CONTEXT // 2
_WINDOW = np.concatenate(
    (
        scipy.signal.windows.hann(2 * _TAPER, sym=False)[:_TAPER],
        np.ones(_SIZE - 2 * _TAPER),
        scipy.signal.windows.hann(2 * _TAPER, sym=False)[_TAPER:],
    )
).astype(np.float32)

# Each phase is the window moved by a fraction of a frame: a turn of its spectrum.
_SHIFTS = np.exp(
    2j
    * np.pi
    / _SIZE
    * np.arange(_FACTOR)[:, np.newaxis, np.newaxis]
    / _FACTOR
    * np.arange(_SIZE // 2 + 1)
).astype(np.complex64)
# From 0.93 of half the rate on, converters and resamplers roll off, and so does what they show.
_ROLL_OFF = np.interp(np.arange(_SIZE // 2 + 1) / (_SIZE // 2), (0.925, 0.98), (0.0, np.pi))
_SHIFTS *= (0.5 + 0.5 * np.cos(_ROLL_OFF)).astype(np.float32)

# At the band's edge a summit may lie 0.6 dB over the highest of four points a sample.
_MAY_RISE = 0.92
_NEAR = np.arange(-3, 4)
_BETWEEN = np.arange(-4, 5) / 8
# The weight of each near point at each place between them (Lagrange).
_LAGRANGE = np.array(
    [
        [np.prod([(place - k) / (j - k) for k in _NEAR if k != j]) for place in _BETWEEN]
        for j in _NEAR
    ],
    dtype=np.float32,
)

# A waveform can rise over its samples without bound, but only slowly with the length of an ever
# rarer pattern: 12 dB would need hundreds of samples of alternating full scale broken at one point.
_RISE = 4.0


def true_peaks(window: Block, above: float) -> npt.NDArray[np.float64] | None:
    """The highest magnitude from each middle frame up to the next, over all channels.

    window: (CONTEXT + HOP + CONTEXT, channels). Values above `above` are refined, others may read
    up to 0.7 dB low; None where nothing can be above it. Shape (HOP,), linear.
    """
    if np.max(np.abs(window), initial=0.0) * _RISE <= above:
        return None
    fine = _interpolated(window)
    coarse = np.maximum(fine.max(axis=0), -fine.min(axis=0))[:, 1:-1]
    peaks: npt.NDArray[np.float64] = coarse.max(axis=0).astype(np.float64)
    np.maximum(peaks, np.abs(window[CONTEXT : CONTEXT + HOP]).max(axis=1), out=peaks)
    channel, frame = np.nonzero(coarse > above * _MAY_RISE)
    if len(frame):
        top = np.abs(fine[:, channel, frame + 1]).argmax(axis=0)
        near = ((frame + 1) * _FACTOR + top)[:, np.newaxis] + _NEAR
        points = fine[near % _FACTOR, channel[:, np.newaxis], near // _FACTOR]
        np.maximum.at(peaks, frame, np.abs(points @ _LAGRANGE).max(axis=1))
    return peaks


class TruePeak:
    """The highest true peak of a stream, linear."""

    def __init__(self, channels: int) -> None:
        self._windows = Windows(HOP, CONTEXT, CONTEXT, channels)
        self.highest = 0.0

    def add(self, block: Block) -> None:
        """Take a block (frames, channels)."""
        for window in self._windows.push(block):
            self._look(window)

    def finish(self) -> float:
        """The highest peak of the whole stream, which has ended; 0.0 for silence."""
        for window, _ in self._windows.finish():
            self._look(window)
        return self.highest

    def _look(self, window: Block) -> None:
        # No true peak is lower than the highest sample.
        sample = float(np.max(np.abs(window[CONTEXT : CONTEXT + HOP]), initial=0.0))
        peaks = true_peaks(window, max(self.highest, sample))
        if peaks is not None:
            self.highest = max(self.highest, float(peaks.max()))


def _interpolated(window: Block) -> npt.NDArray[np.float32]:
    """(phase, channels, HOP + 2): at n + phase / 8, for the middle and one frame on each side."""
    # Single precision: 1e-7 of the peak is far below what a meter shows, and twice as quick.
    planes = np.ascontiguousarray(window.T, dtype=np.float32) * _WINDOW
    spectrum = scipy.fft.rfft(planes, axis=1)
    shifted = scipy.fft.irfft(spectrum * _SHIFTS, _SIZE, axis=2)
    fine: npt.NDArray[np.float32] = shifted[:, :, CONTEXT - 1 : CONTEXT + HOP + 1]
    return fine
