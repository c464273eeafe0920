"""The demo: makes a little concert, has it remastered, and shows before and after side by side.

"Before" is what a player shows of the recording: one field with its lines doubled, stretched to
16:9. Each side is decoded with its own matrix: BT.601 for the recording, BT.709 for the
remaster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from encore import concert
from encore.errors import JobError, RequestError
from encore.progress import Reporter

__all__ = ["DemoResult", "run"]

_HEIGHT = 1080
_WIDTH = 1920
_LABEL_PX = 34
# BT.601, BT.709: the red and blue weights of luma.
_WEIGHTS = {5: (0.299, 0.114), 6: (0.299, 0.114), 1: (0.2126, 0.0722)}


@dataclass(frozen=True)
class DemoResult:
    """Where the demo's files are."""

    source: Path
    remaster: Path
    picture: Path


def run(
    out: Path,
    *,
    seconds: float,
    device: str,
    reporter: Reporter,
    remaster: Callable[[Path, Path], object],
) -> DemoResult:
    """Record a concert into `out`, call `remaster(source, output)`, and draw the comparison.

    Raises RequestError when `out` cannot be made, JobError when the recording or a comparison
    fails; what `remaster` raises goes through.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as broken:
        raise RequestError(f"{out}: cannot be made: {broken.strerror}") from None
    made = DemoResult(out / "concert.vob", out / "concert-remastered.mkv", out / "before-after.png")
    with reporter.stage("concert", unit="frames") as update:
        concert.record(made.source, seconds, progress=update)
    reporter.say(f"recorded {seconds:g} s of a concert as an old DVD would have it: {made.source}")
    reporter.say(f"remastering it to {_HEIGHT} lines on {device}")
    remaster(made.source, made.remaster)
    with reporter.stage("compare") as update:
        _comparison(made, *concert.telling_moments(seconds)).save(made.picture)
        update(1, 1)
    reporter.say(f"before and after, side by side: {made.picture}")
    return made


def _comparison(made: DemoResult, whole_s: float, face_s: float) -> Image.Image:
    """The whole stage, split down its middle, above the face, enlarged on either side."""
    sheet = Image.new("RGB", (_WIDTH, _HEIGHT + _HEIGHT // 2 + 4), (24, 24, 24))
    half = _WIDTH // 2
    for number, (label, shown) in enumerate(
        (("before", _as_played(made.source)), ("after", _as_remastered(made.remaster)))
    ):
        whole, face = shown(whole_s), shown(face_s)
        sheet.paste(
            whole.crop((number * half, 0, (number + 1) * half, _HEIGHT)), (number * half, 0)
        )
        enlarged = face.resize((half, _HEIGHT // 2), Image.Resampling.BICUBIC, box=_FACE)
        sheet.paste(enlarged, (number * half, _HEIGHT + 4))
        _label(sheet, label, number * half + 16, 16)
        _label(sheet, label, number * half + 16, _HEIGHT + 20)
    ImageDraw.Draw(sheet).line((half, 0, half, sheet.height), fill=(220, 220, 220), width=2)
    return sheet


# Eyes, hair and mouth in the close-up, in pixels of the remaster.
_FACE = (490, 280, 1290, 730)


def _label(sheet: Image.Image, text: str, x: int, y: int) -> None:
    font = ImageFont.load_default(_LABEL_PX)
    ImageDraw.Draw(sheet).text(
        (x, y), text, fill=(255, 255, 255), font=font, stroke_width=3, stroke_fill=(0, 0, 0)
    )


def _as_played(path: Path) -> Callable[[float], Image.Image]:
    """What a player shows of an interlaced recording: its top field, with the lines doubled.

    The field's lines lie a quarter of their distance above the middle of their share of the
    picture, and so does its chroma (ISO/IEC 13818-2, 6.1.1.8).
    """
    return lambda at_s: _picture(_frame(path, at_s), slice(0, None, 2), 0.25)


def _as_remastered(path: Path) -> Callable[[float], Image.Image]:
    return lambda at_s: _picture(_frame(path, at_s), slice(None), 0.0)


def _frame(path: Path, at_s: float) -> VideoFrame:
    """The last frame that is shown at or before a time after the first picture's."""
    chosen, start = None, None
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            time = frame.time or 0.0
            start = time if start is None else start
            if chosen is not None and time - start > at_s + 0.005:
                break
            chosen = frame
    if chosen is None:
        raise JobError(f"{path}: there is no picture to compare")
    return chosen


def _picture(frame: VideoFrame, lines: slice, above: float) -> Image.Image:
    """The frame, or one field of it, at the comparison's size as R'G'B'."""
    bits = frame.format.components[0].bits
    y, cb, cr = (
        _stretched(_plane(frame, number)[lines] / 2.0 ** (bits - 8), 0.25 * (number > 0), above)
        for number in range(3)
    )
    red, blue = _WEIGHTS.get(int(frame.colorspace), _WEIGHTS[1])
    luma = (y - 16) / 219
    r = luma + 2 * (1 - red) * (cr - 128) / 224
    b = luma + 2 * (1 - blue) * (cb - 128) / 224
    g = (luma - red * r - blue * b) / (1 - red - blue)
    rgb = np.clip(np.stack([r, g, b], axis=2) * 255 + 0.5, 0, 255)
    return Image.fromarray(rgb.astype(np.uint8))


def _plane(frame: VideoFrame, number: int) -> NDArray[np.float32]:
    plane = frame.planes[number]
    kind = np.dtype(np.uint8 if frame.format.components[number].bits <= 8 else np.uint16)
    rows = np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return rows[:, : plane.width].astype(np.float32)


def _stretched(plane: NDArray[np.float32], left: float, above: float) -> NDArray[np.float32]:
    """A plane at the comparison's size; its samples sit `left` and `above` of where they seem."""
    height, width = plane.shape
    padded = Image.fromarray(np.pad(plane, ((0, 1), (0, 1)), mode="edge").astype(np.float32))
    box = (left, above, left + width, above + height)
    return np.asarray(padded.resize((_WIDTH, _HEIGHT), Image.Resampling.BILINEAR, box=box))
