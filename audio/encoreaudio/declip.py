"""Clipped tops given back.

A clipped sample is not lost: it is known to lie at the level or beyond it, and the music it belongs
to is made of few tones and pulses. So each short frame that has clipped samples is given the wave
that agrees with every good sample, lies beyond the level at every clipped one, and needs the
fewest spectral lines: from few lines to more, until lines and samples agree (A-SPADE: S. Kitic,
N. Bertin, R. Gribonval, "Sparsity and cosparsity for audio declipping: a flexible non-convex
approach", LVA/ICA 2015; P. Zaviska, P. Rajmic, O. Mokry, Z. Prusa, 2019). Frames overlap, and
their restorations are added under a window. Each frame stands alone on a grid of the stream, so the
result does not hang on how the stream was chopped. Samples that are not clipped pass bit for bit,
and where nothing is clipped nothing is done.
"""

import numpy as np
import numpy.typing as npt
import scipy.fft

from .clipping import Clipping
from .signal import Block, joined
from .window import Windows

__all__ = ["ClipRepair"]

type _Frames = npt.NDArray[np.float32]

_FRAME_S = 0.085
_OVERLAP = 4  # frames over each sample
_HOPS = 16  # frames that are restored together
_LINES = 0.004  # of a frame's spectral lines, more at each round
_ROUNDS = 60
_AGREED = 1e-2  # of the frame's root mean square: lines and samples differ by no more
_SAME = 1e-6  # of the level


class ClipRepair:
    """Restores what `clipping` says was cut off; the result may go over full scale.

    amount: the share of the restoration that is added, 0 to 1. restored: samples changed so far.
    """

    def __init__(
        self, sample_rate_hz: int, channels: int, clipping: Clipping, amount: float = 1.0
    ) -> None:
        self._size = 2 ** max(8, round(np.log2(_FRAME_S * sample_rate_hz)))
        self._step = self._size // _OVERLAP
        self._lead = self._size - self._step
        window = np.hanning(self._size + 1)[:-1]
        self._window = window / np.sqrt(0.375 * _OVERLAP)  # squares sum to one over the overlap
        self._levels = clipping.levels
        self._idle = not amount or not any(side for sides in self._levels for side in sides)
        self._amount = amount
        self._channels = channels
        self._windows = Windows(_HOPS * self._step, 0, self._lead, channels)
        self._added: Block = np.zeros((self._lead, channels))
        self._to_drop = 0
        self._begun = False
        self.restored = 0

    @property
    def latency(self) -> int:
        """Frames held back at most."""
        return 0 if self._idle else self._windows.hop + 2 * self._lead

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give what is ready."""
        if self._idle or not len(block):
            return block
        if not self._begun:
            # Silence before the stream, so that as many frames lie over its first sample.
            self._begun, self._to_drop = True, self._lead
            block = np.concatenate((np.zeros((self._lead, self._channels)), block))
        return joined(
            [self._restored(window, self._windows.hop) for window in self._windows.push(block)],
            self._channels,
        )

    def flush(self) -> Block:
        """The rest of the stream."""
        return joined(
            [self._restored(window, real) for window, real in self._windows.finish()],
            self._channels,
        )

    def _restored(self, window: Block, real: int) -> Block:
        hop = self._windows.hop
        added = np.pad(self._added, ((0, hop), (0, 0)))
        for channel in range(self._channels):
            self._restore(np.ascontiguousarray(window[:, channel]), channel, added[:, channel])
        self._added = added[hop:]
        dry = window[:real]
        given: Block = dry + self._amount * added[:real]
        self.restored += int(np.count_nonzero(added[:real]))
        given = given[self._to_drop :]
        self._to_drop -= min(self._to_drop, real)
        return given

    def _restore(self, plane: npt.NDArray[np.float64], channel: int, added: Block) -> None:
        """Add what is missing from one channel's frames."""
        signs = np.zeros(len(plane), np.int8)
        for level, sign in zip(self._levels[channel], (-1, 1), strict=True):
            if level is not None:
                signs[sign * plane >= level * (1 - _SAME)] = sign
        if not signs.any() or not np.isfinite(plane).all():
            return
        starts = np.arange(_HOPS) * self._step
        at = starts[:, np.newaxis] + np.arange(self._size)
        at = at[signs[at].any(axis=1)]
        if not len(at):
            return
        cut = plane[at]
        wave = _fewest_lines((cut * self._window).astype(np.float32), signs[at])
        more = np.maximum((wave - cut * self._window) * signs[at], 0.0) * signs[at] * self._window
        for row, places in zip(more, at, strict=True):
            added[places] += row


def _fewest_lines(cut: _Frames, signs: npt.NDArray[np.int8]) -> _Frames:
    """The frames' waves with the fewest spectral lines that agree with the samples (A-SPADE)."""
    size = cut.shape[1]
    wave = cut.copy()
    now = cut
    dual = np.zeros((len(cut), size // 2 + 1), np.complex64)
    open_ = np.arange(len(cut))
    bound = _AGREED**2 * np.sum(cut**2, axis=1)
    spectrum = scipy.fft.rfft(now, axis=1, norm="ortho")
    for turn in range(1, _ROUNDS + 1):
        lines = max(1, round(turn * _LINES * size / 2))
        target = spectrum + dual
        power = target.real**2 + target.imag**2
        least = np.partition(power, -lines, axis=1)[:, -lines, np.newaxis]
        sparse = np.where(power >= least, target, np.complex64(0))
        now = scipy.fft.irfft(sparse - dual, size, axis=1, norm="ortho")
        now = np.where(
            signs > 0, np.maximum(now, cut), np.where(signs < 0, np.minimum(now, cut), cut)
        )
        spectrum = scipy.fft.rfft(now, axis=1, norm="ortho")
        away = spectrum - sparse
        wave[open_] = now
        on = 2 * np.sum(away.real**2 + away.imag**2, axis=1) > bound
        if not on.any():
            break
        dual = (dual + away)[on]
        spectrum, cut, signs, bound, open_ = spectrum[on], cut[on], signs[on], bound[on], open_[on]
    return wave
