"""Mains hum: a family of steady lines at multiples of 50 or 60 Hz.

Hum is there all the time, also when nobody plays; a bass note is not. So the quietest stretches of
the recording are kept, and a line counts only where it stands out in nearly all of them, at a
multiple of one fundamental, several times over. The fundamental may lie off its nominal value, as a
tape's speed may, and wander. Once it is known, the frames are brought onto one fundamental, so that
the multiples which a lighting dimmer makes, far up in the spectrum, stay narrow lines.
"""

import heapq
import math
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal
import soxr

from .signal import Block

__all__ = ["Hum", "HumFinder"]

_RATE_HZ = 8000
_FRAME_S = 4
_SIZE = _RATE_HZ * _FRAME_S
_BIN_HZ = 1 / _FRAME_S
_HOP = _RATE_HZ
_KEPT = 48
_FEWEST = 4
_NOMINAL_HZ = (50.0, 60.0)
_OFF_HZ = 1.5  # 2.5 % of 60 Hz: more than any deck's speed error
# Below the first, music has fewer lines than hum; a family found there is followed to the second.
_FAMILY_HZ, _HIGHEST_HZ = 900.0, 3200.0
_STANDS_OUT_DB = 10.0
_FEWEST_LINES = 3
_NEAR_HZ = 0.3
_FEWEST_LINES_FAR = 5  # far from the nominal value a chord is likelier than a tape's wrong speed
_WANDER_HZ = 0.2
_WIDEST_GAP = 4
_FEWEST_TOLD = 10
_STEADY = 0.8  # of the kept frames
_SILENT = 1e-13  # mean power; -130 dBFS

type _Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Hum:
    """Mains hum that was found.

    frequency_hz: the fundamental. level_dbfs: all its lines together, against a full-scale sine.
    harmonics: which multiples of the fundamental stand out (1 is the fundamental itself).
    levels_dbfs: how loud each multiple is at most in the quiet parts, from the first to some above
    the highest that stands out, whether it stands out itself or not; the mean over the channels.
    """

    frequency_hz: float
    level_dbfs: float
    harmonics: tuple[int, ...]
    levels_dbfs: tuple[float, ...] = ()


class HumFinder:
    """Looks for hum in a stream of blocks (frames, channels); needs seven seconds of sound."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._resampler = soxr.ResampleStream(sample_rate_hz, _RATE_HZ, channels, dtype="float64")
        self._held: Block = np.zeros((0, channels))
        self._window = scipy.signal.windows.hann(_SIZE, sym=False)[:, np.newaxis]
        # The quietest frames, loudest first: (-power, order, spectrum).
        self._quietest: list[tuple[float, int, _Array]] = []
        self._order = count()

    def add(self, block: Block) -> None:
        """Take a block."""
        slow = self._resampler.resample_chunk(np.ascontiguousarray(block))
        self._held = np.concatenate((self._held, slow))
        while len(self._held) >= _SIZE:
            self._look(self._held[:_SIZE])
            self._held = self._held[_HOP:]

    def finish(self) -> Hum | None:
        """The hum of the stream, which has ended; None where there is none to be sure of."""
        if len(self._quietest) < _FEWEST:
            return None
        frames = np.array([spectrum for _, _, spectrum in self._quietest])
        usual = np.percentile(frames, 20, axis=0)
        prominence = _prominence(usual)
        first = max(_candidates(), key=lambda hz: _score(prominence, hz))
        family = _lines(frames, usual, prominence, first, _FAMILY_HZ)
        if not family or min(family) > 3 or len(family) < _FEWEST_LINES:
            return None
        hz = _fundamental(family)
        off_hz = min(abs(hz - nominal) for nominal in _NOMINAL_HZ)
        if off_hz > _NEAR_HZ and len(family) < _FEWEST_LINES_FAR:
            return None
        if max(abs(line - n * hz) for n, line in family.items()) > _BIN_HZ:
            return None
        owns = [_own(frame, hz, list(family)) for frame in frames]
        bins = np.arange(frames.shape[1])
        aligned = [
            np.interp(bins * own / hz, bins, frame) for own, frame in zip(owns, frames, strict=True)
        ]
        return _told(np.array(aligned), hz, float(np.median(owns)) / hz)

    def _look(self, frame: Block) -> None:
        power = float(np.mean(np.square(frame)))
        if power < _SILENT:
            return
        spectra = scipy.fft.rfft(frame * self._window, axis=0)
        # One-sided mean power per bin, over the channels.
        spectrum = np.mean(np.square(np.abs(spectra)), axis=1) * (
            2 / (_SIZE * float(np.square(self._window).sum()))
        )
        entry = -power, next(self._order), spectrum
        if len(self._quietest) < _KEPT:
            heapq.heappush(self._quietest, entry)
        else:
            heapq.heappushpop(self._quietest, entry)


def _candidates() -> list[float]:
    steps = np.arange(-_OFF_HZ, _OFF_HZ + 0.01, 0.02)
    return [float(nominal + step) for nominal in _NOMINAL_HZ for step in steps]


def _told(frames: _Array, hz: float, scale: float) -> Hum | None:
    """The hum of frames that are known to have some, all on one fundamental.

    scale: what the frames' usual fundamental was, against `hz`.
    """
    usual = np.percentile(frames, 20, axis=0)
    prominence = _prominence(usual)
    lines = _lines(frames, usual, prominence, hz, _HIGHEST_HZ)
    if len(lines) < _FEWEST_LINES:
        return None
    middle = np.median(frames, axis=0)
    last = max(_FEWEST_TOLD, round(1.25 * max(lines)))
    powers = [_line_power(middle, round(n * hz / _BIN_HZ)) for n in range(1, last + 1)]
    power = sum(_line_power(middle, round(line / _BIN_HZ)) for line in lines.values())
    return Hum(
        _fundamental(lines) * scale,
        10 * math.log10(2 * power),
        tuple(lines),
        tuple(10 * math.log10(2 * line) for line in powers),
    )


def _lines(
    frames: _Array, usual: _Array, prominence: _Array, first: float, highest_hz: float
) -> dict[int, float]:
    """The lines of a family, by multiple, and their frequencies; up to the first wide gap."""
    lines: dict[int, float] = {}
    for multiple in _multiples(first, highest_hz):
        if lines and multiple * first > _FAMILY_HZ and multiple - max(lines) > _WIDEST_GAP:
            break
        # What is known so far tells where the next one lies.
        near = _fundamental(lines) if len(lines) >= _FEWEST_LINES else first
        line = _line(usual, prominence, multiple * near)
        if line is not None and _steady(frames, round(line / _BIN_HZ)):
            lines[multiple] = line
    return lines


def _fundamental(lines: dict[int, float]) -> float:
    # Least squares: a higher multiple tells the fundamental more finely.
    return sum(n * line for n, line in lines.items()) / sum(n * n for n in lines)


def _own(frame: _Array, hz: float, family: list[int]) -> float:
    """A single frame's fundamental, near the recording's."""
    steps = np.arange(-_WANDER_HZ, _WANDER_HZ + 0.005, 0.01)
    at = np.outer(hz + steps, family) / _BIN_HZ
    heights = np.interp(at, np.arange(len(frame)), np.log(frame + 1e-30)).sum(axis=1)
    return float(hz + steps[int(heights.argmax())])


def _multiples(first: float, highest_hz: float) -> range:
    return range(1, int(highest_hz / first) + 1)


def _prominence(spectrum: _Array) -> _Array:
    """Decibels of each bin over its neighbourhood, 2 to 12 Hz away on both sides."""
    near, far = round(2 / _BIN_HZ), round(12 / _BIN_HZ)
    padded = np.pad(spectrum, far, mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * far + 1)
    sides = np.concatenate((around[:, : far - near + 1], around[:, far + near :]), axis=1)
    tiny = 1e-30
    level: _Array = 10 * np.log10((spectrum + tiny) / (np.median(sides, axis=1) + tiny))
    return level


def _score(prominence: _Array, first: float) -> float:
    at = first * np.array(_multiples(first, _FAMILY_HZ)) / _BIN_HZ
    heights = np.interp(at, np.arange(len(prominence)), prominence)
    return float(np.clip(heights, 0, 30).sum())


def _line(spectrum: _Array, prominence: _Array, near_hz: float) -> float | None:
    """The frequency of a line that stands out near a frequency, by a parabola through its top."""
    middle = round(near_hz / _BIN_HZ)
    top = middle - 1 + int(np.argmax(spectrum[middle - 1 : middle + 2]))
    low, here, high = (math.log(float(spectrum[top + step]) + 1e-30) for step in (-1, 0, 1))
    if prominence[top] < _STANDS_OUT_DB or here < low or here < high:
        return None
    bend = low - 2 * here + high
    return (top + (0.5 * (low - high) / bend if bend else 0.0)) * _BIN_HZ


def _steady(frames: _Array, top: int) -> bool:
    """Whether a line stands out, and stands equally high, in nearly every frame."""
    near, far = round(2 / _BIN_HZ), round(12 / _BIN_HZ)
    sides = np.concatenate(
        (frames[:, max(0, top - far) : top - near], frames[:, top + near : top + far]), axis=1
    )
    line = frames[:, top - 1 : top + 2].max(axis=1)
    out = line > np.median(sides, axis=1) * 10 ** (0.6 * _STANDS_OUT_DB / 10)
    usual = float(np.median(line))
    level = (line > usual / 4) & (line < usual * 4)
    return bool(np.mean(out & level) >= _STEADY)


def _line_power(spectrum: _Array, top: int) -> float:
    """The power of a line, whose main lobe spreads over five bins."""
    return float(spectrum[top - 2 : top + 3].sum())
