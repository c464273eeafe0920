"""Azimuth: one channel of a pair late by a part of a sample, found, followed and taken back.

A tape head that leans reads one track later than the other, and drifts as the tape does. The phase
between the channels then grows in proportion to frequency, for everything that both channels hold.
So cross-spectra are averaged over some seconds, each bin weighted by its coherence (the maximum
likelihood weight of Hannan and Thomson, Biometrika 60, 1973), and the delay is the slope of the
phase. It counts only where one delay explains the coherent bins in the low and in the high half of
the band alike: amplitude-panned sound passes that test with its common delay, while microphones
that stood apart give every instrument a delay of its own, and are left alone.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from .signal import Block, joined, mean_squares
from .window import Windows

__all__ = ["Azimuth", "AzimuthFinder", "AzimuthRepair"]

_FRAME_S = 0.04
_SEGMENT_S = 4.0
_LOW_HZ, _MIDDLE_HZ, _HIGH_HZ = 500.0, 3000.0, 16000.0
_COHERENT = 0.5
_MOST_WEIGHT = 50.0
_FEWEST_COHERENT = 0.1  # of the bins
_ALIGNED = 0.9  # mean cosine of the phase that a delay leaves: one delay, not many
_SILENT = 1e-10  # mean square: -100 dBFS
_SEARCH_S = 0.0006
# A head that leans by 10 arc minutes makes 60 microseconds on any tape.
_MOST_DELAY_S = 0.0003
# 2 microseconds cost 0.04 dB at 16 kHz in the sum of the channels: nothing below them matters.
_MEANT_S = 2e-6
_MOST_STRAY_S = 3e-6
_FEWEST_SHARE = 0.3
_FEWEST_POINTS = 3
_MOST_POINTS = 2048
_FRAMES_AT_ONCE = 16  # what stays in a processor's cache
_SMOOTH_S = 30.0
_ROWS_AT_ONCE = 64  # a matrix of all points by all points would be 100 MB after two hours
_HALF_TAPS = 64  # flat to 0.95 of half the rate
_BETA = 9.0
_SIZE = 16384
_STEP_SAMPLES = 1 / 512  # finer moves lie 60 dB and more under the music

type _Array = npt.NDArray[np.float64]
type _Complex = npt.NDArray[np.complex128]


@dataclass(frozen=True)
class Azimuth:
    """How late the second channel is, in samples at the stream's rate; negative where it is early.

    delay_samples: the median over the show. course: (seconds, samples), smooth, straight lines
    between. stray_samples: how far single measurements lie off the course. share: of the sounding
    stretches, those with one common delay. certain: whether all this is sure enough to act upon.
    matters: whether there is also something to act upon.
    """

    delay_samples: float
    course: tuple[tuple[float, float], ...]
    stray_samples: float
    share: float
    certain: bool
    matters: bool


class AzimuthFinder:
    """Measures the delay between the first two channels; None where there are no two."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._rate, self._pair = sample_rate_hz, channels >= 2
        self._size = 2 * scipy.fft.next_fast_len(round(_FRAME_S * sample_rate_hz / 2), real=True)
        segment = round(_SEGMENT_S * sample_rate_hz)
        self._segments = Windows(segment, 0, 0, 2)
        self._window = scipy.signal.windows.hann(self._size, sym=False)
        hertz = np.arange(self._size // 2 + 1) * sample_rate_hz / self._size
        used = (hertz > _LOW_HZ) & (hertz < min(_HIGH_HZ, 0.45 * sample_rate_hz))
        self._used, self._hertz = used, hertz[used]
        self._high = self._hertz > _MIDDLE_HZ
        grid_s = np.arange(-_SEARCH_S, _SEARCH_S, 2e-6)
        self._grid_s = grid_s
        self._turns = np.exp(2j * np.pi * np.outer(grid_s, self._hertz))
        # (sum of seconds, sum of delays, how many delays, stretches, sounding stretches)
        self._points: list[_Array] = []
        self._together = 1
        self._count = 0

    def add(self, block: Block) -> None:
        """Take a block."""
        if self._pair:
            for segment in self._segments.push(block[:, :2]):
                self._look(segment, self._segments.hop)

    def finish(self) -> Azimuth | None:
        """The stream has ended: its delay."""
        if not self._pair:
            return None
        for segment, real in self._segments.finish():
            if real >= self._segments.hop // 4 or not self._count:
                self._look(segment[:real], real)
        sums = np.array(self._points).reshape(-1, 5)
        known = sums[:, 2] > 0
        share = float(sums[:, 2].sum() / max(1.0, sums[:, 4].sum()))
        if np.count_nonzero(known) == 0:
            return Azimuth(0.0, (), 0.0, 0.0, False, False)
        seconds = sums[known, 0] / sums[known, 3]
        delays = sums[known, 1] / sums[known, 2]
        course = _course(seconds, delays)
        stray = 1.4826 * float(np.median(np.abs(delays - course)))
        certain = bool(
            share >= _FEWEST_SHARE
            and sums[:, 2].sum() >= _FEWEST_POINTS
            and stray <= _MOST_STRAY_S
            and np.abs(course).max() <= _MOST_DELAY_S
        )
        samples = course * self._rate
        return Azimuth(
            float(np.median(samples)),
            tuple(zip(seconds.tolist(), samples.tolist(), strict=True)),
            stray * self._rate,
            share,
            certain,
            certain and bool(np.abs(course).max() >= _MEANT_S),
        )

    def _look(self, segment: Block, real: int) -> None:
        start_s = self._count * self._segments.hop / self._rate
        self._count += 1
        sounds = len(segment) >= self._size and mean_squares(segment).min() > _SILENT
        delay_s = self._delay_s(segment) if sounds else None
        point = np.array(
            [
                start_s + real / self._rate / 2,
                delay_s or 0.0,
                delay_s is not None,
                1,
                sounds,
            ],
            dtype=float,
        )
        self._point(point)

    def _point(self, point: _Array) -> None:
        """Remember a measurement; when there are many, two and two become one."""
        if self._points and self._points[-1][3] < self._together:
            self._points[-1] = self._points[-1] + point
            return
        if len(self._points) == _MOST_POINTS:
            pairs = np.array(self._points).reshape(-1, 2, 5).sum(axis=1)
            self._points = list(pairs)
            self._together *= 2
        self._points.append(point)

    def _delay_s(self, segment: Block) -> float | None:
        """The one delay of a segment; None where there are several or none."""
        frames = np.lib.stride_tricks.sliding_window_view(segment, self._size, axis=0)
        frames = frames[:: self._size]
        cross = np.zeros(len(self._hertz), dtype=np.complex128)
        sums = np.zeros((2, len(self._hertz)))
        for at in range(0, len(frames), _FRAMES_AT_ONCE):
            part = frames[at : at + _FRAMES_AT_ONCE] * self._window
            first, second = scipy.fft.rfft(part, axis=2)[:, :, self._used].swapaxes(0, 1)
            cross += np.einsum("tf,tf->f", first.conj(), second)
            sums += np.array([_powers(first), _powers(second)])
        powers = sums[0] * sums[1]
        coherence = np.convolve(np.square(np.abs(cross)) / (powers + 1e-60), np.ones(5) / 5, "same")
        coherence = np.clip(coherence, 0.0, 0.999)
        weights = np.minimum(coherence / (1 - coherence), _MOST_WEIGHT)
        weights[coherence < _COHERENT] = 0.0
        if np.count_nonzero(weights[self._high]) < _FEWEST_COHERENT * np.count_nonzero(self._high):
            return None
        phases = cross / (np.abs(cross) + 1e-60)
        delay_s = self._slope_s(phases, weights)
        fits = weights * (phases * np.exp(2j * np.pi * self._hertz * delay_s)).real
        halves = [half for half in (self._high, ~self._high) if weights[half].any()]
        if min(fits[half].sum() / weights[half].sum() for half in halves) < _ALIGNED:
            return None
        return delay_s

    def _slope_s(self, phases: _Complex, weights: _Array) -> float:
        """The delay whose phase lies best along the measured phases."""
        delay_s = float(self._grid_s[(self._turns @ (weights * phases)).real.argmax()])
        for _ in range(3):
            left = np.angle(phases * np.exp(2j * np.pi * self._hertz * delay_s))
            near = weights * (np.abs(left) < 1)
            pull = (near * self._hertz * left).sum()
            delay_s -= float(pull / ((near * self._hertz**2).sum() + 1e-30) / (2 * np.pi))
        return delay_s


def _powers(spectra: _Complex) -> _Array:
    powers: _Array = (np.square(spectra.real) + np.square(spectra.imag)).sum(axis=0)
    return powers


def _course(seconds: _Array, delays: _Array) -> _Array:
    """A robust local straight line through each point (Cleveland's loess)."""
    reach_s = max(_SMOOTH_S, 3 * float(np.diff(seconds).max(initial=0.0)))
    trust = np.ones(len(delays))
    for _ in range(3):
        course = np.concatenate(
            [
                _straight(seconds[first : first + _ROWS_AT_ONCE], seconds, delays, trust, reach_s)
                for first in range(0, len(seconds), _ROWS_AT_ONCE)
            ]
        )
        off = np.abs(delays - course)
        trust = np.clip(1 - (off / (6 * np.median(off) + 1e-9)) ** 2, 0.01, None) ** 2
    return course


def _straight(at: _Array, seconds: _Array, delays: _Array, trust: _Array, reach_s: float) -> _Array:
    """The weighted straight lines through the points around some places, there."""
    away = (seconds - at[:, np.newaxis]) / reach_s
    weights = np.clip(1 - np.abs(away) ** 3, 0, None) ** 3 * trust
    total = weights.sum(axis=1) + 1e-12
    mean = weights @ delays / total
    centre = (weights * away).sum(axis=1) / total
    spread = (weights * away**2).sum(axis=1) / total - centre**2
    slope = ((weights * away) @ delays / total - centre * mean) / (spread + 1e-4)
    line: _Array = mean - slope * centre
    return line


class AzimuthRepair:
    """Brings the first two channels together: half the delay to each, by windowed sinc filters.

    amount: the share of the delay that is taken back. Where nothing matters the samples pass bit
    for bit, as all other channels do in any case.
    """

    def __init__(
        self, sample_rate_hz: int, channels: int, azimuth: Azimuth, amount: float = 1.0
    ) -> None:
        self._rate, self._channels = sample_rate_hz, channels
        self._acts = azimuth.matters and amount > 0 and channels >= 2
        course = azimuth.course or ((0.0, 0.0),)
        self._seconds = np.array([at for at, _ in course])
        self._delays = amount * np.array([delay for _, delay in course])
        self._responses: dict[float, _Complex] = {}
        self._half = _HALF_TAPS + math.ceil(float(np.abs(self._delays).max()) / 2)
        self._windows = Windows(_SIZE - 2 * self._half, self._half, self._half, channels)
        self._at = 0
        self._rise = np.arange(self._windows.hop) / self._windows.hop

    @property
    def latency(self) -> int:
        """Frames held back at most."""
        return self._half + self._windows.hop if self._acts else 0

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give what is ready."""
        if not self._acts:
            return block
        return joined(
            [self._aligned(window) for window in self._windows.push(block)], self._channels
        )

    def flush(self) -> Block:
        """The rest of the stream."""
        return joined(
            [self._aligned(window)[:real] for window, real in self._windows.finish()],
            self._channels,
        )

    def _aligned(self, window: Block) -> Block:
        hop = self._windows.hop
        ends = np.array([self._at, self._at + hop]) / self._rate
        self._at += hop
        wanted = np.interp(ends, self._seconds, self._delays)
        before, after = (np.round(wanted / _STEP_SAMPLES) * _STEP_SAMPLES).tolist()
        self._responses = {late: self._response(late) for late in (before, after)}
        out = window[self._half : self._half + hop].copy()
        spectra = scipy.fft.rfft(np.ascontiguousarray(window[:, :2].T))
        pair = self._delayed(spectra, before)
        if after != before:
            # So little apart that fading from one to the other is moving.
            pair = pair + self._rise * (self._delayed(spectra, after) - pair)
        out[:, :2] = pair.T
        return out

    def _delayed(self, spectra: _Complex, late: float) -> _Array:
        filtered: _Array = scipy.fft.irfft(spectra * self._responses[late], _SIZE)
        return filtered[:, 2 * self._half :]

    def _response(self, late: float) -> _Complex:
        """The first channel half of `late` later, the second half of it earlier."""
        if late in self._responses:
            return self._responses[late]
        taps = np.array([_delay_taps(late / 2, self._half), _delay_taps(-late / 2, self._half)])
        response: _Complex = scipy.fft.rfft(taps, _SIZE)
        return response


def _delay_taps(late: float, half: int) -> _Array:
    """A sinc around `half + late`, under a Kaiser window that moves with it."""
    at = np.arange(-half, half + 1) - late
    inside = np.clip(1 - np.square(at / (_HALF_TAPS + 1)), 0, None)
    shape = np.where(np.abs(at) <= _HALF_TAPS, np.i0(_BETA * np.sqrt(inside)), 0) / np.i0(_BETA)
    taps: _Array = np.sinc(at) * shape
    # The same gain at 0 Hz whatever the fraction.
    return taps / taps.sum()
