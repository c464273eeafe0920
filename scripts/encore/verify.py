"""Reads a finished file back and holds it against the plan; only then does it get its name.

Checked: the number of pictures and the time of each, size, square pixels, colour tags, that every
picture and the mastered sound decode to the end, the sound's length to the sample, and that every
stream that was to be kept is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from encore.encode import Clip
from encore.errors import JobError
from encore.progress import Update

__all__ = ["Expected", "Verified", "rechecked", "verify"]

# Matroska writes whole milliseconds; half of one is rounding, the rest is room for a player's.
_CLOCK_S = 0.001
# AAC and Opus in Matroska end on a whole packet: AAC's 1024 samples and its 1024 of priming.
_LOSSY_TAIL = 2112


@dataclass(frozen=True)
class Expected:
    """What the finished file has to hold. `samples` are those of the mastered sound."""

    clip: Clip | None
    samples: int | None
    sample_rate_hz: int | None
    lossless_sound: bool
    kept: dict[str, int]
    """How many kept streams of each kind."""
    chapters: int
    pieces: tuple[tuple[int, str], ...] = ()
    """The chunks of the picture: frames, and the SHA-256 of their packets, which were decoded."""
    recheck: Callable[[], None] | None = None
    """Called where packets are not the chunks': raises JobError where a chunk was damaged."""


@dataclass(frozen=True)
class Verified:
    """What was found in the finished file."""

    size_bytes: int
    frames: int | None
    picture_s: float | None
    worst_clock_error_s: float | None
    samples: int | None
    sound_s: float | None
    streams: dict[str, int]
    chapters: int

    def as_json(self) -> dict[str, object]:
        """Plain data for the report."""
        return asdict(self)


def verify(path: Path, expected: Expected, update: Update | None = None) -> Verified:
    """Read the whole file and compare. Raises JobError with the first thing that does not hold."""
    try:
        return _verify(path, expected, update)
    except (av.FFmpegError, IndexError, OSError) as error:
        raise JobError(f"the finished file does not read back: {error}") from error


@contextmanager
def rechecked(recheck: Callable[[], None] | None) -> Iterator[None]:
    """Where what is done here fails, say so if a damaged chunk is why."""
    try:
        yield
    except JobError:
        if recheck is not None:
            recheck()
        raise


def _verify(path: Path, expected: Expected, update: Update | None) -> Verified:
    with av.open(str(path)) as container:
        streams = {
            "video": len(container.streams.video),
            "audio": len(container.streams.audio),
            "subtitle": len(container.streams.subtitles),
            "attachment": len(container.streams.attachments),
        }
        _check_inventory(streams, expected)
        chapters = len(container.chapters())
        if chapters != expected.chapters:
            raise JobError(f"the finished file has {chapters} chapters, not {expected.chapters}")
    frames = picture_s = worst = None
    if expected.clip is not None:
        frames, worst = _picture(path, expected.clip, expected, update)
        picture_s = float(frames / expected.clip.rate)
    samples = sound_s = None
    if expected.samples is not None:
        samples, rate, begins_s = _sound(path)
        if rate != expected.sample_rate_hz:
            raise JobError(f"the mastered sound has {rate} Hz, not {expected.sample_rate_hz}")
        spare = samples - expected.samples
        if spare != 0 and (expected.lossless_sound or not 0 <= spare <= _LOSSY_TAIL):
            raise JobError(f"the mastered sound has {samples} samples, not {expected.samples}")
        if abs(begins_s) > _CLOCK_S:
            raise JobError(f"the mastered sound begins at {begins_s:.4f} s, not with the picture")
        sound_s = samples / rate
    return Verified(
        path.stat().st_size, frames, picture_s, worst, samples, sound_s, streams, chapters
    )


def _check_inventory(streams: dict[str, int], expected: Expected) -> None:
    wanted = dict(expected.kept)
    wanted["video"] = 0 if expected.clip is None else 1
    wanted["audio"] = wanted.get("audio", 0) + (expected.samples is not None)
    for kind, count in wanted.items():
        if streams.get(kind, 0) != count:
            found = streams.get(kind, 0)
            raise JobError(f"the finished file has {found} {kind} streams and should have {count}")


def _picture(
    path: Path, clip: Clip, expected: Expected, update: Update | None
) -> tuple[int, float]:
    """How many pictures there are, and the worst error of a timestamp, seconds.

    Every packet is read. Packets that are those of the chunks, bit for bit, were decoded when the
    chunk was made. If any is not, the chunks are read again: whole ones were written otherwise by
    the muxer, and every picture is decoded.
    """
    with av.open(str(path)) as container:
        _check_picture(container.streams.video[0], clip)
    times, same = _packets(path, clip, expected.pieces, update)
    if not same:
        if expected.recheck is not None:
            expected.recheck()
        times = _decoded(path, clip, update)
    if len(times) != clip.frames:
        raise JobError(f"the finished file has {len(times)} pictures, not {clip.frames}")
    times.sort()
    worst = max(abs(float(at - number / clip.rate)) for number, at in enumerate(times))
    if worst > _CLOCK_S:
        raise JobError(f"a picture is {worst * 1000:.2f} ms off its time")
    return len(times), worst


def _check_picture(stream: VideoStream, clip: Clip) -> None:
    context = stream.codec_context
    if (context.width, context.height) != (clip.width, clip.height):
        size = f"{context.width}x{context.height}"
        raise JobError(f"the picture is {size}, not {clip.width}x{clip.height}")
    if (stream.sample_aspect_ratio or Fraction(1)) != clip.sample_aspect:
        raise JobError(f"the sample aspect is {stream.sample_aspect_ratio}")
    for name, found, wanted in (
        ("matrix", context.colorspace, clip.matrix),
        ("transfer", context.color_trc, clip.transfer),
        ("primaries", context.color_primaries, clip.primaries),
        ("range", context.color_range, 2 if clip.full_range else 1),
    ):
        if wanted != 2 and int(found or 0) != wanted:
            raise JobError(f"the picture's {name} is written as {found}, not {wanted}")


def _packets(
    path: Path, clip: Clip, pieces: Sequence[tuple[int, str]], update: Update | None
) -> tuple[list[Fraction], bool]:
    """The times of all packets of picture, and whether they are those of the chunks."""
    times: list[Fraction] = []
    digests, left = iter(pieces), 0
    wanted, seen, same = "", hashlib.sha256(), bool(pieces)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = stream.time_base or Fraction(1, 1000)
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None:
                raise JobError(f"picture {len(times)} of the finished file has no time")
            times.append(packet.pts * base)
            if left == 0:
                same = same and seen.hexdigest() == wanted if wanted else same
                left, wanted = next(digests, (-1, ""))
                seen = hashlib.sha256()
            seen.update(bytes(packet))
            left -= 1
            if update is not None and len(times) % 250 == 0:
                update(len(times), clip.frames)
    same = same and seen.hexdigest() == wanted and next(digests, None) is None
    return times, same


def _decoded(path: Path, clip: Clip, update: Update | None) -> list[Fraction]:
    """The times of all pictures, each decoded."""
    times: list[Fraction] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        base = stream.time_base or Fraction(1, 1000)
        for frame in container.decode(stream):
            if frame.pts is None:
                raise JobError(f"picture {len(times)} of the finished file has no time")
            if getattr(frame, "is_corrupt", False):
                raise JobError(f"picture {len(times)} of the finished file is damaged")
            times.append(frame.pts * base)
            if update is not None and len(times) % 25 == 0:
                update(len(times), clip.frames)
    return times


def _sound(path: Path) -> tuple[int, int, float]:
    """Decode the first sound stream; its samples, its rate, and when it begins, seconds."""
    samples, begins = 0, 0.0
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        for frame in container.decode(stream):
            if samples == 0 and frame.pts is not None and frame.time_base is not None:
                begins = float(frame.pts * frame.time_base)
            samples += frame.samples
        return samples, stream.rate, begins
