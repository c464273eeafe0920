"""Hiss, taken away by a gain for every time and frequency.

Each coefficient of a spectrogram is measured against the noise print and multiplied by how much of
it is likely to be music: Wiener's gain, with the a-priori ratio not from a formula (Ephraim and
Malah 1984; Yu, Mallat and Bacry 2008) but from a small net that has seen much music and much noise
(`hissnet`). It looks at long lines and at broad strokes around each coefficient, both forward and
back in time, so neighbours get alike gains and no musical noise twitters.

Hiss is independent from channel to channel and music is not. So first, in each small region of time
and frequency, the channels are turned onto the principal axes of their covariance (for a voice in
the middle: onto mid and side); there the music is in few axes and the noise in all alike.

Above 18 kHz, where there is little music and fewer who hear it, a whole region has one gain.

A floor under the gain leaves the room's air, 24 dB down. It also hides what single coefficients the
net lets through of bare hiss; a higher one hides more, and takes less hiss.
"""

import math

import numpy as np
import numpy.typing as npt
import scipy.fft

from .hissnet import BROAD, PATCH, REACH, excess, gain
from .noise import NoisePrint
from .signal import Block, joined
from .window import Windows

__all__ = ["HissRepair"]

type _Spectra = npt.NDArray[np.complex64]
type _Floats = npt.NDArray[np.float32]

_FRAME_S = 0.0697  # the net learnt on 3072 samples at 44.1 kHz
_OVERLAP = 2  # four would take 0.02 dB more hiss, for twice the work
_GRAIN = 256  # a frame is a multiple of it, so that its bins fill the net's places
_REGION_FRAMES, _REGION_BINS = 12, 24
_AROUND = 2 * _REGION_FRAMES  # frames each side; whole regions, and more than the net's reach
_TURN_FRAMES = 16 * _REGION_FRAMES
_HIGHEST_HZ = 18000  # from here on the net is not asked
_FLOOR = 0.06  # at 0.04 bare hiss twitters more (kurtosis 1.45, not 1.27), for 0.05 dB

assert _AROUND >= REACH + _OVERLAP
assert not _REGION_FRAMES % PATCH


class HissRepair:
    """Takes the print's noise out of a stream; `amount` 0 leaves it in, and the bits alone.

    So does a print of no noise. The print is of the same channels.
    """

    def __init__(
        self, sample_rate_hz: int, channels: int, noise: NoisePrint, amount: float = 1.0
    ) -> None:
        self._channels, self._amount = channels, amount
        self._idle = amount == 0 or not any(level > -math.inf for level in noise.level_dbfs)
        size = _GRAIN * max(1, round(sample_rate_hz * _FRAME_S / _GRAIN))
        self._size, self._hop = size, size // _OVERLAP
        self._window = np.sin(np.pi * (np.arange(size) + 0.5) / size).astype(np.float32)
        # This, `analysed`, `principal_axes` and `turned` make what the net is trained on too.
        self.noise = _amplitudes(noise, sample_rate_hz, size)
        grain = PATCH * BROAD
        self._told = min(size // 2, math.ceil(_HIGHEST_HZ * size / sample_rate_hz / grain) * grain)
        around = _AROUND * self._hop
        self._windows = Windows(_TURN_FRAMES * self._hop, around, around, channels, "mirror")

    @property
    def latency(self) -> int:
        """Frames held back at most."""
        return 0 if self._idle else self._windows.hop + self._windows.after

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give what is ready."""
        if self._idle:
            return block
        return joined([self._cleaned(held) for held in self._windows.push(block)], self._channels)

    def flush(self) -> Block:
        """The rest of the stream."""
        return joined(
            [self._cleaned(held)[:real] for held, real in self._windows.finish()], self._channels
        )

    def _cleaned(self, held: Block) -> Block:
        middle: Block = held[self._windows.before : self._windows.before + self._windows.hop]
        if not held.any():
            return middle
        spectra = self.analysed(held) / self.noise[:, np.newaxis]
        axes = principal_axes(spectra)
        seen = turned(spectra, axes)
        seen *= self._taken(seen)
        hiss = self._synthesised(turned(seen, axes.swapaxes(-1, -2)) * self.noise[:, np.newaxis])
        return middle - self._amount * hiss

    def analysed(self, held: Block) -> _Spectra:
        """(channels, frames, bins), in which white noise has its own variance everywhere."""
        samples = np.ascontiguousarray(held.T, dtype=np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(samples, self._size, axis=1)
        spectra: _Spectra = scipy.fft.rfft(frames[:, :: self._hop] * self._window)
        return spectra * np.float32(math.sqrt(2 / self._size))

    def _synthesised(self, spectra: _Spectra) -> Block:
        frames = scipy.fft.irfft(spectra, self._size)
        frames *= self._window * np.float32(math.sqrt(self._size / 2) * 2 / _OVERLAP)
        channels, count, _ = frames.shape
        parts = frames.reshape(channels, count, _OVERLAP, self._hop)
        total = np.zeros((channels, count + _OVERLAP - 1, self._hop), dtype=np.float32)
        for part in range(_OVERLAP):
            total[:, part : part + count] += parts[:, :, part]
        samples = total.reshape(channels, -1).T
        return samples[self._windows.before :][: self._windows.hop].astype(np.float64)

    def _taken(self, seen: _Spectra) -> _Floats:
        """The share of each coefficient that is to go."""
        count = seen.shape[1]
        whole = -(-count // _REGION_FRAMES) * _REGION_FRAMES
        padded = np.pad(seen, ((0, 0), (0, whole - count), (0, 0)))
        power = np.square(padded.real) + np.square(padded.imag)
        own = excess(power[:, :, : self._told])
        music = np.empty_like(power)
        music[:, :, : self._told] = gain(own, _strongest_other(own))
        music[:, :, self._told :] = _broad_gain(power[:, :, self._told :])
        taken: _Floats = np.float32(1 - _FLOOR) * (1 - music[:, :count])
        return taken


def _amplitudes(noise: NoisePrint, sample_rate_hz: int, size: int) -> _Floats:
    """(channels, bins): the noise's root mean square in each bin."""
    hertz = np.fft.rfftfreq(size, 1 / sample_rate_hz)
    at = np.log2(np.maximum(hertz, 1.0))
    bands = np.log2(noise.frequencies_hz)
    variance_db = [
        np.interp(at, bands, np.maximum(density, -300)) + 10 * math.log10(sample_rate_hz / 2)
        for density in noise.density_db
    ]
    amplitudes: _Floats = (10 ** (np.array(variance_db) / 20)).astype(np.float32)
    return amplitudes


def principal_axes(spectra: _Spectra) -> _Floats:
    """(regions in time, regions in frequency, channels, channels) of orthogonal rows."""
    channels, count, bins = spectra.shape
    rows, columns = -(-count // _REGION_FRAMES), bins // _REGION_BINS
    cut = spectra[:, :, : columns * _REGION_BINS]
    padded = np.pad(cut, ((0, 0), (0, rows * _REGION_FRAMES - count), (0, 0)))
    regions = padded.reshape(channels, rows, _REGION_FRAMES, columns, _REGION_BINS)
    parts = np.ascontiguousarray(regions.transpose(1, 3, 0, 2, 4)).reshape(
        rows, columns, channels, -1
    )
    flat = parts.view(np.float32)
    covariance = (flat @ flat.swapaxes(-1, -2)).astype(np.float64)
    axes: _Floats = np.linalg.eigh(covariance)[1].swapaxes(-1, -2).astype(np.float32)
    return axes


def turned(spectra: _Spectra, axes: _Floats) -> _Spectra:
    """The channels of each region by its matrix."""
    channels, _, bins = spectra.shape
    if channels == 1:
        return spectra.copy()
    rows, columns = axes.shape[:2]
    wide = np.repeat(axes, _REGION_BINS, axis=1)
    wide = np.concatenate((wide, np.repeat(wide[:, -1:], bins - columns * _REGION_BINS, axis=1)), 1)
    out = np.empty_like(spectra)
    for row in range(rows):
        part = spectra[:, row * _REGION_FRAMES : (row + 1) * _REGION_FRAMES]
        for channel in range(channels):
            sums = part[0] * wide[row, :, channel, 0]
            for other in range(1, channels):
                sums += part[other] * wide[row, :, channel, other]
            out[channel, row * _REGION_FRAMES : (row + 1) * _REGION_FRAMES] = sums
    return out


def _broad_gain(power: _Floats) -> _Floats:
    """Wiener's gain for whole regions: where so little music is, and is heard, that it will do."""
    channels, count, bins = power.shape
    rows = count // _REGION_FRAMES
    starts = np.arange(0, bins, _REGION_BINS)
    sums = np.add.reduceat(power, starts, axis=2).reshape(channels, rows, _REGION_FRAMES, -1)
    widths = np.diff(starts, append=bins)
    mean = sums.sum(axis=2) / (_REGION_FRAMES * widths)
    music = 1 - 1 / np.maximum(mean, 1)
    wide = np.repeat(np.repeat(music, widths, axis=2), _REGION_FRAMES, axis=1)
    return wide.astype(np.float32)


def _strongest_other(own: _Floats) -> _Floats:
    """For each channel the excess of the strongest other one; that of noise for a lone one."""
    if len(own) == 1:
        return excess(np.ones_like(own))
    if len(own) == 2:
        return own[::-1]
    return np.stack([np.delete(own, at, axis=0).max(axis=0) for at in range(len(own))])
