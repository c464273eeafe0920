"""Tone: an equaliser drawn from what the recording is towards what it should be.

The long-term spectra of two recordings (see `spectrum`), or of one and a named curve, are
subtracted; the difference is smoothed, held within a few decibels, and made a filter for mid and
one for side. Level and width are not tone: mid and side are each matched in shape only, and the
whole keeps its loudness. Where the two lie very far apart, something is missing on one side (the
treble that a tape never had) rather than toned otherwise; there the curve goes back to nothing.

A reference is followed to two thirds of an octave. A named curve is the mean of thousands of
recordings; a single song has its key and its instruments, which are not faults, so a named curve is
followed to two octaves only, and mid and side get the same gain.

The curves hold what is published on the mean spectrum of recorded music: about -5 dB per octave of
power density between 100 Hz and 4 kHz, steeper above, falling below some 60 Hz (P. D. Pestana, Z.
Ma, J. D. Reiss, A. Barbosa, D. A. A. Black, "Spectral Characteristics of Popular Commercial
Recordings 1950-2010", AES 135th Convention, 2013).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.fft

from .error import SoundError
from .signal import Block, joined
from .spectrum import BANDS_HZ, LongTermSpectrum, front_pair, loudness_weights
from .window import Windows

__all__ = ["CURVES", "Tone", "ToneCurve", "tone_curve"]

type _Array = npt.NDArray[np.float64]

# (Hz, dB) between which a curve is straight over the logarithm of frequency. Levels of bands of
# equal ratio, which fall 3 dB per octave less than the density does.
CURVES: MappingProxyType[str, tuple[tuple[float, float], ...]] = MappingProxyType(
    {
        # Pestana et al.: 2 dB per octave from 100 Hz to 4 kHz, then 5, then 10.
        "concert": (
            (20, -12),
            (60, 0),
            (100, 0),
            (4000, -10.6),
            (10000, -17.2),
            (20000, -27.2),
        ),
        # The straight line of 4.5 dB per octave (density) that mixing engineers hold analysers to.
        "neutral": ((20, 0), (20000, -15)),
        # As "concert", 3 dB per octave: a dark hall, a reel of tape.
        "warm": ((20, -10), (60, 2), (100, 2), (4000, -14), (10000, -22), (20000, -33)),
    }
)

_HERTZ = np.array(BANDS_HZ)
_OCTAVES = np.log2(_HERTZ)
_REFERENCE_OCTAVES = 2 / 3
_NAMED_OCTAVES = 2.0
# A difference up to the first is tone; from the second on, something is missing on one side.
_TONE_DB = 15.0
_MISSING_DB = 25.0
# Under this much below mid, side is not sound of its own but what is left of mid.
_NO_SIDE_DB = 40.0
# Below this octave lies the hall's rumble rather than the music: its level is not matched.
_RUMBLE_HZ = (20.0, 40.0)
_FLAT_DB = 1e-6
_HALF_S = 0.0427


@dataclass(frozen=True)
class ToneCurve:
    """Gains in dB at `spectrum.BANDS_HZ`, for mid and for side."""

    mid_db: tuple[float, ...]
    side_db: tuple[float, ...]

    @property
    def flat(self) -> bool:
        """Whether it changes nothing."""
        return max(map(abs, self.mid_db + self.side_db)) < _FLAT_DB


def tone_curve(
    source: LongTermSpectrum,
    target: LongTermSpectrum | str | None,
    amount: float = 0.5,
    most_db: float = 6.0,
    tilt_db: float = 0.0,
) -> ToneCurve:
    """The curve that leads `source` towards `target`, a recording or the name of one of `CURVES`.

    amount: 0 (nothing) to 1 (the whole way). most_db: the matching moves no band further than this.
    tilt_db: on top of it, a straight line over the logarithm of frequency that is higher by this at
    20 kHz than at 20 Hz: 3 is one decibel per decade brighter. The source's loudness is kept. With
    target None there is the tilt alone. Raises SoundError for an unknown name.
    """
    if isinstance(target, str) and target not in CURVES:
        raise SoundError(f"no tone curve is called {target!r}; there are {', '.join(CURVES)}")
    mid, side = np.array(source.mid_db), np.array(source.side_db)
    gains = np.zeros((2, len(_HERTZ)))
    heard = source.top_hz >= _HERTZ
    if source.seconds and isinstance(target, str):
        both = 10 * np.log10(10 ** (mid / 10) + 10 ** (side / 10))
        gains[:] = _matched(_drawn(target) - both, heard, _NAMED_OCTAVES)
    elif source.seconds and isinstance(target, LongTermSpectrum) and target.seconds:
        wanted = np.array(target.mid_db), np.array(target.side_db)
        heard &= target.top_hz >= _HERTZ
        gains[:] = _matched(wanted[0] - mid, heard, _REFERENCE_OCTAVES)
        sided = (side > mid - _NO_SIDE_DB) & (wanted[1] > wanted[0] - _NO_SIDE_DB) & heard
        if np.count_nonzero(sided) > np.count_nonzero(heard) // 2:
            gains[1] = _matched(wanted[1] - side, sided, _REFERENCE_OCTAVES)
    power = loudness_weights() * np.array((10 ** (mid / 10), 10 ** (side / 10)))
    if amount and source.seconds:
        gains = amount * _neutral_within(gains, power, most_db)
    if tilt_db:
        gains = gains + tilt_db * (_OCTAVES - _OCTAVES.mean()) / (_OCTAVES[-1] - _OCTAVES[0])
    if not amount and not tilt_db:
        gains = np.zeros_like(gains)
    elif source.seconds:
        gains = gains - _louder_db(gains, power)
    return ToneCurve(tuple(gains[0].tolist()), tuple(gains[1].tolist()))


class Tone:
    """Plays a stream through a curve: the front pair as mid and side, others by mid's, LFE never.

    speakers: the channels' places, as FFmpeg names them. The filter is 85 ms long, which draws the
    curve to 24 Hz; what is finer than that in the lowest octave is averaged.

    phase: "linear" keeps every waveform's shape and delays nothing (the delay is given back); what
    it lets ring before an attack is within 43 ms and, for curves as smooth as `tone_curve` draws,
    under masking. "minimum" rings only afterwards. A flat curve passes every sample as it is.
    """

    def __init__(
        self,
        sample_rate_hz: int,
        speakers: Sequence[str],
        curve: ToneCurve,
        phase: Literal["linear", "minimum"] = "linear",
    ) -> None:
        channels = len(speakers)
        half = max(16, round(_HALF_S * sample_rate_hz))
        before, after = (half, half) if phase == "linear" else (2 * half, 0)
        self._size = scipy.fft.next_fast_len(8 * half, real=True)
        self._windows = Windows(self._size - 2 * half, before, after, channels)
        self._from = 2 * half
        self._flat, self._channels = curve.flat, channels
        mid, side = (
            scipy.fft.rfft(_taps(sample_rate_hz, np.array(gains), half, phase), self._size)
            for gains in (curve.mid_db, curve.side_db)
        )
        self._untouched = [at for at, name in enumerate(speakers) if name.startswith("LFE")]
        self._pair = front_pair(speakers)
        self._mid, self._straight, self._across = mid, (mid + side) / 2, (mid - side) / 2

    @property
    def latency(self) -> int:
        """Frames held back at most: what the filter looks ahead, and one window's hop."""
        return 0 if self._flat else self._windows.after + self._windows.hop

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give what is ready."""
        if self._flat:
            return block
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
        spectra = scipy.fft.rfft(window.T, self._size, axis=1)
        toned = spectra * self._mid
        if self._pair:
            left, right = self._pair
            toned[left] = spectra[left] * self._straight + spectra[right] * self._across
            toned[right] = spectra[right] * self._straight + spectra[left] * self._across
        out = scipy.fft.irfft(toned, self._size, axis=1)[:, self._from :].T
        middle = slice(self._windows.before, self._windows.before + self._windows.hop)
        out[:, self._untouched] = window[middle, self._untouched]
        return np.ascontiguousarray(out)


def _drawn(name: str) -> _Array:
    hertz, levels = zip(*CURVES[name], strict=True)
    drawn: _Array = np.interp(_OCTAVES, np.log2(hertz), levels)
    return drawn


def _matched(difference: _Array, heard: npt.NDArray[np.bool_], octaves: float) -> _Array:
    """The difference about its own middle, smooth, and nothing where something is missing."""
    if not heard.any():
        return np.zeros_like(difference)
    # Level is not tone. The middle octaves say what level is; a median, as ends may be missing.
    judged = heard & (_HERTZ >= 60) & (_HERTZ <= 10000)
    centred = difference - np.median(difference[judged if judged.any() else heard])
    trust = np.interp(np.abs(centred), (_TONE_DB, _MISSING_DB), (1.0, 0.0)) * heard
    trust *= np.interp(_OCTAVES, np.log2(_RUMBLE_HZ), (0.0, 1.0))
    distance = _OCTAVES[:, np.newaxis] - _OCTAVES
    kernel = np.exp(-4 * np.log(2) * np.square(distance / octaves))  # full width at half height
    weight = kernel @ trust
    around = kernel @ (trust * centred) / np.maximum(weight, 1e-9)
    matched: _Array = around * (weight / kernel.sum(axis=1))
    return matched


def _neutral_within(gains: _Array, power: _Array, most_db: float) -> _Array:
    """The gains, raised or lowered as one so that, held within bounds, they keep the loudness."""
    low, high = -60.0, 60.0
    for _ in range(50):
        middle = (low + high) / 2
        if _louder_db(_held(gains + middle, most_db), power) > 0:
            high = middle
        else:
            low = middle
    return _held(gains + (low + high) / 2, most_db)


def _held(gains: _Array, most_db: float) -> _Array:
    """Nearly unchanged up to half of the bound, and never beyond it."""
    if most_db <= 0:
        return np.zeros_like(gains)
    held: _Array = gains / (1 + (gains / most_db) ** 4) ** 0.25
    return held


def _louder_db(gains: _Array, power: _Array) -> float:
    """How much louder the K-weighted sum of bands gets."""
    return float(10 * np.log10((power * 10 ** (gains / 10)).sum() / power.sum()))


def _taps(
    sample_rate_hz: int, gains_db: _Array, half: int, phase: Literal["linear", "minimum"]
) -> _Array:
    """The curve's filter, 2 half + 1 taps."""
    # Eight times as fine as the filter, so that what folds over is nothing.
    size = scipy.fft.next_fast_len(16 * half, real=True)
    hertz = scipy.fft.rfftfreq(size, 1 / sample_rate_hz)
    level = np.interp(np.log2(np.maximum(hertz, 1.0)), _OCTAVES, gains_db)
    if phase == "linear":
        impulse = scipy.fft.irfft(10 ** (level / 20), size)
        around = np.roll(impulse, half)[: 2 * half + 1]
        taps: _Array = around * np.hanning(2 * half + 3)[1:-1]
        return taps
    # The minimum phase is the Hilbert transform of the log magnitude: its cepstrum, made causal.
    cepstrum = scipy.fft.irfft(level * (np.log(10) / 20), size)
    cepstrum[1 : size // 2] *= 2
    cepstrum[size // 2 + 1 :] = 0
    causal = scipy.fft.irfft(np.exp(scipy.fft.rfft(cepstrum)), size)[: 2 * half + 1]
    fading: _Array = causal * np.hanning(4 * half + 3)[2 * half + 1 : -1]
    return fading
