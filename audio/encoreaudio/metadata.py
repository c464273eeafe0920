"""What a recording says of itself: titles, where it began on the day's clock, marks, its history.

Read from any container's tags and chapters and, in a WAV, from its own chunks: the broadcast
extension `bext` (EBU Tech 3285), `iXML`, and `LIST INFO`. Titles are written by libsndfile; what
libsndfile's Python face cannot write (`bext` with the measured loudness, cue points with names,
iXML) is put behind the samples of a WAV or RF64 when they are all there.

All of it is somebody else's text: cut to a length, control characters taken out, used for nothing
but to be written down again.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from .loudness import Levels

__all__ = [
    "TITLES",
    "Mark",
    "Metadata",
    "append_chunks",
    "from_tags",
    "riff_chunks",
    "set_speakers",
]

TITLES = ("title", "artist", "album", "date", "comment", "genre", "track", "copyright")

_LONGEST_TEXT = 4000
_LONGEST_XML = 2**17
_MOST_MARKS = 999
_MOST_CHUNKS = 1000
_LARGEST_CHUNK = 2**20
_NOT_MEASURED = 0x7FFF  # Tech 3285 version 2: the field holds no value
_BEXT = struct.Struct("<256s32s32s10s8sQH64s5h180x")
_OTHER_NAMES = {"author": "artist", "tracknumber": "track", "year": "date"}
_INFO = {
    b"INAM": "title",
    b"IART": "artist",
    b"IPRD": "album",
    b"ICRD": "date",
    b"ICMT": "comment",
    b"IGNR": "genre",
    b"ITRK": "track",
    b"ICOP": "copyright",
}
# What FFmpeg takes from `bext` and gives under a title's name.
_MIXED_UP = ("comment", "date")
# The bits of an extensible header's channel mask, from the lowest on.
_MASK = ("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC")


class Mark(NamedTuple):
    """A named place: a chapter's beginning, a song's, a cue point. Seconds into the stream."""

    at_s: float
    name: str


@dataclass(frozen=True)
class Metadata:
    """Texts and times that go from a recording to its master; empty or None where not known.

    midnight_s: when the first sample was recorded, in seconds of its day (BWF's TimeReference).
    description, originator, originator_reference, origination_date (yyyy-mm-dd), origination_time
    (hh:mm:ss), coding_history: BWF's own fields. ixml: the iXML chunk's text, true only while
    beginning, rate and channels stay as they were. marks: in order of time.
    """

    title: str = ""
    artist: str = ""
    album: str = ""
    date: str = ""
    comment: str = ""
    genre: str = ""
    track: str = ""
    copyright: str = ""
    description: str = ""
    originator: str = ""
    originator_reference: str = ""
    origination_date: str = ""
    origination_time: str = ""
    midnight_s: float | None = None
    coding_history: str = ""
    ixml: str = ""
    marks: tuple[Mark, ...] = ()

    def begun_at(self, later_s: float) -> "Metadata":
        """The same for a stream that begins `later_s` seconds into this one (or before: < 0).

        A mark that lies before the new beginning goes; the last of them, whose song is still on,
        moves to the beginning.
        """
        if not later_s:
            return self
        moved = [Mark(mark.at_s - later_s, mark.name) for mark in self.marks]
        before = [mark for mark in moved if mark.at_s < 0]
        after = [mark for mark in moved if mark.at_s >= 0]
        if before and not (after and after[0].at_s == 0):
            after.insert(0, Mark(0.0, before[-1].name))
        midnight = None if self.midnight_s is None else (self.midnight_s + later_s) % 86400
        return replace(self, midnight_s=midnight, ixml="", marks=tuple(after))

    def chunks(
        self, sample_rate_hz: int, channels: int, bits: int, frames: int, loudness: Levels | None
    ) -> list[tuple[bytes, bytes]]:
        """What a WAV of `frames` frames holds beside titles: (name, content) of each chunk."""
        chunks = [(b"bext", self._bext(sample_rate_hz, channels, bits, loudness))]
        if self.ixml:
            chunks.append((b"iXML", self.ixml.encode()))
        points = [(round(mark.at_s * sample_rate_hz), mark.name) for mark in self.marks]
        points = [(at, name) for at, name in points if 0 <= at < min(frames, 2**32)]
        if points:
            cues, labels = struct.pack("<I", len(points)), b"adtl"
            for number, (at, name) in enumerate(points, 1):
                cues += struct.pack("<II4sIII", number, at, b"data", 0, 0, at)
                labels += _chunk(b"labl", struct.pack("<I", number) + name.encode() + b"\0")
            chunks += [(b"cue ", cues), (b"LIST", labels)]
        return chunks

    def _bext(
        self, sample_rate_hz: int, channels: int, bits: int, loudness: Levels | None
    ) -> bytes:
        mode = {1: "mono", 2: "stereo"}.get(channels, "multichannel")
        history = f"A=PCM,F={sample_rate_hz},W={bits},M={mode},T=Encore\r\n"
        if self.coding_history:
            history = self.coding_history.rstrip() + "\r\n" + history
        fixed = _BEXT.pack(
            _fitting(self.description, 256),
            _fitting(self.originator, 32),
            _fitting(self.originator_reference, 32),
            _fitting(self.origination_date, 10),
            _fitting(self.origination_time, 8),
            round((self.midnight_s or 0.0) * sample_rate_hz),
            1 if loudness is None else 2,
            b"",  # a UMID names one piece of material for ever; a master is another
            *_hundredths(loudness),
        )
        return fixed + history.encode("ascii", "replace")


def from_tags(
    tags: Mapping[str, str],
    chapters: Sequence[tuple[float, str]],
    source: Path,
    sample_rate_hz: int,
) -> Metadata:
    """Metadata from a container's tags and chapters (seconds, name), and from a WAV's chunks."""
    found: dict[str, str] = {}
    for key, text in tags.items():
        name = _OTHER_NAMES.get(key.lower(), key.lower())
        if name in TITLES:
            found.setdefault(name, _clean(text))
    own: dict[str, str | float] = {}
    titles: dict[str, str] = {}
    for chunk, content in riff_chunks(source):
        if chunk == b"bext" and len(content) >= _BEXT.size:
            found = {key: text for key, text in found.items() if key not in _MIXED_UP}
            own |= _read_bext(content, sample_rate_hz)
        elif chunk == b"LIST" and content.startswith(b"INFO"):
            titles |= _read_info(content[4:])
        elif chunk == b"iXML" and len(content) <= _LONGEST_XML:
            own["ixml"] = content.rstrip(b"\0").decode("utf-8", "replace")
    marks = sorted(Mark(float(at), _clean(name)[:200]) for at, name in chapters[:_MOST_MARKS])
    return Metadata(**{**found, **titles, **own}, marks=tuple(marks))  # type: ignore[arg-type]


def riff_chunks(source: Path) -> Iterator[tuple[bytes, bytes]]:
    """The small chunks of a WAV or RF64, (name, content); of anything else, nothing."""
    if not source.is_file():
        return
    with source.open("rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
            return
        long_data = 0
        for _ in range(_MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8:
                return
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data" and size == 0xFFFFFFFF:
                size = long_data
            if size > _LARGEST_CHUNK or name == b"data":
                file.seek(size + size % 2, 1)
                continue
            content = file.read(size)
            if name == b"ds64" and size >= 16:
                long_data = int.from_bytes(content[8:16], "little")
            if size % 2:
                file.read(1)
            yield name, content


def append_chunks(path: Path, chunks: Sequence[tuple[bytes, bytes]]) -> None:
    """Put chunks behind all others of a finished WAV or RF64, and make its length true."""
    with path.open("r+b") as file:
        long = file.read(4) == b"RF64"
        end = file.seek(0, 2)
        file.write(b"\0" * (end % 2) + b"".join(_chunk(*chunk) for chunk in chunks))
        size = file.tell() - 8
        # In RF64 the length stands in `ds64`, which is the first chunk.
        file.seek(20 if long else 4)
        file.write(size.to_bytes(8 if long else 4, "little"))


def set_speakers(path: Path, speakers: Sequence[str]) -> None:
    """Write into an extensible `fmt ` chunk where the channels stand; 0 where it cannot say."""
    bits = [_MASK.index(name) if name in _MASK else -1 for name in speakers]
    said = -1 not in bits and bits == sorted(set(bits))
    with path.open("r+b") as file:
        head = file.read(200)
        at = head.find(b"fmt ")
        if at >= 0 and head[at + 8 : at + 10] == b"\xfe\xff":
            file.seek(at + 28)
            file.write(sum(1 << bit for bit in bits if said).to_bytes(4, "little"))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _hundredths(loudness: Levels | None) -> list[int]:
    if loudness is None:
        return [0] * 5
    levels = (
        loudness.integrated_lufs,
        loudness.range_lu,
        loudness.true_peak_dbtp,
        loudness.momentary_max_lufs,
        loudness.short_term_max_lufs,
    )
    return [
        _NOT_MEASURED if level is None else max(-9999, min(9999, round(100 * level)))
        for level in levels
    ]


def _read_bext(content: bytes, sample_rate_hz: int) -> dict[str, str | float]:
    fields = _BEXT.unpack(content[: _BEXT.size])
    names = (
        "description",
        "originator",
        "originator_reference",
        "origination_date",
        "origination_time",
    )
    found: dict[str, str | float] = {
        name: _clean(_decoded(text)) for name, text in zip(names, fields, strict=False)
    }
    # A day has 86 400 s; more is not a time but a broken field.
    if fields[5] < 86400 * sample_rate_hz:
        found["midnight_s"] = fields[5] / sample_rate_hz
    lines = _decoded(content[_BEXT.size :]).splitlines()
    history = "".join(_clean(line) + "\r\n" for line in lines if line.strip())
    found["coding_history"] = history[:_LONGEST_TEXT]
    return found


def _read_info(content: bytes) -> dict[str, str]:
    found = {}
    at = 0
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        name = _INFO.get(content[at : at + 4])
        if name is not None:
            found[name] = _clean(_decoded(content[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def _decoded(raw: bytes) -> str:
    raw = raw.split(b"\0", 1)[0]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _clean(text: str) -> str:
    # FFmpeg gives bytes that are not UTF-8 as lone surrogates.
    text = _decoded(text.encode("utf-8", "surrogateescape"))
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text.strip()[:_LONGEST_TEXT]


def _fitting(text: str, size: int) -> bytes:
    """Text in at most `size` bytes, no letter cut in two."""
    return text.encode()[:size].decode(errors="ignore").encode()
