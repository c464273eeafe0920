"""Bandwidth: where a recording's treble was cut off, and harmonics invented above that.

A cut-off (the linear sound track of a video tape at 10 to 12 kHz, an early MP3 at 16 kHz) is a
cliff: the spectrum falls at once by far more than instruments do, and nothing rises behind it.
The finder looks for it in the spectrum of the loud moments: a high percentile over time in each
band, so that a few clicks, which reach everywhere, do not hide it.

The repair invents. What was cut off is gone; in its place come harmonics of what lies below the
cut-off: that band is squared as an analytic signal and divided by its own envelope, which gives
sums of its frequencies only. Sums of partials of one note are partials of that note (on such
extension: E. Larsen, R. M. Aarts, "Audio Bandwidth Extension", Wiley 2004). A fixed filter lays
them along the slope that the finder measured below the cut-off, 6 dB under it or more, and keeps
everything below the cut-off as it was. Because it invents, it is off unless asked for.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage
import scipy.signal

from .signal import Block, joined
from .window import Windows

__all__ = ["Bandwidth", "BandwidthFinder", "BandwidthRepair"]

type _Array = npt.NDArray[np.float64]

_BAND_HZ = 125.0
_AT_ONCE = 25  # windows; always as many, for a transform's last bits depend on its company
_WINDOW_S = 0.04
_FEWEST_WINDOWS = 75  # three seconds
_LOWEST_HZ, _HIGHEST_HZ = 3500.0, 19000.0
_OF_NYQUIST = 0.92  # above that it is the rate that cuts
_FRACTION = 0.9  # of the windows are below the level that a band is said to have
_FLOOR_DB = -150.0
_STEPS = 160  # of 1 dB
_SILENT_DB = -90.0
# Over a kilohertz and a half no instrument falls by this much; an anti-alias filter does.
_CLIFF_DB = 18.0
_NEAR, _FAR = 3, 15  # bands beside an edge where the plateau and what is behind are read
_UNDER_DB = 9.0  # where the level has left the plateau
_STEEPEST_DB, _FLATTEST_DB = -48.0, -6.0  # per octave

_HEARD_HZ = 20000.0
_UNDER_ENVELOPE_DB = 6.0
_TRANSITION = 0.06  # of the cut-off
_REJECTION_DB = 100.0
_SMOOTHED_S = 0.004
_MOST_SHAPE_DB = 20.0
# Mean power of z^2 over its envelope, for noise z of power one: 2 E[u^2 / (1 + u)], u exponential.
_SQUARED_POWER = 1.193


@dataclass(frozen=True)
class Bandwidth:
    """How far up a recording reaches.

    cutoff_hz: where it is cut off; None where no cliff was found. slope_db_octave: how its power
    density falls over the octave below that. drop_db: how deep the cliff is.
    """

    cutoff_hz: float | None
    slope_db_octave: float
    drop_db: float


class BandwidthFinder:
    """Looks for a cut-off in a stream of blocks (frames, channels); needs three seconds."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._size = round(_WINDOW_S * sample_rate_hz)
        self._nyquist_hz = sample_rate_hz / 2
        self._seconds = Windows(_AT_ONCE * self._size, 0, 0, channels)
        hann = scipy.signal.windows.hann(self._size, sym=False)
        self._hann = hann * np.sqrt(2 / (self._size * np.square(hann).sum()))
        self._bins = round(_BAND_HZ * _WINDOW_S)
        self._bands = (self._size // 2) // self._bins
        self._counts = np.zeros((self._bands, _STEPS), dtype=np.int64)
        self._heard = 0

    def add(self, block: Block) -> None:
        """Take a block."""
        for second in self._seconds.push(block):
            self._count(second, _AT_ONCE)

    def finish(self) -> Bandwidth:
        """The bandwidth of the stream, which has ended."""
        for second, real in self._seconds.finish():
            self._count(second, real // self._size)
        if self._heard < _FEWEST_WINDOWS:
            return Bandwidth(None, _FLATTEST_DB, 0.0)
        reached = np.cumsum(self._counts, axis=1) >= _FRACTION * self._heard
        level = _FLOOR_DB + reached.argmax(axis=1).astype(np.float64)
        first = round(_LOWEST_HZ / _BAND_HZ)
        last = round(min(_HIGHEST_HZ, _OF_NYQUIST * self._nyquist_hz) / _BAND_HZ)
        best, drop = 0, 0.0
        for edge in range(first, min(last, self._bands - _NEAR)):
            fall = _plateau(level, edge) - float(level[edge + _NEAR :].max())
            if fall > drop:
                best, drop = edge, fall
        if drop < _CLIFF_DB:
            return Bandwidth(None, _slope(level, self._bands), drop)
        on = level[best - _FAR : best + _NEAR] >= _plateau(level, best) - _UNDER_DB
        edge = best - _FAR + int(np.flatnonzero(on)[-1]) + 1
        return Bandwidth(edge * _BAND_HZ, _slope(level, edge), drop)

    def _count(self, second: Block, real: int) -> None:
        """Hear the first `real` windows of a second."""
        windows = second.reshape(_AT_ONCE, self._size, -1).swapaxes(1, 2)
        spectra = scipy.fft.rfft(windows * self._hann, axis=2)[:real]
        used = spectra[:, :, : self._bands * self._bins]
        power = (np.square(used.real) + np.square(used.imag)).sum(axis=1)
        bands = power.reshape(real, self._bands, self._bins).sum(axis=2)
        level = 10 * np.log10(bands + 1e-30)
        level = level[level.max(axis=1) > _SILENT_DB]
        steps = np.clip(level - _FLOOR_DB, 0, _STEPS - 1).astype(np.int64)
        np.add.at(self._counts, (np.arange(self._bands), steps), 1)
        self._heard += len(level)


class BandwidthRepair:
    """Invents harmonics above a cut-off; below it nothing changes by more than -80 dB.

    amount: 0 passes every bit; 1 lies 6 dB, and 0.5 lies 12 dB, under the envelope that was
    extrapolated. Nothing is added where there was no cut-off, or above 20 kHz.
    """

    def __init__(
        self, sample_rate_hz: int, channels: int, bandwidth: Bandwidth, amount: float
    ) -> None:
        top = min(_HEARD_HZ, _OF_NYQUIST * sample_rate_hz / 2)
        cutoff = bandwidth.cutoff_hz or top
        self._idle = not amount or cutoff * (1 + 2 * _TRANSITION) >= top
        self._channels = channels
        width = _TRANSITION * cutoff / (sample_rate_hz / 2)
        count, self._beta = scipy.signal.kaiserord(_REJECTION_DB, width)
        self._half = count // 2 + 1
        self._smooth = round(_SMOOTHED_S * sample_rate_hz) | 1
        reach = 2 * self._half + self._smooth
        self._size = scipy.fft.next_fast_len(max(8192, 4 * reach))
        self._windows = Windows(self._size - 2 * reach, reach, reach, channels)
        if self._idle:
            return
        hertz = scipy.fft.rfftfreq(self._size, 1 / sample_rate_hz)
        # The sums reach twice as high as what they are made of, and may not fold over.
        source = (hertz >= cutoff / 2) & (hertz <= min(cutoff, top / 2))
        self._source = 2 * self._sharp(source.astype(np.float64))
        added = amount * 10 ** (-_UNDER_ENVELOPE_DB / 20) * _shape(hertz, source, bandwidth)
        added[(hertz < cutoff * (1 + _TRANSITION / 2)) | (hertz > top)] = 0
        self._added = self._sharp(added) / 2

    @property
    def latency(self) -> int:
        """Frames held back at most: two filters, and one window's hop."""
        return 0 if self._idle else self._windows.after + self._windows.hop

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give what is ready."""
        if self._idle:
            return block
        return joined(
            [self._extended(window) for window in self._windows.push(block)], self._channels
        )

    def flush(self) -> Block:
        """The rest of the stream."""
        return joined(
            [self._extended(window)[:real] for window, real in self._windows.finish()],
            self._channels,
        )

    def _extended(self, window: Block) -> Block:
        middle = slice(self._windows.before, self._windows.before + self._windows.hop)
        spectra = np.zeros((self._channels, self._size), dtype=np.complex128)
        spectra[:, : len(self._source)] = scipy.fft.rfft(window.T, axis=1) * self._source
        band = scipy.fft.ifft(spectra, axis=1)
        power = np.square(band.real) + np.square(band.imag)
        around = scipy.ndimage.uniform_filter1d(power, self._smooth, axis=1)
        # With its own power in it, the envelope lets no attack overshoot.
        envelope = np.sqrt((np.maximum(around, 0) + power) / 2) + 1e-12
        sums = scipy.fft.fft(band * band / envelope, axis=1)[:, : len(self._added)]
        added = scipy.fft.irfft(sums * self._added, self._size, axis=1)
        out: Block = window[middle] + added[:, middle].T
        return out

    def _sharp(self, response: _Array) -> _Array:
        """A zero-phase response as a filter of finite length has it."""
        impulse = np.roll(scipy.fft.irfft(response, self._size), self._half)
        impulse[2 * self._half + 1 :] = 0
        impulse[: 2 * self._half + 1] *= np.kaiser(2 * self._half + 1, self._beta)
        return np.asarray(scipy.fft.rfft(np.roll(impulse, -self._half)).real)


def _plateau(level: _Array, edge: int) -> float:
    return float(np.median(level[edge - _FAR : edge - _NEAR]))


def _slope(level: _Array, edge: int) -> float:
    """Decibels per octave over the octave below a band."""
    bands = np.arange(edge // 2, edge - _NEAR)
    slope = float(np.polyfit(np.log2(bands + 0.5), level[bands], 1)[0])
    return min(max(slope, _STEEPEST_DB), _FLATTEST_DB)


def _shape(hertz: _Array, source: npt.NDArray[np.bool_], bandwidth: Bandwidth) -> _Array:
    """The gain that lays the squared band along the slope: the wanted density over its own.

    The density of a product of two is the convolution of theirs.
    """
    octaves = np.log2(np.maximum(hertz, 1) / hertz[source][0])
    wanted = 10 ** (bandwidth.slope_db_octave * octaves / 10)
    density = np.where(source, wanted, 0)
    own = scipy.signal.fftconvolve(density, density)[: len(hertz)] / density.sum()
    gain = wanted / (_SQUARED_POWER * np.maximum(own, 1e-12))
    shape: _Array = np.sqrt(np.minimum(gain, 10 ** (_MOST_SHAPE_DB / 10)))
    return shape
