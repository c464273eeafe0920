"""Writes the picture chain as a `.vpy`: the very script that the job runs and editors open.

It is plain calls, one line a step, with the scan's findings as comments: whoever wants a step
otherwise edits the line. Every path and value is written as a Python literal, never pasted in.
"""

from __future__ import annotations

import os
import re
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
    "Looks",
    "cut_off",
    "finishes",
    "has_fields",
    "output_height",
    "output_rate",
    "picture_script",
    "relights",
    "uses_network",
]

_HD_LINES = 1080
# What `vsencore.relight` knows: samples that are light to a power. HDR's are not.
_POWERS = {"bt709", "bt470m", "gamma22", "bt470bg", "gamma28", "smpte170m", "smpte240m"}
_POWERS |= {"iec61966-2-1", "bt2020-10", "bt2020-12"}
# Two names of one code of H.273 table 2.
_SAME_NAME = {"jedec-p22": "ebu3213"}


@dataclass(frozen=True)
class FrameRange:
    """Output frames `first` to `last`, the last one not taken; None is the clip's end."""

    first: int = 0
    last: int | None = None


@dataclass(frozen=True)
class Looks:
    """The files that tell of a show's light and of its faces, by their paths; "" is none."""

    light: str = ""
    faces: str = ""


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
    scan: Scan,
    preset: Preset,
    frames: FrameRange | None = None,
    device: str = "auto",
    looks: Looks | None = None,
) -> str:
    """The text of the script. Raises RequestError where the scan has no picture.

    `looks` is what `encore.looks` made for this preset; without it no face is touched, and one
    curve relights the whole show.
    """
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
    lines += _facts(picture, preset)
    lines += _steps(picture, preset, device, looks or Looks())
    if frames is not None:
        last = "" if frames.last is None else str(frames.last)
        lines += [f"clip = clip[{frames.first}:{last}]"]
    lines += ["", "clip.set_output()", ""]
    return "\n".join(lines)


def finishes(picture: PictureFacts, preset: Preset) -> bool:
    """Whether the chain ends in whole frames, as faces, lock and relight want them."""
    return picture.structure == "progressive" or preset.picture.deinterlace.method != "none"


def relights(picture: PictureFacts, preset: Preset) -> bool:
    """Whether dim light is opened: where that is asked for, in whole frames that are not HDR."""
    asked = preset.picture.relight.asked
    return asked and finishes(picture, preset) and picture.transfer.value in _POWERS


def cut_off(picture: PictureFacts, preset: Preset) -> tuple[int, int, int, int]:
    """What the chain cuts off the source's pictures, in its pixels: left, right, top, bottom."""
    left, right, top, bottom = _borders(picture, preset)
    edges = _edges(picture, preset)
    return left + edges, right + edges, top, bottom + _odd_lines(picture, preset)


def has_fields(picture: PictureFacts, preset: Preset) -> bool:
    """Whether the clip's frames are two fields each, of two moments."""
    fielded = picture.structure not in ("progressive", "telecine")
    return fielded and preset.picture.deinterlace.method != "none"


def uses_network(picture: PictureFacts, preset: Preset) -> bool:
    """Whether a network restores: fields, or frames that are whole or made so."""
    restore = preset.picture.restore
    return restore.model != "none" and restore.strength != 0 and finishes(picture, preset)


def _steps(picture: PictureFacts, preset: Preset, device: str, looks: Looks) -> list[str]:
    """The chain: what restores and enlarges, then faces, then the source's light, then dim light.

    What comes after it works on 16 bits; the last step rounds to what the encoder takes.
    """
    wanted = preset.picture
    faces = wanted.faces.strength > 0 and looks.faces != ""
    lock = wanted.light.lock if finishes(picture, preset) else 0.0
    relight = relights(picture, preset)
    faces = faces and finishes(picture, preset)
    network = uses_network(picture, preset)
    # Faces come before the lock, which ends what may change light; else the network's own does.
    inside = lock if network and not faces else 0.0
    locked = lock > 0 and not inside
    final = f"vs.{pixel_format(preset.encode.codec)}"
    deep = re.sub(r"P\d+$", "P16", final) if faces or locked or relight else final
    if network:
        lines = _network(picture, preset, device, form=deep, lock=inside, keep=locked)
    else:
        lines = _classical(picture, preset, device, form=deep, keep=locked)
    if faces:
        settings = [f"strength={wanted.faces.strength!r}", f"tracks={looks.faces!r}"]
        if wanted.faces.method != "detail":
            settings.append(f"method={_whole_path(wanted.faces.method)!r}")
            settings.append(f"identity={wanted.faces.identity!r}")
        lines.append(f"clip = vsencore.faces(clip, {', '.join(settings)}, device={device!r})")
    if locked:
        lines.append(f"clip = vsencore.lock(clip, source, strength={lock!r}, device={device!r})")
    if relight:
        settings = [f"{name}={amount!r}" for name, amount in wanted.relight if amount]
        settings += [f"light={looks.light!r}"] if looks.light else []
        settings += [f"device={device!r}", f"format={final}"]
        lines.append(f"clip = vsencore.relight(clip, {', '.join(settings)})")
    elif deep != final:
        lines.append(f"clip = clip.resize.Point(format={final}, dither_type='ordered')")
    return lines


def _network(
    picture: PictureFacts, preset: Preset, device: str, *, form: str, lock: float, keep: bool
) -> list[str]:
    """Restore and enlarge in one step; `keep` names the pictures that a lock is to hold to."""
    restore = preset.picture.restore
    fields = has_fields(picture, preset)
    settings = [f"height={output_height(picture, preset)}", f"model={_whole_path(restore.model)!r}"]
    if restore.strength not in ("auto", 1):
        settings.append(f"strength={restore.strength!r}")
    if restore.grain:
        settings.append(f"grain={restore.grain!r}")
    if lock:
        settings.append(f"lock={lock!r}")
    if fields:
        settings.append(f"rate={preset.picture.deinterlace.rate!r}")
        settings.append(f"tff={picture.field_order != 'bottom'}")
    if edges := _edges(picture, preset):
        settings.append(f"crop_edges={edges}")
    settings += [f"format={form}", f"device={device!r}"]
    return [
        *([] if fields else _fields(picture, preset, device)),
        *_crop(picture, preset),
        *(_kept(picture, preset) if keep else []),
        f"clip = vsencore.remaster(clip, {', '.join(settings)})",
    ]


def _classical(
    picture: PictureFacts, preset: Preset, device: str, *, form: str, keep: bool
) -> list[str]:
    """Restore and enlarge step by step; as `_network`."""
    whole = _fields(picture, preset, device) if finishes(picture, preset) else []
    cut, kept = _crop(picture, preset), _kept(picture, preset) if keep else []
    # A lock's source has the fields still.
    before = keep and has_fields(picture, preset)
    lines = [*cut, *kept, *whole] if before else [*whole, *cut, *kept]
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
    edges = _edges(picture, preset)
    own = f", crop_edges={edges}" if edges else ""
    if upscale.method == "model":
        own += f", model={_whole_path(upscale.model)!r}"
    if upscale.method in ("framenet", "model"):
        own += f", device={device!r}"
    lines += [
        f"clip = vsencore.upscale(clip, height={output_height(picture, preset)}, "
        f"method={upscale.method!r}{own}, format={form})"
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


def _facts(picture: PictureFacts, preset: Preset) -> list[str]:
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
    # Who leaves fields woven says that they are frames.
    whole = picture.structure == "progressive" or preset.picture.deinterlace.method == "none"
    order = {"top": "top", "bottom": "bottom", None: "progressive"}[
        None if whole else picture.field_order
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


def _kept(picture: PictureFacts, preset: Preset) -> list[str]:
    """Name the pictures that the result's light is held to: the same view."""
    edges = _edges(picture, preset)
    return [f"source = clip.std.Crop(left={edges}, right={edges})" if edges else "source = clip"]


def _crop(picture: PictureFacts, preset: Preset) -> list[str]:
    """Cut the borders off, and the lines of half a group of fields."""
    left, right, top, bottom = _borders(picture, preset)
    bottom += _odd_lines(picture, preset)
    if not any((left, right, top, bottom)):
        return []
    return [f"clip = clip.std.Crop(left={left}, right={right}, top={top}, bottom={bottom})"]


def _borders(picture: PictureFacts, preset: Preset) -> tuple[int, int, int, int]:
    """How much is cut at the left, the right, the top and the bottom.

    Where fields are cut it is whole groups of lines, so that their order stays.
    """
    if not preset.picture.crop.borders:
        return 0, 0, 0, 0
    columns, lines = _grid(picture, preset)
    borders = picture.borders
    across = (borders.left + -borders.left % columns, borders.right + -borders.right % columns)
    down = (borders.top + -borders.top % lines, borders.bottom + -borders.bottom % lines)
    return *across, *down


def _edges(picture: PictureFacts, preset: Preset) -> int:
    edges = preset.picture.crop.edges
    return edges + -edges % _grid(picture, preset)[0]


def _odd_lines(picture: PictureFacts, preset: Preset) -> int:
    """Fields of 4:2:0 need whole lines of chroma each: 486 lines, which are rare, have not."""
    grouped = has_fields(picture, preset) and _grid(picture, preset)[1] > 1
    return picture.height % 4 if grouped and "420" in picture.pixel_format else 0


def _grid(picture: PictureFacts, preset: Preset) -> tuple[int, int]:
    """The columns and lines in whose groups the source is cut.

    What a network takes, and what a lock holds to, is cut from the source's own samples: in whole
    ones of chroma, and of fields in lines of both.
    """
    fields = has_fields(picture, preset)
    if uses_network(picture, preset) or (preset.picture.light.lock > 0 and fields):
        return 4, 4 if fields else 2  # columns: of 4:1:1 too
    if preset.picture.light.lock > 0 and finishes(picture, preset):
        form = picture.pixel_format
        across = 4 if "411" in form or "410" in form else 1 if "444" in form else 2
        return across, 1 if "444" in form or "422" in form or "411" in form else 2
    return 1, 1


def _printable(path: str) -> str:
    """A path that cannot end the docstring it stands in."""
    return "".join(c if c.isprintable() and c not in '"\\' else "?" for c in path)
