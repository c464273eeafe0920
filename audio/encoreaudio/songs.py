"""The songs of a show, found by their sound, and a gain for each that moves only between them.

Between two songs there is applause, or hiss, or nothing. Applause and hiss fill every narrow band
evenly, so that the logarithm of a bin's power lies 0.58 below the logarithm of the band's mean
power, whatever the level and the tone colour (Euler's constant: the power of noise in a bin is
distributed exponentially). Music puts its power on tones: 0.9 to 3 below. That number, over
thirds of an octave from 200 to 3200 Hz, is taken each half second; a majority over a few seconds
then says where music is.

A song may then be lifted or lowered within a bound, towards the show's own loudness. The gain
stands still while music sounds and moves in the middle of the gap; where no gap is found, the show
is one piece and nothing moves.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import uniform_filter1d

from .loudness import SILENT_LUFS, Blocks, gated
from .signal import Block, mean_squares
from .window import Windows

__all__ = ["Song", "SongFinder", "SongGain", "Songs", "song_offsets"]

type _Array = npt.NDArray[np.float64]
type _Flags = npt.NDArray[np.bool_]

_LONGEST_S = 12 * 3600  # what comes later is of no song
_ROW_S = 0.5
_BLOCKS_PER_S = 10
_WINDOW_S = 0.064
_LOWEST_HZ = 200.0
_THIRDS = 12
# Halfway between the noisiest music (a jazz trio under hiss at 10 dB, -0.86 by its median) and
# the most tonal half seconds of a crowd (-0.62).
_TONAL = -0.74
# A pause this far below the show is silence, whatever sounds in it.
_PAUSE_LU = 40.0
_MAJORITY_S = 5.5
_SHORTEST_GAP_S = 4.0
_SHORTEST_SONG_S = 30.0
_BOUND_DB = 2.0


@dataclass(frozen=True)
class Song:
    """From where to where it sounds, in seconds of the stream, and its integrated loudness."""

    from_s: float
    to_s: float
    lufs: float


@dataclass(frozen=True)
class Songs:
    """A show's songs in order, and the loudness of the whole (None: there was nothing to hear)."""

    songs: tuple[Song, ...]
    programme_lufs: float | None

    @property
    def loudest_lufs(self) -> float | None:
        """The loudest song; the whole where there is no song."""
        return max((song.lufs for song in self.songs), default=self.programme_lufs)


class SongFinder:
    """Listens to a show and tells its songs."""

    def __init__(self, sample_rate_hz: int, speakers: Sequence[str]) -> None:
        self._blocks = Blocks(sample_rate_hz, speakers)
        hop = round(_ROW_S * sample_rate_hz)
        self._windows = Windows(hop, 0, 0, len(speakers))
        self._tonality = _Tonality(sample_rate_hz, hop)
        self._lufs = array("f")
        self._tonal = array("f")

    def add(self, block: Block) -> None:
        """Take a block (frames, channels)."""
        self._lufs.extend(self._blocks.add(block))
        if len(self._tonal) * _ROW_S >= _LONGEST_S:
            return
        for window in self._windows.push(block):
            self._tonal.append(self._tonality.of(window))

    def finish(self) -> Songs:
        """The songs of the whole stream, which has ended."""
        blocks = np.array(self._lufs, dtype=np.float64)
        programme = gated(blocks)
        if programme is None:
            return Songs((), None)
        music = self._music(blocks, programme)
        songs = []
        for first, last in _runs(_without_short(music)):
            from_s, to_s = first * _ROW_S, last * _ROW_S
            # The blocks that lie in it whole.
            inside = blocks[round(from_s * _BLOCKS_PER_S) : round(to_s * _BLOCKS_PER_S) - 3]
            lufs = gated(inside)
            if lufs is not None:
                songs.append(Song(from_s, to_s, round(lufs, 2)))
        return Songs(tuple(songs), programme)

    def _music(self, blocks: _Array, programme: float) -> _Flags:
        """For each half second, whether music sounds."""
        tonal = np.array(self._tonal, dtype=np.float64)
        per_row = round(_ROW_S * _BLOCKS_PER_S)
        loud = np.pad(blocks, (0, max(0, len(tonal) * per_row - len(blocks))), mode="edge")
        levels = loud[: len(tonal) * per_row].reshape(len(tonal), per_row).max(axis=1)
        sounds = levels > max(SILENT_LUFS, programme - _PAUSE_LU)
        heard = ((tonal < _TONAL) & sounds).astype(np.float64)
        most: _Flags = uniform_filter1d(heard, round(_MAJORITY_S / _ROW_S), mode="nearest") > 0.5
        return most


class SongGain:
    """Lifts and lowers each song by its own decibels; the gain moves between songs alone.

    offsets_db: one for each of `songs`. What lies before the first song goes with it, what lies
    after the last with that one. Between two songs the gain moves over the middle half of the gap.
    """

    latency = 0

    def __init__(
        self, sample_rate_hz: int, songs: Sequence[Song], offsets_db: Sequence[float]
    ) -> None:
        self._factors: _Array = 10 ** (np.array(offsets_db or [0.0]) / 20)
        gaps = [(one.to_s, other.from_s) for one, other in pairwise(songs)]
        # Song numbers against frames; in a gap the number climbs from one to the next.
        quarters = [(to + (on - to) / 4, on - (on - to) / 4) for to, on in gaps]
        self._frames = np.array(quarters).reshape(-1) * sample_rate_hz
        self._numbers = np.array([(n, n + 1) for n in range(len(gaps))], dtype=float).reshape(-1)
        self._passed = 0

    def process(self, block: Block) -> Block:
        """The block (frames, channels), louder or softer."""
        at = np.arange(self._passed, self._passed + len(block))
        self._passed += len(block)
        if not len(block) or np.all(self._factors == 1):
            return block
        if not len(self._frames):
            alike: Block = block * self._factors[0]
            return alike
        number = np.interp(at, self._frames, self._numbers)
        song = number.astype(np.intp)
        share = number - song
        share = share * share * (3 - 2 * share)
        here = self._factors[song]
        there = self._factors[np.minimum(song + 1, len(self._factors) - 1)]
        louder: Block = block * (here + share * (there - here))[:, np.newaxis]
        return louder

    def flush(self) -> Block:
        """Nothing is held back."""
        return np.zeros((0, 1))


def song_offsets(songs: Sequence[Song], bound_db: float = _BOUND_DB) -> tuple[float, ...]:
    """Decibels for each song, at most `bound_db` either way, that bring the songs together.

    All songs move towards one level, chosen so that the loudness of the whole stays. With one song
    there is nothing to bring together, and the offset is 0. The default of 2 dB evens a fader that
    was moved between songs, and leaves a ballad a ballad.
    """
    levels = np.array([song.lufs for song in songs])
    weights = np.array([song.to_s - song.from_s for song in songs])
    if len(levels) < 2:
        return (0.0,) * len(levels)

    def offsets(towards: float) -> _Array:
        moved: _Array = np.clip(towards - levels, -bound_db, bound_db)
        return moved

    def energy(moved: _Array) -> float:
        return float(np.sum(weights * 10 ** ((levels + moved) / 10)))

    # The energy grows with the level moved to: halve the interval.
    low, high = float(levels.min()) - bound_db, float(levels.max()) + bound_db
    for _ in range(40):
        middle = (low + high) / 2
        if energy(offsets(middle)) < energy(np.zeros(len(levels))):
            low = middle
        else:
            high = middle
    return tuple(round(float(offset), 2) for offset in offsets(high))


class _Tonality:
    """How far the mean logarithm of the bins' power lies below the band's mean power."""

    def __init__(self, sample_rate_hz: int, row: int) -> None:
        size = min(row, 1 << round(np.log2(_WINDOW_S * sample_rate_hz)))
        self._size, self._step = size, max(1, size // 2)
        self._window = np.hanning(size)
        hertz = np.fft.rfftfreq(size, 1 / sample_rate_hz)
        edges = _LOWEST_HZ * 2 ** (np.arange(_THIRDS + 1) / 3)
        self._edges = np.searchsorted(hertz, edges)

    def of(self, samples: Block) -> float:
        """Of so many samples, in nepers of power, 0 or less; the loudest channel is asked."""
        loudest = samples[:, np.argmax(mean_squares(samples))]
        pieces = np.lib.stride_tricks.sliding_window_view(loudest, self._size)[:: self._step]
        pieces = pieces * self._window
        power = np.abs(scipy.fft.rfft(pieces, axis=1)[:, : self._edges[-1]]) ** 2 + 1e-20
        counts = np.diff(self._edges)
        firsts = self._edges[:-1]
        logs = np.add.reduceat(np.log(power), firsts, axis=1) / counts
        means = np.add.reduceat(power, firsts, axis=1) / counts
        return float(np.mean(logs - np.log(means)))


def _without_short(music: _Flags) -> _Flags:
    """Without the gaps, and then the songs, that are too short to be any."""
    kept = music.copy()
    for first, last in _runs(~music):
        inner = first > 0 and last < len(music)
        if inner and (last - first) * _ROW_S < _SHORTEST_GAP_S:
            kept[first:last] = True
    for first, last in _runs(kept):
        if (last - first) * _ROW_S < _SHORTEST_SONG_S:
            kept[first:last] = False
    return kept


def _runs(flags: _Flags) -> list[tuple[int, int]]:
    """Where flags are set: (first, after the last) of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False]))))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
