"""Writes the picture chain as a `.vpy`: the very script that the job runs and editors open.

It is plain calls, one line a step, with the scan's findings as comments: whoever wants a step
otherwise edits the line. Every path and value is written as a Python literal, never pasted in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction

from encore import __version__
from encore.encode import pixel_format
from encore.errors import RequestError
from encore.facts import PictureFacts, Scan
from encore.preset import Preset
from encore.scan import source_arguments

__all__ = [
    "FrameRange",
    "has_fields",
    "output_height",
    "output_rate",
    "picture_script",
    "uses_network",
]

_HD_LINES = 1080
# Two names of one code of H.273 table 2.
_SAME_NAME = {"jedec-p22": "ebu3213"}


@dataclass(frozen=True)
class FrameRange:
    """Output frames `first` to `last`, the last one not taken; None is the clip's end."""

    first: int = 0
    last: int | None = None


def output_rate(picture: PictureFacts, preset: Preset) -> Fraction:
    """Frames a second of the finished picture."""
    if preset.picture.deinterlace.method == "none" or picture.structure == "progressive":
        return picture.rate
    if picture.structure == "telecine":
        return picture.rate * 4 / 5
    return picture.rate * (2 if preset.picture.deinterlace.rate == "double" else 1)


def output_height(picture: PictureFacts, preset: Preset) -> int:
    """Lines of the finished picture."""
    height = preset.picture.upscale.height
    return max(_HD_LINES, picture.height + picture.height % 2) if height == "auto" else height


def picture_script(
    scan: Scan, preset: Preset, frames: FrameRange | None = None, device: str = "auto"
) -> str:
    """The text of the script. Raises RequestError where the scan has no picture."""
    picture = scan.picture
    if picture is None:
        raise RequestError(f"{scan.source} has no picture, so there is no picture chain")
    lines = [
        f'"""Encore {__version__}: the picture chain of {_printable(scan.source)}."""',
        "",
        "import vapoursynth as vs",
        "",
        "import vsencore",
        "",
        "core = vs.core",
        "",
    ]
    opening = dict(source_arguments(scan))
    path = opening.pop("source")
    given = "".join(f",\n    {key}={value!r}" for key, value in opening.items())
    lines += [f"clip = core.bs.VideoSource(\n    {path!r}{given},\n)"]
    lines += _as_yuv(picture)
    lines += _facts(picture)
    steps = _network if uses_network(picture, preset) else _classical
    lines += steps(picture, preset, device)
    if frames is not None:
        last = "" if frames.last is None else str(frames.last)
        lines += [f"clip = clip[{frames.first}:{last}]"]
    lines += ["", "clip.set_output()", ""]
    return "\n".join(lines)


def has_fields(picture: PictureFacts, preset: Preset) -> bool:
    """Whether the clip's frames are two fields each, of two moments."""
    fielded = picture.structure not in ("progressive", "telecine")
    return fielded and preset.picture.deinterlace.method != "none"


def uses_network(picture: PictureFacts, preset: Preset) -> bool:
    """Whether a network restores: fields, or frames that are whole or made so."""
    restore = preset.picture.restore
    woven = picture.structure != "progressive" and preset.picture.deinterlace.method == "none"
    return restore.model != "none" and restore.strength != 0 and not woven


def _network(picture: PictureFacts, preset: Preset, device: str) -> list[str]:
    restore = preset.picture.restore
    fields = has_fields(picture, preset)
    settings = [f"height={output_height(picture, preset)}", f"model={_whole_path(restore.model)!r}"]
    if restore.strength not in ("auto", 1):
        settings.append(f"strength={restore.strength!r}")
    if restore.grain:
        settings.append(f"grain={restore.grain!r}")
    if fields:
        settings.append(f"rate={preset.picture.deinterlace.rate!r}")
        settings.append(f"tff={picture.field_order != 'bottom'}")
    edges = preset.picture.crop.edges
    if edges:
        settings.append(f"crop_edges={edges + -edges % 4}")
    settings += [f"format=vs.{pixel_format(preset.encode.codec)}", f"device={device!r}"]
    # Fields of 4:2:0 need whole lines of chroma each: 486 lines, which are rare, have not.
    over = picture.height % 4 if fields and "420" in picture.pixel_format else 0
    return [
        *([] if fields else _fields(picture, preset, device)),
        *([f"clip = clip.std.Crop(bottom={over})"] if over else []),
        *_crop(picture, preset, lines=4 if fields else 2),
        f"clip = vsencore.remaster(clip, {', '.join(settings)})",
    ]


def _classical(picture: PictureFacts, preset: Preset, device: str) -> list[str]:
    lines = []
    if preset.picture.deinterlace.method != "none":
        lines += _fields(picture, preset, device)
    lines += _crop(picture, preset, lines=1)
    restore = preset.picture.restore
    if restore.strength != 0:
        own = ""
        if restore.method == "framenet":
            own = f", grain={restore.grain!r}, device={device!r}"
        lines += [
            f"clip = vsencore.restore(clip, strength={restore.amount!r}, "
            f"method={restore.method!r}{own})"
        ]
    upscale = preset.picture.upscale
    edges = preset.picture.crop.edges
    cut = f", crop_edges={edges}" if edges else ""
    if upscale.method == "model":
        cut += f", model={_whole_path(upscale.model)!r}"
    if upscale.method in ("framenet", "model"):
        cut += f", device={device!r}"
    lines += [
        f"clip = vsencore.upscale(clip, height={output_height(picture, preset)}, "
        f"method={upscale.method!r}{cut}, format=vs.{pixel_format(preset.encode.codec)})"
    ]
    return lines


def _whole_path(model: str) -> str:
    """A file is written with its whole path: the script runs from another folder."""
    # A file has an ending; a folder that happens to be named as a model is no file.
    file = os.path.splitext(model)[1] and os.path.isfile(model)
    return os.path.abspath(model) if file else model


def _as_yuv(picture: PictureFacts) -> list[str]:
    """What brings the rare picture that is no YUV of a usual kind to one; exact but for 4:1:0."""
    if picture.pixel_format.startswith("gray"):
        return ["clip = clip.resize.Point(format=vs.YUV444P16)  # grey: chroma is neutral"]
    if _is_rgb(picture):
        return ["clip = clip.resize.Point(format=vs.YUV444P16, matrix=1, range=0)  # from RGB"]
    if picture.pixel_format.startswith(("yuv410", "yuvj410")):
        return ["clip = clip.resize.Bicubic(format=vs.YUV420P16)  # from 4:1:0"]
    return []


def _is_rgb(picture: PictureFacts) -> bool:
    return picture.matrix.value == "gbr"


def _facts(picture: PictureFacts) -> list[str]:
    guessed = [
        f"{name} {fact.value}"
        for name, fact in (
            ("matrix", picture.matrix),
            ("transfer", picture.transfer),
            ("primaries", picture.primaries),
            ("range", picture.range),
            ("chroma location", picture.chroma_location),
        )
        if not fact.tagged
    ]
    order = {"top": "top", "bottom": "bottom", None: "progressive"}[
        None if picture.structure == "progressive" else picture.field_order
    ]
    rgb, primaries = _is_rgb(picture), picture.primaries.value
    comment = [f"# Not tagged in the source, so guessed: {', '.join(guessed)}."] if guessed else []
    return [
        f"# {picture.width}x{picture.height}, {picture.structure}: {picture.structure_why}",
        *comment,
        "clip = vsencore.tag(",
        "    clip,",
        f"    matrix={('bt709' if rgb else picture.matrix.value)!r},",
        f"    transfer={picture.transfer.value!r},",
        f"    primaries={_SAME_NAME.get(primaries, primaries)!r},",
        f"    range={('tv' if rgb else picture.range.value)!r},",
        f"    chroma_location={picture.chroma_location.value!r},",
        f"    field_order={order!r},",
        f"    sample_aspect=({picture.sample_aspect.numerator}, "
        f"{picture.sample_aspect.denominator}),",
        ")",
    ]


def _fields(picture: PictureFacts, preset: Preset, device: str) -> list[str]:
    if picture.structure == "progressive":
        return []
    tff = picture.field_order != "bottom"
    if picture.structure == "telecine":
        return [f"clip = vsencore.inverse_telecine(clip, tff={tff})"]
    settings = preset.picture.deinterlace
    own = f", device={device!r}" if settings.method == "fieldnet" else ""
    return [
        f"clip = vsencore.deinterlace(clip, method={settings.method!r}, "
        f"rate={settings.rate!r}, tff={tff}{own})"
    ]


def _crop(picture: PictureFacts, preset: Preset, *, lines: int) -> list[str]:
    """Cut the borders off; with fields in whole groups of lines, so that their order stays."""
    borders = picture.borders
    if not preset.picture.crop.borders or not any(
        (borders.left, borders.right, borders.top, borders.bottom)
    ):
        return []

    def rounded(border: int, step: int) -> int:
        return border + -border % step

    columns = 4 if lines > 1 else 1  # of 4:1:1 too
    return [
        f"clip = clip.std.Crop(left={rounded(borders.left, columns)}, "
        f"right={rounded(borders.right, columns)}, "
        f"top={rounded(borders.top, lines)}, bottom={rounded(borders.bottom, lines)})"
    ]


def _printable(path: str) -> str:
    """A path that cannot end the docstring it stands in."""
    return "".join(c if c.isprintable() and c not in '"\\' else "?" for c in path)
