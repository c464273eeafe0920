"""What is this recording, and what is wrong with it: joins every fact into one record.

The container is read once, the picture is decoded once for its index, and then no more than some
runs of frames and some stretches of sound are looked at, unless the whole is asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import av
import vapoursynth as vs
from av.rational import AVRational

from encore.clock import Clock, clock_of
from encore.colour import colours_of, sample_aspect_of, system_of
from encore.cuts import cuts_in, sketch
from encore.errors import RequestError
from encore.facts import Damage, PictureFacts, Scan, SoundFacts
from encore.frames import Frames, index_path, open_frames, opening, with_repeats
from encore.probe import Probe, probe
from encore.progress import Reporter
from encore.sound import sound_facts
from encore.source import Source, open_source
from encore.survey import survey

__all__ = ["cuts_near", "scan", "source_arguments", "source_clip"]

_SHORT_S = 0.5


def scan(
    source: Source | str | Path,
    *,
    work: Path | None = None,
    full: bool = False,
    reporter: Reporter,
) -> Scan:
    """Look at a recording; `work` keeps the index that a job reads again.

    Raises RequestError where there is nothing that can be read.
    """
    if work is None:
        with tempfile.TemporaryDirectory(prefix="encore-scan-") as folder:
            found = scan(source, work=Path(folder), full=full, reporter=reporter)
            return found.model_copy(update={"index": None})
    if not isinstance(source, Source):
        source = open_source(source, work, reporter)
    known = probe(source.media, reporter)
    damage = _unreadable(known)
    picture = None
    if known.picture is not None:
        picture, lost = _picture(source.media, known, work, full, reporter)
        damage += lost
    sound, lost = _sound(source.media, known, full, reporter)
    damage += lost
    return Scan(
        encore=version("encore-remaster"),
        source=source.named,
        media=str(source.media),
        size_bytes=source.media.stat().st_size,
        container=known.container,
        title=known.title,
        duration_s=_duration_s(known, picture, sound),
        streams=known.streams,
        chapters=known.chapters if source.chapters is None else source.chapters,
        picture=picture,
        sound=sound,
        index=str(index_path(source.media, work, fragile=picture.fragile)) if picture else None,
        damage=sorted(damage, key=lambda item: (item.at_s is None, item.at_s or 0.0)),
        full=full,
    )


def source_arguments(scan: Scan, work: Path | None = None) -> dict[str, object]:
    """The keyword arguments with which `core.bs.VideoSource` gives the frames the scan counted.

    Frame n of that clip is at `start_s + n / rate`, exactly or as near as the source's timestamps
    allow. The scan's index is used again; `work` says where to keep one for a scan that kept none.
    Nothing is ever written beside the source.
    """
    picture = scan.picture
    if picture is None:
        raise RequestError(f"{scan.source!r} has no picture")
    index = scan.index
    if work is not None:
        index = str(index_path(Path(scan.media), work, fragile=picture.fragile))
    arguments = opening(scan.media, picture.stream, index, fragile=picture.fragile)
    if picture.repeat_fields:
        arguments["rff"] = 1
    elif picture.clock == "times":
        arguments["fpsnum"] = picture.rate.numerator
        arguments["fpsden"] = picture.rate.denominator
    return arguments


def source_clip(scan: Scan) -> vs.VideoNode:
    """The frames that the scan counted, as a clip."""
    return vs.core.bs.VideoSource(**source_arguments(scan), showprogress=0)


def cuts_near(scan: Scan, places: Iterable[int], reach: int = 40) -> set[int]:
    """The cuts within `reach` frames of some frames of the scan's picture."""
    picture = scan.picture
    if picture is None:
        return set()
    frames = Frames(source_clip(scan), None, 0, picture.rate)
    found: set[int] = set()
    for place in places:
        first, last = max(0, place - reach), min(len(frames), place + reach)
        found.update(cuts_in(first, [sketch(frames.luma(n)) for n in range(first, last)]))
    return found


def _picture(
    media: Path, known: Probe, work: Path, full: bool, reporter: Reporter
) -> tuple[PictureFacts, list[Damage]]:
    fragile = any(loss.stream == known.picture for loss in known.losses)
    try:
        return _look(media, known, work, full, reporter, fragile=fragile)
    except vs.Error as error:
        if fragile:
            raise RequestError(f"the picture of {str(media)!r} does not decode: {error}") from error
    return _look(media, known, work, full, reporter, fragile=True)


def _look(
    media: Path, known: Probe, work: Path, full: bool, reporter: Reporter, *, fragile: bool
) -> tuple[PictureFacts, list[Damage]]:
    stream = known.picture
    assert stream is not None
    frames = open_frames(media, stream, work, reporter, fragile=fragile)
    with av.open(str(media)) as container:
        video = container.streams[stream]
        assert isinstance(video, av.VideoStream)
        context = video.codec_context
        pixels = context.format
        codec, pixel_format = context.name, pixels.name if pixels else "unknown"
        bits = pixels.components[0].bits if pixels else 8
        aspect = _fraction(video.sample_aspect_ratio) or _fraction(context.sample_aspect_ratio)
        claimed = [video.average_rate, video.base_rate, context.framerate, video.guessed_rate]
        rates = [frames.rate, *(rate for one in claimed if (rate := _fraction(one)))]
    clock = clock_of(frames.times, rates)
    repeats = frames.repeated > len(frames) and clock.kind != "frames"
    if repeats:
        # Film and video mixed by flags: only with every repeat is there one rate for all of it.
        clock = _repeated_clock(frames, clock, rates)
        frames = with_repeats(frames, media, stream, work)
    width, height = frames.clip.width, frames.clip.height
    system = system_of(width, height, clock.rate)
    colours = colours_of(frames.properties(0), codec, pixel_format, system)
    sample_aspect, tagged = sample_aspect_of(aspect, width, height, system)
    seen = survey(
        frames, black=16.0 if colours.range.value == "tv" else 0.0, full=full, reporter=reporter
    )
    count = _count(frames, clock)
    facts = PictureFacts(
        stream=stream,
        codec=codec,
        width=width,
        height=height,
        bits=bits,
        pixel_format=pixel_format,
        sample_aspect=sample_aspect,
        sample_aspect_tagged=tagged,
        display_aspect=sample_aspect * width / height,
        rate=clock.rate,
        rate_constant=clock.constant,
        rate_why=clock.why,
        clock=clock.kind,
        fragile=frames.fragile,
        repeat_fields=repeats,
        frames=count,
        start_s=clock.start_s,
        duration_s=float(count / clock.rate),
        **colours._asdict(),
        flagged=seen.flagged,
        structure=seen.finding.structure,
        field_order=seen.finding.field_order,
        structure_why=seen.finding.why,
        structure_confidence=round(seen.finding.confidence, 3),
        pulldown=_pulldown(frames, seen.finding.structure, repeats),
        borders=seen.borders,
        cuts=[_place(frames, clock, number) for number in seen.cuts],
        examined_frames=seen.examined,
    )
    late = _late_start(known, facts)
    return facts, [*late, *clock.damage, *_early_end(known, facts)]


def _count(frames: Frames, clock: Clock) -> int:
    """How many frames a job gets: with gaps filled where the clock must be filled."""
    if clock.kind != "times" or frames.times is None:
        return len(frames)
    return round((frames.times[-1] - frames.times[0]) * clock.rate) + 1


def _place(frames: Frames, clock: Clock, number: int) -> int:
    """The number that a job knows a frame by."""
    if clock.kind != "times" or frames.times is None:
        return number
    return round((frames.times[number] - frames.times[0]) * clock.rate)


def _repeated_clock(frames: Frames, clock: Clock, rates: list[Fraction]) -> Clock:
    """The clock where repeat flags are obeyed: the claimed rate that fits the stream's length."""
    if not frames.times:
        return clock
    length = frames.times[-1] - frames.times[0]
    mean = frames.repeated / length if length else clock.rate
    rate = min(rates, key=lambda claimed: abs(claimed - mean))
    why = "film and video mixed by repeat flags, which are obeyed"
    return Clock(rate, clock.start_s, "frames", why, clock.damage)


def _pulldown(frames: Frames, structure: str, repeats: bool) -> Literal["none", "soft", "hard"]:
    if structure == "telecine":
        return "hard"
    return "soft" if not repeats and frames.repeated > len(frames) else "none"


def _late_start(known: Probe, picture: PictureFacts) -> list[Damage]:
    """Pictures before the first that decodes whole: a recording that begins in mid-stream."""
    first = next(s.start_s for s in known.streams if s.index == picture.stream)
    if first is None or picture.start_s - first <= float(1 / picture.rate):
        return []
    lost = f"the first {picture.start_s - first:.2f} s do not decode (no whole picture before)"
    return [Damage(at_s=first, what=f"picture: {lost}")]


def _early_end(known: Probe, picture: PictureFacts) -> list[Damage]:
    """A file that was cut short: its container promises more than any stream holds."""
    if known.duration_s is None or known.start_s is None:
        return []
    ends = [
        s.start_s + s.duration_s for s in known.streams if s.start_s is not None and s.duration_s
    ]
    promised, end = known.start_s + known.duration_s, max(ends, default=0.0)
    if promised - end < _SHORT_S:
        return []
    what = f"the file ends {promised - end:.2f} s earlier than it says"
    return [Damage(at_s=end, what=what)]


def _unreadable(known: Probe) -> list[Damage]:
    """What the container's reader could not give. The sound's own meter tells of the sound."""
    found = [
        Damage(
            at_s=loss.at_s,
            what=f"picture: {loss.packets} packet{'s' if loss.packets > 1 else ''} damaged",
        )
        for loss in known.losses
        if loss.stream == known.picture
    ]
    if known.broke:
        found.append(Damage(at_s=None, what=f"cannot be read to its end: {known.broke}"))
    return found


def _sound(
    media: Path, known: Probe, full: bool, reporter: Reporter
) -> tuple[list[SoundFacts], list[Damage]]:
    by_index = {stream.index: stream for stream in known.streams}
    facts: list[SoundFacts] = []
    damage: list[Damage] = []
    if not known.sounds:
        return facts, damage
    with reporter.stage("listen", unit="tracks") as update:
        for track, index in enumerate(known.sounds):
            fact, lost = sound_facts(media, by_index[index], track, full=full)
            facts.append(fact)
            damage += lost
            update(track + 1, len(known.sounds))
    return facts, damage


def _duration_s(known: Probe, picture: PictureFacts | None, sound: list[SoundFacts]) -> float:
    """From the first sample of anything to the last."""
    spans = [(s.start_s, s.start_s + s.duration_s) for s in sound]
    if picture:
        spans.append((picture.start_s, picture.start_s + picture.duration_s))
    return max(end for _, end in spans) - min(start for start, _ in spans)


def _fraction(value: AVRational | None) -> Fraction | None:
    if not value or not value.denominator:
        return None
    return Fraction(value.numerator, value.denominator)
