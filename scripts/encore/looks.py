"""What a picture chain must know of the whole show: its light, and where its faces are.

Both are found once, in order, over all frames or over those of a range and some more about it, and
kept in the work folder under names that tell what they were made of; the script names them. They
are inputs: a frame stays a function of a window of frames and of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encore.chunked import identity
from encore.chunked.identity import digest
from encore.errors import RequestError
from encore.facts import PictureFacts, Scan
from encore.preset import Preset
from encore.progress import Reporter
from encore.script import Looks, cut_off, finishes, relights

if TYPE_CHECKING:
    from encore.lights import Timeline
    from vsencore.face.tracks import Tracks

__all__ = ["Looked", "check_faces", "look", "save"]

_MARGIN_S = 10.0


@dataclass(frozen=True)
class Looked:
    """What was found for one preset."""

    timeline: Timeline | None = None
    light: Path | None = None
    faces: Path | None = None
    """The tracks as the chain sees them: of the picture that is left after its crop."""
    tracks: int | None = None
    """How many faces are followed; None where none were looked for."""

    @property
    def script(self) -> Looks:
        """The paths, as the script names them."""
        return Looks(*("" if path is None else str(path) for path in (self.light, self.faces)))

    @property
    def files(self) -> list[Path]:
        """The files that decide pixels."""
        return [path for path in (self.light, self.faces) if path is not None]

    @property
    def cuts(self) -> list[int] | None:
        """The frames of the recording that begin a shot, where they are known."""
        told = self.timeline
        return None if told is None else [told.first + cut for cut in told.cuts]


def look(
    scan: Scan,
    preset: Preset,
    work: Path,
    reporter: Reporter,
    held: dict[str, Any],
    range_s: tuple[float, float] | None = None,
) -> Looked:
    """Find what the preset's chain wants to know, or take an earlier run's.

    `held` is the source's content, as `identity.content` tells it; with `range_s` no more is looked
    at than those seconds of the picture and ten about them. Raises JobError where the picture does
    not decode to its end.
    """
    picture = scan.picture
    if picture is None or not finishes(picture, preset):
        return Looked()
    wants_faces = preset.picture.faces.strength > 0
    if not (wants_faces or relights(picture, preset)):
        return Looked()
    from encore.lights import Timeline  # brings torch, which sound alone does without

    work = work.absolute()
    first, last = _span(picture, range_s)
    ours = identity.code("encore")
    basis = [held, dict(identity.versions("picture")), ours, scan.media, first, last]
    light = work / f"light-{digest(basis)}.json"

    def lit() -> Timeline:
        return Timeline.model_validate_json(light.read_text(encoding="utf-8"))

    timeline = _made_once(lit, lambda: _light(scan, light, reporter, first, last))
    found = Looked(timeline, light)
    return _with_faces(found, scan, preset, work, reporter, basis) if wants_faces else found


def _made_once[T](read: Callable[[], T], make: Callable[[], None]) -> T:
    """What an earlier run found, or, where it is not there or damaged, what is found now."""
    try:
        return read()
    except (OSError, ValueError):
        make()
    return read()


def check_faces(preset: Preset) -> None:
    """Refuse a model of faces that is not here. Raises RequestError."""
    faces = preset.picture.faces
    if faces.method == "none":
        raise RequestError('picture.faces.method is "detail" or a model; for none: strength=0')
    if faces.method != "detail":
        from vsencore.zoo import ZooError, find

        try:
            find(faces.method)
        except ZooError as error:
            raise RequestError(f"picture.faces.method: {error}") from error


def save(tracks: Tracks, path: Path) -> None:
    """Write tracks. Raises OSError as it came, so that a full disk is told as one."""
    from vsencore.face.tracks import TracksError

    try:
        tracks.save(path)
    except TracksError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise


def _light(scan: Scan, target: Path, reporter: Reporter, first: int, last: int) -> None:
    from encore import lights
    from encore.chunked.ledger import write_whole
    from encore.scan import source_clip

    assert scan.picture is not None
    clip = source_clip(scan)
    told = lights.of_clip(clip, scan.picture, reporter, first=first, last=min(last, len(clip)))
    write_whole(target, told.model_dump(mode="json"))


def _with_faces(
    found: Looked, scan: Scan, preset: Preset, work: Path, reporter: Reporter, basis: list[Any]
) -> Looked:
    from encore.face_scan import faces_of
    from vsencore.face.tracks import Tracks

    timeline, picture = found.timeline, scan.picture
    assert timeline is not None
    assert picture is not None
    # Which detector looks depends on what is here.
    name = f"faces-{digest([*basis, identity.weight('yunet')])}"
    whole = work / f"{name}.json"

    def follow() -> None:
        span = (timeline.first, timeline.first + timeline.frames)
        save(faces_of(scan, work, reporter, cuts=found.cuts, span=span), whole)

    tracks = _made_once(lambda: Tracks.load(whole), follow)
    if not tracks.tracks:
        reporter.say("faces: none found")
        return replace(found, tracks=0)
    seen, sides = whole, cut_off(picture, preset)
    if any(sides):
        seen = work / f"{name}-{'-'.join(map(str, sides))}.json"
        sizes = (picture.width, picture.width, picture.height, picture.height)
        save(tracks.cropped(*(side / size for side, size in zip(sides, sizes, strict=True))), seen)
    return replace(found, faces=seen, tracks=len(tracks.tracks))


def _span(picture: PictureFacts, range_s: tuple[float, float] | None) -> tuple[int, int]:
    if range_s is None:
        return 0, picture.frames
    first, last = (round(at * picture.rate) for at in range_s)
    margin = round(_MARGIN_S * picture.rate)
    return max(0, min(first - margin, picture.frames - 1)), min(last + margin, picture.frames)
