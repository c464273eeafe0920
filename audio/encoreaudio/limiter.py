"""Look-ahead true-peak limiter.

For every frame the interpolated peak (see `peak`) says how far the gain must come down; one gain
serves all channels, so the image stands still. The gain falls before the peak and holds over it;
then it climbs back at a constant rate in decibels, quickly after a single drum, so that the music
behind it does not duck, and slowly where the mean of the last moments shows that the reduction
lasts, so that a bass note is not bent within its cycle. Falling and climbing are smoothed by three
running means over a running minimum, which by construction never lie above what a frame needs, so
no clipper is wanted behind it. Where no peak comes near, the gain is exactly one and the samples
pass bit for bit.
"""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from .peak import CONTEXT, HOP, true_peaks
from .signal import Block, joined
from .trace import History, Trace
from .window import Windows

__all__ = ["Limiter"]

type _Decibels = npt.NDArray[np.float64]

_ATTACK_S = 0.0025
_FAST_DB_S = 120.0
_SLOW_DB_S = 30.0
_SUSTAINED_S = 0.06
# Where a hard burst begins and ends, meters differ by as much, for each ends its filter elsewhere.
_MARGIN_DB = 0.04
_TRACE_STEP_S = 1.0


class Limiter:
    """Holds the true peak of a stream of any channels under `ceiling_dbtp`.

    After `flush`, deepest_db: how far the gain came down at most, in dB, 0 or more;
    limited_frames: frames that were lowered by more than 0.1 dB.
    """

    def __init__(self, sample_rate_hz: int, channels: int, ceiling_dbtp: float) -> None:
        self._threshold = 10 ** ((ceiling_dbtp - _MARGIN_DB) / 20)
        self._mean = max(1, round(_ATTACK_S * sample_rate_hz / 3))
        # Three means of 2m+1 reach 3m to each side; the minimum reaches one frame further, because
        # a peak between two frames concerns both.
        self._reach = 6 * self._mean + 1
        self._fast = _Release(_FAST_DB_S / sample_rate_hz)
        self._slow = _Release(_SLOW_DB_S / sample_rate_hz)
        self._recent = np.zeros(round(_SUSTAINED_S * sample_rate_hz))
        self._channels = channels
        self._windows = Windows(HOP, CONTEXT, CONTEXT, channels)
        self._resting = True  # no reduction is under way
        self._waiting: Block = np.zeros((0, channels))
        self._reduction = np.zeros(self._reach)  # dB, from `reach` before the first waiting frame
        self.deepest_db = 0.0
        self.limited_frames = 0
        self._trace = Trace(_TRACE_STEP_S, keep="max")
        self._step = round(_TRACE_STEP_S * sample_rate_hz)
        self._into_step = 0
        self._step_db = 0.0

    @property
    def latency(self) -> int:
        """Frames held back at most."""
        return HOP + CONTEXT + self._reach

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give what is ready."""
        return joined(
            [self._limited(window, HOP) for window in self._windows.push(block)], self._channels
        )

    def flush(self) -> Block:
        """The rest of the stream."""
        parts = [self._limited(window, real) for window, real in self._windows.finish()]
        if len(self._waiting):
            self._reduction = np.concatenate((self._reduction, np.zeros(self._reach)))
            parts.append(self._release_waiting())
        if self._into_step:
            self._end_step()
        return joined(parts, self._channels)

    def history(self) -> History:
        """How far the gain came down in each second, in dB, 0 or more; after `flush`."""
        return self._trace.history()

    def _limited(self, window: Block, real: int) -> Block:
        self._reduction = np.concatenate((self._reduction, self._needed(window)[:real]))
        self._waiting = np.concatenate((self._waiting, window[CONTEXT : CONTEXT + real]))
        return self._release_waiting()

    def _needed(self, window: Block) -> _Decibels:
        """The reduction in dB that each frame needs, with the release after it."""
        peaks = true_peaks(window, self._threshold)
        over = np.zeros(HOP)
        if peaks is not None:
            above = np.flatnonzero(peaks > self._threshold)
            over[above] = 20 * np.log10(peaks[above] / self._threshold)
        if self._resting and not over.any():
            return over
        fast = self._fast.after(over)
        length = len(self._recent)
        recent = np.concatenate((self._recent, fast))
        self._recent = recent[HOP:]
        sums = np.cumsum(recent)
        sustained = (sums[length:] - sums[:-length]) / length
        slow = self._slow.after(sustained)
        self._resting = not (self._fast.last or self._slow.last or self._recent.any())
        return np.maximum(fast, slow)

    def _release_waiting(self) -> Block:
        """The waiting frames whose whole surroundings are known."""
        ready = len(self._reduction) - 2 * self._reach
        if ready <= 0:
            return np.zeros((0, self._channels))
        block, self._waiting = self._waiting[:ready], self._waiting[ready:]
        reduction = self._reduction[: ready + 2 * self._reach]
        self._reduction = self._reduction[ready:]
        if not reduction.any():
            self._record(np.zeros(ready))
            return block
        smooth = minimum_filter1d(-reduction, 2 * (3 * self._mean + 1) + 1, mode="nearest")
        for _ in range(3):
            smooth = uniform_filter1d(smooth, 2 * self._mean + 1, mode="nearest")
        lowered = smooth[self._reach : self._reach + ready]
        # Running sums leave 1e-15 behind them; where nothing is lowered the gain shall be one.
        lowered[lowered > -1e-9] = 0.0
        self._record(-lowered)
        quieter: Block = block * np.exp(lowered * (np.log(10) / 20))[:, np.newaxis]
        return quieter

    def _record(self, reduction: _Decibels) -> None:
        """Keep what the report tells of so many frames."""
        self.limited_frames += int(np.count_nonzero(reduction > 0.1))
        while len(reduction):
            now = reduction[: self._step - self._into_step]
            self._step_db = max(self._step_db, float(now.max()))
            self._into_step += len(now)
            reduction = reduction[len(now) :]
            if self._into_step == self._step:
                self._end_step()

    def _end_step(self) -> None:
        self.deepest_db = max(self.deepest_db, self._step_db)
        self._trace.add(self._step_db)
        self._into_step, self._step_db = 0, 0.0


class _Release:
    """Follows a reduction upwards at once, and downwards at a constant rate in dB a frame."""

    def __init__(self, fall_db: float) -> None:
        self._fall_db = fall_db
        self.last = 0.0

    def after(self, reduction: _Decibels) -> _Decibels:
        # The highest of all that came before, each less what it has fallen since: a running
        # maximum.
        fallen = np.arange(1, len(reduction) + 1) * self._fall_db
        highest = np.maximum.accumulate(np.maximum(reduction + fallen, self.last))
        released: _Decibels = np.maximum(highest - fallen, 0.0)
        self.last = float(released[-1])
        return released
