"""A recording played by another recording's clock.

An `Alignment` says which second of the source belongs to which second of the reference: straight
lines, or knots where a clock wandered, between the places where either recording was cut. The
source is read along that map and resampled to it. Each output sample lies a fraction d of a sample
from an input sample, and a shift by d is e^(i w d), which is a sum of Chebyshev polynomials of d
whose coefficients are Bessel functions of the frequency (Jacobi and Anger); so a few fixed filters,
run by FFT, and one polynomial a sample shift every sample by an amount of its own (the structure is
C. W. Farrow's, 1988). The error is under -120 dB up to 0.96 of half the sample rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import fft, signal, special

from .closes import Closes
from .rate import Resampler
from .signal import Block
from .stream import Damage, Reader

__all__ = ["AlignedReader", "Alignment", "Edit", "Gap", "Segment", "interpolated"]

type Numbers = npt.NDArray[np.float64]

# With 193 frames each side the step from passing to stopping (110 dB, Kaiser) takes 0.037 of half
# the sample rate: 21.2 kHz pass untouched at 44.1 kHz.
_REACH = 192
_STEP = 0.037
_STOP_DB = 110.0
# The first polynomial left out is then worth 2 J9(pi/2) = -124 dB at most.
_DEGREE = 8

_BLOCK_FRAMES = 16384
_CROSSFADE_S = 0.010
# Behind the place that is read, so that a small step back need not begin the file anew.
_KEPT_S = 5


@dataclass(frozen=True)
class Segment:
    """From `reference_from_s` to `reference_to_s` the source plays without a cut.

    knots: pairs (reference second, source second), two or more; straight lines between them and
    beyond. rate: source seconds for each second of the reference, on the whole.
    """

    reference_from_s: float
    reference_to_s: float
    knots: tuple[tuple[float, float], ...]

    @property
    def rate(self) -> float:
        """Source seconds for each second of the reference, on the whole."""
        (at, source), (last, last_source) = self.knots[0], self.knots[-1]
        return (last_source - source) / (last - at)

    def source_s(self, reference_s: Numbers) -> Numbers:
        """The source's second for each of the reference's."""
        at, source = np.array(self.knots).T
        line = np.clip(np.searchsorted(at, reference_s) - 1, 0, len(at) - 2)
        slope = np.diff(source) / np.diff(at)
        return np.asarray(source[line] + slope[line] * (reference_s - at[line]))


@dataclass(frozen=True)
class Gap:
    """A stretch of the reference for which the source has nothing."""

    reference_from_s: float
    reference_to_s: float


@dataclass(frozen=True)
class Edit:
    """A cut in either recording, at `reference_s` (where the sound before it ends).

    missing_s: what the source lacks here. skipped_s: what the source has here and the reference has
    not; negative where the source is played once more.
    """

    reference_s: float
    missing_s: float
    skipped_s: float


@dataclass(frozen=True)
class Alignment:
    """Where a source lies on a reference's clock; all seconds count from either's first sample.

    reference_start_s: where the reference begins on its container's clock. offset_s: the source's
    second at the beginning of the first segment, less the reference's. drift_ppm: how much faster
    the source's clock runs than the reference's (positive: the source needs more of its seconds).
    residual_ms: how far the single measurements lie from the map (root mean square). confidence:
    the share of the seconds inside the segments in which both clearly hold the same sound.
    reference_gain_db: what makes the reference as loud as the source.
    """

    reference_frames: int
    reference_rate_hz: int
    reference_start_s: float
    segments: tuple[Segment, ...]
    gaps: tuple[Gap, ...]
    edits: tuple[Edit, ...]
    offset_s: float
    drift_ppm: float
    residual_ms: float
    confidence: float
    reference_gain_db: float


class AlignedReader(Closes):
    """The source on the reference's clock: stands where a `Reader` of the source would.

    alignment: what `align` found for these two. fill: the reference's file, whose own sound, made
    as loud as the source, is heard where the source has nothing (None: silence). The stream is as
    long as the reference, at the source's own rate and with the source's channels.
    """

    def __init__(
        self,
        source: str | Path,
        alignment: Alignment,
        track: int = 0,
        *,
        fill: str | Path | None = None,
        fill_track: int = 0,
    ) -> None:
        self._alignment = alignment
        self._source = _Tape(source, track, None)
        self._fill: _Tape | None = None
        try:
            if fill is not None:
                start = Fraction(alignment.reference_start_s)
                self._fill = _Tape(fill, fill_track, start, self._source.rate_hz)
        except BaseException:
            self._source.close()
            raise
        self.sample_rate_hz = self._source.rate_hz
        self.speakers = self._source.reader.speakers
        self.start_s = Fraction(alignment.reference_start_s)
        length = Fraction(alignment.reference_frames, alignment.reference_rate_hz)
        self.frames = round(length * self.sample_rate_hz)

    def close(self) -> None:
        """Let go of what is held."""
        self._source.close()
        if self._fill:
            self._fill.close()

    @property
    def channels(self) -> int:
        """How many channels."""
        return len(self.speakers)

    @property
    def length_s(self) -> float:
        """How long the stream is."""
        return self.frames / self.sample_rate_hz

    @property
    def damage(self) -> list[Damage]:
        """The source's damage, in seconds of the source."""
        return self._source.reader.damage

    @property
    def damage_count(self) -> int:
        """How often the source was damaged."""
        return self._source.reader.damage_count

    @property
    def lost_s(self) -> float:
        """How much the source lost, by its timestamps."""
        return self._source.reader.lost_s

    @property
    def invalid_samples(self) -> int:
        """How many of the source's samples were not numbers."""
        return self._source.reader.invalid_samples

    def blocks(self) -> Iterator[Block]:
        """The stream, once, in blocks."""
        for first in range(0, self.frames, _BLOCK_FRAMES):
            count = min(_BLOCK_FRAMES, self.frames - first)
            block = np.zeros((count, self.channels))
            free = np.ones(count)
            for segment in self._alignment.segments:
                share = self._share(segment, first, count)
                heard = np.flatnonzero(share)
                if len(heard):
                    part = slice(heard[0], heard[-1] + 1)
                    at_s = (first + np.arange(count)[part]) / self.sample_rate_hz
                    at = segment.source_s(at_s) * self.sample_rate_hz
                    block[part] += share[part, np.newaxis] * self._source.at(at)
                    free -= share
            if self._fill and free.max() > 1e-9:
                block += free[:, np.newaxis] * self._filling(first, count)
            yield block

    def _share(self, segment: Segment, first: int, count: int) -> Numbers:
        """How much of each output sample the segment gives: 1, or a crossfade's part at its ends.

        Both sides of a cut add up to 1.
        """
        at = (first + np.arange(count)) / self.sample_rate_hz
        share = np.ones(count)
        if segment.reference_from_s > 0:
            share *= _rise((at - segment.reference_from_s) / _CROSSFADE_S)
        if segment.reference_to_s < self.length_s:
            share *= 1 - _rise((at - segment.reference_to_s) / _CROSSFADE_S)
        return share

    def _filling(self, first: int, count: int) -> Block:
        assert self._fill is not None
        block = self._fill.take(first, count)
        if block.shape[1] != self.channels:
            block = np.repeat(block.mean(axis=1, keepdims=True), self.channels, axis=1)
        return block * 10 ** (self._alignment.reference_gain_db / 20)


def interpolated(samples: Block, at: Numbers) -> Block:
    """The samples (frames, channels) at fractional places `at`, in frames.

    Nearly as many places as frames are meant: what lies above half the sample rate of a much
    coarser grid of places would fold back. Beyond the ends there is silence.
    """
    nearest = np.floor(at + 0.5).astype(np.int64)
    fraction = at - nearest
    first = int(nearest.min()) - _REACH
    window = np.zeros((int(nearest.max()) + _REACH + 1 - first, samples.shape[1]))
    low, high = max(0, first), min(len(samples), first + len(window))
    if low < high:
        window[low - first : high - first] = samples[low:high]
    return _shifted(window, nearest - int(nearest.min()), fraction)


def _shifted(window: Block, at: npt.NDArray[np.int64], fraction: Numbers) -> Block:
    """Frames `at + _REACH` of the window, each moved by its own fraction of a frame."""
    size = int(fft.next_fast_len(len(window), real=True))
    filters = _filters(size)
    polynomials = special.eval_chebyt(np.arange(_DEGREE + 1)[:, np.newaxis], 2 * fraction)
    out = np.empty((len(at), window.shape[1]))
    for channel, samples in enumerate(window.T):
        # The filters' middle is at frame _REACH, so their output is late by as much: it is read
        # 2 _REACH after the frame that is _REACH before the one wanted.
        spectra = filters * fft.rfft(samples, size)
        terms = fft.irfft(spectra, size, overwrite_x=True)[:, 2 * _REACH :]
        out[:, channel] = np.einsum("mn,mn->n", polynomials, np.take(terms, at, axis=1))
    return out


@lru_cache(maxsize=4)
def _filters(size: int) -> npt.NDArray[np.complex128]:
    """Spectra of the filters that belong to T0(2d), T1(2d), ... in e^(i w d), low-passed."""
    taps = 2 * _REACH + 1
    low_pass = signal.firwin(
        taps, 1 - _STEP / 2, window=("kaiser", signal.kaiser_beta(_STOP_DB)), scale=True
    )
    fine = 16 * _REACH
    omega = 2 * np.pi * np.arange(fine // 2 + 1) / fine
    smooth = fft.rfft(np.roll(np.pad(low_pass, (0, fine - taps)), -_REACH))
    order = np.arange(_DEGREE + 1)[:, np.newaxis]
    weights = np.where(order, 2.0, 1.0) * 1j**order * special.jv(order, omega / 2)
    shapes = np.roll(fft.irfft(weights * smooth, fine), _REACH, axis=1)[:, :taps]
    return np.asarray(fft.rfft(shapes, size))


def _rise(at: Numbers) -> Numbers:
    """From 0 at -1/2 to 1 at 1/2."""
    return np.asarray(0.5 + 0.5 * np.sin(np.pi * np.clip(at, -0.5, 0.5)))


class _Tape:
    """A file's samples by their place: forward without end, backward by beginning anew."""

    def __init__(
        self, file: str | Path, track: int, start: Fraction | None, rate_hz: int | None = None
    ) -> None:
        self._file, self._track, self._start = file, track, start
        self.reader = Reader(file, track, start_s=start)
        self.rate_hz = rate_hz or self.reader.sample_rate_hz
        self._begin()

    def close(self) -> None:
        """Let go of the file."""
        self.reader.__exit__(None, None, None)

    def at(self, places: Numbers) -> Block:
        """The samples at fractional places, in frames; silence beyond the ends."""
        first = int(np.floor(places.min())) - _REACH - 1
        last = int(np.ceil(places.max())) + _REACH + 1
        return interpolated(self.take(first, last - first), places - first)

    def take(self, first: int, count: int) -> Block:
        """Frames from `first`; silence beyond the ends."""
        if max(0, first) < self._held_from:
            self.close()
            self.reader = Reader(self._file, self._track, start_s=self._start)
            self._begin()
        while not self._ended and self._held_from + len(self._held) < first + count:
            self._read_on(first)
        block = np.zeros((count, self.reader.channels))
        low = max(first, self._held_from, 0)
        high = min(first + count, self._held_from + len(self._held))
        if low < high:
            block[low - first : high - first] = self._held[
                low - self._held_from : high - self._held_from
            ]
        return block

    def _begin(self) -> None:
        self._coming = self._converted()
        self._held: Block = np.zeros((0, self.reader.channels))
        self._held_from = 0
        self._ended = False

    def _read_on(self, first: int) -> None:
        """One block more; what lies long before `first` is let go."""
        block = next(self._coming, None)
        if block is None:
            self._ended = True
            return
        gone = min(max(0, first - _KEPT_S * self.rate_hz - self._held_from), len(self._held))
        self._held = np.concatenate((self._held[gone:], block))
        self._held_from += gone

    def _converted(self) -> Iterator[Block]:
        if self.rate_hz == self.reader.sample_rate_hz:
            yield from self.reader.blocks()
            return
        stage = Resampler(self.reader.sample_rate_hz, self.rate_hz, self.reader.channels)
        for block in self.reader.blocks():
            yield stage.process(block)
        yield stage.flush()
