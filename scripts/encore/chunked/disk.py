"""How much disk a job will want, from what its first chunks took, and when to wait for room."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from encore.progress import size

__all__ = ["Forecast"]

# What an encoder may hold back, logs, records, an index.
_SPARE = 1.1


@dataclass
class Forecast:
    """The bytes of a picture of `frames` frames, extrapolated from the frames that are finished."""

    work: Path
    output: Path
    frames: int
    reserve_bytes: int
    """What is left alone: under that, nothing new is begun."""
    beside_bytes: int = 0
    """What the finished file holds beside the picture: sound, subtitles."""
    _frames: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)

    def add(self, frames: int, taken: int) -> None:
        """Learn from one finished chunk."""
        self._frames += frames
        self._bytes += taken

    @property
    def taken(self) -> int:
        """Bytes of the finished chunks."""
        return self._bytes

    @property
    def whole(self) -> int | None:
        """Bytes of the whole picture; None before the first chunk."""
        return round(self._bytes / self._frames * self.frames) if self._frames else None

    @property
    def free(self) -> int:
        """Bytes that are free where the work is done."""
        return shutil.disk_usage(self.work).free

    def short(self) -> str:
        """What is missing for the whole job, as a sentence; empty where there is room.

        The finished file holds the chunks' packets once more, so until it is verified both exist.
        """
        if self.whole is None:
            return ""
        rest = round((self.whole - self._bytes) * _SPARE)
        final = round((self.whole + self.beside_bytes) * _SPARE)
        same = self.work.stat().st_dev == self.output.stat().st_dev
        wanted = {self.work: rest + (final if same else 0) + self.reserve_bytes}
        if not same:
            wanted[self.output] = final
        for place, needed in wanted.items():
            free = shutil.disk_usage(place).free
            if free < needed:
                return f"about {size(needed)} more are wanted in {place}, and {size(free)} are free"
        return ""

    def must_wait(self, frames: int, under_way: int) -> str:
        """Why a chunk of so many frames must not be begun now; empty where it may.

        `under_way` are the frames of chunks that are being made: their bytes are yet to come.
        """
        each = self._bytes / self._frames if self._frames else 0.0
        needed = self.reserve_bytes + round(each * (frames + under_way) * _SPARE)
        free = self.free
        if free >= needed:
            return ""
        return f"the disk of {self.work} has {size(free)} free and {size(needed)} are wanted"
