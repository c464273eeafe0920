"""What the picture's samples mean: read from the tags, or guessed by the rules of their time.

A recording without tags is not without colour: a 625-line picture was made by BT.601 with the EBU
primaries, a 525-line one with SMPTE C, HD by BT.709. The names are FFmpeg's, the numbers those of
ITU-T H.273. Sample aspect: BT.601 sampling of a 4:3 picture, 12:11 (625 lines) and 10:11 (525).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from encore.facts import ColourFact

__all__ = ["Colours", "colours_of", "sample_aspect_of", "system_of"]

System = Literal["625", "525", "hd"]

_MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    14: "ictcp",
}
_TRANSFERS = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    11: "iec61966-2-4",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    18: "arib-std-b67",
}
_PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    11: "smpte431",
    12: "smpte432",
    22: "jedec-p22",
}
_LOCATIONS = {0: "left", 1: "center", 2: "topleft", 3: "top", 4: "bottomleft", 5: "bottom"}

_HD_WIDTH, _HD_HEIGHT = 1024, 576
_LINES_625, _LINES_525 = {288, 576, 608}, {240, 480, 486, 512}
_SAMPLES_OF_A_LINE: dict[int, Fraction] = {
    720: Fraction(1),
    704: Fraction(1),
    544: Fraction(4, 3),
    480: Fraction(3, 2),
    352: Fraction(2),
}
_NAMED = {"625": "a 625-line picture", "525": "a 525-line picture", "hd": "an HD picture"}


class Colours(NamedTuple):
    """The five facts that give samples their meaning."""

    matrix: ColourFact
    transfer: ColourFact
    primaries: ColourFact
    range: ColourFact
    chroma_location: ColourFact


def system_of(width: int, height: int, rate: Fraction) -> System:
    """The television system a picture was made in, by its lines, else by its rate."""
    if width > _HD_WIDTH or height > _HD_HEIGHT:
        return "hd"
    if height in _LINES_625:
        return "625"
    if height in _LINES_525:
        return "525"
    return "625" if rate in (25, 50) else "525"


def colours_of(
    properties: Mapping[str, Any], codec: str, pixel_format: str, system: System
) -> Colours:
    """The colour facts of a frame with VapourSynth's `properties`."""
    guess = {"625": "bt470bg", "525": "smpte170m", "hd": "bt709"}[system]
    curve = "bt709" if system == "hd" else "smpte170m"
    why = f"not tagged; {_NAMED[system]}"
    rgb = pixel_format.startswith(("rgb", "bgr", "gbr"))
    matrix = (
        ColourFact(value="gbr", tagged=True, why="the pixel format is RGB")
        if rgb
        else _tagged(properties.get("_Matrix"), _MATRICES) or _guess(guess, why)
    )
    transfer = _tagged(properties.get("_Transfer"), _TRANSFERS) or _guess(curve, why)
    primaries = _tagged(properties.get("_Primaries"), _PRIMARIES) or _guess(guess, why)
    return Colours(
        matrix,
        transfer,
        primaries,
        _range(properties, pixel_format, rgb),
        _chroma_location(properties, codec, pixel_format, system),
    )


def sample_aspect_of(
    tagged: Fraction | None, width: int, height: int, system: System
) -> tuple[Fraction, bool]:
    """The sample aspect, and whether it was tagged."""
    if tagged:
        return tagged, True
    scale = _SAMPLES_OF_A_LINE.get(width)
    if system == "hd" or scale is None or height not in _LINES_625 | _LINES_525:
        return Fraction(1), False
    if height in (240, 288):
        scale = scale / 2
    return (Fraction(12, 11) if system == "625" else Fraction(10, 11)) * scale, False


def _tagged(code: Any, names: Mapping[int, str]) -> ColourFact | None:
    if code is None or int(code) not in names:
        return None
    return ColourFact(value=names[int(code)], tagged=True, why="as tagged")


def _guess(value: str, why: str) -> ColourFact:
    return ColourFact(value=value, tagged=False, why=why)


def _range(properties: Mapping[str, Any], pixel_format: str, rgb: bool) -> ColourFact:
    if pixel_format.startswith("yuvj"):
        return ColourFact(value="pc", tagged=True, why="the pixel format is full range")
    code = properties.get("_Range")
    if code is not None:
        return ColourFact(value="tv" if int(code) == 0 else "pc", tagged=True, why="as tagged")
    return (
        _guess("pc", "not tagged; RGB") if rgb else _guess("tv", "not tagged; the rule for video")
    )


def _chroma_location(
    properties: Mapping[str, Any], codec: str, pixel_format: str, system: System
) -> ColourFact:
    if codec == "mpeg2video":
        return _guess("left", "MPEG-2 has no other")
    if codec == "dvvideo" and system == "625" and "420" in pixel_format:
        return _guess("topleft", "the rule for 625-line DV")
    tagged = _tagged(properties.get("_ChromaLocation"), _LOCATIONS)
    if tagged and tagged.value != "left":  # decoders say "left" for a stream that says nothing
        return tagged
    if codec == "mpeg1video" or pixel_format.startswith("yuvj"):
        return _guess("center", "the rule for MPEG-1 and JPEG")
    return _guess("left", "not tagged; the rule for MPEG-2 and later")
