"""Colour on the device, held to zimg code by code, and to formulas where zimg has no word.

zimg converts exactly here (approximate_gamma=0): its quick table stops at light of about 2, which
only noise reaches.
"""

import itertools

import numpy as np
import pytest
import torch
import vapoursynth as vs
from drawn_clips import clip_of, samples
from torch import Tensor

from vsencore import colour as classical
from vsencore.engine import colour
from vsencore.engine.colour import Signal

core = vs.core

WIDTH, HEIGHT = 64, 48
FORMATS = {"444": (0, 0), "422": (1, 0), "420": (1, 1)}
COLOURS = {"525": (6, 6, 6), "625": (5, 6, 5), "709": (1, 1, 1), "2020": (9, 14, 9)}
LOCATIONS = range(6)

type Plane = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def signal(
    kind: str, form: str = "420", bits: int = 10, full_range: bool = False, location: int = 0
) -> Signal:
    return Signal("YUV", bits, FORMATS[form], *COLOURS[kind], full_range, location)


def noise(height: int, width: int, seed: int) -> Plane:
    """0 to 1: mostly a smooth picture, a fifth white noise."""
    dice = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    spectrum = np.fft.fft2(dice.standard_normal((height, width))) / (0.02 + frequency) ** 1.2
    smooth = np.fft.ifft2(spectrum).real
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return 0.8 * smooth + 0.2 * dice.random((height, width))


def noise_planes(told: Signal, height: int = HEIGHT, seed: int = 3) -> list[Plane]:
    """Planes of noise, footroom and headroom included, with strong colours."""
    one = 1 << (told.bits - 8)
    across, down = told.subsampling
    luma = (4 + 246 * noise(height, WIDTH, seed)) * one
    chroma = [(40 + 176 * noise(height >> down, WIDTH >> across, seed + n)) * one for n in (1, 2)]
    return [np.rint(plane) for plane in (luma, *chroma)]


def drawn(planes: list[Plane], told: Signal) -> vs.VideoNode:
    family = vs.RGB if told.family == "RGB" else vs.YUV
    clip = clip_of(
        [planes], core.query_video_format(family, vs.INTEGER, told.bits, *told.subsampling).id
    )
    return clip.std.SetFrameProps(
        _Matrix=told.matrix,
        _Transfer=told.transfer,
        _Primaries=told.primaries,
        _Range=int(told.full_range),
        _ChromaLocation=told.chroma_location,
    )


def by_zimg(clip: vs.VideoNode, target: Signal) -> list[Plane]:
    family = vs.RGB if target.family == "RGB" else vs.YUV
    form = core.query_video_format(family, vs.INTEGER, target.bits, *target.subsampling)
    located = {"chromaloc": target.chroma_location} if any(target.subsampling) else {}
    result = clip.resize.Spline36(
        format=form.id,
        matrix=target.matrix,
        transfer=target.transfer,
        primaries=target.primaries,
        range=int(target.full_range),
        approximate_gamma=0,
        **located,
    )
    return [samples(result, 0, plane) for plane in range(3)]


def tensors(planes: list[Plane]) -> list[Tensor]:
    return [torch.from_numpy(plane.astype(np.int32))[None, None] for plane in planes]


def by_encore(
    planes: list[Plane], source: Signal, target: Signal, field: colour.Field | None = None
) -> list[Plane]:
    luma, *parts = colour.to_unit(tensors(planes), source)
    across, down = target.subsampling
    height, width = luma.shape[2:]
    size = (height >> down, width >> across)
    chroma = torch.cat(parts, 1)
    codes = (source.matrix, source.transfer, source.primaries)
    if codes == (target.matrix, target.transfer, target.primaries):
        chroma = colour.chroma_scale(chroma, source, target, size, field)
    else:
        chroma = colour.chroma_up(chroma, source, (height, width), field)
        rgb = colour.yuv_to_rgb(torch.cat([luma, chroma], 1), source.matrix)
        yuv = colour.rgb_to_yuv(colour.convert(rgb, source, target), target.matrix)
        luma, chroma = yuv.split((1, 2), 1)
        chroma = colour.chroma_down(chroma, target, size, field)
    result = colour.to_code([luma, chroma[:, :1], chroma[:, 1:]], target, dither="none")
    return [plane[0, 0].numpy().astype(np.float64) for plane in result]


def furthest(ours: list[Plane], theirs: list[Plane]) -> float:
    return max(np.abs(one - other).max() for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("kinds", list(itertools.product(COLOURS, COLOURS)), ids="-".join)
def test_colours_convert_as_by_zimg_in_every_format_and_range(kinds):
    # At 16 bit, since at 10 zimg itself rounds between its steps, and is a code off at times.
    locations = itertools.cycle(itertools.product(LOCATIONS, LOCATIONS))
    ranges = list(itertools.product([False, True], [False, True]))
    for forms in itertools.product(FORMATS, FORMATS):
        for (full_in, full_out), (place_in, place_out) in zip(ranges, locations, strict=False):
            source = signal(kinds[0], forms[0], 16, full_in, place_in)
            target = signal(kinds[1], forms[1], 16, full_out, place_out)
            planes = noise_planes(source)
            theirs = by_zimg(drawn(planes, source), target)
            assert furthest(by_encore(planes, source, target), theirs) <= 4, (source, target)


@pytest.mark.parametrize("kinds", list(itertools.permutations(COLOURS, 2)), ids="-".join)
def test_pictures_of_10_bit_convert_to_within_a_code_of_zimgs(kinds):
    for form, location in itertools.product(FORMATS, LOCATIONS):
        source, target = (signal(kind, form, location=location) for kind in kinds)
        planes = noise_planes(source)
        theirs = by_zimg(drawn(planes, source), target)
        assert furthest(by_encore(planes, source, target), theirs) <= 1, (form, location)


@pytest.mark.parametrize("forms", [("420", "420"), ("420", "422"), ("422", "420")], ids="-".join)
@pytest.mark.parametrize("target_kind", ["525", "709"])
def test_chroma_moves_between_all_its_places_as_by_zimg(forms, target_kind):
    for place_in, place_out in itertools.product(LOCATIONS, LOCATIONS):
        source = signal("525", forms[0], location=place_in)
        target = signal(target_kind, forms[1], location=place_out)
        planes = noise_planes(source)
        theirs = by_zimg(drawn(planes, source), target)
        assert furthest(by_encore(planes, source, target), theirs) <= 1, (place_in, place_out)


@pytest.mark.parametrize("bits_in", [8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("bits_out", [8, 10, 16])
def test_every_depth_converts_to_every_other_as_by_zimg(bits_in, bits_out):
    allowed = max(1, 2.0 ** (bits_out - 10))
    for full_in, full_out in itertools.product([False, True], [False, True]):
        source = signal("525", "444", bits_in, full_in)
        target = signal("709", "444", bits_out, full_out)
        planes = noise_planes(source)
        theirs = by_zimg(drawn(planes, source), target)
        assert furthest(by_encore(planes, source, target), theirs) <= allowed


@pytest.mark.parametrize("bits", [8, 9, 10, 11, 12, 13, 14, 15, 16])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("dither", ["ordered", "none"])
@pytest.mark.parametrize("family", ["YUV", "RGB"])
def test_every_code_comes_back_as_itself(bits, full_range, dither, family):
    told = Signal(family, bits, full_range=full_range)
    # Four times over, so that a code meets more than one place of the pattern.
    every = torch.arange(1 << bits, dtype=torch.int32).view(1, 1, -1, 256).repeat(1, 1, 4, 1)
    every = torch.cat([every, every.flip(3)], 3)
    back = colour.to_code(colour.to_unit([every] * 3, told), told, dither=dither)
    assert all(torch.equal(plane.to(torch.int32), every) for plane in back)


def test_codes_may_come_as_bytes_or_as_words():
    told = Signal("GRAY", 8)
    for kind in (torch.uint8, torch.uint16, torch.int32):
        (unit,) = colour.to_unit([torch.tensor([[[[16, 235, 255]]]], dtype=kind)], told)
        assert unit.flatten().tolist() == pytest.approx([0, 1, 239 / 219])


def test_what_no_code_can_say_ends_at_the_last_code():
    told = Signal("YUV", 10, full_range=False)
    wild = torch.tensor([[[[-9.0, 9.0]]]])
    for plane in colour.to_code([wild] * 3, told, dither="none"):
        assert plane.dtype == torch.uint16
        assert plane.flatten().tolist() == [0, 1023]


@pytest.mark.parametrize("matrix", [1, 4, 5, 6, 7, 9])
def test_a_matrix_makes_red_green_and_blue_as_by_zimg(matrix):
    source = Signal("YUV", 16, matrix=matrix, transfer=1, primaries=1)
    target = Signal("RGB", 16, matrix=0, transfer=1, primaries=1, full_range=True)
    planes = noise_planes(source)
    luma, *parts = colour.to_unit(tensors(planes), source)
    rgb = colour.yuv_to_rgb(torch.cat([luma, *parts], 1), matrix)
    codes = colour.to_code(list(rgb.split(1, 1)), target, dither="none")
    ours = [plane[0, 0].numpy().astype(np.float64) for plane in codes]
    assert furthest(ours, by_zimg(drawn(planes, source), target)) <= 1


@pytest.mark.parametrize("matrix", [1, 4, 5, 6, 7, 9])
def test_a_matrix_there_and_back_changes_nothing(matrix):
    yuv = torch.rand(2, 3, 8, 8) - 0.5
    back = colour.rgb_to_yuv(colour.yuv_to_rgb(yuv, matrix), matrix)
    assert (back - yuv).abs().max() < 1e-6


@pytest.mark.parametrize("pair", list(itertools.permutations([1, 4, 5, 6, 7, 9, 22], 2)), ids=str)
def test_primaries_convert_as_by_zimg(pair):
    source, target = (
        Signal("RGB", 16, matrix=0, transfer=1, primaries=code, full_range=True) for code in pair
    )
    planes = [np.rint(65535 * noise(HEIGHT, WIDTH, seed)) for seed in range(3)]
    rgb = colour.convert(torch.cat(colour.to_unit(tensors(planes), source), 1), source, target)
    codes = colour.to_code(list(rgb.split(1, 1)), target, dither="none")
    ours = [plane[0, 0].numpy().astype(np.float64) for plane in codes]
    assert furthest(ours, by_zimg(drawn(planes, source), target)) <= 4


@pytest.mark.parametrize("transfer", [1, 6, 7, 13, 14, 15])
def test_light_of_a_transfer_is_as_by_zimg(transfer):
    source = Signal("RGB", 16, matrix=0, transfer=transfer, primaries=1, full_range=True)
    target = Signal("RGB", 16, matrix=0, transfer=8, primaries=1, full_range=True)
    planes = [np.arange(65536.0).reshape(256, 256)] * 3
    rgb = torch.cat(colour.to_unit(tensors(planes), source), 1)
    for mine, theirs, image in [
        (colour.to_linear(rgb, transfer), (source, target), planes),
        (colour.from_linear(rgb, transfer), (target, source), planes),
    ]:
        codes = colour.to_code(list(mine.split(1, 1)), target, dither="none")
        ours = [plane[0, 0].numpy().astype(np.float64) for plane in codes]
        assert furthest(ours, by_zimg(drawn(image, theirs[0]), theirs[1])) <= 2


@pytest.mark.parametrize("pair", list(itertools.permutations(COLOURS, 2)), ids="-".join)
def test_light_converted_there_and_back_is_the_same(pair):
    source, target = (signal(kind) for kind in pair)
    # Greys and pale colours: within every gamut, so nothing ends at 0 on the way.
    rgb = 0.45 + 0.1 * torch.rand(1, 3, 16, 16)
    back = colour.convert(colour.convert(rgb, source, target), target, source)
    assert (back - rgb).abs().max() < 1e-5


def test_light_that_needs_no_change_gets_none():
    superblack = torch.tensor([-0.07, 0.5, 1.09]).view(1, 3, 1, 1)
    source, target = Signal("YUV", 8, (1, 1), 6, 6, 1), Signal("YUV", 8, (1, 1), 1, 1, 1)
    assert torch.equal(colour.convert(superblack, source, target), superblack)


def test_display_gammas_of_bt470_mean_bt1886_as_in_the_classical_filters():
    assert colour.VIDEO_TRANSFERS >= classical.VIDEO_TRANSFERS
    x = torch.rand(100)
    for transfer in classical.VIDEO_TRANSFERS:
        assert torch.equal(colour.to_linear(x, transfer), x**2.4)


@pytest.mark.parametrize(
    ("field", "location", "quarters"),
    [
        # In lines of the field, from its first luma line: H.262 figures 6-2 and 6-3 for "left".
        ("top", 0, 1),
        ("bottom", 0, 3),
        ("top", 2, 0),
        ("bottom", 2, 2),
        ("top", 4, 2),
        ("bottom", 4, 4),
    ],
)
def test_chroma_of_a_field_lies_on_its_quarter_of_a_line(field, location, quarters):
    told = signal("525", location=location)
    # Chroma that is the height of its place, in luma lines of the field, wherever it is sampled.
    place = torch.arange(32) * 2 + quarters / 4
    chroma = place.view(1, 1, 32, 1).expand(1, 2, 32, 16)
    raised = colour.chroma_up(chroma, told, (64, 32), field)
    lines = torch.arange(64.0).view(1, 1, 64, 1)
    assert (raised - lines)[:, :, 8:-8].abs().max() < 1e-4
    lowered = colour.chroma_down(lines.expand(1, 2, 64, 32), told, (32, 16), field)
    assert (lowered - chroma)[:, :, 8:-8].abs().max() < 1e-4


@pytest.mark.parametrize("forms", [("420", "444"), ("444", "420"), ("420", "420"), ("422", "420")])
@pytest.mark.parametrize("kind", ["525", "709"])
def test_separated_fields_convert_as_by_zimg(forms, kind):
    for location in LOCATIONS:
        source = signal("525", forms[0], location=location)
        target = signal(kind, forms[1], location=location)
        planes = noise_planes(source, height=2 * HEIGHT)
        frame = drawn(planes, source).std.SetFieldBased(2)
        fields = frame.std.SeparateFields(tff=True)
        for number, field in enumerate(("top", "bottom")):
            lines = [plane[number::2] for plane in planes]
            ours = by_encore(lines, source, target, field)
            assert furthest(ours, by_zimg(fields[number], target)) <= 1, (location, field)


def test_fields_woven_again_are_the_frame_that_zimg_converts_as_interlaced():
    source, target = signal("525", "420"), signal("709", "444")
    planes = noise_planes(source, height=2 * HEIGHT)
    whole = by_zimg(drawn(planes, source).std.SetFieldBased(2), target)
    for number, field in enumerate(("top", "bottom")):
        ours = by_encore([plane[number::2] for plane in planes], source, target, field)
        assert furthest(ours, [plane[number::2] for plane in whole]) <= 1


@pytest.mark.parametrize("place_in", LOCATIONS)
@pytest.mark.parametrize("place_out", [0, 2, 5])
def test_chroma_scaled_with_its_picture_keeps_its_place(place_in, place_out):
    source, target = signal("525", location=place_in), signal("525", location=place_out)
    planes = noise_planes(source)
    clip = drawn(planes, source)
    large = clip.resize.Spline36(width=3 * WIDTH, height=5 * HEIGHT // 2, chromaloc=place_out)
    chroma = torch.cat(colour.to_unit(tensors(planes), source)[1:], 1)
    scaled = colour.chroma_scale(chroma, source, target, (5 * HEIGHT // 4, 3 * WIDTH // 2))
    ours = np.rint(scaled[0].numpy() * 896 + 512)
    for plane in (0, 1):
        assert np.abs(ours[plane] - samples(large, 0, plane + 1)).max() <= 1


def test_grey_has_no_chroma_and_red_green_and_blue_share_one_scale():
    words = torch.tensor([[[[16, 235]]]], dtype=torch.int32)
    assert len(colour.to_unit([words], Signal("GRAY", 8))) == 1
    for plane in colour.to_unit([words] * 3, Signal("RGB", 8)):
        assert plane.flatten().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Signal("YUV", 8, matrix=1, transfer=16, primaries=1), "transfer is 16, and may be 1, 4,"),
        (Signal("YUV", 8, matrix=1, transfer=1, primaries=2), "primaries are 2, and may be 1, 4,"),
    ],
)
def test_a_colour_that_cannot_be_converted_is_named(source, message):
    with pytest.raises(ValueError, match=message):
        colour.convert(torch.rand(1, 3, 4, 4), source, signal("709"))


def test_a_matrix_that_is_unknown_is_named():
    with pytest.raises(ValueError, match="matrix is 10, and may be 1, 4, 5, 6, 7, 9"):
        colour.yuv_to_rgb(torch.rand(1, 3, 4, 4), 10)
