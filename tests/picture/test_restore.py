"""Noise reduction against the clean clip that the noise was added to."""

import numpy as np
import pytest
import vapoursynth as vs
from drawn_clips import Plane, clip_of, moving, psnr_db, samples

import vsencore

core = vs.core
WIDTH, HEIGHT = 160, 128


def shot(light: float, seed: int, dx: float) -> list[list[Plane]]:
    """Eight frames of drifting texture under full (1) or dim light."""
    return [
        [16 + (y - 16) * light, 128 + (u - 128) * light, 128 + (v - 128) * light]
        for y, u, v in moving(WIDTH, HEIGHT, 8, dx=dx, dy=0.5, seed=seed)
    ]


def noisy(frames: list[list[Plane]], sigma: float) -> list[list[Plane]]:
    dice = np.random.default_rng(5)
    return [[plane + dice.normal(0, sigma, plane.shape) for plane in frame] for frame in frames]


def gain_db(clip: vs.VideoNode, strength: float, clean: Plane, plane: int = 0) -> float:
    result = vsencore.restore(clip, strength)
    before = psnr_db(samples(clip, 4, plane), clean, 255)
    return psnr_db(samples(result, 4, plane) / 256, clean, 255) - before


@pytest.mark.parametrize("light", [1.0, 0.15], ids=["full light", "dim light"])
@pytest.mark.parametrize("sigma", [1.5, 4.0])
def test_noise_falls_in_a_moving_picture(sigma: float, light: float) -> None:
    clean = shot(light, seed=1, dx=1)
    clip = clip_of(noisy(clean, sigma))
    assert gain_db(clip, 0.5, clean[4][0]) > 4
    assert gain_db(clip, 0.5, clean[4][1], plane=1) > 3


def test_more_strength_takes_more_noise_and_a_trace_takes_a_trace() -> None:
    clean = shot(1.0, seed=1, dx=1)
    clip = clip_of(noisy(clean, 4))
    gains = [gain_db(clip, strength, clean[4][0]) for strength in (0.01, 0.25, 0.5, 1)]
    assert gains == sorted(gains)
    assert gains[0] < 0.3


def test_strength_0_gives_the_very_same_clip() -> None:
    clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=1)
    assert vsencore.restore(clip, 0) is clip


@pytest.mark.parametrize("light", [1.0, 0.15], ids=["full light", "dim light"])
def test_nothing_crosses_a_cut(light: float) -> None:
    before, after = noisy(shot(light, 1, 1), 2), noisy(shot(light, 9, -1), 2)
    joined = vsencore.restore(clip_of(before + after), 1)
    for n, alone in ((7, clip_of(before)), (8, clip_of(after))):
        apart = vsencore.restore(alone, 1)
        np.testing.assert_array_equal(samples(joined, n), samples(apart, n % 8))


def test_a_flash_is_left_in_its_own_frame() -> None:
    clean = shot(0.3, seed=1, dx=1)
    clean[4][0] = np.minimum(clean[4][0] * 3.5, 235)
    clip = clip_of(noisy(clean, 2))
    result = vsencore.restore(clip, 1)
    for n in range(2, 7):
        assert samples(result, n).mean() / 256 == pytest.approx(samples(clip, n).mean(), abs=0.2)


def test_a_frame_is_the_same_whichever_is_asked_for_first() -> None:
    clip = clip_of(noisy(shot(1.0, 1, 1), 3))
    forwards, backwards = vsencore.restore(clip, 0.7), vsencore.restore(clip, 0.7)
    first = [samples(forwards, n) for n in range(8)]
    last = [samples(backwards, n) for n in reversed(range(8))]
    for n in range(8):
        np.testing.assert_array_equal(first[n], last[7 - n])


@pytest.mark.parametrize("size", [(8, 4), (52, 22), (160, 90)], ids=str)
@pytest.mark.parametrize(
    "format", [vs.GRAY8, vs.YUV420P8, vs.YUV422P10, vs.YUV444P16, vs.YUV440P8, vs.YUV411P8]
)
def test_any_integer_format_and_size_goes_through(format: int, size: tuple[int, int]) -> None:
    clip = core.std.BlankClip(format=format, width=size[0], height=size[1], length=1)
    result = vsencore.restore(clip)
    assert (result.width, result.height, result.num_frames) == (*size, 1)
    assert result.format.bits_per_sample == 16
    assert result.format.subsampling_h == clip.format.subsampling_h
    result.get_frame(0).close()


def test_the_properties_are_the_source_s() -> None:
    clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=1)
    facts = {"_Matrix": 6, "_Range": 1, "_SARNum": 8, "_SARDen": 9, "_FieldBased": 0, "mine": 1}
    clip = clip.std.SetFrameProps(**facts)
    assert dict(vsencore.restore(clip).get_frame(0).props) == dict(clip.get_frame(0).props)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strength": 1.5}, r"^restore: strength must be from 0 to 1, not 1\.5$"),
        ({"strength": -1}, r"^restore: strength must be from 0 to 1, not -1$"),
        ({"strength": float("nan")}, r"^restore: strength must be from 0 to 1, not nan$"),
        ({"strength": "high"}, r'^restore: strength must be a number from 0 to 1, not "high"$'),
        (
            {"method": "degrian"},
            r'^restore: method must be "degrain" or "framenet", .*did you mean "degrain"\?',
        ),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], message: str) -> None:
    clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=1)
    with pytest.raises(vs.Error, match=message):
        vsencore.restore(clip, **arguments)


def test_an_interlaced_clip_is_refused() -> None:
    clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=1)
    with pytest.raises(vs.Error, match=r"^restore: clip must be progressive.*deinterlace it first"):
        vsencore.restore(clip.std.SetFieldBased(2))
