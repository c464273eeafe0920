"""Late reverberation: how long a hall rings, and less of it.

A hall's late sound is, on average, what was played before, decayed exponentially (J. D. Polack). So
the power that is reverberation now can be foretold, bin by bin, from the power of some moments ago
and the reverberation time, with the share of the hall in a lasting sound (E. A. P. Habets, S.
Gannot, I. Cohen, "Late Reverberant Spectral Variance Estimation Based on a Statistical Model", IEEE
Signal Processing Letters 16, 2009; after K. Lebart, J. M. Boucher, P. N. Denbigh, 2001). A Wiener
gain with a decision-directed prior (Y. Ephraim, D. Malah, 1984) lowers it, to a floor; attacks,
which nothing foretold, pass.

The reverberation time is heard from where the music lets go: a hall hides every decay that is
faster than its own, so the fastest of the long, straight decays are the hall's (R. Ratnam and
others, 2003). The hall is part of the show: this stage is off unless asked for.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from .signal import Block, joined
from .window import Windows

__all__ = ["Reverb", "ReverbFinder", "ReverbRepair"]

type _Array = npt.NDArray[np.float64]

_EDGES_HZ = (350.0, 700.0, 1400.0, 2800.0, 5600.0)  # octaves where halls are judged
_FRAME_S = 0.02
# Frames of a decay, and by how much it falls in them at least: halls up to 7 s need a long look,
# and a dry recording shows itself in falls that a long look would find bent.
_FITS = ((30, 5.0), (15, 9.0))
_LONGEST = 30
_CHUNK = 512
_MOST_BEND_DB = 1.5  # rms about the straight line
_SILENT = 1e-10
_T60_S = np.geomspace(0.1, 8.0, 89)  # 5 % apart
_FEWEST = 12
_FASTEST = 0.1

_WINDOW_S = 0.064
_OVERLAP = 4
_FRAMES = 16  # in one window of the stream
_EARLY_S = 0.08  # until then a reflection belongs to its note: 50 ms, and half a window
_HALL_SHARE = 0.35  # of a lasting sound's power: microphones nearer than the critical distance
_PRIOR = 0.9
_FLOOR_DB = -12.0


@dataclass(frozen=True)
class Reverb:
    """t60_s: the time in which the hall's sound falls by 60 dB; None where no decay was clear.

    decays: how many were heard.
    """

    t60_s: float | None
    decays: int


class ReverbFinder:
    """Listens for decays in a stream of blocks (frames, channels)."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        hop = round(_FRAME_S * sample_rate_hz)
        self._size = 2 * hop
        self._hop_s = hop / sample_rate_hz
        self._windows = Windows(hop, 0, hop, channels)
        self._hann = scipy.signal.windows.hann(self._size, sym=False)
        hertz = scipy.fft.rfftfreq(self._size, 1 / sample_rate_hz)
        self._starts = [int(at) for at in np.searchsorted(hertz, _EDGES_HZ)]
        self._levels: list[_Array] = []
        self._counts = np.zeros(len(_T60_S), dtype=np.int64)

    def add(self, block: Block) -> None:
        """Take a block."""
        for window in self._windows.push(block):
            power = np.square(np.abs(scipy.fft.rfft(window.T * self._hann, axis=1))).sum(axis=0)
            sums = np.concatenate(([0.0], np.cumsum(power)))[self._starts]
            self._levels.append(10 * np.log10(np.diff(sums) / self._size + _SILENT))
            if len(self._levels) == _CHUNK:
                self._listen()
                self._levels = self._levels[-_LONGEST + 1 :]

    def finish(self) -> Reverb:
        """The hall of the stream, which has ended."""
        if len(self._levels) >= _LONGEST:
            self._listen()
        decays = int(self._counts.sum())
        if decays < _FEWEST:
            return Reverb(None, decays)
        at = int(np.searchsorted(np.cumsum(self._counts), _FASTEST * decays))
        return Reverb(float(_T60_S[at]), decays)

    def _listen(self) -> None:
        levels = np.array(self._levels)
        for frames, fall_db in _FITS:
            # A chunk begins where the last one's longest run would have gone on.
            runs = np.lib.stride_tricks.sliding_window_view(
                levels[_LONGEST - frames :], frames, axis=0
            )
            middle = runs - runs.mean(axis=2, keepdims=True)
            time = np.arange(frames) - (frames - 1) / 2
            slope = middle @ time / np.square(time).sum()
            bend = np.std(middle - slope[..., np.newaxis] * time, axis=2)
            loud = runs.min(axis=2) > 10 * np.log10(_SILENT) + 10
            t60 = (
                -60
                * self._hop_s
                / slope[(slope < -fall_db / frames) & (bend < _MOST_BEND_DB) & loud]
            )
            steps = np.searchsorted(_T60_S, t60).clip(0, len(_T60_S) - 1)
            self._counts += np.bincount(steps, minlength=len(_T60_S))


class ReverbRepair:
    """Lowers the late reverberation of a hall by at most 12 dB.

    amount: how much of what was found to be the hall is taken away; 0 passes every bit. Nothing is
    done where the finder heard no hall.
    """

    def __init__(self, sample_rate_hz: int, channels: int, reverb: Reverb, amount: float) -> None:
        self._hop = round(_WINDOW_S * sample_rate_hz / _OVERLAP)
        self._size = _OVERLAP * self._hop
        self._over = self._size - self._hop
        self._windows = Windows(_FRAMES * self._hop, self._over, 0, channels)
        root = np.sqrt(scipy.signal.windows.hann(self._size, sym=False))
        self._root = root[:, np.newaxis] / np.sqrt(_OVERLAP / 2)
        self._amount = amount if reverb.t60_s else 0.0
        self._channels = channels
        self._tail: Block = np.zeros((self._over, channels))
        self._in = self._out = 0
        hop_s = self._hop / sample_rate_hz
        self._late = _Late((self._size // 2 + 1, channels), hop_s, reverb.t60_s or 1.0)

    @property
    def latency(self) -> int:
        """Frames held back at most."""
        return self._over + self._windows.hop if self._amount else 0

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give what is ready."""
        if not self._amount:
            return block
        self._in += len(block)
        return joined([self._dried(window) for window in self._windows.push(block)], self._channels)

    def flush(self) -> Block:
        """The rest of the stream."""
        if not self._in:
            return np.zeros((0, self._channels))
        missing = self._in - self._out
        # What overlaps the end has to be heard before the end is whole.
        rest = [self._dried(w) for w in self._windows.push(np.zeros((self._over, self._channels)))]
        rest += [self._dried(window) for window, _ in self._windows.finish()]
        return joined(rest, self._channels)[:missing]

    def _dried(self, window: Block) -> Block:
        """Adds what is to be taken away, as a negative, to the frames that are now whole."""
        frames = np.lib.stride_tricks.sliding_window_view(window, self._size, axis=0)
        frames = frames[:: self._hop].transpose(0, 2, 1)
        spectra = scipy.fft.rfft(frames * self._root, axis=1)
        gains = np.array([self._late.gain(spectrum) for spectrum in spectra])
        change = scipy.fft.irfft((gains - 1) * spectra, self._size, axis=1) * self._root
        total = np.zeros((len(window), self._channels))
        total[: self._over] = self._tail
        for at, part in enumerate(change):
            total[at * self._hop : at * self._hop + self._size] += part
        whole = self._windows.hop
        self._tail = total[whole:]
        out = window[:whole] + self._amount * total[:whole]
        # Before the stream's first frame there is nothing to give.
        early = self._over if not self._out else 0
        self._out += len(out) - early
        return out[early:]


class _Late:
    """Foretells the late reverberation's power, and says the gain that lowers it."""

    def __init__(self, shape: tuple[int, int], hop_s: float, t60_s: float) -> None:
        self._decay = 10 ** (-6 * hop_s / t60_s)
        ahead = max(1, round(_EARLY_S / hop_s))
        self._further = self._decay ** (ahead - 1)
        # Fed with this part of what is heard, the hall holds its share of a lasting sound.
        share = _HALL_SHARE
        self._fed = min(1.0, share * (1 - self._decay) / (self._decay * (1 - share)))
        self._hall = np.zeros(shape)
        self._heard = np.zeros(shape)
        self._earlier = deque([self._hall] * ahead, maxlen=ahead)
        self._kept = np.zeros(shape)
        self._floor = 10 ** (_FLOOR_DB / 20)

    def gain(self, spectrum: npt.NDArray[np.complex128]) -> _Array:
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        self._hall = self._decay * ((1 - self._fed) * self._hall + self._fed * self._heard)
        self._heard = power
        self._earlier.append(self._hall)
        late = self._further * self._earlier[0] + 1e-20
        prior = _PRIOR * self._kept / late + (1 - _PRIOR) * np.maximum(power / late - 1, 0)
        wiener = prior / (1 + prior)
        self._kept = np.square(wiener) * power
        gain: _Array = np.maximum(wiener, self._floor)
        return gain
