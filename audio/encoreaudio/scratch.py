"""A stream put aside between two passes: single floats in a file without a name.

The system removes such a file by itself when the program ends, however it ends. Single precision
keeps every bit of 24-bit sound.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from .closes import Closes
from .error import SoundError
from .signal import Block

__all__ = ["Scratch"]


class Scratch(Closes):
    """Write it once, then read it as often as wanted; as large as 4 bytes a sample.

    Raises SoundError where the folder has no room.
    """

    def __init__(self, folder: Path, sample_rate_hz: int, speakers: Sequence[str]) -> None:
        self.sample_rate_hz, self.speakers = sample_rate_hz, tuple(speakers)
        self.frames = 0
        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 -- closed by __exit__
        except OSError as error:
            raise SoundError(f"cannot work in {folder}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of what is held."""
        # What is still to be written nobody wants; a full disk need not say so once more.
        with suppress(OSError):
            self._file.close()

    def write(self, block: Block) -> None:
        """Put the next block (frames, channels) aside."""
        with self._room():
            self._file.write(np.ascontiguousarray(block, dtype=np.float32).data)
        self.frames += len(block)

    def blocks(self) -> Iterator[Block]:
        """All of it from the start, in blocks of a second."""
        with self._room():
            self._file.flush()
        self._file.seek(0)
        channels = len(self.speakers)
        size = self.sample_rate_hz * channels
        while len(part := np.fromfile(self._file, dtype=np.float32, count=size)):
            yield part.reshape(-1, channels).astype(np.float64)

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SoundError(
                f"{self._folder} has no room for the work on this recording ({error.strerror}); "
                "give another work folder"
            ) from error
