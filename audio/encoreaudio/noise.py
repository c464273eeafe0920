"""The noise print: how loud a recording's steady hiss is, frequency by frequency.

Hiss is what stays when the music leaves: the low quantiles of the power that each frequency has
over the whole show (Stahl, Fischer and Bippus, "Quantile based noise estimation", ICASSP 2000; the
bias of a low quantile is that of the gamma distribution, as in Martin's minimum statistics, 2001).
A quiet passage or a dying chord has low quantiles too; but hiss is a Gaussian process, and so the
distance between two of its quantiles is known beforehand. A band counts only as far as its
quantiles lie as close together as hiss would have them, and a print counts only as far as enough of
the treble is sure: so clean music has no print.

Where music always covers the hiss, the print goes on from the nearest sure band, and never above
what was heard.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage
import scipy.signal
import scipy.stats

from .signal import Block

__all__ = ["NoiseFinder", "NoisePrint", "print_of"]

type _Array = npt.NDArray[np.float64]

_FRAME_S = 0.0427  # 2048 samples at 48 kHz
_POOL = 5  # bins under one average, which is read at every fourth
_STEP = 4
_QUANTILES = (0.05, 0.25)
# Of five neighbouring bins' power: less than 10, as Hann's window makes neighbours alike (fitted to
# the two quantiles on white noise).
_DEGREES = 6.35
_LEVELS_DB = np.arange(-170.0, 10.0, 0.5)
# Quieter than a 24-bit converter: a fade, a codec's emptied band, or no signal; not hiss.
_NOTHING_DBFS = -110.0
_SURE_DB, _UNSURE_DB = 0.3, 1.0  # quantiles further apart than hiss has them
_TREBLE_HZ = 2000.0
_ENOUGH_OCTAVES = 0.5  # of sure treble
_FEWEST_FRAMES = 60
_STANDS_OUT_DB = 3.0
_STEEPEST_DB = 6.0  # an octave, when going on below the sure bands


@dataclass(frozen=True)
class NoisePrint:
    """A recording's steady noise.

    frequencies_hz: the bands' middles, rising. density_db: per channel, the noise power there in dB
    against full scale squared per hertz. level_dbfs: per channel, all of it together, -inf where
    there is none. sureness: 0 (what was heard is not hiss) to 1, already counted into the density.
    """

    frequencies_hz: tuple[float, ...]
    density_db: tuple[tuple[float, ...], ...]
    level_dbfs: tuple[float, ...]
    sureness: float


class NoiseFinder:
    """Listens for hiss in a stream of blocks (frames, channels); needs two seconds of sound."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._rate, self._channels = sample_rate_hz, channels
        self._size = 2 * max(64, round(sample_rate_hz * _FRAME_S / 2))
        # Its side lobes fall fast: a tone must not fill its band.
        self._window = scipy.signal.windows.hann(self._size, sym=False)[:, np.newaxis]
        self._bins = np.arange(_POOL // 2 + 1, self._size // 2 - _POOL // 2, _STEP)
        self._counts = np.zeros((channels * len(self._bins), len(_LEVELS_DB)), dtype=np.int64)
        self._rows = np.arange(channels * len(self._bins)) * len(_LEVELS_DB)
        self._held: Block = np.zeros((0, channels))
        self._frames = 0

    def add(self, block: Block) -> None:
        """Take a block."""
        self._held = np.concatenate((self._held, block))
        count = len(self._held) // self._size
        for frame in self._held[: count * self._size].reshape(count, self._size, self._channels):
            self._count(frame)
        self._held = self._held[count * self._size :]

    def finish(self) -> NoisePrint:
        """The noise of the stream, which has ended."""
        return self._print(given=False)

    def given(self) -> NoisePrint:
        """The noise of a stream of which the user says that it holds nothing else."""
        return self._print(given=True)

    def _count(self, frame: Block) -> None:
        level = float(np.mean(np.square(frame)))
        if not level > 10 ** (_NOTHING_DBFS / 10):
            return
        self._frames += 1
        spectra = scipy.fft.rfft(frame * self._window, axis=0)
        sums = np.cumsum(np.square(np.abs(spectra)) * (8 / 3 / self._size), axis=0)
        power = (sums[self._bins + _POOL // 2] - sums[self._bins - _POOL // 2 - 1]) / _POOL
        decibels = 10 * np.log10(np.maximum(power, 1e-17)).T.ravel()
        columns = np.rint((decibels - _LEVELS_DB[0]) * 2).astype(np.int64)
        self._counts.ravel()[self._rows + np.clip(columns, 0, len(_LEVELS_DB) - 1)] += 1

    def _print(self, given: bool) -> NoisePrint:
        edges = _edges(self._rate)
        middles = np.sqrt(edges[:-1] * edges[1:])
        none = (-math.inf,) * self._channels
        empty = NoisePrint(
            tuple(map(float, middles)), ((-math.inf,) * len(middles),) * self._channels, none, 0.0
        )
        if self._frames < (4 if given else _FEWEST_FRAMES):
            return empty
        low, high = (
            self._banded(self._quantile(share), edges) for share in _QUANTILES
        )  # (channels, bands)
        bias_low, bias_high = _gamma_db(np.array(_QUANTILES))
        if given:
            level, sureness = high - bias_high, 1.0
        else:
            spread = (high - low) - (bias_high - bias_low)
            heard = low - bias_low
            sure = np.clip((_UNSURE_DB - spread) / (_UNSURE_DB - _SURE_DB), 0, 1)
            heard -= _covered_db(spread)
            # What stands out of its neighbours is a tone: hiss has a smooth spectrum.
            usual = scipy.ndimage.median_filter(heard, (1, 5), mode="nearest")
            heard = np.minimum(heard, usual + _STANDS_OUT_DB)
            sure = _from_the_top(sure, heard > _NOTHING_DBFS)
            octaves = np.log2(edges[1:] / edges[:-1])
            enough = (sure * octaves)[:, middles >= _TREBLE_HZ].sum(axis=1) / _ENOUGH_OCTAVES
            sureness = float(np.clip(enough.max(), 0, 1))
            if not sureness:
                return empty
            level = np.array(
                [_filled(h, s, middles) for h, s in zip(heard, sure, strict=True)]
            ) + 20 * math.log10(sureness)
        density = level - 10 * math.log10(self._rate / 2)
        width = np.diff(edges)
        total = 10 * np.log10(np.sum(10 ** (density / 10) * width, axis=1) + 1e-30)
        return NoisePrint(
            tuple(map(float, middles)),
            tuple(tuple(map(float, row)) for row in density),
            tuple(map(float, total)),
            sureness,
        )

    def _quantile(self, share: float) -> _Array:
        """(channels, bins) in dB, between two columns by the straight line."""
        total = np.cumsum(self._counts, axis=1)
        wanted = share * total[:, -1]
        column = np.argmax(total > wanted[:, np.newaxis], axis=1)
        rows = np.arange(len(total))
        here = self._counts[rows, column]
        part = (wanted - (total[rows, column] - here)) / np.maximum(here, 1)
        level: _Array = _LEVELS_DB[column] + (part - 0.5) * 0.5
        return level.reshape(self._channels, -1)

    def _banded(self, values: _Array, edges: _Array) -> _Array:
        """(channels, bands): the median over each band, which no single line can move."""
        hertz = self._bins * self._rate / self._size
        which = np.searchsorted(edges, hertz, side="right") - 1
        inside = [np.flatnonzero(which == band) for band in range(len(edges) - 1)]
        return np.stack([np.median(values[:, of], axis=1) for of in inside], axis=1)


def print_of(samples: Block, sample_rate_hz: int) -> NoisePrint:
    """The print of a stretch (frames, channels) that holds nothing but noise."""
    finder = NoiseFinder(sample_rate_hz, samples.shape[1])
    finder.add(samples)
    return finder.given()


def _edges(sample_rate_hz: int) -> _Array:
    """Bands of a quarter of an octave, but none narrower than 300 Hz."""
    edges = [100.0]
    highest = 0.5 * sample_rate_hz - 200
    while edges[-1] < highest:
        edges.append(edges[-1] + max(300.0, edges[-1] * (2**0.25 - 1)))
    edges[-1] = 0.5 * sample_rate_hz
    if len(edges) > 2 and edges[-1] - edges[-2] < 300:
        del edges[-2]
    return np.array(edges)


def _covered_db(spread: _Array) -> _Array:
    """How much too high the low quantile is, from how much further it lies from the high one.

    Where music covers the hiss for part of the time, the quantiles of the whole are higher
    quantiles of the hiss.
    """
    bare = np.linspace(1, 0.3, 15)  # the share of the time without music
    low, high = (_gamma_db(share / bare) for share in _QUANTILES)
    wider = (high - low) - (high - low)[0]
    covered: _Array = np.interp(spread, wider, low - low[0])
    return covered


def _gamma_db(share: _Array) -> _Array:
    level: _Array = 10 * np.log10(scipy.stats.gamma.ppf(share, _DEGREES / 2) / (_DEGREES / 2))
    return level


def _from_the_top(sure: _Array, heard: npt.NDArray[np.bool_]) -> _Array:
    """No band surer than those above it, of the ones in which there is anything.

    Music covers hiss from below: a band that looks like hiss under one that does not is a held
    bass, or a mix so dense that it is steady.
    """
    falling: _Array = np.where(heard, sure, 1.0)[:, ::-1]
    falling = np.minimum.accumulate(falling, axis=1)[:, ::-1]
    return np.where(heard, falling, 0.0)


def _filled(heard: _Array, sure: _Array, middles: _Array) -> _Array:
    """The bands' levels: as heard where sure, and as the sure bands let expect elsewhere."""
    if not sure.any():
        return np.full(len(heard), -200.0)
    at = np.log2(middles)
    firm = np.flatnonzero(sure > 0.98 * sure.max())
    slope = 0.0
    near = firm[at[firm] < at[firm[0]] + 2.0]
    if len(near) >= 3:
        slope = float(np.clip(np.polyfit(at[near], heard[near], 1)[0], 0, _STEEPEST_DB))
    start = float(np.mean(heard[near[:4]] - slope * at[near[:4]]))
    expected = np.interp(at, at[firm], heard[firm])
    below = at < at[firm[0]]
    expected[below] = start + slope * at[below]
    share = np.minimum(1.0, sure / sure.max())
    level: _Array = np.minimum(heard, share * heard + (1 - share) * expected)
    return level
