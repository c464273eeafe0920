"""Scaling of pictures by separable polyphase kernels, on whatever device holds them.

Every sample of a result is a weighted sum of a few neighbours in the source, so a pass along one
axis is a product with a banded matrix (`bands`). The kernels and the edges are zimg's: a kernel
widens when the picture shrinks, weights are made to sum to 1, and what lies beyond an edge is the
picture mirrored in it.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from . import bands

__all__ = ["Kernel", "band", "resize"]

Kernel = Literal["bilinear", "bicubic", "spline36", "spline64", "lanczos3", "lanczos4"]


def resize(
    x: Tensor,
    height: int,
    width: int,
    kernel: Kernel = "spline36",
    shift: tuple[float, float] = (0.0, 0.0),
    window: tuple[float, float] | None = None,
) -> Tensor:
    """Scale pictures (N, C, H, W) to (N, C, height, width).

    `shift` (down, right) and `window` (height, width) choose the part of the source that is shown,
    in its own samples: the part begins `shift` from the outer edge of the first sample, as src_top,
    src_left, src_height and src_width of VapourSynth's resize. The whole is shown by default. An
    axis that stays as it is costs nothing and keeps its samples bit for bit.

    A deinterlacer that stretches a top field over a frame's lines shifts by 0.25, a bottom one by
    -0.25: the lines of the field then fall on their own lines of the frame.
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel is {kernel!r}, and may be {', '.join(KERNELS)}")
    if height < 1 or width < 1:
        raise ValueError(f"a picture cannot be scaled to {width}x{height}")
    shown_height, shown_width = window or (x.shape[-2], x.shape[-1])

    def across(picture: Tensor) -> Tensor:
        return _across(picture, width, kernel, shift[1], shown_width)

    def down(picture: Tensor) -> Tensor:
        return _down(picture, height, kernel, shift[0], shown_height)

    # The pass along the rows costs about three times the other, so it gets the fewer rows.
    return across(down(x)) if height < x.shape[-2] else down(across(x))


def _down(x: Tensor, size: int, kernel: Kernel, shift: float, window: float) -> Tensor:
    height = x.shape[-2]
    if size == height == window and shift == 0:
        return x
    return bands.down(x, band(height, size, kernel, shift, window, x.device, x.dtype))


def _across(x: Tensor, size: int, kernel: Kernel, shift: float, window: float) -> Tensor:
    width = x.shape[-1]
    if size == width == window and shift == 0:
        return x
    return bands.across(x, band(width, size, kernel, shift, window, x.device, x.dtype))


@lru_cache(maxsize=128)
def band(
    source: int,
    size: int,
    kernel: Kernel,
    shift: float,
    window: float,
    device: torch.device,
    dtype: torch.dtype,
) -> bands.Band:
    """What scales one axis, as `resize` does; it is kept."""
    # A plain tensor, so that training may use what inference has cached.
    with torch.inference_mode(False):
        return bands.band(weight_matrix(source, size, kernel, shift, window), device, dtype)


def weight_matrix(source: int, size: int, kernel: Kernel, shift: float, window: float) -> Tensor:
    """Give the matrix (size, source), in float64, that scales one axis."""
    support, weigh = KERNELS[kernel]
    scale = size / window
    step = min(scale, 1.0)
    taps = 2 * math.ceil(support / step)
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) / scale + shift
    first = torch.floor(centres - taps / 2 + 0.5)
    places = first[:, None] + torch.arange(taps)
    weights = weigh(((places + 0.5 - centres[:, None]) * step).abs())
    weights /= weights.sum(1, keepdim=True)
    mirrored = torch.where(places < 0, -1 - places, places)
    mirrored = torch.where(mirrored >= source, 2 * source - 1 - mirrored, mirrored)
    matrix = torch.zeros(size, source, dtype=torch.float64)
    # Beyond a whole picture's width there is no second mirror: the outermost sample stands there.
    return matrix.scatter_add_(1, mirrored.clamp(0, source - 1).long(), weights)


def _bilinear(x: Tensor) -> Tensor:
    return (1 - x).clamp_min(0)


def _bicubic(x: Tensor) -> Tensor:
    """The interpolating cubic of Keys (1981), b = 0 and c = 0.5: VapourSynth's default."""
    return _pieces(x, [(1, 0, -2.5, 1.5), (0, -0.5, 1, -0.5)])


def _spline36(x: Tensor) -> Tensor:
    return _pieces(
        x,
        [
            (1, -3 / 209, -453 / 209, 13 / 11),
            (0, -156 / 209, 270 / 209, -6 / 11),
            (0, 26 / 209, -45 / 209, 1 / 11),
        ],
    )


def _spline64(x: Tensor) -> Tensor:
    return _pieces(
        x,
        [
            (1, -3 / 2911, -6387 / 2911, 49 / 41),
            (0, -2328 / 2911, 4032 / 2911, -24 / 41),
            (0, 582 / 2911, -1008 / 2911, 6 / 41),
            (0, -97 / 2911, 168 / 2911, -1 / 41),
        ],
    )


def _lanczos3(x: Tensor) -> Tensor:
    return torch.where(x < 3, torch.sinc(x) * torch.sinc(x / 3), 0.0)


def _lanczos4(x: Tensor) -> Tensor:
    return torch.where(x < 4, torch.sinc(x) * torch.sinc(x / 4), 0.0)


def _pieces(x: Tensor, cubics: list[tuple[float, float, float, float]]) -> Tensor:
    """Evaluate a piecewise cubic: piece n, in powers of x - n, from n to n + 1; 0 beyond."""
    result = torch.zeros_like(x)
    for start, (a, b, c, d) in enumerate(cubics):
        t = x - start
        piece = a + t * (b + t * (c + t * d))
        result = torch.where((x >= start) & (x < start + 1), piece, result)
    return result


KERNELS: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "bilinear": (1, _bilinear),
    "bicubic": (2, _bicubic),
    "spline36": (3, _spline36),
    "spline64": (4, _spline64),
    "lanczos3": (3, _lanczos3),
    "lanczos4": (4, _lanczos4),
}
"""Each kernel's support, in source samples a side, and its weight at a distance."""
