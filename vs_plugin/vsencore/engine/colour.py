"""Colour on the device: what a frame's codes mean, and the way from codes to light and back.

Inside a chain a picture is a float tensor: luma and red, green and blue from 0 to 1, chroma from
-0.5 to 0.5, as Rec. ITU-R BT.601, BT.709 and BT.2020 write them; what lies beyond (footroom,
headroom, the overshoot of a kernel) is kept until it is written. Chroma sits where its frame says.
Light is what a BT.1886 display shows (a 2.4 power, nothing below black), for every camera curve of
video alike. All of it agrees with the classical filters and with zimg: within one code at 10 bit.

Everything here is a pure function of tensors, by elementwise float32 (no matrix units, whose short
mantissas would show) and tables made in float64.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .dither import ordered
from .scaling import resize
from .strips import strips

__all__ = [
    "Field",
    "Signal",
    "chroma_down",
    "chroma_scale",
    "chroma_up",
    "convert",
    "from_linear",
    "rgb_to_yuv",
    "siting",
    "to_code",
    "to_linear",
    "to_unit",
    "yuv_to_rgb",
]

type Field = Literal["top", "bottom"]
type FloatMatrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]
type FloatVector = np.ndarray[tuple[int], np.dtype[np.float64]]
type Chromaticities = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC 73.682
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, non-constant luminance
}
"""Kr and Kb of Y' = Kr R' + (1 - Kr - Kb) G' + Kb B', by the codes of ITU-T H.273 table 4."""

WHITE_D65 = (0.3127, 0.3290)
WHITE_C = (0.310, 0.316)
SMPTE_C = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
CHROMATICITIES: dict[int, Chromaticities] = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),  # BT.709
    4: ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080)),  # BT.470 M, under illuminant C
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),  # BT.601, 625 lines
    6: SMPTE_C,  # BT.601, 525 lines
    7: SMPTE_C,  # SMPTE 240M
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),  # EBU Tech. 3213
}
"""x and y of red, green and blue, by the codes of ITU-T H.273 table 2."""

# Camera curves whose pictures are graded on, and so mean, a BT.1886 display; 4 and 5 as in the
# classical filters, which tell why.
VIDEO_TRANSFERS = {1, 4, 5, 6, 7, 14, 15}
LINEAR, SRGB = 8, 13
# IEC 61966-2-1 with the constants that H.273 table 3 makes continuous.
SRGB_ALPHA, SRGB_BETA = 1.055010718947587, 0.003041282560128


@dataclass(frozen=True)
class Signal:
    """What the samples of a frame mean; codes of ITU-T H.273, as VapourSynth's properties.

    `subsampling` is the log2 of luma samples to one chroma sample, across and down. `full_range`
    is black at 0, not at 16 of 8 bit. `chroma_location` is 0 left, 1 centre, 2 top left, 3 top,
    4 bottom left, 5 bottom. Nothing here is guessed: 2 (not told) has no meaning left to convert.
    """

    family: Literal["YUV", "GRAY", "RGB"]
    bits: int
    subsampling: tuple[int, int] = (0, 0)
    matrix: int = 2
    transfer: int = 2
    primaries: int = 2
    full_range: bool = False
    chroma_location: int = 0


def to_unit(planes: Sequence[Tensor], signal: Signal) -> list[Tensor]:
    """Turn integer planes (N, 1, h, w) of uint8, uint16 or int32 into float32 ones.

    Luma, grey and RGB become 0..1, chroma -0.5..0.5 (BT.601-7 section 2.5.3, H.273 section 8.3);
    codes beyond black and white keep their place beyond.
    """
    result = []
    for plane, codes in enumerate(planes):
        zero, one = _scale(signal, plane)
        unit = torch.empty(codes.shape, dtype=torch.float32, device=codes.device)
        for lines in strips(codes):
            unit[..., lines, :].copy_(codes[..., lines, :]).sub_(zero).div_(one)
        result.append(unit)
    return result


def to_code(
    planes: Sequence[Tensor], signal: Signal, *, dither: Literal["ordered", "none"] = "ordered"
) -> list[Tensor]:
    """Turn float planes (N, 1, h, w) into codes: dithered, rounded, and held to what bits hold.

    Gives uint8 up to 8 bit and uint16 above. A plane that nothing touched comes back as it was, to
    the code, dithered or not. The pattern is the same for every frame: see `dither`.
    """
    result = []
    for plane, unit in enumerate(planes):
        zero, one = _scale(signal, plane)
        held = torch.uint8 if signal.bits <= 8 else torch.uint16
        codes = torch.empty(unit.shape, dtype=held, device=unit.device)
        width = unit.shape[-1]
        for lines in strips(unit):
            exact = unit[..., lines, :].to(torch.float32) * one
            if dither == "ordered":
                exact += ordered(lines.stop - lines.start, width, plane, unit.device, lines.start)
            exact.round_().add_(zero).clamp_(0, (1 << signal.bits) - 1)
            codes[..., lines, :] = exact
        result.append(codes)
    return result


def chroma_up(
    chroma: Tensor, signal: Signal, size: tuple[int, int], field: Field | None = None
) -> Tensor:
    """Bring chroma (N, 2, h, w) to luma's places: (N, 2, *size), by Spline36 as `resize` does.

    `size` (height, width) is luma's own, or any other that shows the same picture. Chroma of a
    separated field of an interlaced frame is told by `field`: in 4:2:0 it sits a quarter of a
    field's line above the middle of its two luma lines in a top field, and as far below in a
    bottom one (ITU-T H.262 section 6.1.1.8).
    """
    return resize(chroma, *size, shift=siting(signal, field))


def chroma_down(
    chroma: Tensor, signal: Signal, size: tuple[int, int], field: Field | None = None
) -> Tensor:
    """Bring chroma at luma's places (N, 2, H, W) to the signal's own: (N, 2, *size).

    `size` (height, width) is chroma's own; the pictures are the same, whatever their sizes.
    """
    down, right = siting(signal, field)
    height, width = chroma.shape[-2:]
    shift = (-down * height / size[0], -right * width / size[1])
    return resize(chroma, *size, shift=shift)


def chroma_scale(
    chroma: Tensor,
    source: Signal,
    target: Signal,
    size: tuple[int, int],
    field: Field | None = None,
) -> Tensor:
    """Scale chroma (N, 2, h, w) from one signal's places to another's: (N, 2, *size), in one step.

    For chains whose nets see luma alone: chroma meets a kernel once, and no RGB is made.
    """
    from_down, from_right = siting(source, field)
    to_down, to_right = siting(target, field)
    height, width = chroma.shape[-2:]
    shift = (from_down - to_down * height / size[0], from_right - to_right * width / size[1])
    return resize(chroma, *size, shift=shift)


def yuv_to_rgb(yuv: Tensor, matrix: int) -> Tensor:
    """Turn Y', Cb, Cr (N, 3, H, W) into R'G'B' (N, 3, H, W)."""
    kr, kb = _luma_weights(matrix)
    y, cb, cr = yuv.split(1, 1)
    to_red, to_blue, kg = 2 * (1 - kr), 2 * (1 - kb), 1 - kr - kb
    # Written into their places: to join planes afterwards costs more than to calculate them.
    rgb = torch.empty_like(yuv, memory_format=torch.contiguous_format)
    red, green, blue = rgb.split(1, 1)
    torch.add(y, cr, alpha=to_red, out=red)
    torch.sub(y, cb, alpha=to_blue * kb / kg, out=green)
    green.sub_(cr, alpha=to_red * kr / kg)
    torch.add(y, cb, alpha=to_blue, out=blue)
    return rgb


def rgb_to_yuv(rgb: Tensor, matrix: int) -> Tensor:
    """Turn R'G'B' (N, 3, H, W) into Y', Cb, Cr (N, 3, H, W)."""
    kr, kb = _luma_weights(matrix)
    red, green, blue = rgb.split(1, 1)
    yuv = torch.empty_like(rgb, memory_format=torch.contiguous_format)
    y, cb, cr = yuv.split(1, 1)
    torch.mul(red, kr, out=y)
    y.add_(green, alpha=1 - kr - kb).add_(blue, alpha=kb)
    torch.sub(blue, y, out=cb)
    cb.div_(2 * (1 - kb))
    torch.sub(red, y, out=cr)
    cr.div_(2 * (1 - kr))
    return yuv


def to_linear(x: Tensor, transfer: int) -> Tensor:
    """Turn R'G'B' of any shape into light, 1 at white, as a display of that transfer shows it.

    Video is shown by BT.1886 with black at 0 (a 2.4 power), sRGB by IEC 61966-2-1; both show
    nothing below black.
    """
    kind = _display(transfer)
    if kind == LINEAR:
        return x
    x = x.clamp_min(0)
    if kind == SRGB:
        power = ((x + (SRGB_ALPHA - 1)) / SRGB_ALPHA) ** 2.4
        return torch.where(x < 12.92 * SRGB_BETA, x / 12.92, power)
    return x**2.4


def from_linear(x: Tensor, transfer: int) -> Tensor:
    """Turn light of any shape into the R'G'B' that makes a display of that transfer show it."""
    kind = _display(transfer)
    if kind == LINEAR:
        return x
    x = x.clamp_min(0)
    power = x ** (1 / 2.4)
    if kind == SRGB:
        return torch.where(x < SRGB_BETA, x * 12.92, SRGB_ALPHA * power - (SRGB_ALPHA - 1))
    return power


def convert(rgb: Tensor, source: Signal, target: Signal) -> Tensor:
    """Turn R'G'B' (N, 3, H, W) of one signal into that which shows the same light by another.

    Where primaries and display agree, the samples are handed back untouched, superblack included.
    """
    same_primaries = _chromaticities(source.primaries) == _chromaticities(target.primaries)
    if same_primaries and _display(source.transfer) == _display(target.transfer):
        return rgb
    light = to_linear(rgb, source.transfer)
    if not same_primaries:
        light = _mix(light, _primaries_matrix(source.primaries, target.primaries))
    return from_linear(light, target.transfer)


def _scale(signal: Signal, plane: int) -> tuple[int, int]:
    """Give the code of 0, and how many codes there are to 1."""
    chroma = signal.family == "YUV" and plane > 0
    if signal.full_range:
        return (1 << (signal.bits - 1) if chroma else 0), (1 << signal.bits) - 1
    step = 1 << (signal.bits - 8)
    return (128 * step, 224 * step) if chroma else (16 * step, 219 * step)


def siting(signal: Signal, field: Field | None) -> tuple[float, float]:
    """Give how far (down, right), in chroma samples, luma's picture begins inside chroma's.

    The first chroma sample covers the first 2 (or 4) luma samples: it is at home in the middle of
    them, and needs no shift there.
    """
    across, down = (1 << log2 for log2 in signal.subsampling)
    left, top = signal.chroma_location in (0, 2, 4), signal.chroma_location in (2, 3)
    bottom = signal.chroma_location in (4, 5)
    column = 0.0 if left else (across - 1) / 2
    row = 0.0 if top else down - 1.0 if bottom else (down - 1) / 2
    # Chroma lines are dealt to the fields in turn, as luma's are: counted in its own field's
    # lines, a top field's chroma is at half its place in the frame, a bottom one's at half of what
    # is left below.
    if field == "top":
        row /= 2
    elif field == "bottom":
        row = (row + down - 1) / 2
    return ((down - 1) / 2 - row) / down, ((across - 1) / 2 - column) / across


def _luma_weights(matrix: int) -> tuple[float, float]:
    if matrix not in LUMA_WEIGHTS:
        raise ValueError(f"matrix is {matrix}, and may be {_listed(LUMA_WEIGHTS)}")
    return LUMA_WEIGHTS[matrix]


def _display(transfer: int) -> int:
    """Give the code of the display that a transfer means, one code for all of video."""
    if transfer in VIDEO_TRANSFERS:
        return 1
    if transfer not in (LINEAR, SRGB):
        raise ValueError(
            f"transfer is {transfer}, and may be {_listed(VIDEO_TRANSFERS | {LINEAR, SRGB})}"
        )
    return transfer


def _chromaticities(primaries: int) -> Chromaticities:
    if primaries not in CHROMATICITIES:
        raise ValueError(f"primaries are {primaries}, and may be {_listed(CHROMATICITIES)}")
    return CHROMATICITIES[primaries]


def _listed(codes: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(codes)))


def _mix(rgb: Tensor, matrix: FloatMatrix) -> Tensor:
    red, green, blue = rgb[:, :1], rgb[:, 1:2], rgb[:, 2:]
    rows: list[list[float]] = matrix.tolist()
    return torch.cat([r * red + g * green + b * blue for r, g, b in rows], dim=1)


@cache
def _primaries_matrix(source: int, target: int) -> FloatMatrix:
    """Give the matrix from light in one set of primaries to another, by CIE XYZ.

    A white stays the white it was: illuminant C, which code 4 alone has, is not made D65. So does
    zimg, and the classical filters with it.
    """
    matrix: FloatMatrix = np.linalg.inv(_rgb_to_xyz(target)) @ _rgb_to_xyz(source)
    return matrix


def _rgb_to_xyz(primaries: int) -> FloatMatrix:
    """SMPTE RP 177: the primaries, scaled so that equal parts of them are white."""
    columns = np.array([_xyz(x, y) for x, y in CHROMATICITIES[primaries]]).T
    return columns * np.linalg.solve(columns, _xyz(*(WHITE_C if primaries == 4 else WHITE_D65)))


def _xyz(x: float, y: float) -> FloatVector:
    return np.array([x / y, 1, (1 - x - y) / y])
