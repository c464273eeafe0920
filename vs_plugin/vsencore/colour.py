"""Colour of SD turned to BT.709: read once, converted once, and never only relabelled.

SD and HD differ in the matrix that makes luma, and a little in the red, green and blue they mean.
Both are converted: Y'CbCr to R'G'B' by the source's matrix, to light, to the other primaries, and
back by BT.709. Light is what a reference display shows, by Rec. ITU-R BT.1886 (a 2.4 power), for
the 601 and the 709 transfer alike: both are graded on such a display, and their camera curves are
the same. BT.1886 shows nothing below black, so footroom and the few SD colours that BT.709 cannot
show end at 0 of red, green or blue, as on the display; where primaries agree, nothing is cut.

What the source does not say is guessed from its size and rate. A guessed colour is converted like
a told one: most DVDs carry no tag, a 525-line disc was graded with SMPTE C phosphors (Rec. BT.601
part 4.4, SMPTE 170M) whether it says so or not, and leaving its primaries alone would be the one
choice that is wrong for all of them.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

import vapoursynth as vs

__all__ = ["BT709", "Colour", "convert", "read_colour", "wanted_colour", "write_colour"]

UNSPECIFIED = 2
SD_MATRICES = {4, 5, 6, 7}  # FCC, BT.470 B/G, SMPTE 170M, SMPTE 240M
SD_PRIMARIES = {4, 5, 6, 7, 22}
# Told transfers that a BT.1886 display shows. 4 and 5 name the display gammas 2.2 and 2.8 of
# BT.470; discs carry them by habit, and no picture was graded to them: BT.1886 itself was
# measured on the tubes of those studios.
VIDEO_TRANSFERS = {1, 4, 5, 6, 14, 15}

RATES_625 = {Fraction(25), Fraction(50)}
RATES_525 = {Fraction(rate, 1001) for rate in (24000, 30000, 60000)}


@dataclass(frozen=True)
class Colour:
    """What a clip's samples mean: codes of ITU-T H.273, and whether black is 0 (full) or 16."""

    matrix: int
    transfer: int
    primaries: int
    full_range: bool = False


BT709 = Colour(matrix=1, transfer=1, primaries=1)


def read_colour(clip: vs.VideoNode) -> Colour:
    """Read the colour of a clip from its first frame, and guess what is not told.

    Up to 576 lines and 1024 columns it is SD: BT.470 B/G for 625-line systems, SMPTE 170M for
    525-line ones; larger is BT.709. A system is known by 576 or 288, 480, 486 or 240 lines, else
    by its rate, else as 625 above 486 lines. Codes 5 and 6 are one matrix, so a told matrix does
    not settle untold primaries where the lines do.
    """
    props = clip.get_frame(0).props

    def code(name: str) -> int | None:
        value = props.get(name, UNSPECIFIED)
        return value if isinstance(value, int) and value not in (UNSPECIFIED, 3) else None

    matrix, transfer, primaries = code("_Matrix"), code("_Transfer"), code("_Primaries")
    guess = _guess(clip)
    if matrix is not None and matrix not in SD_MATRICES:
        # A matrix of HD or UHD tells the rest: 2020 goes with its own primaries.
        guess = Colour(matrix, 14, 9) if matrix in (9, 10) else BT709
    elif matrix in SD_MATRICES and guess.matrix not in SD_MATRICES:
        guess = Colour(matrix, 6, 5 if matrix == 5 else 6)
    return Colour(
        guess.matrix if matrix is None else matrix,
        guess.transfer if transfer is None else transfer,
        guess.primaries if primaries is None else primaries,
        full_range=props.get("_Range", 0) == 1,
    )


def wanted_colour(source: Colour, matrix: str, height: int) -> Colour:
    """Choose the colour of the result: limited range, and what `matrix` asks for.

    "auto" is BT.709 for SD colour that goes above 576 lines, else the source's own; "keep" is the
    source's own; "709" is BT.709.
    """
    sd = source.matrix in SD_MATRICES or source.primaries in SD_PRIMARIES
    if matrix == "709" or (matrix == "auto" and height > 576 and sd):
        return BT709
    return replace(source, full_range=False)


def convert(clip: vs.VideoNode, source: Colour, target: Colour) -> vs.VideoNode:
    """Give a progressive clip as 4:4:4 (or Gray) of 16 bit in the target's colour, and tag it so.

    Chroma is brought to luma's places first, from where the frame's _ChromaLocation says it sits
    (left where it says nothing, as in MPEG-2 and all that came after).
    """
    if clip.format.color_family == vs.GRAY:
        # Luma alone cannot change its matrix; its tags go on as they came.
        told = clip.std.SetFrameProps(_Range=int(source.full_range))
        return told.resize.Point(format=vs.GRAY16, range=int(target.full_range))
    if _codes(source) == _codes(target):
        told = write_colour(clip, source)
        return told.resize.Spline36(format=vs.YUV444P16, range=int(target.full_range))
    # As properties: resize takes a frame's word over its own *_in arguments.
    told = write_colour(clip, replace(source, transfer=_shown(source.transfer)))
    converted = told.resize.Spline36(
        format=vs.YUV444P16,
        matrix=target.matrix,
        primaries=target.primaries,
        transfer=_shown(target.transfer),
        range=int(target.full_range),
    )
    return write_colour(converted, target)


def write_colour(clip: vs.VideoNode, colour: Colour) -> vs.VideoNode:
    """Tag a clip's frames with a colour; no sample is changed."""
    return clip.std.SetFrameProps(
        _Matrix=colour.matrix,
        _Transfer=colour.transfer,
        _Primaries=colour.primaries,
        _Range=int(colour.full_range),
    )


def _codes(colour: Colour) -> tuple[int, int, int]:
    return colour.matrix, colour.transfer, colour.primaries


def _shown(transfer: int) -> int:
    """Give the one code by which zimg means BT.1886 for all the transfers that are shown by it."""
    return 1 if transfer in VIDEO_TRANSFERS else transfer


def _guess(clip: vs.VideoNode) -> Colour:
    if clip.height > 576 or clip.width > 1024:
        return BT709
    if clip.height in (288, 576):
        lines_625 = True
    elif clip.height in (240, 480, 486):
        lines_625 = False
    elif clip.fps in RATES_625 | RATES_525:
        lines_625 = clip.fps in RATES_625
    else:
        lines_625 = clip.height > 486
    return Colour(5, 6, 5) if lines_625 else Colour(6, 6, 6)
