"""A second opinion on a master's loudness: pyloudnorm, which shares no code with the meter.

pyloudnorm wants the whole recording as one array, which for a concert is gigabytes. But the
integrated loudness only needs the loudness of each gating block, so the stream is handed over a
piece at a time, each with two seconds before it in which pyloudnorm's filters settle, and the
blocks are gated together at the end. Songs are gated out of the same blocks.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyloudnorm

from .loudness import gated
from .signal import Block
from .songs import Song

__all__ = ["Opinion", "SecondOpinion"]

_CHUNK_S = 20
_SETTLE_S = 2
_BLOCK_S = 0.4
_BLOCKS_PER_S = 10
_LONGEST_S = 24 * 3600  # 3.5 MB of numbers

_FRONT = {"FL": 0, "FR": 1, "FC": 2}
_SURROUND = {"SL": 3, "SR": 4, "BL": 3, "BR": 4}


@dataclass(frozen=True)
class Opinion:
    """What pyloudnorm reads, in LUFS; None for silence and for what is too short.

    integrated_lufs: the whole. songs_lufs: each of the songs that were asked for.
    """

    integrated_lufs: float | None
    songs_lufs: tuple[float | None, ...]


class SecondOpinion:
    """Reads a stream of blocks (frames, channels).

    pyloudnorm knows left, right, centre and one pair of surrounds; an LFE is left out, as it
    should be. `finish` gives None for other layouts.
    """

    def __init__(self, sample_rate_hz: int, speakers: Sequence[str]) -> None:
        self._places = _places(speakers)
        self._rate = sample_rate_hz
        # De Man's coefficients are BS.1770's own at 48 kHz, and its response at others; the
        # package's default lies 0.04 LU beside them.
        self._meter = pyloudnorm.Meter(sample_rate_hz, filter_class="DeMan")
        self._held: Block = np.zeros((0, len(speakers)))
        self._parts: list[Block] = []
        self._waiting = 0
        self._settled = 0
        self._lufs = array("f")

    def add(self, block: Block) -> None:
        """Take a block."""
        if self._places is None or len(self._lufs) >= _LONGEST_S * _BLOCKS_PER_S:
            return
        self._parts.append(block)
        self._waiting += len(block)
        if self._waiting >= _CHUNK_S * self._rate:
            self._join()
            while len(self._held) >= self._settled + (_CHUNK_S + 1) * self._rate:
                self._read_chunk()

    def finish(self, songs: Sequence[Song] = ()) -> Opinion | None:
        """The reading of the whole stream, which has ended, and of songs in it."""
        if self._places is None:
            return None
        self._join()
        # An incomplete last block does not count; pyloudnorm would count it as a whole one.
        step = self._rate / _BLOCKS_PER_S
        whole = int(int((len(self._held) - self._settled) / step) * step)
        self._read(self._held[: self._settled + whole], self._settled)
        blocks = np.array(self._lufs, dtype=np.float64)
        each = [
            blocks[round(song.from_s * _BLOCKS_PER_S) : round(song.to_s * _BLOCKS_PER_S) - 3]
            for song in songs
        ]
        return Opinion(gated(blocks), tuple(gated(inside) for inside in each))

    def _join(self) -> None:
        self._held = np.concatenate((self._held, *self._parts))
        self._parts, self._waiting = [], 0

    def _read_chunk(self) -> None:
        """The blocks of one piece; the last of them reach 0.3 s into the next piece."""
        end = self._settled + _CHUNK_S * self._rate
        over = round((_BLOCK_S - 1 / _BLOCKS_PER_S) * self._rate)
        self._read(self._held[: end + over], self._settled)
        self._held = self._held[end - _SETTLE_S * self._rate :]
        self._settled = _SETTLE_S * self._rate

    def _read(self, samples: Block, settled: int) -> None:
        if len(samples) - settled < _BLOCK_S * self._rate:
            return
        assert self._places is not None
        placed = samples
        if list(self._places.items()) != [(n, n) for n in range(samples.shape[1])]:
            placed = np.zeros((len(samples), max(self._places.values()) + 1))
            for channel, place in self._places.items():
                placed[:, place] = samples[:, channel]
        self._meter.integrated_loudness(placed)
        first = round(settled / self._rate * _BLOCKS_PER_S)
        self._lufs.extend(float(level) for level in self._meter.blockwise_loudness[first:])


def _places(speakers: Sequence[str]) -> dict[int, int] | None:
    """pyloudnorm's place of each channel that counts; None where it has none."""
    known = _FRONT | _SURROUND
    places = {
        channel: known.get(name, -1)
        for channel, name in enumerate(speakers)
        if name not in ("LFE", "LFE2")
    }
    if not places or -1 in places.values() or len(set(places.values())) < len(places):
        return None
    return places
