"""The long-term spectrum of a recording, as mid and side: what its tone is, in numbers.

The mean power in sixths of an octave, over the parts that are loud enough to be music. Which these
are is decided as EBU R128 decides it: nothing under -70 LUFS, and nothing more than 10 LU under the
mean of the rest, so that pauses, announcements and applause between the songs do not colour the
result. The second gate is only known at the end, and the show is too long to keep; so spectra are
summed apart for every half LU of loudness, and at the end the quiet sums are left out.

Bands are powers over fixed edges in hertz, from windows of a fixed length in seconds, so recordings
of different rates compare. More than two channels are heard as their stereo down-mix.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from .signal import Block
from .window import Windows

__all__ = ["BANDS_HZ", "LongTermSpectrum", "SpectrumFinder", "front_pair", "loudness_weights"]

type _Array = npt.NDArray[np.float64]

_BANDS_PER_OCTAVE = 6
BANDS_HZ: tuple[float, ...] = tuple(
    float(hz) for hz in 1000 * 2 ** (np.arange(-34, 27) / _BANDS_PER_OCTAVE)
)
"""The bands' middles, 19.7 Hz to 20.2 kHz, a sixth of an octave apart."""

_WINDOW_S = 0.2
_ABSOLUTE_LUFS = -70.0
_RELATIVE_LU = -10.0
_STEP_LU = 0.5
_STEPS = 180  # to +20 LUFS
_FLOOR_DB = -200.0


@dataclass(frozen=True)
class LongTermSpectrum:
    """Band levels in dB (full scale squared is 0) at `BANDS_HZ`, of mid and of side.

    A band that the rate cannot hold, or in which there is nothing, is at -200. top_hz: bands above
    it were not measured. seconds: how much sound counted; 0 where there was none.
    """

    mid_db: tuple[float, ...]
    side_db: tuple[float, ...]
    top_hz: float
    seconds: float


class SpectrumFinder:
    """Hears a stream of blocks (frames, channels); speakers: the channels' places.

    Needs 0.2 s of sound.
    """

    def __init__(self, sample_rate_hz: int, speakers: Sequence[str]) -> None:
        self._size = round(_WINDOW_S * sample_rate_hz)
        hop = self._size // 2
        self._hop_s = hop / sample_rate_hz
        self._windows = Windows(hop, 0, self._size - hop, len(speakers))
        self._down_mix = _down_mix(speakers)
        hann = scipy.signal.windows.hann(self._size, sym=False)
        # One-sided power: a full-scale square wave's bins sum to one.
        self._hann = hann * np.sqrt(2 / (self._size * np.square(hann).sum()))
        self._shares = _shares(self._size, sample_rate_hz)
        self._top_hz = sample_rate_hz / 2
        # K-weighted, mid and side: left and right together have twice their power.
        self._loudness = 2 * loudness_weights()
        self._sums = np.zeros((_STEPS, 2, len(BANDS_HZ)))
        self._counts = np.zeros(_STEPS)

    def add(self, block: Block) -> None:
        """Take a block."""
        for window in self._windows.push(block):
            self._look(window)

    def finish(self) -> LongTermSpectrum:
        """The spectrum of the stream, which has ended; a last incomplete window is not counted."""
        levels = _ABSOLUTE_LUFS + _STEP_LU * (np.arange(_STEPS) + 0.5)
        counted = self._counts > 0
        if counted.any():
            power = 10 ** (levels / 10) @ self._counts / self._counts.sum()
            counted &= levels >= 10 * np.log10(power) + _RELATIVE_LU
        frames = float(self._counts[counted].sum())
        mean = self._sums[counted].sum(axis=0) / max(frames, 1.0)
        mid, side = 10 * np.log10(mean + 10 ** (_FLOOR_DB / 10))
        return LongTermSpectrum(
            tuple(mid.tolist()), tuple(side.tolist()), self._top_hz, frames * self._hop_s
        )

    def _look(self, window: Block) -> None:
        pair = self._down_mix @ window.T
        power = np.square(np.abs(scipy.fft.rfft(pair * self._hann, axis=1)))
        bands = (self._shares @ power.T).T
        loudness = -0.691 + 10 * np.log10(float((bands @ self._loudness).sum()) + 1e-30)
        if loudness >= _ABSOLUTE_LUFS:
            step = min(_STEPS - 1, int((loudness - _ABSOLUTE_LUFS) / _STEP_LU))
            self._sums[step] += bands
            self._counts[step] += 1


def front_pair(speakers: Sequence[str]) -> tuple[int, int] | None:
    """Where the left and right front channels are; None where there is no such pair."""
    if "FL" in speakers and "FR" in speakers:
        return speakers.index("FL"), speakers.index("FR")
    return None


def loudness_weights() -> _Array:
    """The K-weighting's power gain at each of `BANDS_HZ` (ITU-R BS.1770-5, Tables 1 and 2)."""
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285]
    shelf_poles = [1.0, -1.69065929318241, 0.73248077421585]
    high_pass_poles = [1.0, -1.99004745483398, 0.99007225036621]
    sections = np.array([[*shelf, *shelf_poles], [1.0, -2.0, 1.0, *high_pass_poles]])
    _, response = scipy.signal.sosfreqz(sections, np.array(BANDS_HZ), fs=48000)
    weights: _Array = np.square(np.abs(response))
    return weights


def _down_mix(speakers: Sequence[str]) -> _Array:
    """(2, channels): mid and side of the stereo down-mix; the centre 3 dB down (BS.775)."""
    matrix = np.zeros((2, len(speakers)))
    pair = front_pair(speakers)
    if pair:
        matrix[0, pair] = 0.5
        matrix[1, pair] = 0.5, -0.5
    if "FC" in speakers:
        matrix[0, speakers.index("FC")] = np.sqrt(0.5)
    if not matrix.any():
        matrix[0] = 1 / len(speakers)
    return matrix


def _shares(size: int, sample_rate_hz: int) -> _Array:
    """(bands, bins): how much of each bin lies in each band."""
    width = sample_rate_hz / size
    bins = np.arange(size // 2 + 1) * width
    middles = np.array(BANDS_HZ)[:, np.newaxis]
    half = 2 ** (0.5 / _BANDS_PER_OCTAVE)
    upper = np.minimum(bins + width / 2, middles * half)
    lower = np.maximum(bins - width / 2, middles / half)
    shares: _Array = np.maximum(upper - lower, 0.0) / width
    return shares
