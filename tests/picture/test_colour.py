"""Colour bars through the whole conversion, against the standards' formulas in numpy.

Sources: matrices, Rec. ITU-R BT.601-7 and BT.709-6; primaries, SMPTE 170M, BT.470-6 (B, G) and
BT.709-6, all with white D65; the display's power 2.4, BT.1886.
"""

import numpy as np
import pytest
import vapoursynth as vs
from drawn_clips import clip_of, samples

import vsencore

WHITE = (0.3127, 0.3290)
CHROMATICITIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
}
LUMA_WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114)}

BARS = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1), (0, 0, 0)]
RGB = np.array([[level * c for c in bar] for level in (0.75, 1.0) for bar in BARS])
SUPERBLACK = np.array([[-0.04, -0.04, -0.04]])


def to_ycbcr(rgb: np.ndarray, matrix: int) -> np.ndarray:
    kr, kb = LUMA_WEIGHTS[matrix]
    y = kr * rgb[:, 0] + (1 - kr - kb) * rgb[:, 1] + kb * rgb[:, 2]
    return np.stack([y, (rgb[:, 2] - y) / (2 * (1 - kb)), (rgb[:, 0] - y) / (2 * (1 - kr))], axis=1)


def to_rgb(ycbcr: np.ndarray, matrix: int) -> np.ndarray:
    kr, kb = LUMA_WEIGHTS[matrix]
    y, cb, cr = ycbcr.T
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    return np.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue], axis=1)


def to_xyz(primaries: int) -> np.ndarray:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in CHROMATICITIES[primaries]]).T
    white = np.array([WHITE[0] / WHITE[1], 1, (1 - sum(WHITE)) / WHITE[1]])
    return columns * np.linalg.solve(columns, white)


def codes(ycbcr: np.ndarray, bits: int, full: bool = False) -> np.ndarray:
    one = 1 << (bits - 8)
    if full:
        peak = (1 << bits) - 1
        return ycbcr * peak + np.array([0, 128 * one, 128 * one])
    return ycbcr * one * np.array([219, 224, 224]) + one * np.array([16, 128, 128])


def from_codes(values: np.ndarray, bits: int, full: bool = False) -> np.ndarray:
    one = 1 << (bits - 8)
    if full:
        return (values - np.array([0, 128 * one, 128 * one])) / ((1 << bits) - 1)
    return (values - one * np.array([16, 128, 128])) / (one * np.array([219, 224, 224]))


def exact_709(source: np.ndarray, matrix: int, primaries: int, full: bool = False) -> np.ndarray:
    """8-bit codes of the source to 10-bit limited BT.709 codes, in floating point throughout."""
    rgb = to_rgb(from_codes(source, 8, full), matrix)
    if primaries != 1:
        light = rgb.clip(0) ** 2.4  # BT.1886 shows nothing below black
        rgb = (light @ (np.linalg.inv(to_xyz(1)) @ to_xyz(primaries)).T).clip(0) ** (1 / 2.4)
    return codes(to_ycbcr(rgb, 1), 10)


def bars(
    values: np.ndarray, size: tuple[int, int], format: int = vs.YUV420P8
) -> tuple[vs.VideoNode, int]:
    """One frame of upright bars, one for each row of `values`, and the width of a bar."""
    width, height = size
    wide = 32
    info = vs.core.get_video_format(format)
    frame = []
    for plane in range(3):
        across = info.subsampling_w if plane else 0
        down = info.subsampling_h if plane else 0
        row = np.repeat(values[:, plane], wide >> across)
        row = np.pad(row, (0, (width >> across) - len(row)), mode="edge")
        frame.append(np.tile(row, (height >> down, 1)))
    return clip_of([frame], format), wide


def bar_centres(clip: vs.VideoNode, count: int, wide: int, source_width: int) -> np.ndarray:
    """Give the mean of a few samples in the middle of each bar."""
    centres = []
    for bar in range(count):
        place = (bar + 0.5) * wide / source_width
        centres.append(
            [
                samples(clip, 0, plane)[
                    clip.height // 4 - 1 : clip.height // 4 + 2,
                    int(place * (clip.width >> (1 if plane else 0))),
                ].mean()
                for plane in range(3)
            ]
        )
    return np.array(centres)


@pytest.mark.parametrize("method", ["nnedi3", "lanczos"])
@pytest.mark.parametrize(
    ("size", "matrix", "primaries"),
    [((720, 576), 5, 5), ((720, 480), 6, 6), ((720, 480), 6, 1)],
    ids=["625 lines", "525 lines", "matrix only"],
)
def test_sd_bars_are_709_to_within_one_10_bit_step(
    method: str, size: tuple[int, int], matrix: int, primaries: int
) -> None:
    source = np.rint(codes(to_ycbcr(np.vstack([RGB, SUPERBLACK]), matrix), 8))
    clip, wide = bars(source, size)
    clip = clip.std.SetFrameProps(_Matrix=matrix, _Primaries=primaries, _Transfer=6, _Range=0)
    result = vsencore.upscale(clip, 1080, method)
    got = bar_centres(result, len(source), wide, size[0])
    np.testing.assert_allclose(got, exact_709(source, matrix, primaries), atol=1)


def test_an_untagged_525_line_picture_is_converted_like_a_tagged_one() -> None:
    source = np.rint(codes(to_ycbcr(RGB, 6), 8))
    clip, wide = bars(source, (720, 480))
    got = bar_centres(vsencore.upscale(clip, 720, "lanczos"), len(source), wide, 720)
    np.testing.assert_allclose(got, exact_709(source, 6, 6), atol=1)


def test_full_range_bars_come_out_limited() -> None:
    source = np.rint(codes(to_ycbcr(RGB, 5), 8, full=True)).clip(0, 255)
    clip, wide = bars(source, (720, 576))
    clip = clip.std.SetFrameProps(_Matrix=5, _Primaries=5, _Transfer=6, _Range=1)
    result = vsencore.upscale(clip, 1080, "lanczos")
    got = bar_centres(result, len(source), wide, 720)
    np.testing.assert_allclose(got, exact_709(source, 5, 5, full=True), atol=1)
    assert result.get_frame(0).props["_Range"] == vs.RANGE_LIMITED


@pytest.mark.parametrize("format", [vs.YUV444P8, vs.YUV422P8, vs.YUV411P8])
def test_other_chroma_formats_hold_the_same_colours(format: int) -> None:
    source = np.rint(codes(to_ycbcr(RGB, 6), 8))
    clip, wide = bars(source, (720, 480), format)
    clip = clip.std.SetFrameProps(_Matrix=6, _Primaries=6, _Transfer=6)
    got = bar_centres(vsencore.upscale(clip, 1080, "lanczos"), len(source), wide, 720)
    np.testing.assert_allclose(got, exact_709(source, 6, 6), atol=1)


@pytest.mark.parametrize("transfer", [1, 4, 5, 6])
def test_video_transfers_are_one_display(transfer: int) -> None:
    source = np.rint(codes(to_ycbcr(RGB, 5), 8))
    clip, wide = bars(source, (720, 576))
    clip = clip.std.SetFrameProps(_Matrix=5, _Primaries=5, _Transfer=transfer)
    result = vsencore.upscale(clip, 1080, "lanczos")
    got = bar_centres(result, len(source), wide, 720)
    np.testing.assert_allclose(got, exact_709(source, 5, 5), atol=1)
    assert result.get_frame(0).props["_Transfer"] == 1


@pytest.mark.parametrize("height", [480, 576])
def test_sd_that_stays_sd_keeps_its_colour(height: int) -> None:
    source = np.rint(codes(to_ycbcr(RGB, 5), 8))
    clip, wide = bars(source, (720, 576))
    clip = clip.std.SetFrameProps(_Matrix=5, _Primaries=5, _Transfer=6)
    result = vsencore.upscale(clip, height, "lanczos")
    got = bar_centres(result, len(source), wide, 720)
    np.testing.assert_allclose(got, source * 4, atol=1)
    props = result.get_frame(0).props
    assert (props["_Matrix"], props["_Primaries"], props["_Transfer"]) == (5, 5, 6)


@pytest.mark.parametrize(
    ("matrix", "wanted"), [("keep", (6, 6, 6)), ("709", (1, 1, 1)), ("auto", (1, 1, 1))]
)
def test_the_matrix_argument_is_obeyed(matrix: str, wanted: tuple[int, int, int]) -> None:
    clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=720, height=480, length=1)
    props = vsencore.upscale(clip, 720, "lanczos", matrix=matrix).get_frame(0).props
    assert (props["_Matrix"], props["_Primaries"], props["_Transfer"]) == wanted


@pytest.mark.parametrize(
    ("size", "fps", "tagged", "wanted"),
    [
        ((720, 576), (25, 1), {}, (5, 6, 5)),
        ((720, 480), (30000, 1001), {}, (6, 6, 6)),
        ((720, 432), (25, 1), {}, (5, 6, 5)),
        ((720, 404), (24000, 1001), {}, (6, 6, 6)),
        ((640, 360), (30, 1), {}, (6, 6, 6)),
        ((1280, 720), (50, 1), {}, (1, 1, 1)),
        ((1440, 1080), (25, 1), {}, (1, 1, 1)),
        ((720, 576), (25, 1), {"_Matrix": 6}, (6, 6, 5)),
        ((640, 480), (30, 1), {"_Matrix": 5}, (5, 6, 6)),
        ((1280, 720), (50, 1), {"_Matrix": 5}, (5, 6, 5)),
        ((720, 576), (25, 1), {"_Matrix": 1}, (1, 1, 1)),
        ((3840, 2160), (50, 1), {"_Matrix": 9}, (9, 14, 9)),
        ((720, 480), (25, 1), {"_Matrix": 2, "_Primaries": 1}, (6, 6, 1)),
    ],
)
def test_what_is_not_told_is_guessed_from_size_and_rate(
    size: tuple[int, int],
    fps: tuple[int, int],
    tagged: dict[str, int],
    wanted: tuple[int, int, int],
) -> None:
    from vsencore.colour import read_colour

    clip = vs.core.std.BlankClip(
        format=vs.YUV420P8, width=size[0], height=size[1], length=1, fpsnum=fps[0], fpsden=fps[1]
    )
    colour = read_colour(clip.std.SetFrameProps(**tagged) if tagged else clip)
    assert (colour.matrix, colour.transfer, colour.primaries) == wanted
