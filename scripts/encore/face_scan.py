"""Finds the faces of a whole show, and draws them to be looked at.

    tracks = faces_of(scan, work, reporter)
    tracks.save(work / "faces.json")

The source's frames are read once, in order, each as one picture of square pixels: of fields the
first one alone, its lines doubled, for a woven frame shows two moments. Frame numbers are those of
the scan. Neither memory nor the time for a frame grows with the length of the show.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import vapoursynth as vs
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from encore.errors import JobError, RequestError
from encore.facts import PictureFacts, Scan
from encore.progress import Reporter, clock
from encore.scan import source_arguments
from vsencore.engine.light import LOOK, cut_between, miniature
from vsencore.face.detect import Detector, Name, detector
from vsencore.face.follow import follow
from vsencore.face.tracks import Tracks
from vsencore.zoo import ZooError

__all__ = ["contact_sheet", "faces_of", "shown_pictures", "summary", "working_size"]

Picture = NDArray[np.uint8]

_WIDEST = 1280
_SMALLEST_PX = 16
_NARROWEST = 640
_AHEAD = 4
"""Frames that are decoded while one is looked at."""
_MATRICES = {"bt709": "709", "bt2020nc": "2020ncl", "smpte240m": "240m", "fcc": "fcc"}


def faces_of(
    scan: Scan,
    work: Path | None,
    reporter: Reporter,
    *,
    cuts: Collection[int] | None = None,
    detector: Name | Detector = "auto",
    span: tuple[int, int] | None = None,
) -> Tracks:
    """Find and follow every face of a recording, from 16 source pixels up.

    Args:
        scan: Of the recording; what its frames are, and their numbers.
        work: Where the picture's index is kept; None: where the scan kept it.
        reporter: Told of the frames that are done, and which detector looks.
        cuts: The frames that begin a shot; None: they are found on the way.
        detector: A name, or what finds faces in one picture.
        span: The frames to look at, first and last, the last one not taken; None: all.

    Raises:
        RequestError: no picture, or a detector that is not here.
        JobError: the picture does not decode to its end.
    """
    picture = _picture(scan)
    finder = _finder(detector)
    if finder.name == "cascades":
        reporter.say("faces: found by OpenCV's cascades, which miss turned heads; the better")
        reporter.say("detector is fetched by: encore models get yunet")
    else:
        reporter.say(f"faces: found by {finder.name}")
    height = working_size(picture)[1]
    first, last = span or (0, picture.frames)
    pictures = shown_pictures(scan, work, (first, last))
    shown = _by_sight(pictures)
    if cuts is not None:
        shown = _by_list(pictures, frozenset(cut - first for cut in cuts))
    with reporter.stage("faces", unit="frames") as update:

        def told() -> Iterator[tuple[Picture, bool]]:
            for n, one in enumerate(shown):
                yield one
                update(n + 1, last - first)

        try:
            found = follow(
                told(),
                finder,
                rate=picture.rate,
                aspect=float(picture.display_aspect),
                least_px=_SMALLEST_PX * height / picture.height,
            )
        except vs.Error as error:
            raise JobError(f"the faces of {scan.source!r} could not be found: {error}") from error
    if span is None:
        return found
    moved = tuple(replace(track, first=track.first + first) for track in found.tracks)
    return replace(found, frames=picture.frames, tracks=moved)


def working_size(picture: PictureFacts) -> tuple[int, int]:
    """The width and height at which faces are looked for, in square pixels.

    A face of 16 pixels has 10 of them at least, which is what a detector needs: large pictures are
    made smaller, which saves time, and small ones are enlarged.
    """
    wide = float(picture.display_aspect) * picture.height
    scale = min(1.0, _WIDEST / wide) if wide > _NARROWEST else min(2.0, _NARROWEST / wide)
    return max(16, 2 * round(wide * scale / 2)), max(16, 2 * round(picture.height * scale / 2))


def shown_pictures(
    scan: Scan, work: Path | None = None, span: tuple[int, int] | None = None
) -> Iterator[Picture]:
    """Every frame of the scan's picture in order, or of a span, as R'G'B' at the working size."""
    clip = _clip(scan, work)
    if span is not None:
        clip = clip[slice(*span)]
    for frame in clip.frames(prefetch=_AHEAD, backlog=2 * _AHEAD, close=True):
        yield _array(frame)


def summary(tracks: Tracks, picture: PictureFacts) -> list[tuple[str, str]]:
    """What was found, as rows of a table: how many, how large, where they are longest."""
    found = tracks.tracks
    if not found:
        return [("faces", "none found")]
    heights = [float(np.median(track.boxes[:, 3])) * picture.height for track in found]
    edges = sorted([(t.first, 1) for t in found] + [(t.last + 1, -1) for t in found])
    at_once = np.cumsum([step for _, step in edges])
    spans = zip(pairwise(at for at, _ in edges), at_once, strict=False)
    covered = sum(after - before for (before, after), count in spans if count)
    rows = [
        (
            "faces",
            f"{len(found)} track{'s' if len(found) > 1 else ''} (one a person and shot), up to"
            f" {int(at_once.max())} at once, in {covered / tracks.frames:.0%} of the frames;"
            f" {min(heights):.0f} to {max(heights):.0f} pixels high",
        )
    ]
    longest = sorted(zip(found, heights, strict=True), key=lambda pair: -len(pair[0]))
    for track, tall in sorted(longest[:_LISTED], key=lambda pair: pair[0].first):
        rows.append(
            (
                "",
                f"face {track.id}: {_time(track.first, tracks.rate)} to"
                f" {_time(track.last + 1, tracks.rate)}, {tall:.0f} pixels high",
            )
        )
    if len(found) > _LISTED:
        rows.append(("", f"and {len(found) - _LISTED} shorter ones"))
    return rows


_LISTED = 5


def contact_sheet(
    scan: Scan,
    tracks: Tracks,
    path: Path,
    work: Path | None = None,
    *,
    frames: Collection[int] | None = None,
    columns: int = 4,
    width: int = 480,
) -> None:
    """Draw some frames as a PNG, with each face's box, points, id and trust.

    `frames` are their numbers; None takes sixteen, spread evenly. A box is green where the
    detector saw the face, and turns red as trust falls.
    """
    clip = _clip(scan, work)
    chosen = sorted(frames) if frames is not None else _spread(len(clip), 16)
    tiles = []
    for n in chosen:
        with clip.get_frame(n) as frame:
            image = Image.fromarray(_array(frame))
        image = image.resize(
            (width, round(image.height * width / image.width)), Image.Resampling.BOX
        )
        _draw(image, tracks, n)
        tiles.append(image)
    if not tiles:
        raise RequestError("a contact sheet needs frames to draw")
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * width, rows * tiles[0].height))
    for place, image in enumerate(tiles):
        sheet.paste(image, (place % columns * width, place // columns * image.height))
    sheet.save(path, "PNG")


def _picture(scan: Scan) -> PictureFacts:
    if scan.picture is None:
        raise RequestError(f"{scan.source!r} has no picture, so there are no faces in it")
    return scan.picture


def _finder(chosen: Name | Detector) -> Detector:
    if not isinstance(chosen, str):
        return chosen
    try:
        return detector(chosen)
    except (ValueError, ZooError) as error:
        raise RequestError(f"faces: {error}") from error


def _clip(scan: Scan, work: Path | None) -> vs.VideoNode:
    """The scan's frames as R'G'B' of 8 bits, in square pixels, one moment a frame."""
    picture = _picture(scan)
    width, height = working_size(picture)
    try:
        clip = vs.core.bs.VideoSource(**source_arguments(scan, work), showprogress=0)
    except vs.Error as error:
        raise RequestError(f"the picture of {scan.source!r} does not open: {error}") from error
    # Flags are known to lie; the scan looked.
    clip = clip.std.RemoveFrameProps(["_FieldBased", "_Field"])
    if picture.pixel_format.startswith(("yuv410", "yuvj410")):
        clip = clip.resize.Bicubic(format=vs.YUV420P8)
    moved = 0.0
    lines = clip.height
    if picture.structure in ("interlaced", "mixed"):
        group = 2 << clip.format.subsampling_h
        if over := clip.height % group:
            # The lines of half a group are drawn on a canvas that has them all.
            clip = clip.std.AddBorders(bottom=group - over)
        top = picture.field_order != "bottom"
        clip = clip.std.SeparateFields(tff=top, modify_duration=False).std.SelectEvery(2, [0])
        clip = clip.std.RemoveFrameProps(["_FieldBased", "_Field"])
        # A line of the top field lies a quarter of a field's line higher than its number says.
        moved = 0.25 if top else -0.25
        lines /= 2
    settings: dict[str, object] = {}
    if clip.format.color_family == vs.YUV:
        settings["matrix_in_s"] = _MATRICES.get(picture.matrix.value, "170m")
    if clip.format.color_family != vs.RGB:
        settings["range_in_s"] = "full" if picture.range.value == "pc" else "limited"
    if clip.format.color_family == vs.GRAY:
        clip = clip.resize.Point(format=vs.YUV444P8, matrix_s="170m", **settings)
        settings = {"matrix_in_s": "170m"}
    return clip.resize.Bilinear(
        width, height, format=vs.RGB24, src_top=moved, src_height=float(lines), **settings
    )


def _array(frame: vs.VideoFrame) -> Picture:
    return np.stack([np.asarray(frame[plane]) for plane in range(3)], -1)


def _by_list(pictures: Iterator[Picture], cuts: frozenset[int]) -> Iterator[tuple[Picture, bool]]:
    for n, picture in enumerate(pictures):
        yield picture, n in cuts


def _by_sight(pictures: Iterator[Picture]) -> Iterator[tuple[Picture, bool]]:
    """Each picture with whether a cut lies before it, which the next few frames tell."""
    held: deque[Picture] = deque()
    minis: deque[torch.Tensor] = deque(maxlen=2 * LOOK)
    for picture in pictures:
        mini = _miniature(picture)
        held.append(picture)
        minis.extend([mini] if minis else [mini] * (LOOK + 1))
        if len(held) >= LOOK:
            yield held.popleft(), _is_cut(minis)
    while held:
        minis.append(minis[-1])
        yield held.popleft(), _is_cut(minis)


def _is_cut(minis: deque[torch.Tensor]) -> bool:
    return len(minis) == 2 * LOOK and cut_between(torch.cat(list(minis)))


def _miniature(picture: Picture) -> torch.Tensor:
    with torch.inference_mode():
        # A quarter of the lines and samples makes the same cells, but for noise.
        thin = torch.from_numpy(np.ascontiguousarray(picture[::2, ::2].transpose(2, 0, 1)))
        return miniature(thin[None].float() / 255)


def _spread(length: int, count: int) -> list[int]:
    return sorted({int(n) for n in np.linspace(0, length - 1, min(count, length))})


_EDGED: dict[str, Any] = {"stroke_width": 1, "stroke_fill": (0, 0, 0)}


def _draw(image: Image.Image, tracks: Tracks, n: int) -> None:
    pen = ImageDraw.Draw(image)
    size = np.array([image.width, image.height])
    for number, box, points, trust in tracks.at(n):
        colour = (round(255 * min(1, 2 - 2 * trust)), round(255 * min(1, 2 * trust)), 0)
        left, top = box[:2] * size
        right, bottom = (box[:2] + box[2:]) * size
        if right > left and bottom > top:
            pen.rectangle([left, top, right, bottom], outline=colour)
        for x, y in points * size:
            pen.ellipse([x - 1, y - 1, x + 1, y + 1], fill=(0, 255, 255))
        pen.text((left + 1, bottom + 1), f"{number}  {trust:.2f}", colour, **_EDGED)
    pen.text((4, 4), str(n), (255, 255, 255), **_EDGED)


def _time(frame: int, rate: Fraction) -> str:
    return clock(float(frame / rate))
