"""Recordings that were made: against the truth's own lines, and against VapourSynth's resizer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import vapoursynth as vs
from numpy.typing import NDArray

from encore.degradation import Recipe, draw, light_up, record
from encore.degradation.camera import shoot

CLEAN = Recipe(seed=3, kbps=9000)


def luma(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    return 16 + picture.astype(float) @ (0.299, 0.587, 0.114) * 219 / 255


def drifting(moments: int, height: int = 576, width: int = 720) -> NDArray[np.uint8]:
    """Soft colours that move one pixel a moment."""
    y, x = np.mgrid[:height, :width].astype(float)
    pictures = [
        np.stack([np.sin((x + t) / 37 + n) * np.cos((y - t) / 29 - n) for n in range(3)], -1)
        for t in range(moments)
    ]
    return np.round(128 + 70 * np.stack(pictures)).astype(np.uint8)


def bar(moments: int) -> NDArray[np.uint8]:
    """A white bar that goes 16 pixels to the right each moment."""
    pictures = np.full((moments, 576, 720, 3), 20, np.uint8)
    for t in range(moments):
        pictures[t, :, 100 + 16 * t : 140 + 16 * t] = 220
    return pictures


def psnr(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other.astype(float)) ** 2)))


@pytest.mark.parametrize("codec", ["mpeg2", "h264"])
def test_the_same_recipe_gives_the_same_bytes(codec: str) -> None:
    recipe = replace(draw(np.random.default_rng(5), system="pal", damage="heavy"), codec=codec)
    truth = light_up(drifting(4), recipe)
    once, again = record(truth, recipe), record(light_up(drifting(4), recipe), recipe)
    for plane in "yuv":
        assert np.array_equal(getattr(once, plane), getattr(again, plane))


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("codec", ["mpeg2", "h264", "dv"])
def test_fields_are_the_lines_of_their_own_moments(codec: str, top_first: bool) -> None:
    if codec == "dv" and top_first:
        pytest.skip("DV has the bottom field first")
    truth = drifting(8)
    recording = record(truth, replace(CLEAN, codec=codec, top_first=top_first))
    y, u, v = recording.fields()
    assert y.shape == (8, 288, 720)
    assert u.shape == v.shape == (8, 144, 360)
    for moment, field in enumerate(y):
        first = 0 if (moment % 2 == 0) == top_first else 1
        assert psnr(field, luma(truth[moment])[first::2]) > 38
        assert psnr(field, luma(truth[moment])[1 - first :: 2]) < psnr(
            field, luma(truth[moment])[first::2]
        )


@pytest.mark.parametrize("top_first", [True, False])
def test_a_moving_bar_moves_on_in_every_field(top_first: bool) -> None:
    y, _, _ = record(bar(8), replace(CLEAN, top_first=top_first)).fields()
    bright = np.clip(y.astype(float) - 40, 0, None).sum(1)
    middle = (bright * np.arange(720)).sum(1) / bright.sum(1)
    assert np.allclose(np.diff(middle), 16, atol=1.0)


@pytest.mark.parametrize("mode", ["top", "bottom", "progressive"])
def test_chroma_sits_where_vapoursynth_puts_it(mode: str) -> None:
    truth = np.repeat(drifting(1), 2, 0)
    recipe = replace(CLEAN, interlaced=mode != "progressive", top_first=mode != "bottom")
    signal = shoot(truth, recipe)
    clip = vs.core.std.BlankClip(width=720, height=576, format=vs.RGB24, length=1)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.copy()
        for plane in range(3):
            np.asarray(frame[plane])[:] = truth[0, ..., plane]
        return frame

    clip = clip.std.ModifyFrame(clip, fill)
    clip = clip.std.SetFrameProps(_FieldBased={"progressive": 0, "bottom": 1, "top": 2}[mode])
    frame = clip.resize.Bilinear(
        format=vs.YUV420P8, matrix_s="170m", chromaloc_s="left", dither_type="none"
    ).get_frame(0)
    for number, plane in enumerate((signal.y, signal.u, signal.v)):
        theirs = np.asarray(frame[number]).astype(float)
        inner = slice(4, -4)
        for moment, ours in enumerate(plane):
            top = recipe.top_first == (moment == 0)
            lines = theirs[(0 if top else 1) :: 2] if recipe.interlaced else theirs
            assert np.abs(ours - lines)[inner, inner].max() < 2


@pytest.mark.parametrize(("moments", "frames"), [(2, 1), (10, 5), (24, 12)])
def test_two_moments_make_a_frame(moments: int, frames: int) -> None:
    assert len(record(drifting(moments, 144, 180), CLEAN).y) == frames


def test_a_progressive_recording_has_a_frame_for_each_moment() -> None:
    truth = drifting(5)
    recording = record(truth, replace(CLEAN, interlaced=False))
    assert recording.y.shape == (5, 576, 720)
    assert psnr(recording.y, luma(truth)) > 38


def test_an_odd_number_of_moments_is_refused() -> None:
    with pytest.raises(ValueError, match=r"even number of moments.*got 3"):
        record(drifting(3), CLEAN)


def test_calm_light_keeps_the_picture_and_a_strobe_does_not() -> None:
    still = np.repeat(drifting(1, 96, 128), 20, 0)
    calm, strobe = (
        light_up(still, Recipe(seed=1, light=light, light_seed=7)).mean((1, 2, 3))
        for light in ("calm", "strobe")
    )
    assert np.abs(np.diff(calm)).max() < 6
    assert np.abs(np.diff(strobe)).max() > 20
    corner = np.corrcoef(still[0].ravel(), light_up(still, Recipe(seed=1))[0].ravel())[0, 1]
    assert corner > 0.95
