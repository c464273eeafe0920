"""Scaling: where things lie in the result, how large it is, and what it says of itself."""

import numpy as np
import pytest
import vapoursynth as vs
from drawn_clips import blob, centre_of_mass, clip_of, places, samples

import vsencore

core = vs.core
METHODS = ("nnedi3", "lanczos")
# Where a chroma sample sits in its luma square, from the square's top left: H.273 figure 1.
SITES = {0: (0.5, 1.0), 1: (1.0, 1.0), 2: (0.5, 0.5), 3: (1.0, 0.5), 4: (0.5, 1.5)}


def blank(width: int, height: int, format: int = vs.YUV420P8, **props: int) -> vs.VideoNode:
    clip = core.std.BlankClip(format=format, width=width, height=height, length=1)
    return clip.std.SetFrameProps(**props) if props else clip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("location", SITES)
@pytest.mark.parametrize("height", [60, 100, 120, 180, 480, 720])
def test_nothing_shifts_in_luma_or_chroma(method: str, location: int, height: int) -> None:
    width, lines, column, row = 160, 120, 71.3, 55.6
    x, y = places(width, lines)
    across, down = SITES[location]
    cx, cy = np.meshgrid(np.arange(width // 2) * 2 + across, np.arange(lines // 2) * 2 + down)
    light = 25000 * blob(cx, cy, column, row, 9)
    frame = [10000 + 40000 * blob(x, y, column, row, 7), 26000 + light, 26000 + light]
    clip = clip_of([frame], vs.YUV420P16).std.SetFrameProps(_ChromaLocation=location)

    result = vsencore.upscale(clip, height, method, matrix="keep", format=vs.YUV420P16)
    scale = (result.width / width, result.height / lines)
    wanted = (column * scale[0], row * scale[1])
    assert centre_of_mass(samples(result, 0), 10000) == pytest.approx(wanted, abs=0.05)
    for plane in (1, 2):
        chroma_x, chroma_y = centre_of_mass(samples(result, 0, plane), 26000)
        in_luma = ((chroma_x - 0.5) * 2 + 0.5, chroma_y * 2)
        assert in_luma == pytest.approx(wanted, abs=0.05)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("size", "aspect", "height", "edges", "width"),
    [
        ((720, 576), (64, 45), 1080, 0, 1920),
        ((720, 576), (16, 15), 1080, 0, 1440),
        ((720, 480), (32, 27), 1080, 0, 1920),
        ((720, 480), (8, 9), 1080, 0, 1440),
        ((720, 576), (64, 45), 1080, 8, 1878),
        ((720, 576), (64, 45), 288, 0, 512),
        ((720, 486), (10, 11), 540, 9, 710),
    ],
)
def test_pixels_come_out_square(
    method: str,
    size: tuple[int, int],
    aspect: tuple[int, int],
    height: int,
    edges: int,
    width: int,
) -> None:
    clip = blank(*size, _SARNum=aspect[0], _SARDen=aspect[1])
    result = vsencore.upscale(clip, height, method, crop_edges=edges)
    assert (result.width, result.height) == (width, height)
    props = result.get_frame(0).props
    assert (props["_SARNum"], props["_SARDen"]) == (1, 1)


def test_a_width_that_is_given_is_kept() -> None:
    result = vsencore.upscale(blank(720, 576, _SARNum=64, _SARDen=45), 1080, width=1440)
    assert result.width == 1440


def test_cropped_edges_are_gone() -> None:
    x, _ = places(160, 96)
    frame = [np.where((x < 8) | (x > 152), 16.0, 120.0)]
    result = vsencore.upscale(clip_of([frame], vs.GRAY8), 192, crop_edges=8)
    assert samples(result, 0).min() >= 479


@pytest.mark.parametrize("method", METHODS)
def test_the_same_size_gives_the_same_samples(method: str) -> None:
    dice = np.random.default_rng(2)
    frame = [dice.uniform(16, 235, (96, 128)), *dice.uniform(16, 240, (2, 48, 64))]
    clip = clip_of([frame])
    result = vsencore.upscale(clip, 96, method)
    for plane in range(3):
        np.testing.assert_array_equal(samples(result, 0, plane), samples(clip, 0, plane) * 4)


def test_nnedi3_draws_a_slanted_edge_smoother_than_lanczos() -> None:
    x, y = places(96, 96)
    slope, far = 0.35, 12.0

    def edge(x: np.ndarray, y: np.ndarray, scale: float) -> np.ndarray:
        return 40 + 160 / (1 + np.exp(-((y - x * slope) / scale - far) * 4))

    clip = clip_of([[edge(x, y, 1)]], vs.GRAY8)
    large_x, large_y = places(384, 384)
    truth = edge(large_x, large_y, 4) * 256
    errors = [
        np.abs(samples(vsencore.upscale(clip, 384, method, format=vs.GRAY16), 0) - truth)[
            32:-32, 32:-32
        ].mean()
        for method in METHODS
    ]
    assert errors[0] < 0.8 * errors[1]


SOURCES = {
    "420": (1, 1),
    "422": (1, 0),
    "444": (0, 0),
    "440": (0, 1),
    "411": (2, 0),
    "410": (2, 2),
}


@pytest.mark.parametrize("size", [(8, 4), (52, 24), (132, 68)], ids=str)
@pytest.mark.parametrize("bits", [8, 10, 16])
@pytest.mark.parametrize("subsampling", SOURCES)
def test_any_integer_format_and_size_goes_through(
    subsampling: str, bits: int, size: tuple[int, int]
) -> None:
    format = core.query_video_format(vs.YUV, vs.INTEGER, bits, *SOURCES[subsampling])
    for method in METHODS:
        result = vsencore.upscale(blank(*size, format.id), 64, method)
        assert result.format.id == vs.YUV420P10
        assert result.height == 64
        result.get_frame(0).close()


@pytest.mark.parametrize("size", [(33, 21), (7, 3), (1, 1)], ids=str)
def test_odd_sizes_go_through_where_no_plane_is_halved(size: tuple[int, int]) -> None:
    for format in (vs.GRAY8, vs.YUV444P12):
        result = vsencore.upscale(blank(*size, format), 64)
        assert result.height == 64
        result.get_frame(0).close()


def test_gray_stays_gray() -> None:
    result = vsencore.upscale(blank(64, 48, vs.GRAY8), 96)
    assert result.format.id == vs.GRAY10


@pytest.mark.parametrize("format", [vs.YUV420P8, vs.YUV422P10, vs.YUV444P16, vs.YUV420P12])
def test_the_asked_format_is_given(format: int) -> None:
    result = vsencore.upscale(blank(64, 48), 96, format=format)
    assert result.format.id == format
    props = result.get_frame(0).props
    assert ("_ChromaLocation" in props) == (format != vs.YUV444P16)


def test_the_properties_are_true_and_the_others_pass() -> None:
    clip = blank(720, 576, _Matrix=5, _Range=1, _ChromaLocation=2, _FieldBased=0, mine=3)
    props = vsencore.upscale(clip, 1080).get_frame(0).props
    wanted = {
        "_Matrix": 1,
        "_Transfer": 1,
        "_Primaries": 1,
        "_Range": 0,
        "_ChromaLocation": 0,
        "_FieldBased": 0,
        "_SARNum": 1,
        "_SARDen": 1,
        "_DurationNum": 1,
        "_DurationDen": 24,
        "mine": 3,
    }
    assert {name: props[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 1081}, r"height must be an even number from 16 to 8640, not 1081$"),
        ({"height": 8}, r"height must be an even number from 16 to 8640, not 8$"),
        ({"height": "1080"}, r'height must be an even number from 16 to 8640, not "1080"$'),
        ({"height": 1080.0}, r"height must be an even number from 16 to 8640, not 1080\.0$"),
        ({"width": 333}, r"width must be an even number from 16 to 16384, not 333$"),
        (
            {"method": "nnedi"},
            r'method must be "nnedi3", .*"framenet" or "model", not "nnedi" \(did you mean',
        ),
        ({"crop_edges": -8}, r"crop_edges must be a whole number from 0 to 31, not -8$"),
        ({"crop_edges": 32}, r"crop_edges must be a whole number from 0 to 31, not 32$"),
        ({"matrix": "601"}, r'matrix must be "auto", "keep" or "709", not "601"'),
        ({"format": vs.RGB24}, r"format must be YUV of 8 to 16 bit integers .*, not RGB24$"),
        ({"format": vs.GRAY8}, r"format must be YUV of 8 to 16 bit integers .*, not Gray8$"),
        ({"format": 12345}, r"format must be a VapourSynth format, .*, not 12345$"),
        ({"format": "p10"}, r"format must be a VapourSynth format, .*, not 'p10'$"),
        ({"width": 150, "format": vs.YUV411P8}, r"width must be a multiple of 4 for YUV411P8"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(vs.Error, match=f"^upscale: {message}"):
        vsencore.upscale(blank(64, 48), **arguments)


def test_an_interlaced_clip_is_refused() -> None:
    with pytest.raises(vs.Error, match=r"^upscale: clip must be progressive.*deinterlace it first"):
        vsencore.upscale(blank(64, 48, _FieldBased=1))
