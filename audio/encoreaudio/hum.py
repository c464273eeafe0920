"""Mains hum: a family of steady lines at multiples of 50 or 60 Hz.

Hum is there all the time, also when nobody plays; a bass note is not. So the quietest stretches of
the recording are kept, and a line counts only where it stands out in nearly all of them, at a
multiple of one fundamental, several times over. The fundamental may lie off its nominal value, as a
tape's speed may.
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

_RATE_HZ = 2000
_FRAME_S = 4
_SIZE = _RATE_HZ * _FRAME_S
_BIN_HZ = 1 / _FRAME_S
_HOP = _RATE_HZ
_KEPT = 48
_FEWEST = 4
_NOMINAL_HZ = (50.0, 60.0)
_OFF_HZ = 1.5  # 2.5 % of 60 Hz: more than any deck's speed error
_HIGHEST_HZ = 900.0
_STANDS_OUT_DB = 10.0
_FEWEST_LINES = 3
_STEADY = 0.8  # of the kept frames
_SILENT = 1e-13  # mean power; -130 dBFS

type _Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Hum:
    """Mains hum that was found.

    frequency_hz: the fundamental. level_dbfs: all its lines together, against a full-scale sine.
    harmonics: which multiples of the fundamental stand out (1 is the fundamental itself).
    """

    frequency_hz: float
    level_dbfs: float
    harmonics: tuple[int, ...]


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
        lines = [
            (multiple, line)
            for multiple in _multiples(first)
            if (line := _line(usual, prominence, multiple * first)) is not None
            and _steady(frames, round(line / _BIN_HZ))
        ]
        if len(lines) < _FEWEST_LINES or lines[0][0] > 3:
            return None
        # Least squares: a higher multiple tells the fundamental more finely.
        hz = sum(n * line for n, line in lines) / sum(n * n for n, _ in lines)
        if max(abs(line - n * hz) for n, line in lines) > _BIN_HZ:
            return None
        middle = np.median(frames, axis=0)
        power = sum(_line_power(middle, round(line / _BIN_HZ)) for _, line in lines)
        return Hum(hz, 10 * math.log10(2 * power), tuple(n for n, _ in lines))

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


def _multiples(first: float) -> range:
    return range(1, int(_HIGHEST_HZ / first) + 1)


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
    at = np.array([n * first for n in _multiples(first)]) / _BIN_HZ
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
