"""Joins picture, mastered sound and everything of the source that was not remade.

The picture begins at 0. The source's own tracks are copied with their timestamps moved by exactly
the time of its first picture, so whatever was in sync stays so; what lies before that picture is
left out (a transport stream's sound begins earlier, since its first pictures cannot be decoded).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from encore.encode import sound_arguments
from encore.facts import Chapter, Scan, StreamFacts
from encore.preset import Encode
from encore.progress import Update
from encore.render import run

__all__ = ["Plan", "chapters_within", "joined", "mux", "on_the_grid", "plan"]

# What is left of a chapter beside the first or the last picture is no chapter.
_SHORTEST_CHAPTER_S = 0.1
_MP4_SOUND = {"aac", "ac3", "eac3", "mp2", "mp3", "alac", "flac", "opus", "dts"}
_MOV_SOUND = {"aac", "ac3", "eac3", "mp3", "alac"}
_TEXT_SUBTITLES = {"subrip", "ass", "ssa", "webvtt", "mov_text", "text"}
_MKV_SUBTITLES = {"dvd_subtitle", "dvb_subtitle", "hdmv_pgs_subtitle", "subrip", "ass", "ssa"}
_MKV_SUBTITLES |= {"webvtt", "text", "hdmv_text_subtitle", "arib_caption"}


@dataclass(frozen=True)
class Plan:
    """Which streams of the source are kept, and which are left out and why."""

    kept: list[StreamFacts]
    left_out: list[str] = field(default_factory=list)


def plan(scan: Scan, suffix: str, settings: Encode) -> Plan:
    """What of the source goes into this container."""
    kept, left_out = [], []
    for stream in scan.streams:
        if stream.kind == "video" and scan.picture is not None:
            if stream.index != scan.picture.stream:
                left_out.append(f"{_name(stream)}: a second picture")
            continue
        if stream.kind == "audio" and not settings.keep_originals:
            continue
        if _fits(stream, suffix):
            kept.append(stream)
        else:
            left_out.append(f"{_name(stream)}: {suffix} cannot hold it")
    return Plan(kept, left_out)


def chapters_within(
    chapters: Sequence[Chapter], start_s: float, duration_s: float
) -> list[Chapter]:
    """The chapters that are heard between start_s and its duration, on a clock that begins there.

    One that began before is cut, not dropped: a disc's first chapter begins with its container,
    a little before the first picture.
    """
    kept = []
    for number, chapter in enumerate(chapters):
        following = chapters[number + 1].start_s if number + 1 < len(chapters) else None
        end = chapter.end_s if chapter.end_s is not None else following
        first = max(0.0, chapter.start_s - start_s)
        last = duration_s if end is None else min(duration_s, end - start_s)
        if last - first > _SHORTEST_CHAPTER_S:
            kept.append(Chapter(start_s=first, end_s=last, title=chapter.title))
    return kept


def mux(
    scan: Scan | None,
    plan: Plan,
    *,
    picture: Sequence[tuple[Path, int]],
    rate: Fraction | None,
    sound: Path | None,
    target: Path,
    settings: Encode,
    chapters: Sequence[Chapter],
    start_s: float,
    duration_s: float,
    mastered: StreamFacts | None,
    work: Path,
    update: Update | None = None,
) -> None:
    """Write `target` from the rendered picture, the mastered sound and the kept streams.

    Without a `scan` there is no source, and nothing of it is kept.
    `picture` is its chunks in their order, each with its frames, at `rate` frames a second; none
    where there is no picture.
    `start_s` is the source's time of output time 0, and `duration_s` the output's length: kept
    streams are cut to it. `chapters` are on the output's clock. `mastered` is the source stream
    that `sound` was made from; its language is kept. Raises JobError where FFmpeg fails.
    """
    suffix = target.suffix.lower()
    inputs: list[str] = ["-copyts"]
    arguments: list[str] = []
    count = 0
    if picture:
        assert rate is not None
        inputs += joined(picture, rate, work)
        arguments += ["-map", f"{count}:v:0", "-bsf:v:0", on_the_grid(rate)]
        count += 1
    if sound is not None:
        inputs += ["-i", str(sound)]
        arguments += ["-map", f"{count}:a:0"]
        count += 1
    source = count
    if scan is not None:
        inputs += ["-itsoffset", f"{-start_s:.9f}", "-i", scan.media]
        count += 1
    notes = work / "chapters.ffmeta"
    notes.write_text(_chapter_notes(chapters), encoding="utf-8")
    inputs += ["-i", str(notes)]
    for stream in plan.kept:
        arguments += ["-map", f"{source}:{stream.index}"]
    arguments += ["-c", "copy", "-map_chapters", str(count)]
    arguments += ["-map_metadata", str(source if scan is not None else -1)]
    if picture and scan is not None and scan.picture is not None:
        shown = next(s for s in scan.streams if s.index == scan.picture.stream)
        arguments += ["-disposition:v:0", "default"]
        arguments += _tags("v:0", shown.title, shown.language)
    sounds = 0
    if sound is not None:
        arguments += sound_arguments(settings, suffix, "a:0")
        title = "Mastered by Encore" if scan is not None else None
        arguments += _tags("a:0", title, mastered.language if mastered else None)
        arguments += ["-disposition:a:0", "default"]
        sounds = 1
    subtitles = 0
    inside = f"noise=drop='lt(pts*tb,0)+gte(pts*tb,{duration_s:.6f})'"
    for stream in plan.kept:
        if stream.kind == "audio":
            place = f"a:{sounds}"
            sounds += 1
            if sound is not None:
                arguments += [f"-disposition:{place}", "0"]
                arguments += _tags(place, stream.title or "Original", stream.language)
            arguments += [f"-bsf:{place}", inside]
        elif stream.kind == "subtitle":
            place = f"s:{subtitles}"
            subtitles += 1
            if suffix != ".mkv":
                arguments += [f"-c:{place}", "mov_text"]
            elif stream.codec == "mov_text":
                arguments += [f"-c:{place}", "srt"]
            else:
                arguments += [f"-bsf:{place}", inside]
    if suffix != ".mkv":
        arguments += ["-movflags", "+faststart"]
        if settings.codec == "x265":
            arguments += ["-tag:v", "hvc1"]
    # Long FLAC beside a short delay of picture packets must not make FFmpeg give up interleaving.
    arguments += ["-max_interleave_delta", "0", "-f", _format(suffix), str(target)]
    run([*inputs, *arguments], work / "mux.log", update=update, folder=work)


def joined(chunks: Sequence[tuple[Path, int]], rate: Fraction, work: Path) -> list[str]:
    """FFmpeg's input arguments for chunks (file, frames) that follow each other as one stream."""
    if len(chunks) == 1:
        return ["-i", str(chunks[0][0])]
    lines, frames = ["ffconcat version 1.0"], 0
    for path, count in chunks:
        # Names of our own making, relative to the list: nothing in them wants escaping.
        lines.append(f"file {path.relative_to(work).as_posix()}")
        begin, end = (round(1_000_000 * n / rate) for n in (frames, frames + count))
        # From the rate, since a container may round it: what is off here adds up over the show.
        lines.append(f"duration {end - begin}us")
        frames += count
    target = work / "picture.ffconcat"
    target.write_text("\n".join(lines) + "\n", encoding="ascii")
    # Packets stay as they are: the chunks' headers are the same, for one encoder made them all.
    return ["-f", "concat", "-auto_convert", "0", "-i", target.name]


def on_the_grid(rate: Fraction) -> str:
    """FFmpeg's bitstream filter that puts every picture on its exact time, n / rate.

    The concat demuxer adds durations in whole microseconds, which over a long show come to a tick.
    """
    n, d = rate.numerator, rate.denominator
    ts = f"round({{}}*TB*{n}/{d})*{d}/({n}*TB)"
    return f"setts=pts={ts.format('PTS')}:dts={ts.format('DTS')}"


def _fits(stream: StreamFacts, suffix: str) -> bool:
    if suffix == ".mkv":
        return stream.kind in ("audio", "attachment") or stream.codec in _MKV_SUBTITLES | {
            "mov_text"
        }
    if stream.kind == "audio":
        return stream.codec in (_MOV_SOUND if suffix == ".mov" else _MP4_SOUND) or (
            suffix == ".mov" and stream.codec.startswith("pcm_")
        )
    return stream.kind == "subtitle" and stream.codec in _TEXT_SUBTITLES


def _name(stream: StreamFacts) -> str:
    return f"{stream.kind} stream {stream.index} ({stream.codec})"


def _format(suffix: str) -> str:
    return {".mkv": "matroska", ".mov": "mov"}.get(suffix, "mp4")


def _tags(place: str, title: str | None, language: str | None) -> list[str]:
    tags = {"title": title, "language": language, "handler_name": title}
    return [
        word
        for name, value in tags.items()
        if value
        for word in (f"-metadata:s:{place}", f"{name}={value}")
    ]


def _chapter_notes(chapters: Sequence[Chapter]) -> str:
    """Chapters on the output's clock as FFmpeg's metadata text."""
    lines = [";FFMETADATA1"]
    for chapter in chapters:
        assert chapter.end_s is not None
        lines += ["[CHAPTER]", "TIMEBASE=1/1000000"]
        lines += [f"START={round(chapter.start_s * 1e6)}", f"END={round(chapter.end_s * 1e6)}"]
        lines += [f"title={_escaped(chapter.title)}"] if chapter.title else []
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    for special in "\\=;#\n":
        text = text.replace(special, "\\" + special)
    return text
