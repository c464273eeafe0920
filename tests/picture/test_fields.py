"""Deinterlacing against the whole frames that the fields were taken from."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import vapoursynth as vs
from drawn_clips import (
    blob,
    centre_of_mass,
    clip_of,
    moving,
    places,
    psnr_db,
    samples,
    texture,
    woven,
)

import vsencore

core = vs.core
WIDTH, HEIGHT = 128, 96
METHODS = ("qtgmc", "bwdif")
INTERLACEABLE = {"420": (1, 1), "422": (1, 0), "444": (0, 0), "440": (0, 1), "411": (2, 0)}


@pytest.fixture(scope="module")
def truth() -> vs.VideoNode:
    """50 whole frames a second of a texture that drifts across and down."""
    return clip_of(moving(WIDTH, HEIGHT, 16, dx=1.7, dy=0.6), fps=(50, 1))


def mean_psnr_db(result: vs.VideoNode, truth: vs.VideoNode, plane: int, depth: int = 16) -> float:
    scale = 1 << (depth - 8)
    numbers = range(5, 11)
    return float(
        np.mean(
            [
                psnr_db(samples(result, n, plane) / scale, samples(truth, n, plane), 255)
                for n in numbers
            ]
        )
    )


@pytest.mark.parametrize("top_first", [True, False], ids=["top first", "bottom first"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("plane", [0, 1, 2], ids=["luma", "blue", "red"])
def test_motion_is_nearer_the_truth_than_fields_made_larger(
    truth: vs.VideoNode, method: str, plane: int, top_first: bool
) -> None:
    fields = woven(truth, top_first)
    enlarged = fields.std.SeparateFields().resize.Bicubic(WIDTH, HEIGHT)
    naive = mean_psnr_db(enlarged, truth, plane, depth=8)
    assert mean_psnr_db(vsencore.deinterlace(fields, method), truth, plane) > naive + 2


@pytest.mark.parametrize("method", METHODS)
def test_the_wrong_field_order_is_far_worse(truth: vs.VideoNode, method: str) -> None:
    fields = woven(truth, top_first=True)
    right = mean_psnr_db(vsencore.deinterlace(fields, method, tff=True), truth, 0)
    wrong = mean_psnr_db(vsencore.deinterlace(fields, method, tff=False), truth, 0)
    assert right > wrong + 15


@pytest.mark.parametrize("top_first", [True, False], ids=["top first", "bottom first"])
@pytest.mark.parametrize("method", METHODS)
def test_nothing_moves_between_the_fields_of_a_still_picture(method: str, top_first: bool) -> None:
    x, y = places(WIDTH, HEIGHT)
    cx, cy = places(WIDTH // 2, HEIGHT // 2)
    frame = [
        30 + 180 * blob(x, y, 60.3, 41.7, 6),
        100 + 100 * blob(cx, cy, 30.2, 20.8, 5),
        100 + 100 * blob(cx, cy, 25.6, 26.1, 5),
    ]
    still = clip_of([frame] * 5).std.SetFieldBased(2 if top_first else 1)
    result = vsencore.deinterlace(still, method)
    for n in (4, 5):
        for plane, ground in ((0, 30), (1, 100), (2, 100)):
            got = centre_of_mass(samples(result, n, plane) / 256, ground)
            want = centre_of_mass(samples(still, 0, plane), ground)
            assert got == pytest.approx(want, abs=0.02)


def test_bwdif_gives_a_still_picture_back_exactly() -> None:
    still = clip_of(moving(WIDTH, HEIGHT, 1, 0, 0) * 5).std.SetFieldBased(2)
    result = vsencore.deinterlace(still, "bwdif")
    for plane in range(3):
        np.testing.assert_array_equal(samples(result, 5, plane), samples(still, 0, plane) * 256)


def test_qtgmc_keeps_the_detail_of_a_still_picture() -> None:
    still = clip_of(moving(WIDTH, HEIGHT, 1, 0, 0) * 5).std.SetFieldBased(2)
    result = vsencore.deinterlace(still, "qtgmc")
    for n in (4, 5):
        assert psnr_db(samples(result, n) / 256, samples(still, 0), 255) > 50


@pytest.mark.parametrize("top_first", [True, False], ids=["top first", "bottom first"])
@pytest.mark.parametrize("method", METHODS)
def test_each_frame_is_at_the_time_of_its_own_field(method: str, top_first: bool) -> None:
    # A light that goes up by 4 a field: a frame at another field's time would be off by 4.
    flat = [[np.full((64, 64), 40.0 + 4 * n)] for n in range(16)]
    fields = woven(clip_of(flat, vs.GRAY8, (50, 1)), top_first)
    result = vsencore.deinterlace(fields, method)
    levels = [samples(result, n)[8:-8, 8:-8].mean() / 256 for n in range(2, 14)]
    assert levels == pytest.approx([40 + 4 * n for n in range(2, 14)], abs=1.0)


@pytest.mark.parametrize("method", METHODS)
def test_single_rate_is_every_first_field(truth: vs.VideoNode, method: str) -> None:
    fields = woven(truth)
    double = vsencore.deinterlace(fields, method)
    single = vsencore.deinterlace(fields, method, rate="single")
    assert single.num_frames == fields.num_frames
    np.testing.assert_array_equal(samples(single, 3), samples(double, 6))


@pytest.mark.parametrize("method", METHODS)
def test_a_flash_of_one_frame_stays_in_its_fields(method: str) -> None:
    x, y = places(WIDTH, HEIGHT)
    stage = 40 + 15 * texture(x, y)
    frames = [[stage * 3.5] if n in (8, 9) else [stage] for n in range(18)]
    truth = clip_of(frames, vs.GRAY8, (50, 1))
    result = vsencore.deinterlace(woven(truth), method)
    for n in range(5, 13):
        assert samples(result, n).mean() / 256 == pytest.approx(samples(truth, n).mean(), abs=0.5)
    for n in (7, 10):
        assert psnr_db(samples(result, n) / 256, samples(truth, n), 255) > 48


@pytest.mark.parametrize("light", [1.0, 0.15], ids=["full light", "dim light"])
@pytest.mark.parametrize("method", METHODS)
def test_two_shots_do_not_mix_at_a_cut(method: str, light: float) -> None:
    shots = moving(WIDTH, HEIGHT, 10, 1.7, 0.6, seed=1) + moving(WIDTH, HEIGHT, 10, -1.2, 0.4, 9)
    truth = clip_of([[16 + (frame[0] - 16) * light] for frame in shots], vs.GRAY8, (50, 1))
    result = vsencore.deinterlace(woven(truth), method)
    errors = [psnr_db(samples(result, n) / 256, samples(truth, n), 255 * light) for n in (6, 9, 10)]
    # Without a neighbour field the missing lines are drawn from their own field alone: 3 dB.
    # A tenth of the other shot mixed in would cost 15 and more.
    assert min(errors[1:]) > errors[0] - 4.5


@pytest.mark.parametrize("method", METHODS)
def test_a_frame_is_the_same_whichever_is_asked_for_first(truth: vs.VideoNode, method: str) -> None:
    forwards = vsencore.deinterlace(woven(truth), method)
    backwards = vsencore.deinterlace(woven(truth), method)
    first = [samples(forwards, n) for n in range(16)]
    last = [samples(backwards, n) for n in reversed(range(16))]
    for n in range(16):
        np.testing.assert_array_equal(first[n], last[15 - n])


@pytest.mark.parametrize(
    ("fps", "double"),
    [((25, 1), Fraction(50)), ((30000, 1001), Fraction(60000, 1001))],
)
@pytest.mark.parametrize("method", METHODS)
def test_rate_and_durations_are_true(method: str, fps: tuple[int, int], double: Fraction) -> None:
    clip = core.std.BlankClip(
        format=vs.YUV420P8, width=64, height=64, length=3, fpsnum=fps[0], fpsden=fps[1]
    )
    for rate, wanted, length in (("double", double, 6), ("single", Fraction(*fps), 3)):
        result = vsencore.deinterlace(clip, method, rate, tff=True)
        props = result.get_frame(1).props
        assert result.num_frames == length
        assert result.fps == wanted
        assert Fraction(props["_DurationNum"], props["_DurationDen"]) == 1 / wanted


@pytest.mark.parametrize("method", METHODS)
def test_the_result_is_progressive_and_keeps_the_other_facts(method: str) -> None:
    facts = {
        "_Matrix": 5,
        "_Primaries": 5,
        "_Transfer": 6,
        "_Range": 0,
        "_ChromaLocation": 2,
        "_SARNum": 64,
        "_SARDen": 45,
        "mine": 7,
    }
    clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=2)
    result = vsencore.deinterlace(clip.std.SetFrameProps(_FieldBased=1, **facts), method)
    for frame in result.frames():
        assert frame.props["_FieldBased"] == 0
        assert {name: frame.props[name] for name in facts} == facts


def formats() -> Iterator[tuple[str, int, int]]:
    for name, (across, down) in INTERLACEABLE.items():
        for bits in (8, 10, 16):
            yield (
                f"{name} {bits} bit",
                bits,
                vs.core.query_video_format(vs.YUV, vs.INTEGER, bits, across, down).id,
            )
    yield "gray 8 bit", 8, vs.GRAY8
    yield "gray 14 bit", 14, vs.core.query_video_format(vs.GRAY, vs.INTEGER, 14).id


FORMATS = list(formats())


@pytest.mark.parametrize("size", [(8, 4), (52, 22), (132, 66)], ids=str)
@pytest.mark.parametrize(
    ("bits", "format"), [row[1:] for row in FORMATS], ids=[f[0] for f in FORMATS]
)
def test_any_integer_format_and_size_goes_through(
    bits: int, format: int, size: tuple[int, int]
) -> None:
    middle = 1 << (bits - 1)
    clip = core.std.BlankClip(format=format, width=size[0], height=size[1], length=1)
    clip = clip.std.BlankClip(color=[middle] * clip.format.num_planes)
    for method in METHODS:
        result = vsencore.deinterlace(clip, method, tff=True)
        assert (result.width, result.height, result.num_frames) == (*size, 2)
        assert result.format.bits_per_sample == 16
        assert result.format.subsampling_w == min(clip.format.subsampling_w, 1)
        assert result.format.subsampling_h == clip.format.subsampling_h
        for plane in range(result.format.num_planes):
            assert (
                np.abs(samples(result, 1, plane) - 32768).max() <= 16
            )  # a quarter of a 10-bit step


@pytest.mark.parametrize("size", [(33, 21), (7, 3), (1, 2)], ids=str)
def test_odd_sizes_go_through_where_no_plane_is_halved(size: tuple[int, int]) -> None:
    for format in (vs.GRAY8, vs.YUV444P8):
        clip = core.std.BlankClip(format=format, width=size[0], height=size[1], length=2)
        for method in METHODS:
            result = vsencore.deinterlace(clip, method, tff=False)
            assert (result.width, result.height) == size
            result.get_frame(3).close()


def test_the_extension_does_not_reach_the_picture() -> None:
    frames = moving(96, 72, 6, 0, 0)
    whole = vsencore.deinterlace(clip_of(frames), "bwdif", tff=True)
    part = vsencore.deinterlace(clip_of(frames).std.Crop(bottom=2), "bwdif", tff=True)
    np.testing.assert_array_equal(samples(whole, 5)[:60], samples(part, 5)[:60])


def telecined(film: vs.VideoNode) -> vs.VideoNode:
    """Spread each four film frames over five, top field first (3:2)."""
    fields = film.std.SetFieldBased(0).std.SeparateFields(tff=True)
    #  A A | B B | B C | C D | D D : top, bottom of each video frame
    spread = fields.std.SelectEvery(8, [0, 1, 2, 3, 2, 5, 4, 7, 6, 7])
    return spread.std.DoubleWeave(tff=True)[::2].std.AssumeFPS(fpsnum=30000, fpsden=1001)


def test_telecined_film_comes_back_frame_by_frame() -> None:
    film = clip_of(moving(192, 128, 24, dx=2.5, dy=1.0), fps=(24000, 1001))
    video = telecined(film)
    assert video.num_frames == 30
    back = vsencore.inverse_telecine(video, tff=True)
    assert back.num_frames == 24
    assert back.fps == Fraction(24000, 1001)
    for n in range(4, 20):
        np.testing.assert_array_equal(samples(back, n), samples(film, n) * 256)


def test_inverse_telecine_tells_the_truth_in_its_properties() -> None:
    clip = core.std.BlankClip(
        format=vs.YUV411P8, width=64, height=48, length=10, fpsnum=30000, fpsden=1001
    ).std.SetFieldBased(1)
    result = vsencore.inverse_telecine(clip)
    props = result.get_frame(3).props
    assert (props["_DurationNum"], props["_DurationDen"]) == (1001, 24000)
    assert props["_FieldBased"] == 0
    assert "_Combed" not in props


def test_leftover_video_in_a_film_is_deinterlaced() -> None:
    video = woven(clip_of(moving(192, 128, 20, dx=6, dy=0), fps=(60000, 1001)))
    result = vsencore.inverse_telecine(video, tff=True)
    for n in range(2, result.num_frames - 2):
        plane = samples(result, n)[8:-8, 8:-8] / 256
        combing = np.abs(plane[1:-1] - (plane[:-2] + plane[2:]) / 2).mean()
        assert combing < 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clip": 5}, r"^deinterlace: clip must be a VapourSynth video clip, not int$"),
        (
            {"method": "qtgmx"},
            r'^deinterlace: method must be "qtgmc", "bwdif" or "fieldnet", not "qtgmx"',
        ),
        ({"method": "qtgmx"}, r'did you mean "qtgmc"\?'),
        ({"method": None}, r"^deinterlace: method must be .*, not NoneType$"),
        ({"rate": "triple"}, r'^deinterlace: rate must be "double" or "single", not "triple"'),
        ({"tff": 1}, r"^deinterlace: tff must be True, False or None, not 1$"),
        ({}, r"^deinterlace: clip does not tell its field order .*pass tff=True"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], message: str) -> None:
    clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=1)
    with pytest.raises(vs.Error, match=message):
        vsencore.deinterlace(**({"clip": clip} | arguments))


@pytest.mark.parametrize("filter", [vsencore.deinterlace, vsencore.inverse_telecine])
def test_a_progressive_clip_is_refused_unless_the_order_is_given(filter) -> None:
    clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=5).std.SetFieldBased(
        0
    )
    with pytest.raises(vs.Error, match=rf"^{filter.__name__}: clip is flagged progressive"):
        filter(clip)
    filter(clip, tff=True).get_frame(0).close()


@pytest.mark.parametrize(
    "filter",
    [vsencore.deinterlace, vsencore.inverse_telecine, vsencore.restore, vsencore.upscale],
)
@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (core.std.BlankClip(format=vs.RGB24), "clip must be YUV or Gray, not RGB24"),
        (core.std.BlankClip(format=vs.YUV444PS), "clip must hold integers of 8 to 16 bits, not"),
        (core.std.BlankClip(format=vs.GRAYH), "clip must hold integers of 8 to 16 bits, not"),
        (core.std.BlankClip(varformat=True), "clip must have a constant format"),
        (
            core.std.BlankClip(format=vs.YUV420P8, varsize=True),
            "clip must have a constant size",
        ),
    ],
    ids=["RGB", "float", "half", "variable format", "variable size"],
)
def test_a_clip_of_another_kind_is_refused(filter, clip: vs.VideoNode, message: str) -> None:
    with pytest.raises(vs.Error, match=f"^{filter.__name__}: {message}"):
        filter(clip)
