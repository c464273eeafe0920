"""The last step: samples rounded to the bits of the target.

Rounding to 16 bits leaves an error that follows the music. Triangular noise of two steps peak to
peak (TPDF), added before rounding, makes it a steady hiss of -96 dBFS instead. A sample that lies
on a step already, as silence and untouched 16-bit material do, needs no rounding and gets no noise.
At 24 bits the error lies 40 dB below any microphone's, and is left alone.

Shaped, the same error is fed back through a filter, which moves it from where the ear is keenest to
where it hears least (Lipshitz, Vanderkooy and Wannamaker, "Minimally audible noise shaping", JAES
39(11), 1991). The best shape is that of the hearing threshold, its mean in decibels kept (Gerzon
and Craven, 1989); the filter is fitted to it by linear prediction, for any sample rate.

Feedback is a loop over samples. Here many stretches of the stream run through it side by side, each
begun a little early. Two runs with the same noise but another past soon round alike, and from then
on are one: what a stretch gives after its run-in is what the one long loop would have given.
"""

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_toeplitz

from .signal import Block, joined
from .window import Windows

__all__ = ["Quantiser", "noise_filter"]

type Written = npt.NDArray[np.int16 | np.int32 | np.float32]

_SEED = 2000
_TAPS = 12
# How far the noise may rise with the threshold over its lowest point. More would put more noise in
# all (now 8 dB at 48 kHz), and two runs of the loop would take longer to become one.
_RISE_DB = 30.0
_LANE = 4096
_LANES = 128
# At 48 kHz half of all lanes have joined the long loop after 200 samples, 99 % after 1600; where
# one has not, a dozen samples are shaped less well.
_RUN_IN = 2048


class Quantiser:
    """Blocks (frames, channels) to what is written: int16, int32 with 24 bits on top, or float32.

    shaped_hz: the sample rate, for shaped noise at 16 bits; None: flat noise. The noise is seeded:
    the same stream gives the same file. dithered: whether noise was added; clipped_samples: how
    many lay beyond full scale.
    """

    def __init__(self, subtype: str, *, shaped_hz: int | None = None) -> None:
        self._bits = {"PCM_16": 16, "PCM_24": 24}.get(subtype)
        self._random = np.random.Generator(np.random.PCG64(_SEED))
        self._taps = None if shaped_hz is None or self._bits != 16 else noise_filter(shaped_hz)[1:]
        self._windows: Windows | None = None
        self._noise: Block | None = None
        self.dithered = False
        self.clipped_samples = 0

    @property
    def latency(self) -> int:
        """Frames held back at most: eleven seconds at 48 kHz where the noise is shaped."""
        return 0 if self._taps is None else _LANE * _LANES

    def process(self, block: Block) -> Written:
        """Take a block; give what is ready, in the target's type."""
        if self._bits is None:
            return block.astype(np.float32)
        if self._taps is None:
            return self._packed(self._rounded(block * self._scale))
        if self._windows is None:
            self._windows = Windows(_LANE * _LANES, _RUN_IN, 0, block.shape[1])
            self._noise = np.zeros((_RUN_IN, block.shape[1]))
        done = [self._shaped(window, _LANE * _LANES) for window in self._windows.push(block)]
        return self._packed(joined(done, block.shape[1]))

    def flush(self) -> Written:
        """The stream has ended: give the rest."""
        channels = 1 if self._noise is None else self._noise.shape[1]
        rest = [] if self._windows is None else list(self._windows.finish())
        done = joined([self._shaped(window, frames) for window, frames in rest], channels)
        return done.astype(np.float32) if self._bits is None else self._packed(done)

    @property
    def _scale(self) -> float:
        return 2.0 ** ((self._bits or 1) - 1)

    def _triangular(self, frames: int, channels: int) -> Block:
        noise = self._random.random((frames, channels, 2))
        return noise[..., 0] - noise[..., 1]

    def _rounded(self, steps: Block) -> Block:
        """Rounded with flat noise, or none at 24 bits."""
        self._count(steps)
        whole = np.rint(steps)
        if self._bits == 16:
            noise = self._triangular(*steps.shape)
            off = steps != whole
            self.dithered = self.dithered or bool(off.any())
            whole = np.where(off, np.rint(steps + noise), whole)
        return whole

    def _shaped(self, window: Block, frames: int) -> Block:
        """Rounded with shaped noise: the first `frames` after the run-in."""
        assert self._taps is not None
        assert self._noise is not None
        steps = window * self._scale
        channels = steps.shape[1]
        fresh = self._triangular(_LANE * _LANES, channels)
        noise = np.concatenate((self._noise, fresh))
        self._noise = fresh[-_RUN_IN:]
        asked = steps[_RUN_IN : _RUN_IN + frames]
        self._count(asked)
        off = steps != np.rint(steps)
        if not off[: _RUN_IN + frames].any():
            return asked
        self.dithered = self.dithered or bool(off[_RUN_IN : _RUN_IN + frames].any())
        lanes = -(-frames // _LANE)
        length = _RUN_IN + min(_LANE, frames)
        # What lies on a step keeps its value, makes no error, and takes none over.
        whole = _fed_back(
            _side_by_side(steps, lanes, length),
            _side_by_side(noise * off, lanes, length),
            _side_by_side(off, lanes, length).astype(np.float64),
            self._taps,
        )[_RUN_IN:]
        ordered = whole.reshape(-1, lanes, channels).transpose(1, 0, 2)
        return ordered.reshape(-1, channels)[:frames]

    def _count(self, steps: Block) -> None:
        self.clipped_samples += int(np.count_nonzero(np.abs(steps + 0.5) > self._scale))

    def _packed(self, whole: Block) -> Written:
        whole = np.clip(whole, -self._scale, self._scale - 1)
        return whole.astype(np.int16) if self._bits == 16 else whole.astype(np.int32) << 8


def noise_filter(sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """The filter that the rounding error goes through: first tap 1, zeros inside the circle.

    Its power response follows the threshold of hearing (Terhardt 1979), at most 30 dB up.
    """
    khz = np.maximum(np.linspace(0, sample_rate_hz / 2, 4097), 20.0) / 1000
    threshold_db = 3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
    shape_db = np.minimum(threshold_db - threshold_db.min(), _RISE_DB)
    # The predictor of a process with the inverse spectrum has this one.
    correlation = np.fft.irfft(10 ** (-shape_db / 10))[: _TAPS + 1]
    predictor = solve_toeplitz(correlation[:-1], -correlation[1:])
    return np.concatenate(([1.0], predictor))


def _side_by_side[T: np.generic](
    samples: npt.NDArray[T], lanes: int, length: int
) -> npt.NDArray[T]:
    """(frames, channels) as (length, lanes * channels): lanes begin `_LANE` frames apart."""
    cut = np.lib.stride_tricks.sliding_window_view(samples, length, axis=0)[::_LANE][:lanes]
    return np.ascontiguousarray(cut.transpose(2, 0, 1)).reshape(length, -1)


def _fed_back(steps: Block, noise: Block, off: Block, taps: npt.NDArray[np.float64]) -> Block:
    """Each column rounded with noise, the errors before it added to a sample through the taps."""
    count = len(taps)
    backwards = np.ascontiguousarray(taps[::-1])
    errors = np.zeros((len(steps) + count, steps.shape[1]))
    whole = np.empty_like(steps)
    meant = np.empty(steps.shape[1])
    for at, row in enumerate(whole):
        np.dot(backwards, errors[at : at + count], out=meant)
        meant *= off[at]
        meant += steps[at]
        np.add(meant, noise[at], out=row)
        np.rint(row, out=row)
        np.subtract(row, meant, out=errors[at + count])
    return whole
