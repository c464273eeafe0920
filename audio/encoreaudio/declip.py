"""Clipped tops given back.

A clipped sample is not lost: it is known to lie at the level or beyond it, and the music around it
foretells it. Each short frame that has clipped samples gets a long predictor, and its clipped
samples the heights that leave the least prediction error, none of them below the level; then a
better predictor is fitted to the frame with those heights, and so on (A. Janssen, R. Veldhuis and
L. Vries, "Adaptive interpolation of discrete-time signals that can be modeled as autoregressive
processes", IEEE Trans. ASSP 34, 1986; the level as a bound: P. Zaviska, P. Rajmic, A. Ozerov and
L. Rencker, "A survey and an extensive evaluation of popular audio declipping methods", 2021).
Frames overlap, and their heights are added under a window. Each frame stands alone on a grid of the
stream, so the result does not hang on how the stream was chopped. Samples that are not clipped pass
bit for bit, and where nothing is clipped nothing is done.

Whether prediction can be trusted in this recording is tested on it before anything is changed: some
passages with clipped tops are clipped deeper, restored, and compared with what is known of them,
the flanks of the tops. Where heights come out too large there, as they do behind a limiter's soft
knee, all are made smaller, and by more the further they lie beyond what the test can see. What it
cannot know is a recording that had been clipped before and less deeply, and whose flanks do not
show it: all that told of that has been cut off, and it gets the heights that it had before either.
"""

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.linalg
import scipy.ndimage

from .clipping import Clipping
from .signal import Block, joined
from .window import Windows

__all__ = ["ClipRepair"]

type _Plane = npt.NDArray[np.float64]
type _Levels = tuple[float | None, float | None]
type _Signs = npt.NDArray[np.int8]

# Frame, order, floor and rounds have seen the pieces of the bench's table, rock and folk above all.
_FRAME_S = 0.17
_ORDER = 1 / 16  # of the frame
_HIGHEST_ORDER = 512
_HOPS = 4  # frames in a window of the stream
# 80 dB under the music; at 60 dB a recording with nothing above 16 kHz gains far less.
_FLOOR = 1e-8
_SILENCE = 1e-20
_MODELS = 3  # predictors, each fitted to what the one before has restored
_MANY = 0.05  # of a frame: with more clipped samples the third costs most, and gains nothing
_MOST = 0.1  # of a frame: with more, a predictor half as long takes a quarter of the time
_BOUNDS = 2  # times that heights below the level are put onto it and the others sought again
_RIDGE = 1e-12
_SAME = 1e-6  # of the level
_TEST_LEVEL = 0.6  # of the clipping level: 4.4 dB under it
# Heights too large by a tenth under the level are too large by more beyond it: by two or three
# tenths where a tanh has limited, and by more in the bench's voice, which had been clipped before.
# Chosen on that voice, so that what is restored of it is no worse than what is not.
_BEYOND = 7.5
_FEWEST_TESTS = 4  # passages; fewer say nothing


class ClipRepair:
    """Restores what `clipping` says was cut off; the result may go over full scale.

    amount: the share of the restoration that is added, 0 to 1. trust: what is left of all
    heights after the test, 0 to 1. restored: samples changed so far.
    """

    def __init__(
        self, sample_rate_hz: int, channels: int, clipping: Clipping, amount: float = 1.0
    ) -> None:
        self._size = 2 ** max(8, round(np.log2(_FRAME_S * sample_rate_hz)))
        self._order = min(_HIGHEST_ORDER, round(_ORDER * self._size))
        self._step = self._size // 2
        self._window = np.hanning(self._size + 1)[:-1]  # with the next frame's it sums to one
        self._levels = clipping.levels
        self._idle = not amount or not any(side for sides in self._levels for side in sides)
        self._amount = amount
        self._channels = channels
        self._windows = Windows(_HOPS * self._step, 0, self._step, channels)
        self._added: Block = np.zeros((self._step, channels))
        self._to_drop = 0
        self._begun = False
        self.trust = 1.0 if self._idle else _trust(clipping, self._size, self._order)
        self.restored = 0

    @property
    def latency(self) -> int:
        """Frames held back at most."""
        return 0 if self._idle else self._windows.hop + 2 * self._step

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give what is ready."""
        if self._idle or not len(block):
            return block
        if not self._begun:
            # Silence before the stream, so that as many frames lie over its first sample.
            self._begun, self._to_drop = True, self._step
            block = np.concatenate((np.zeros((self._step, self._channels)), block))
        return joined(
            [self._restored(window, self._windows.hop) for window in self._windows.push(block)],
            self._channels,
        )

    def flush(self) -> Block:
        """The rest of the stream."""
        return joined(
            [self._restored(window, real) for window, real in self._windows.finish()],
            self._channels,
        )

    def _restored(self, window: Block, real: int) -> Block:
        hop = self._windows.hop
        added = np.pad(self._added, ((0, hop), (0, 0)))
        for channel in range(self._channels):
            self._restore(np.ascontiguousarray(window[:, channel]), channel, added[:, channel])
        self._added = added[hop:]
        dry = window[:real]
        given: Block = dry + self._amount * self.trust * added[:real]
        self.restored += int(np.count_nonzero(added[:real]))
        given = given[self._to_drop :]
        self._to_drop -= min(self._to_drop, real)
        return given

    def _restore(self, plane: _Plane, channel: int, added: Block) -> None:
        """Add what is missing from one channel's frames."""
        signs = _signs(plane, self._levels[channel])
        if not signs.any() or not np.isfinite(plane).all():
            return
        for start in range(0, _HOPS * self._step, self._step):
            frame = slice(start, start + self._size)
            if clipped := np.count_nonzero(signs[frame]):
                order = self._order // (2 if clipped > _MOST * self._size else 1)
                missing = _missing(plane[frame], signs[frame], order)
                added[frame] += missing * self._window


def _signs(plane: _Plane, levels: _Levels) -> _Signs:
    """1 where the upper level clipped, -1 where the lower one did, otherwise 0."""
    signs = np.zeros(len(plane), np.int8)
    for level, sign in zip(levels, (-1, 1), strict=True):
        if level is not None:
            signs[sign * plane >= level * (1 - _SAME)] = sign
    return signs


def _trust(clipping: Clipping, size: int, order: int) -> float:
    """By how much to multiply heights, by what restores the flanks of clipped tops.

    They are believed to be right within one standard error.
    """
    tested = np.array(
        [
            _tested(passage, levels, size, order)
            for levels, passages in zip(clipping.levels, clipping.passages, strict=False)
            if any(levels)
            for passage in passages
        ]
    )
    if np.count_nonzero(tested) < 2 * _FEWEST_TESTS:
        return 1.0
    agreed, given = tested.sum(axis=0)
    right = agreed / given
    error = np.sqrt(np.sum((tested[:, 0] - right * tested[:, 1]) ** 2)) / given
    return float(np.clip(1 - _BEYOND * (1 - right - error), 0.0, 1.0))


def _tested(passage: _Plane, levels: _Levels, size: int, order: int) -> tuple[float, float]:
    """A passage clipped deeper and restored: heights by true heights, heights by heights.

    Over the flanks of clipped tops, where the truth is known; in the passage's middle half, which
    is what the window counts most.
    """
    spare = max(0, len(passage) - size) // 2
    true = passage[spare : len(passage) - spare]
    clipped = _signs(true, levels)
    if not clipped.any() or not np.isfinite(true).all():
        return 0.0, 0.0
    level = _TEST_LEVEL * min(level for level in levels if level is not None)
    middle = np.zeros(len(true), np.bool_)
    middle[len(true) // 4 : -(len(true) // 4)] = True
    signs = np.where(middle & (np.abs(true) >= level), np.sign(true), clipped).astype(np.int8)
    cut = np.where(middle & (signs != 0), level * signs, true)
    tops, _ = scipy.ndimage.label(signs)
    flanks = middle & (signs != 0) & (clipped == 0) & np.isin(tops, tops[clipped != 0])
    lost = (true - cut) / level
    heights = _missing(cut, signs, order) / level * flanks
    return float(heights @ lost), float(heights @ heights)


def _missing(cut: _Plane, signs: _Signs, order: int) -> _Plane:
    """What is missing from a frame that is clipped where signs are not 0."""
    places = np.flatnonzero(signs)
    up = signs[places].astype(np.float64)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(cut, order), 2 * order + 1)[places]
    missing = np.zeros(len(cut))
    models = _MODELS - (len(places) > _MANY * len(cut))
    for model in range(models):
        normal = _normal(cut + missing, order)
        strain = around @ np.concatenate((normal[:0:-1], normal))
        bounds = _BOUNDS if model == models - 1 else 1
        missing[places] = _least(places, up, normal, strain, bounds)
    return missing


def _normal(sound: _Plane, order: int) -> _Plane:
    """The autocorrelation, from lag 0, of the predictor that fits this sound."""
    size = scipy.fft.next_fast_len(len(sound) + order, real=True)
    spectrum = scipy.fft.rfft(sound * np.hanning(len(sound) + 2)[1:-1], size)
    lags = scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[: order + 1]
    lags[0] = lags[0] * (1 + _FLOOR) + _SILENCE
    taps = np.concatenate(([1.0], -scipy.linalg.solve_toeplitz(lags[:-1], lags[1:])))
    normal: _Plane = np.correlate(taps, taps, "full")[order:]
    return normal


def _least(
    places: npt.NDArray[np.intp], up: _Plane, normal: _Plane, strain: _Plane, bounds: int
) -> _Plane:
    """What to add at these places, none of it inwards, to leave the least prediction error."""
    added = np.zeros(len(places))
    free = np.arange(len(places))
    for _ in range(bounds):
        found = _solved(places[free], normal, -strain[free])
        outwards = found * up[free] > 0
        added[:] = 0.0
        added[free[outwards]] = found[outwards]
        free = free[outwards]
        if not len(free) or outwards.all():
            break
    return added


def _solved(places: npt.NDArray[np.intp], normal: _Plane, target: _Plane) -> _Plane:
    """What at these places (ascending) has this target; a banded equation."""
    order = len(normal) - 1
    behind = np.searchsorted(places, places + order, "right") - np.arange(len(places))
    known = np.append(normal, 0.0)
    band = np.zeros((int(behind.max()), len(places)))
    for row in range(len(band)):
        apart = places[row:] - places[: len(places) - row]
        band[row, : len(apart)] = known[np.minimum(apart, order + 1)]
    band[0] *= 1 + _RIDGE
    solved: _Plane = scipy.linalg.solveh_banded(band, target, lower=True, check_finite=False)
    return solved
