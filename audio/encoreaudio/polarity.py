"""A pair's polarity, its dead channel, and the moments in which one channel drops out.

All is judged on levels and correlation of the band below 2 kHz in cells of 5 ms. A channel is
inverted where the two contradict each other nearly all the time; a wide mix only does for moments.
It is dead where its loudest moments lie 40 dB under the other's. It drops out where it falls by 20
dB and more at once, while the other goes on, and comes back as suddenly, and where both had told
the same before and tell the same after: an instrument that stands on one side and pauses has no
such likeness.
"""

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from .signal import Block
from .window import Windows

__all__ = ["Dropout", "Polarity", "PolarityFinder", "PolarityRepair"]

_RATE_HZ = 4000
_CELL = 20  # samples: 5 ms
_CELL_S = _CELL / _RATE_HZ
_CONTEXT = 60  # cells, before a fall and after a rise, that must be alike
_HOP = 2000
_EDGE = 3  # cells over which a fall or rise is compared
_PRE_EMPHASIS = 0.9  # takes offset, rumble and most of the hum out of the comparison
_SOUNDING_DB = -60.0
_DEAD_DB, _DOWN_DB, _BACK_DB, _JUMP_DB = 40.0, 30.0, 20.0, 20.0
_LOUD = 0.99  # the percentile that is compared
_FLOOR_DB = 6.0
_SHORTEST_CELLS = 4
_ALIKE = 0.5
_SECOND = 200  # cells
_INVERTED_MEDIAN, _INVERTED_SHARE = -0.4, 0.8
_FEWEST_SECONDS = 2
_MOST_DROPOUTS = 500
_MARGIN_S, _FADE_S = 0.005, 0.01

type _Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Dropout:
    """A stretch in which a channel is missing; the other, times `gain`, is what it would hold."""

    channel: int
    start_s: float
    end_s: float
    gain: float


@dataclass(frozen=True)
class Polarity:
    """What was found of the first two channels.

    correlation: the median of the sounding seconds, -1..1, of the band below 2 kHz. inverted: the
    second channel is upside down. dead: the channel that holds no music, or None. balance_db: the
    first channel's level over the second's. dropouts: the first 500 of dropout_count, in order;
    dropped_s: how long all of them are together.
    """

    correlation: float
    inverted: bool
    dead: int | None
    balance_db: float
    dropouts: tuple[Dropout, ...]
    dropout_count: int
    dropped_s: float

    @property
    def matters(self) -> bool:
        """Whether there is anything to repair."""
        return self.inverted or self.dead is not None or bool(self.dropouts)


class PolarityFinder:
    """Listens to the first two channels of a stream; None where there are no two."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._pair = channels >= 2
        if not self._pair:
            return
        self._resampler = soxr.ResampleStream(sample_rate_hz, _RATE_HZ, 2, dtype="float64")
        self._held: Block = np.zeros((0, 2))
        self._last: Block = np.zeros((1, 2))
        self._cells = Windows(_HOP, _CONTEXT + _EDGE, _CONTEXT + _EDGE, 3)
        self._at = 0
        self._energy = np.zeros(2)
        self._sounding = np.zeros(2)  # cells in which the other channel sounds
        self._levels = np.zeros((2, 131), dtype=int)  # histogram, dB from -130
        self._correlations = np.zeros(41, dtype=int)  # histogram, steps of 0.05
        self._falls: list[tuple[int, float] | None] = [None, None]  # cell, gain
        self._depths = [0.0, 0.0]
        self._runs: list[tuple[Dropout, float]] = []

    def add(self, block: Block) -> None:
        """Take a block."""
        if self._pair:
            self._take(self._resampler.resample_chunk(np.ascontiguousarray(block[:, :2])))

    def finish(self) -> Polarity | None:
        """The stream has ended: what was found."""
        if not self._pair:
            return None
        self._take(self._resampler.resample_chunk(np.zeros((0, 2)), last=True))
        for window, real in self._cells.finish():
            self._look(window, real)
        for channel, fall in enumerate(self._falls):
            if fall is not None:
                self._keep(channel, fall, self._at)
        loud = [_percentile(levels, _LOUD) - 130.0 for levels in self._levels]
        dead = [
            channel
            for channel in (0, 1)
            if loud[channel] <= loud[1 - channel] - _DEAD_DB and self._sounding[channel] >= _SECOND
        ]
        floors = [_percentile(levels, 0.01) - 130.0 for levels in self._levels]
        dropouts = [
            run
            for run, level_db in self._runs
            if not dead and level_db <= max(floors[run.channel] + _FLOOR_DB, -75.0)
        ]
        correlation = _percentile(self._correlations, 0.5) * 0.05 - 1.0
        seconds = int(self._correlations.sum())
        against = int(self._correlations[:16].sum())  # below -0.2
        inverted = (
            not dead
            and seconds >= _FEWEST_SECONDS
            and correlation <= _INVERTED_MEDIAN
            and against >= _INVERTED_SHARE * seconds
        )
        first, second = 10 * np.log10(self._energy + 1e-12)
        return Polarity(
            round(correlation, 3) if seconds else 0.0,
            inverted,
            dead[0] if len(dead) == 1 else None,
            float(first - second),
            tuple(sorted(dropouts, key=lambda run: run.start_s)[:_MOST_DROPOUTS]),
            len(dropouts),
            sum(run.end_s - run.start_s for run in dropouts),
        )

    def _take(self, slow: Block) -> None:
        before = np.concatenate((self._last, slow))
        self._last = before[-1:]
        self._held = np.concatenate((self._held, before[1:] - _PRE_EMPHASIS * before[:-1]))
        whole = len(self._held) // _CELL * _CELL
        cells = self._held[:whole].reshape(-1, _CELL, 2)
        self._held = self._held[whole:]
        products = np.stack(
            (cells[:, :, 0] ** 2, cells[:, :, 1] ** 2, cells[:, :, 0] * cells[:, :, 1]), axis=2
        )
        for window in self._cells.push(products.mean(axis=1)):
            self._look(window, _HOP)

    def _look(self, window: _Array, real: int) -> None:
        """Judge the cells of a window's middle: mean squares of both, and their mean product."""
        context = _CONTEXT + _EDGE
        middle = window[context : context + real]
        level = 10 * np.log10(window[:, :2] + 1e-12)
        self._energy += middle[:, :2].sum(axis=0)
        self._count_correlations(middle)
        sums = np.concatenate((np.zeros((1, 3)), np.cumsum(window, axis=0)))
        for channel in (0, 1):
            here, other = level[:, channel], level[:, 1 - channel]
            sounding = other > _SOUNDING_DB
            seen = slice(context, context + real)
            self._sounding[channel] += np.count_nonzero(sounding[seen])
            bins = np.clip(np.round(here[seen] + 130), 0, 130).astype(int)
            self._levels[channel] += np.bincount(bins, minlength=131)
            down = sounding & (here < other - _DOWN_DB)
            back = sounding & (here > other - _BACK_DB)
            self._events(channel, here, down, back, sums, real)
        self._at += real

    def _events(
        self,
        channel: int,
        here: _Array,
        down: npt.NDArray[np.bool_],
        back: npt.NDArray[np.bool_],
        sums: _Array,
        real: int,
    ) -> None:
        """Falls and returns of a channel, in order."""
        context = _CONTEXT + _EDGE
        begins = np.flatnonzero(down[1:] & ~down[:-1]) + 1
        returns = np.flatnonzero(back[1:] & ~back[:-1]) + 1
        events = sorted([(int(at), 0) for at in begins] + [(int(at), 1) for at in returns])
        for at, kind in events:
            if not context <= at < context + real:
                continue
            if kind == 0 and self._falls[channel] is None:
                gain = self._alike(channel, sums, at - _EDGE - _CONTEXT, at - 1)
                jumps = here[at - _EDGE : at].max() - here[at + 1 : at + 1 + _EDGE].max()
                if gain is not None and jumps >= _JUMP_DB:
                    self._falls[channel] = (self._at + at - context, gain)
                    self._depths[channel] = float(here[at + 1 : at + 1 + _EDGE].mean())
            elif kind == 1 and self._falls[channel] is not None:
                fall, self._falls[channel] = self._falls[channel], None
                gain = self._alike(channel, sums, at + 1, at + 1 + _CONTEXT)
                jumps = here[at : at + _EDGE].max() - here[at - 1 - _EDGE : at - 1].max()
                if fall is not None and gain is not None and jumps >= _JUMP_DB:
                    self._keep(channel, fall, self._at + at - context)

    def _alike(self, channel: int, sums: _Array, start: int, end: int) -> float | None:
        """The channel over the other in some cells; None where they do not tell the same."""
        powers = sums[end] - sums[start]
        likeness = powers[2] / math.sqrt(powers[0] * powers[1] + 1e-30)
        if abs(likeness) < _ALIKE:
            return None
        return math.copysign(math.sqrt(powers[channel] / powers[1 - channel]), likeness)

    def _keep(self, channel: int, fall: tuple[int, float], end: int) -> None:
        start, gain = fall
        if end - start < _SHORTEST_CELLS:
            return
        run = Dropout(channel, start * _CELL_S, end * _CELL_S, gain)
        if len(self._runs) < 4 * _MOST_DROPOUTS:
            self._runs.append((run, self._depths[channel]))

    def _count_correlations(self, middle: _Array) -> None:
        for at in range(0, len(middle) - _SECOND + 1, _SECOND):
            powers = middle[at : at + _SECOND].mean(axis=0)
            if powers[:2].min() > 10 ** (_SOUNDING_DB / 10):
                correlation = powers[2] / math.sqrt(powers[0] * powers[1])
                self._correlations[round(20 * (correlation + 1))] += 1


def _percentile(histogram: npt.NDArray[np.int_], share: float) -> float:
    """The first bin that has `share` of all at or below it."""
    sums = np.cumsum(histogram)
    return float(np.searchsorted(sums, max(1.0, share * float(sums[-1]))))


class PolarityRepair:
    """Turns the second channel over, fills a dead one, bridges dropouts from the other channel.

    amount: the share of what is filled in; a channel is turned over whole, at any amount above 0.
    Outside of dropouts and their 10 ms fades, samples pass bit for bit.
    """

    def __init__(
        self, sample_rate_hz: int, channels: int, polarity: Polarity, amount: float = 1.0
    ) -> None:
        self._rate, self._amount = sample_rate_hz, amount
        self._polarity = polarity
        self._acts = amount > 0 and channels >= 2 and polarity.matters
        self._starts = [run.start_s - _MARGIN_S - _FADE_S for run in polarity.dropouts]
        self._longest_s = max((run.end_s - run.start_s for run in polarity.dropouts), default=0.0)
        self._channels = channels
        self._at = 0

    @property
    def latency(self) -> int:
        """Nothing is held back."""
        return 0

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give it repaired."""
        start, self._at = self._at, self._at + len(block)
        if not self._acts or not len(block):
            return block
        out = block.copy()
        dead = self._polarity.dead
        if dead is not None:
            out[:, dead] += self._amount * (block[:, 1 - dead] - block[:, dead])
        for run in self._within(start / self._rate, self._at / self._rate):
            self._bridge(out, block, start, run)
        if self._polarity.inverted:
            out[:, 1] = -out[:, 1]
        return out

    def flush(self) -> Block:
        """Nothing is left."""
        return np.zeros((0, self._channels))

    def _within(self, start_s: float, end_s: float) -> tuple[Dropout, ...]:
        reach_s = self._longest_s + 2 * (_MARGIN_S + _FADE_S)
        first = bisect_left(self._starts, start_s - reach_s)
        return self._polarity.dropouts[first : bisect_right(self._starts, end_s)]

    def _bridge(self, out: Block, block: Block, start: int, run: Dropout) -> None:
        first = round((run.start_s - _MARGIN_S - _FADE_S) * self._rate)
        last = round((run.end_s + _MARGIN_S + _FADE_S) * self._rate)
        here = slice(max(first - start, 0), max(min(last - start, len(block)), 0))
        at = np.arange(start + here.start, start + here.stop)
        fade = _FADE_S * self._rate
        share = self._amount * np.clip(np.minimum(at - first, last - at) / fade, 0, 1)
        own, other = block[here, run.channel], block[here, 1 - run.channel]
        out[here, run.channel] = own + share * (run.gain * other - own)
