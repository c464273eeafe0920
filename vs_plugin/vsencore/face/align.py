"""One face in several frames, brought to the place that it has in one of them.

The five points give a similarity (Umeyama, Least-Squares Estimation of Transformation Parameters,
1991): where the head went, how it turned and grew. What a face does besides (a mouth that opens, a
head that turns in depth) is a small flow on top, found by Lucas and Kanade's method from coarse to
fine (An Iterative Image Registration Technique, 1981), with the centre's gradients, so that their
products are summed once for all neighbours. Pictures are sampled only once, at the end.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..engine.guided import box
from ..engine.scaling import resize

__all__ = ["blur", "flow", "similarity", "warp"]

Points = NDArray[np.float64]

# How much smaller the pictures are that are compared, and how often; what is too small is left out.
_LEVELS, _STEPS = (2, 1), (3, 2)
_LEAST_PX = 24
_AROUND = 5
# A gradient, in parts of full light a pixel, that is told from noise; and how far a flow may lead,
# as a part of the crop: farther is another face, or none.
_FAINT = 0.01
_FARTHEST = 0.05


def similarity(origin: Points, target: Points) -> Points:
    """The (2, 3) matrix of the turn, scale and shift that lead points (n, 2) nearest to `target`.

    Points that all lie in one place give a shift.
    """
    mean_from, mean_to = origin.mean(0), target.mean(0)
    one = (origin - mean_from) @ np.array([1, 1j])
    other = (target - mean_to) @ np.array([1, 1j])
    size = float((one * one.conj()).real.sum())
    factor = complex((one.conj() * other).sum() / size) if size > 1e-9 else 1 + 0j
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.concatenate([turn, (mean_to - turn @ mean_from)[:, None]], 1)


def warp(
    pictures: Tensor,
    maps: Tensor,
    size: tuple[int, int],
    moved: Tensor | None = None,
    mode: Literal["bicubic", "bilinear"] = "bicubic",
) -> Tensor:
    """Sample pictures (K, C, h, w) at the places that maps lead to: (K, C, *size).

    maps: (K, 2, 3), from pixels of the result to pixels of each picture, whole numbers at their
    middles. moved: (K, 2, *size), right and down, in pixels of the result: what is first added to
    its places. Beyond its edges a picture's outermost pixels stand.
    """
    height, width = size
    down, right = torch.meshgrid(
        torch.arange(height, device=pictures.device, dtype=torch.float32),
        torch.arange(width, device=pictures.device, dtype=torch.float32),
        indexing="ij",
    )
    places = torch.stack([right, down])[None]
    if moved is not None:
        places = places + moved
    there = torch.einsum("kab,kbhw->kahw", maps[:, :, :2], places.expand(len(maps), -1, -1, -1))
    there += maps[:, :, 2, None, None]
    return _sampled(pictures, there, mode)


def flow(neighbours: Tensor, centre: Tensor, noise: float = 0.0) -> Tensor:
    """How far the neighbours' content lies from the centre's: (K, 2, H, W), right and down, pixels.

    neighbours (K, 1, H, W) and centre (1, 1, H, W) are lit alike and near each other. `noise`, a
    deviation, makes the flow stiffer. Sampling the neighbours at each place plus the flow there
    gives the centre's picture.
    """
    height, width = centre.shape[-2:]
    found: Tensor | None = None
    for level, steps in zip(_LEVELS, _STEPS, strict=True):
        if min(height, width) // level < _LEAST_PX and level > 1:
            continue
        size = (-(-height // level), -(-width // level))
        small, wanted = (resize(one, *size, "bilinear") for one in (neighbours, centre))
        if found is None:
            found = small.new_zeros(len(small), 2, *size)
        else:
            growth = size[0] / found.shape[-2]
            found = resize(found, *size, "bilinear") * growth
        found = _followed(small, wanted, found, steps, noise)
    assert found is not None
    return found


def blur(pictures: Tensor, deviation_px: float) -> Tensor:
    """A Gaussian's blur of (K, C, H, W), its edges repeated."""
    reach = min(max(1, round(2.5 * deviation_px)), min(pictures.shape[-2:]) - 1)
    place = torch.arange(-reach, reach + 1, device=pictures.device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (place / deviation_px) ** 2)
    weights = weights / weights.sum()
    flat = pictures.flatten(0, 1)[:, None]
    wide = functional.pad(flat, (reach, reach, reach, reach), mode="replicate")
    down = functional.conv2d(wide, weights[None, None, :, None])
    return functional.conv2d(down, weights[None, None, None]).view(pictures.shape)


def _followed(small: Tensor, wanted: Tensor, found: Tensor, steps: int, noise: float) -> Tensor:
    """The flow after some steps at one size."""
    slopes = torch.cat([_slope(wanted, -1), _slope(wanted, -2)], 1)
    doubt = _FAINT**2 + noise * noise
    sums = box(torch.cat([slopes * slopes, slopes[:, :1] * slopes[:, 1:]], 1), _AROUND)
    squares, both = sums[:, :2] + doubt, sums[:, 2:]
    of_other = squares.flip(1)
    share = 1 / (squares[:, :1] * squares[:, 1:] - both * both)
    farthest = _FARTHEST * max(wanted.shape[-2:])
    height, width = wanted.shape[-2:]
    down, right = torch.meshgrid(
        torch.arange(height, device=small.device, dtype=torch.float32),
        torch.arange(width, device=small.device, dtype=torch.float32),
        indexing="ij",
    )
    places = torch.stack([right, down])[None]
    for _ in range(steps):
        off = wanted - _sampled(small, places + found, "bilinear")
        # What is far off (a hand, a new shadow) must not pull as if it had only moved.
        off = off / (off / 0.1).square_().add_(1)
        pulled = box(slopes * off, _AROUND)
        # Cramer's rule: each slope's own part, less the other's.
        step = (of_other * pulled).sub_(both * pulled.flip(1)).mul_(share)
        found = step.clamp_(-1, 1).add_(found).clamp_(-farthest, farthest)
    return box(found, _AROUND // 2)


def _slope(pictures: Tensor, axis: int) -> Tensor:
    before, after = pictures.roll(1, axis), pictures.roll(-1, axis)
    slope = (after - before) / 2
    slope.narrow(axis, 0, 1).zero_()
    slope.narrow(axis, slope.shape[axis] - 1, 1).zero_()
    return slope


def _sampled(pictures: Tensor, there: Tensor, mode: str) -> Tensor:
    """Pictures (K, C, h, w) at places (K, 2, H, W), in their pixels; `there` is spent."""
    size = there.new_tensor([pictures.shape[-1], pictures.shape[-2]])[:, None, None]
    grid = there.mul_(2).add_(1).div_(size).sub_(1).permute(0, 2, 3, 1)
    return functional.grid_sample(
        pictures, grid, mode=mode, padding_mode="border", align_corners=False
    )
