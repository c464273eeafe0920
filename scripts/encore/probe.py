"""Reads a container once without decoding it: its streams, its chapters, and every packet's time.

Packets tell what no header does: where each stream really begins and ends, and where the reader
marked data as lost (a transport stream's continuity counters). Read by PyAV (libavformat).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import av
import av.logging
from av.container import InputContainer
from av.stream import Disposition

from encore.errors import RequestError
from encore.facts import Chapter, StreamFacts
from encore.progress import Reporter

if TYPE_CHECKING:
    from av.container.core import Chapter as ContainerChapter

__all__ = ["Loss", "Probe", "probe"]

Kind = Literal["video", "audio", "subtitle", "attachment", "data"]
_TIME_BASE = Fraction(1, av.time_base)
_CORRUPT_APART_S = 0.5
_NO_RECORDINGS = {"tty", "bin", "xbin", "adf", "idf"}
"""Formats by which libavformat plays text as a picture."""


@dataclass
class Probe:
    """What a container tells: everything but the samples."""

    container: str
    title: str | None
    duration_s: float | None
    """As the container claims."""
    start_s: float | None
    streams: list[StreamFacts]
    chapters: list[Chapter]
    picture: int | None
    """The stream that is the picture: never a cover; None where there is none."""
    sounds: list[int]
    losses: list[Loss] = field(default_factory=list)
    """Places where packets of picture or sound are marked as broken."""
    broke: str | None = None
    """Why the file cannot be read to its end, where it cannot."""


@dataclass(frozen=True)
class Loss:
    """Broken packets near each other in one stream."""

    stream: int
    at_s: float | None
    packets: int


@dataclass
class _Extent:
    """What the packets of one stream cover."""

    first: Fraction | None = None
    last: Fraction | None = None
    packets: int = 0
    corrupt: list[Fraction | None] = field(default_factory=list)

    def take(self, packet: av.Packet[Any]) -> None:
        self.packets += 1
        at = None
        if packet.pts is not None and packet.time_base is not None:
            at = packet.pts * packet.time_base
            end = at + (packet.duration or 0) * packet.time_base
            self.first = at if self.first is None else min(self.first, at)
            self.last = end if self.last is None else max(self.last, end)
        if packet.is_corrupt:
            self.corrupt.append(at if at is not None else self.last)


def probe(path: Path, reporter: Reporter) -> Probe:
    """Read the container at `path`; raises RequestError where it is no recording."""
    av.logging.set_level(None)
    try:
        with av.open(str(path)) as container:
            if container.format.name in _NO_RECORDINGS:
                raise RequestError(f"{str(path)!r} is not a media file: it is text")
            extents, broke = _packets(container, path, reporter)
            return _facts(container, extents, broke, path)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise RequestError(
            f"{str(path)!r} is not a media file that can be read: {_reason(error)}"
        ) from error


def _packets(
    container: InputContainer, path: Path, reporter: Reporter
) -> tuple[dict[int, _Extent], str | None]:
    """Each stream's extent, and why the reading ended before the end where it did."""
    extents: dict[int, _Extent] = {}
    size, broke = path.stat().st_size, None
    with reporter.stage("read", unit="MiB") as update:
        try:
            for packet in container.demux():
                if packet.size:
                    extents.setdefault(packet.stream.index, _Extent()).take(packet)
                if packet.pos:
                    update(packet.pos / 2**20, size / 2**20)
        except av.FFmpegError as error:
            broke = _reason(error)
    return extents, broke


def _facts(
    container: InputContainer, extents: dict[int, _Extent], broke: str | None, path: Path
) -> Probe:
    streams = [_stream(stream, extents.get(stream.index)) for stream in container.streams]
    pictures = [s for s in container.streams.video if not _is_cover(s) and s.codec_context]
    sounds = [s.index for s in container.streams.audio if s.codec_context]
    if not pictures and not sounds:
        raise RequestError(f"{str(path)!r} holds neither a picture nor a sound")
    picture = container.streams.best("video") if pictures else None
    if pictures and (picture is None or picture.index not in [s.index for s in pictures]):
        picture = pictures[0]
    duration = container.duration
    known = Probe(
        container=container.format.name,
        title=container.metadata.get("title") or None,
        duration_s=None if duration is None else float(duration * _TIME_BASE),
        start_s=None if container.start_time is None else float(container.start_time * _TIME_BASE),
        streams=streams,
        chapters=[_chapter(c) for c in container.chapters()],
        picture=None if picture is None else picture.index,
        sounds=sounds,
        broke=broke,
    )
    for stream in streams:
        extent = extents.get(stream.index)
        if extent and stream.kind in ("video", "audio"):
            known.losses += _losses(stream.index, extent)
    return known


def _stream(stream: av.stream.Stream, extent: _Extent | None) -> StreamFacts:
    kinds: dict[str, Kind] = {
        "video": "video",
        "audio": "audio",
        "subtitle": "subtitle",
        "attachment": "attachment",
    }
    start = extent.first if extent and extent.first is not None else None
    length = (
        extent.last - start if extent and extent.last is not None and start is not None else None
    )
    return StreamFacts(
        index=stream.index,
        kind=kinds.get(stream.type, "data"),
        codec=stream.codec_context.codec.canonical_name if stream.codec_context else "unknown",
        language=stream.language,
        title=stream.metadata.get("title") or None,
        default=bool(stream.disposition & Disposition.default),
        start_s=None if start is None else float(start),
        duration_s=None if length is None else float(length),
    )


def _is_cover(stream: av.stream.Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _chapter(chapter: ContainerChapter) -> Chapter:
    base = chapter["time_base"]
    return Chapter(
        start_s=float(chapter["start"] * base),
        end_s=float(chapter["end"] * base),
        title=chapter["metadata"].get("title", ""),
    )


def _losses(stream: int, extent: _Extent) -> list[Loss]:
    """The broken packets, those near each other as one place."""
    places: list[list[Fraction | None]] = []
    for at in extent.corrupt:
        last = places[-1][-1] if places else None
        if at is not None and last is not None and abs(at - last) < _CORRUPT_APART_S:
            places[-1].append(at)
        else:
            places.append([at])
    return [
        Loss(stream, None if place[0] is None else float(place[0]), len(place)) for place in places
    ]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
