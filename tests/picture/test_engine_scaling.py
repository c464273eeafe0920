"""Scaling on the device, held to zimg's own (core.resize in float) and to closed forms."""

import numpy as np
import pytest
import torch
import vapoursynth as vs
from hypothesis import given, settings
from hypothesis import strategies as st

from vsencore.engine.scaling import KERNELS, Kernel, resize

core = vs.core

HEIGHT, WIDTH = 40, 52
ONE_CODE = 1 / 876  # at 10 bit, limited range
ZIMG = {
    "bilinear": ("Bilinear", {}),
    "bicubic": ("Bicubic", {}),
    "spline36": ("Spline36", {}),
    "spline64": ("Spline64", {}),
    "lanczos3": ("Lanczos", {"filter_param_a": 3}),
    "lanczos4": ("Lanczos", {"filter_param_a": 4}),
}


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """White noise over a slope: every frequency is there, and the edges are unlike each other."""
    noise = np.random.default_rng(7).random((HEIGHT, WIDTH))
    slope = np.linspace(0, 1, WIDTH) + np.linspace(0, 1, HEIGHT)[:, None]
    return ((noise + slope) / 3).astype(np.float32)


def by_zimg(picture: np.ndarray, width: int, height: int, kernel: str, **where: float):
    clip = core.std.BlankClip(
        format=vs.GRAYS, width=picture.shape[1], height=picture.shape[0], length=1
    )

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        drawn = f.copy()
        np.asarray(drawn[0])[:] = picture
        return drawn

    name, arguments = ZIMG[kernel]
    drawn = clip.std.ModifyFrame(clip, draw)
    scaled = getattr(drawn.resize, name)(width=width, height=height, **arguments, **where)
    return np.array(scaled.get_frame(0)[0])


def by_encore(picture: np.ndarray, width: int, height: int, kernel: Kernel, **where) -> np.ndarray:
    scaled = resize(torch.from_numpy(picture)[None, None], height, width, kernel, **where)
    return scaled[0, 0].numpy()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [0.5, 0.7, 1.5, 2, 3.75])
def test_every_kernel_scales_as_zimg_does(picture, kernel, scale):
    width, height = round(WIDTH * scale), round(HEIGHT * scale)
    ours = by_encore(picture, width, height, kernel)
    assert np.abs(ours - by_zimg(picture, width, height, kernel)).max() < ONE_CODE / 100


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [0.7, 1, 2])
@pytest.mark.parametrize(("down", "right"), [(0.25, -0.25), (-1.7, 3.4)])
def test_a_shift_moves_the_picture_as_src_top_and_src_left_do(picture, kernel, scale, down, right):
    width, height = round(WIDTH * scale), round(HEIGHT * scale)
    ours = by_encore(picture, width, height, kernel, shift=(down, right))
    theirs = by_zimg(picture, width, height, kernel, src_top=down, src_left=right)
    assert np.abs(ours - theirs).max() < ONE_CODE / 100


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_window_shows_a_part_as_src_width_and_src_height_do(picture, kernel):
    ours = by_encore(picture, 97, 61, kernel, shift=(3.3, 5.5), window=(31.25, 40.5))
    theirs = by_zimg(
        picture, 97, 61, kernel, src_top=3.3, src_left=5.5, src_height=31.25, src_width=40.5
    )
    assert np.abs(ours - theirs).max() < ONE_CODE / 100


def test_an_axis_that_stays_keeps_its_samples():
    x = torch.rand(1, 1, 9, 11)
    assert torch.equal(resize(x, 9, 11), x)


def test_each_picture_of_a_batch_is_scaled_as_if_alone():
    batch = torch.rand(3, 2, 24, 30)
    whole = resize(batch, 45, 41)
    alone = torch.cat([resize(one[None], 45, 41) for one in batch])
    assert (whole - alone).abs().max() < 1e-6


@settings(max_examples=60, deadline=None)
@given(
    source=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    kernel=st.sampled_from(list(KERNELS)),
    shift=st.floats(-3, 3),
)
def test_a_flat_picture_stays_flat_at_every_size(source, size, kernel, shift):
    flat = torch.full((1, 1, *source), 0.7)
    scaled = resize(flat, *size, kernel=kernel, shift=(shift, -shift))
    assert scaled.shape[2:] == size
    assert (scaled - 0.7).abs().max() < 2e-6


@pytest.mark.parametrize("kernel", ["bicubic", "spline36", "spline64", "lanczos3", "lanczos4"])
def test_halving_keeps_no_detail_that_the_result_cannot_hold(kernel):
    # The finest stripes are at twice the limit of a picture of half the width.
    stripes = (torch.arange(128) % 2).float().expand(1, 1, 128, 128).contiguous()
    halved = resize(stripes, 128, 64, kernel)[..., 8:-8]
    assert (halved - 0.5).abs().max() < 0.03


def test_a_field_stretched_by_a_quarter_line_falls_on_its_own_lines():
    lines = torch.linspace(0, 1, 64).view(1, 1, 64, 1).expand(1, 1, 64, 64).contiguous()
    top = resize(lines[:, :, 0::2], 64, 64, shift=(0.25, 0))
    bottom = resize(lines[:, :, 1::2], 64, 64, shift=(-0.25, 0))
    inside = slice(8, -8)
    assert (top - lines)[:, :, inside].abs().max() < 1e-6
    assert (bottom - lines)[:, :, inside].abs().max() < 1e-6


def test_a_picture_in_half_precision_stays_in_it():
    x = torch.rand(1, 3, 16, 16).to(torch.bfloat16)
    assert resize(x, 32, 32).dtype == torch.bfloat16


def test_what_inference_has_cached_training_may_use():
    with torch.inference_mode():
        resize(torch.rand(1, 1, 21, 23), 34, 37)
    x = torch.rand(1, 1, 21, 23, requires_grad=True)
    resize(x, 34, 37).sum().backward()
    assert x.grad is not None


def test_an_unknown_kernel_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match="kernel is 'point', and may be bilinear, bicubic"):
        resize(torch.rand(1, 1, 8, 8), 16, 16, "point")  # type: ignore[arg-type]
