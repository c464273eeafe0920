"""Mains hum taken out by fitted sinusoids.

A notch at every multiple of 50 Hz eats the bass that plays there; a sinusoid of the hum's own
amplitude and phase, subtracted, leaves the bass. The stream's low end is fitted (see `humfit`) in
stretches of a quarter of a minute, each with its surroundings on both sides, at a lower rate; what
was fitted is played out again, one stretch crossfaded into the next, brought to the stream's rate
and subtracted. No line is taken out much louder than it was in the quiet parts of the recording,
whatever a drone makes of it.
"""

import math
from collections import deque

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from .hum import Hum
from .humfit import FRAME_S, HumFit, fit
from .signal import Block
from .waiting import Waiting
from .window import Windows

__all__ = ["HumRepair"]

_STRETCH_FRAMES = 64
_AROUND_FRAMES = 48
_FADE_FRAMES = 8
_PIECES = 16  # of a frame: between their ends the hum is played out along straight lines
_ABOVE_QUIET_DB = 6.0  # a lamp may be brighter during a song
_STOPBAND_DB = 100.0
_SILENT = 1e-16  # mean square

type _Real = npt.NDArray[np.float64]


class HumRepair:
    """Removes the hum that a HumFinder found; follows it as it wanders.

    amount: the share of the fitted hum that is subtracted. removed_dbfs: the mean level of what was
    removed so far, against a full-scale sine, None where nothing was. lowest_hz, highest_hz: how
    far the fundamental wandered.
    """

    def __init__(self, sample_rate_hz: int, channels: int, hum: Hum, amount: float = 1.0) -> None:
        self._amount, self._hum, self._channels = amount, hum, channels
        # Music may hide a line from the finder, and hardly from the fit.
        highest = max(*hum.harmonics, len(hum.levels_dbfs))
        highest = min(highest, int(0.45 * sample_rate_hz / hum.frequency_hz))
        self._multiples = np.arange(1.0, highest + 1)
        self._limits = _limits(hum, highest, channels)
        rates = _Rates(sample_rate_hz, highest * hum.frequency_hz + 10, channels)
        self._rates = rates
        self._frame = _PIECES * max(1, round(FRAME_S * rates.low_rate_hz / _PIECES))
        self._fade = _FADE_FRAMES * self._frame
        around = _AROUND_FRAMES * self._frame
        self._stretches = Windows(_STRETCH_FRAMES * self._frame, around, around, channels)
        self._tail: Block | None = None
        self._ramp = ((np.arange(self._fade) + 0.5) / self._fade)[:, np.newaxis]
        self._waiting: deque[Block] = deque()
        self._done = Waiting(channels)
        self._power = 0.0
        self._frames = 0
        self.lowest_hz = self.highest_hz = hum.frequency_hz
        self._followed = False

    @property
    def latency(self) -> int:
        """Frames held back at most."""
        low = self._stretches.hop + self._stretches.after
        return low * self._rates.factor + self._rates.latency

    @property
    def removed_dbfs(self) -> float | None:
        """The mean level of what was removed so far."""
        if not self._power:
            return None
        return 10 * math.log10(2 * self._power / (self._frames * self._channels))

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give what is ready."""
        if not self._amount or not len(block):
            return block
        self._waiting.append(block)
        for low in self._rates.down(block):
            self._push(low)
        # What is done in a burst leaves as it came, so that whoever follows has work all the time.
        return self._done.take(min(len(self._done), len(block)))

    def flush(self) -> Block:
        """The rest of the stream."""
        for low in self._rates.down_rest():
            self._push(low)
        for stretch, real in self._stretches.finish():
            self._take_out(self._rates.up(self._played(stretch, real)))
        self._take_out(self._rates.up_rest())
        return self._done.take(len(self._done))

    def _push(self, low: Block) -> None:
        for stretch in self._stretches.push(low):
            self._take_out(self._rates.up(self._played(stretch, self._stretches.hop)))

    def _played(self, stretch: Block, real: int) -> Block:
        """The hum of a stretch's middle, at the low rate."""
        hop, before = self._stretches.hop, self._stretches.before
        sound = np.any(np.abs(stretch) > 0)
        hum = np.zeros((hop + self._fade, self._channels))
        if sound:
            fitted = fit(
                stretch,
                self._rates.low_rate_hz,
                self._frame,
                self._hum.frequency_hz,
                self._multiples,
            )
            self._follow(fitted, real)
            hum = self._synthesised(fitted)
        begun = self._tail is not None
        if self._tail is not None:
            hum[: self._fade] = self._tail + self._ramp * (hum[: self._fade] - self._tail)
        self._tail = hum[hop:]
        played = (hum[:hop] * _sounding(stretch, before, real, self._frame, begun))[:real]
        self._power += float(np.square(played).sum())
        self._frames += real
        return played

    def _synthesised(self, fitted: HumFit) -> Block:
        """The hum from a stretch's middle on, and as long behind it as the fade."""
        hop, before, frame = self._stretches.hop, self._stretches.before, self._frame
        amplitudes = fitted.amplitudes
        loud = np.maximum(np.abs(amplitudes), 1e-30)
        amplitudes = amplitudes * np.minimum(1.0, self._limits[:, np.newaxis, np.newaxis] / loud)
        # From the frame in which the middle begins: frame k stands at sample (k + 1) * frame.
        first, count = before // frame - 1, (hop + self._fade) // frame
        frames = slice(first, first + count + 1)
        piece = frame // _PIECES
        nodes = np.arange(count * _PIECES + 1) / _PIECES
        along = np.arange(count + 1)
        phase = fitted.phase[frames]
        # Against the stretch's own mean frequency the lines turn little from node to node, and
        # between nodes they go straight.
        slope = float(np.polyfit(along, phase, 1)[0])
        nominal = 2 * np.pi * self._hum.frequency_hz / self._rates.low_rate_hz
        omega = nominal + slope / frame
        reference = nominal * (before - frame) + omega * piece * np.arange(len(nodes))
        turn = np.interp(nodes, along, phase) - slope * nodes
        order = self._multiples[:, np.newaxis]
        left = np.minimum(nodes.astype(int), count - 1)
        shares = nodes - left
        part = amplitudes[:, :, frames]
        level = part[:, :, left] + shares * (part[:, :, left + 1] - part[:, :, left])
        level = level * np.exp(1j * order * turn)[:, np.newaxis]
        turned = np.exp(1j * order * reference)[:, np.newaxis, :-1]
        here, change = level[:, :, :-1] * turned, np.diff(level) * turned
        waves = np.exp(1j * order * omega * np.arange(piece))
        basis = np.concatenate((waves.real, -waves.imag))
        rise = np.arange(piece) / piece
        out: Block = _real_rows(here) @ basis + (_real_rows(change) @ basis) * rise
        return out.reshape(self._channels, -1).T

    def _follow(self, fitted: HumFit, real: int) -> None:
        first = self._stretches.before // self._frame
        heard = fitted.frequencies_hz[first : first + max(1, real // self._frame)]
        low, high = float(heard.min()), float(heard.max())
        self.lowest_hz = min(low, self.lowest_hz) if self._followed else low
        self.highest_hz = max(high, self.highest_hz) if self._followed else high
        self._followed = True

    def _take_out(self, hums: list[Block]) -> None:
        """Take the hum out of as much of what waits as there is hum for."""
        for hum in hums:
            while len(hum) and self._waiting:
                block = self._waiting.popleft()
                if len(block) > len(hum):
                    self._waiting.appendleft(block[len(hum) :])
                    block = block[: len(hum)]
                self._done.put(block - self._amount * hum[: len(block)])
                hum = hum[len(block) :]


class _Rates:
    """A stream's low end at a whole fraction of its rate, and back; aligned to the sample."""

    def __init__(self, sample_rate_hz: int, highest_hz: float, channels: int) -> None:
        self.factor = max(1, int(sample_rate_hz / (2.5 * highest_hz)))
        self.low_rate_hz = sample_rate_hz / self.factor
        # What folds onto the lines comes from as far above the low rate as they lie below it.
        width = max(self.low_rate_hz - 2 * highest_hz, 0.05 * self.low_rate_hz)
        count, beta = scipy.signal.kaiserord(_STOPBAND_DB, width / (sample_rate_hz / 2))
        reach = math.ceil(count / 2 / self.factor)
        half = reach * self.factor
        at = np.arange(-half, half + 1)
        taps = np.sinc(at / self.factor) / self.factor * np.kaiser(2 * half + 1, beta)
        low_size = scipy.fft.next_fast_len(max(8 * reach, 8192 // self.factor))
        self._size = low_size * self.factor
        self._reach, self._half = reach, half
        around = np.zeros(self._size)
        around[: half + 1] = taps[half:]
        around[-half:] = taps[:half]
        # Even and centred on its first sample, so the response is real.
        self._response = scipy.fft.rfft(around).real[:, np.newaxis]
        hop = low_size - 2 * reach
        self._down = Windows(hop * self.factor, half, half, channels, edge="mirror")
        self._up = Windows(hop, reach, reach, channels, edge="mirror")

    @property
    def latency(self) -> int:
        """Frames held back on both ways."""
        return 2 * (self._down.hop + self._half)

    def down(self, block: Block) -> list[Block]:
        """The low end of a block, at the low rate."""
        return [self._lowered(window) for window in self._down.push(block)]

    def down_rest(self) -> list[Block]:
        """What is left of the low end."""
        return [
            self._lowered(window)[: -(-real // self.factor)] for window, real in self._down.finish()
        ]

    def up(self, low: Block) -> list[Block]:
        """Low-rate sound at the stream's rate."""
        return [self._raised(window) for window in self._up.push(low)]

    def up_rest(self) -> list[Block]:
        """What is left of it."""
        return [self._raised(window)[: real * self.factor] for window, real in self._up.finish()]

    def _lowered(self, window: Block) -> Block:
        spectrum = scipy.fft.rfft(window, axis=0) * self._response
        # To leave samples out is to fold the spectrum.
        whole = np.concatenate((spectrum, spectrum[(self._size - 1) // 2 : 0 : -1].conj()))
        folded = whole.reshape(self.factor, -1, window.shape[1]).mean(axis=0)
        size = len(folded)
        low: Block = scipy.fft.irfft(folded[: size // 2 + 1], size, axis=0)
        return low[self._reach : size - self._reach]

    def _raised(self, window: Block) -> Block:
        # Zeros between the samples repeat the spectrum.
        spectrum = np.tile(scipy.fft.fft(window, axis=0), (self.factor, 1))
        spectrum = spectrum[: self._size // 2 + 1] * (self._response * self.factor)
        raised: Block = scipy.fft.irfft(spectrum, self._size, axis=0)
        return raised[self._half : self._size - self._half]


def _real_rows(levels: npt.NDArray[np.complex128]) -> _Real:
    """Complex (lines, channels, nodes) as (channels, nodes, real parts then imaginary parts)."""
    rows: _Real = np.concatenate((levels.real, levels.imag)).transpose(1, 2, 0)
    return rows


def _limits(hum: Hum, highest: int, channels: int) -> _Real:
    """How large each line may be; levels are means over the channels, one may hold it all."""
    if not hum.levels_dbfs:
        return np.full(highest, np.inf)
    levels = np.array(hum.levels_dbfs[:highest]) + _ABOVE_QUIET_DB + 10 * math.log10(channels)
    limits: _Real = 10 ** (levels / 20)
    return limits


def _sounding(stretch: Block, before: int, real: int, frame: int, begun: bool) -> Block:
    """A gain for each sample of a stretch's middle: 0 in digital silence, which has no hum."""
    hop_frames = _STRETCH_FRAMES
    cells = stretch[before - frame : before + (hop_frames + 1) * frame]
    edges = np.unique((np.arange(10 * (hop_frames + 2)) * frame) // 10)
    power = np.add.reduceat(np.square(cells), edges, axis=0)
    power = power.reshape(hop_frames + 2, -1, stretch.shape[1])
    sounds = power.min(axis=1) > _SILENT * max(1, frame // 10)
    # Beyond the stream's ends there is no sound, but no silence either.
    sounds[0] |= not begun
    sounds[1 + real // frame :] |= real < hop_frames * frame
    nodes = (sounds[1:] & sounds[:-1]).astype(float)
    if nodes.all():
        return np.ones((1, stretch.shape[1]))
    at = np.arange(hop_frames * frame) / frame
    ends = np.arange(hop_frames + 1)
    return np.stack([np.interp(at, ends, node) for node in nodes.T], axis=1)
