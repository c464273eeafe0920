"""True peaks: how high the waveform rises between the samples (ITU-R BS.1770-5, Annex 2).

The samples are interpolated fourfold by turning the spectrum of a tapered window, flat up to 0.93
of half the sample rate and rolled off above as a good converter does. BS.1770 leaves it at that,
and may read 0.7 dB low; here the surroundings of the high points alone are interpolated once more,
to 32 points a sample, by Lagrange's polynomial through seven points. On the fine grid the signal
fills a quarter of the band at most, where that polynomial errs by less than 0.01 dB.

Half of those phases already bound what lies between them (H. Ehlich and K. Zeller, "Schwankung von
Polynomen zwischen Gitterpunkten", 1964), so where that bound is low the other half is left out.
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

# Of two points a sample a wave rises at most to their highest over cos(pi / 4), with its rounding.
_HALVES_RISE = 1.415

# A waveform can rise over its samples without bound, but only slowly with the length of an ever
# rarer pattern: 12 dB would need hundreds of samples of alternating full scale broken at one point.
_RISE = 4.0


def true_peaks(window: Block, above: float) -> npt.NDArray[np.float64] | None:
    """The highest magnitude from each middle frame up to the next, over all channels.

    window: (CONTEXT + HOP + CONTEXT, channels). Values above `above` are refined, others only tell
    that they are not above it; None where none is. Shape (HOP,), linear.
    """
    samples = np.abs(window.T, order="C")
    if samples.max(initial=0.0) * _RISE <= above:
        return None
    samples = samples[:, CONTEXT : CONTEXT + HOP]
    fine = _interpolated(window, above)
    if fine is None and samples.max(initial=0.0) <= above:
        return None
    peaks: npt.NDArray[np.float64] = samples.max(axis=0)
    if fine is None:
        return peaks
    coarse = np.maximum(fine.max(axis=0), -fine.min(axis=0))[:, 1:-1]
    np.maximum(peaks, coarse.max(axis=0), out=peaks)
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


def _interpolated(window: Block, above: float) -> npt.NDArray[np.float32] | None:
    """(phase, channels, HOP + 2): at n + phase / 4, for the middle and one frame on each side.

    None where no point, and nothing between the points, can be above `above`.
    """
    # Single precision: 1e-7 of the peak is far below what a meter shows, and twice as quick.
    planes = np.ascontiguousarray(window.T, dtype=np.float32) * _WINDOW
    spectrum = scipy.fft.rfft(planes, axis=1)
    halves = scipy.fft.irfft(spectrum * _SHIFTS[::2], _SIZE, axis=2)
    if max(halves.max(initial=0.0), -halves.min(initial=0.0)) * _HALVES_RISE <= above:
        return None
    between = scipy.fft.irfft(spectrum * _SHIFTS[1::2], _SIZE, axis=2)
    middle = slice(CONTEXT - 1, CONTEXT + HOP + 1)
    fine = np.empty((_FACTOR, len(planes), HOP + 2), dtype=np.float32)
    fine[::2], fine[1::2] = halves[:, :, middle], between[:, :, middle]
    # A summit between four points is less than this much higher than the highest of them.
    if max(fine.max(initial=0.0), -fine.min(initial=0.0)) <= above * _MAY_RISE:
        return None
    return fine
