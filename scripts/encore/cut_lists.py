"""A show's cuts as other programs read them: JSON, plain text, CMX3600 EDL, OpenTimelineIO.

Frame 0 is the first frame of the job, and 00:00:00:00. Time code counts frames at the nearest whole
rate; at 29.97 and 59.94 it is drop-frame (SMPTE ST 12-1), so that it keeps to the clock: the
numbers of two (four) frames are left out at each minute that is no tenth one. In an EDL a shot ends
where the next begins, as CMX3600 has it: its out-points are one past the last frame.
"""

from __future__ import annotations

from fractions import Fraction
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from encore.errors import RequestError
from encore.lights import Event, Timeline

__all__ = ["ENDINGS", "check", "export", "timecode"]

ENDINGS = (".json", ".txt", ".edl", ".otio")

_DROPPING = (Fraction(30000, 1001), Fraction(60000, 1001))
_NEAR = Fraction(1, 200)
_MARKED = {"strobe": "YELLOW", "lamp": "CYAN", "blackout": "BLACK", "fade": "PURPLE"}


def check(path: Path) -> None:
    """Raise RequestError where `export` could not write such a file: before the work is done."""
    if path.suffix.lower() not in ENDINGS:
        raise RequestError(
            f"{path.name!r}: cuts are written as {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
        )
    if path.suffix.lower() == ".otio":
        _otio()


def export(timeline: Timeline, path: Path, *, source: Path | None = None) -> None:
    """Write the cuts into a file of the kind that its ending tells; `source` is what was scanned.

    .json is the whole timeline (`Timeline.model_validate_json` reads it), .txt has a line for each
    cut: the frame's number and time code. Raises RequestError for another ending, and for .otio
    where OpenTimelineIO is not installed.
    """
    check(path)
    name = source.name if source else path.stem
    match path.suffix.lower():
        case ".json":
            path.write_text(timeline.model_dump_json(indent=1) + "\n", "utf-8")
        case ".txt":
            path.write_text(_text(timeline), "utf-8")
        case ".edl":
            path.write_text(_edl(timeline, name), "utf-8")
        case _:
            _otio().adapters.write_to_file(_opened(timeline, name, source), str(path))


def timecode(frame: int, rate: Fraction) -> str:
    """SMPTE time code of a frame: "hh:mm:ss:ff", or "hh:mm:ss;ff" where numbers are dropped."""
    whole = max(1, round(rate))
    dropping = _drops(rate)
    if dropping:
        dropped = whole // 15
        minute = 60 * whole - dropped
        tens, rest = divmod(frame, 10 * minute + dropped)
        frame += 9 * dropped * tens + dropped * max(0, (rest - dropped) // minute)
    seconds, frames = divmod(frame, whole)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    mark = ";" if dropping else ":"
    return f"{hours % 24:02}:{minutes:02}:{seconds:02}{mark}{frames:02}"


def _drops(rate: Fraction) -> bool:
    return any(abs(rate - dropping) < _NEAR for dropping in _DROPPING)


def _shots(timeline: Timeline) -> list[tuple[int, int]]:
    return list(pairwise([0, *timeline.cuts, timeline.frames]))


def _text(timeline: Timeline) -> str:
    lines = [f"{cut} {timecode(cut, timeline.rate)}\n" for cut in timeline.cuts]
    return "".join(lines)


def _edl(timeline: Timeline, name: str) -> str:
    plain = name.encode("ascii", "replace").decode()
    counting = "DROP FRAME" if _drops(timeline.rate) else "NON-DROP FRAME"
    lines = [f"TITLE: {Path(plain).stem[:70]}", f"FCM: {counting}", ""]
    for number, shot in enumerate(_shots(timeline), 1):
        start, end = (timecode(frame, timeline.rate) for frame in shot)
        lines.append(f"{number:03}  AX       V     C        {start} {end} {start} {end}")
        lines.append(f"* FROM CLIP NAME: {plain}")
    return "\n".join(lines) + "\n"


def _otio() -> Any:
    try:
        return import_module("opentimelineio")
    except ImportError:
        raise RequestError(
            "cuts as .otio need OpenTimelineIO: pip install 'encore-remaster[otio]'"
        ) from None


def _opened(timeline: Timeline, name: str, source: Path | None) -> Any:
    """One track with a clip for each shot, and markers where the light does something."""
    otio = _otio()
    rate = float(timeline.rate)

    def span(first: int, end: int) -> Any:
        at, long = (otio.opentime.RationalTime(frame, rate) for frame in (first, end - first))
        return otio.opentime.TimeRange(at, long)

    media = otio.schema.MissingReference()
    if source is not None:
        media = otio.schema.ExternalReference(source.absolute().as_uri(), span(0, timeline.frames))
    track = otio.schema.Track("V1", kind=otio.schema.TrackKind.Video)
    for number, (first, end) in enumerate(_shots(timeline), 1):
        clip = otio.schema.Clip(f"{name} {number:03}", media.clone(), span(first, end))
        track.append(clip)
    for event in timeline.of("strobe", "lamp", "blackout", "fade"):
        marked = span(event.first, event.last + 1)
        track.markers.append(otio.schema.Marker(_said(event), marked, _MARKED[event.kind]))
    whole = otio.schema.Timeline(name, global_start_time=otio.opentime.RationalTime(0, rate))
    whole.tracks.append(track)
    return whole


def _said(event: Event) -> str:
    if event.rate_hz is not None:
        return f"strobe, {event.rate_hz:.1f} Hz"
    return f"{event.kind} {event.name}" if event.name else event.kind
