"""The picture's frames through BestSource: counted, timed, and read as arrays of luma.

BestSource decodes the whole stream once to make its index and is exact to the frame ever after.
What version 22 does, as measured and as its source tells:

- Frames before the first one that decodes whole are left out (a transport stream may begin in the
  middle of a group of pictures): the first frame's timestamp, not the first packet's, is the start.
- Frames that are missing leave no trace in the frame numbers. With `fpsnum`/`fpsden` frame n is
  the one whose timestamp is nearest to `first timestamp + n * fpsden / fpsnum`, so gaps are filled
  by repeating the neighbours, and the number of frames follows the duration.
- What a decoder puts in place of lost blocks may be what it finds in a used buffer, and so depends
  on its threads and on the buffers that a cache holds back. BestSource then refuses frames that
  differ from its index ("No frame returned"). On one thread with `cachesize=0` a damaged stream
  decodes as it was indexed, in any order and on any machine.
- `rff=1` obeys repeat flags; it cannot be joined with `fpsnum`.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from encore.errors import RequestError
from encore.progress import Reporter

__all__ = ["Frames", "Luma", "index_path", "open_frames", "opening", "with_repeats"]

Luma = NDArray[np.float32]
"""One plane of luma, (height, width), on the scale of 8 bits (0..255)."""

_NO_TIME = -(2**63)
_CACHE_MIB = 256


@dataclass(frozen=True)
class Frames:
    """A stream's frames, each once, in the order they are shown."""

    clip: vs.VideoNode
    times: list[Fraction] | None
    """Seconds on the source's clock; None where the stream has no timestamps."""
    repeated: int
    """How many frames there are when repeat flags are obeyed."""
    rate: Fraction
    """As BestSource tells it."""
    fragile: bool = False

    def __len__(self) -> int:
        return int(self.clip.num_frames)

    def luma(self, number: int) -> Luma:
        """The luma of one frame; raises vapoursynth.Error where it cannot be had again."""
        with self.clip.get_frame(number) as frame:
            return self._scaled(np.asarray(frame[0]))

    def properties(self, number: int) -> dict[str, Any]:
        """The properties of one frame."""
        with self.clip.get_frame(number) as frame:
            return dict(frame.props)

    def _scaled(self, plane: NDArray[Any]) -> Luma:
        kind = self.clip.format
        if kind.sample_type == vs.FLOAT:
            return np.asarray(plane, np.float32) * np.float32(255)
        return np.asarray(plane, np.float32) * np.float32(2.0 ** (8 - kind.bits_per_sample))


def index_path(media: Path, work: Path, *, fragile: bool) -> Path:
    """Where the index of a file is kept: a name that changes when the file does."""
    known = media.stat()
    identity = f"{media}\0{known.st_size}\0{known.st_mtime_ns}\0{fragile}"
    name = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return work.absolute() / f"index-{name}"


def opening(media: str, stream: int, index: str | None, *, fragile: bool) -> dict[str, object]:
    """Arguments for `bs.VideoSource`; without an `index` none is kept."""
    arguments: dict[str, object] = {"source": media, "track": stream}
    arguments |= {"threads": 1, "cachesize": 0} if fragile else {"cachesize": _CACHE_MIB}
    # 4: at this very path. 0: nowhere. The default is beside the source.
    return arguments | ({"cachemode": 4, "cachepath": index} if index else {"cachemode": 0})


def open_frames(
    media: Path, stream: int, work: Path, reporter: Reporter, *, fragile: bool = False
) -> Frames:
    """Index a stream, which decodes it once, and open it.

    Raises RequestError where nothing decodes.
    """
    work.mkdir(parents=True, exist_ok=True)
    arguments = opening(
        str(media), stream, str(index_path(media, work, fragile=fragile)), fragile=fragile
    )
    with reporter.stage("index", unit="%") as update, _index_progress(update):
        try:
            opened = vs.core.bs.VideoSource(**arguments, exporttimestamps=1)
            obeyed = vs.core.bs.VideoSource(**arguments, rff=1)
        except vs.Error as error:
            raise RequestError(f"the picture of {str(media)!r} does not decode: {error}") from error
    clip = opened["clip"]
    base = Fraction(opened["timebasenum"], opened["timebaseden"])
    stamps = opened["timestamps"]
    stamps = [stamps] if isinstance(stamps, int) else list(stamps)
    times = None if _NO_TIME in stamps else [stamp * base for stamp in stamps]
    return Frames(clip, times, int(obeyed.num_frames), Fraction(clip.fps), fragile)


def with_repeats(frames: Frames, media: Path, stream: int, work: Path) -> Frames:
    """The same stream with its repeat flags obeyed: these frames have no times of their own."""
    index = str(index_path(media, work, fragile=frames.fragile))
    arguments = opening(str(media), stream, index, fragile=frames.fragile)
    clip = vs.core.bs.VideoSource(**arguments, rff=1, showprogress=0)
    return replace(frames, clip=clip, times=None)


@contextmanager
def _index_progress(update: Any) -> Iterator[None]:
    """Hear BestSource's progress, and keep its remarks off the terminal."""

    def hear(kind: int, text: str) -> None:
        told = re.search(r"index progress (\d+)(%|MB)", text)
        if told:
            update(float(told[1]), 100.0 if told[2] == "%" else None)

    quiet = logging.getLogger("vapoursynth")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    handle = vs.core.add_log_handler(hear)
    try:
        yield
    finally:
        vs.core.remove_log_handler(handle)
        quiet.setLevel(level)
