"""Where on the picture a face is changed: a soft head, in the scene's own grain.

The mask is an ellipse about the head, from the hair line to the jaw, turned as the eyes are, and
soft over its outer part. It follows the track, which is smooth, and grows fainter where the track
is less to be trusted; where faces overlap, they share.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..engine.scaling import resize
from .align import blur
from .detail import Merged
from .tracks import Numbers

__all__ = ["add_shifted", "grain_kept", "head", "shares"]

# Of the box, brow to chin: half of the head's width and height, and how far its middle lies below
# the box's top.
_WIDE, _TALL, _MIDDLE = 0.68, 0.74, 0.46
_SOFT = 0.35
# Grain below two codes of 8 bit is not seen; the finest bands are what is seen of it.
_UNSEEN = 2 / 255
_GRAIN_PX = 2.0
_OUTSIDE = 0.05
_QUIET = 0.3


def head(
    box: Numbers, points: Numbers, size: tuple[int, int], trust: float, device: torch.device
) -> Tensor:
    """The mask (1, 1, *size), 0 to `trust`, of a face in pixels of a crop.

    box: left, top, width, height; points: (5, 2), the eyes first.
    """
    left, top, wide, tall = (float(value) for value in box)
    across, along = (float(value) for value in points[1] - points[0])
    # Eyes seen from the side lie near each other, and their line says little.
    apart = math.hypot(across, along)
    angle = math.atan2(along, across) * min(1.0, apart / (0.3 * wide)) if across > 0 else 0.0
    height, width = size
    down = torch.arange(height, device=device)[:, None] - (top + _MIDDLE * tall)
    right = torch.arange(width, device=device)[None] - (left + wide / 2)
    turned = right * math.cos(angle) + down * math.sin(angle)
    upright = down * math.cos(angle) - right * math.sin(angle)
    out = ((turned / (_WIDE * wide)).square() + (upright / (_TALL * tall)).square()).sqrt()
    soft = ((1 - out) / _SOFT).clamp(0, 1)
    return (soft * soft * (3 - 2 * soft) * trust)[None, None]


def grain_kept(centre: Tensor, made: Merged, mask: Tensor) -> Tensor:
    """The grain that is given back to a merged face so that it has its surroundings'.

    centre and mask: (1, 1, H, W). Grain that nobody sees is not given back, and what is, is the
    face's own.
    """
    height, width = made.apart.shape[-2:]
    outside = resize(mask, height, width, "bilinear") < _OUTSIDE
    around = made.apart[outside.expand_as(made.apart)]
    if not around.numel():
        return torch.zeros_like(centre)
    # What moves in the background is no grain: the calmer part of it tells.
    noise = math.sqrt(float(around.quantile(_QUIET)) / 2)
    kept = max(0.0, 1 - _UNSEEN / max(noise, 1e-6))
    if not kept:
        return torch.zeros_like(centre)
    taken = centre - made.picture
    return kept * (taken - blur(taken, _GRAIN_PX))


def shares(masks: Sequence[Tensor], places: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The masks, less where they overlap, so that nowhere more than 1 is spent.

    places: (left, top) of each mask (1, 1, h, w) in the frame.
    """
    shared = []
    for mask, (left, top) in zip(masks, places, strict=True):
        total = torch.zeros_like(mask)
        for other, (other_left, other_top) in zip(masks, places, strict=True):
            add_shifted(total, other, other_left - left, other_top - top)
        shared.append(mask / total.clamp_min(1))
    return shared


def add_shifted(total: Tensor, other: Tensor, right: int, down: int) -> None:
    """Add another picture where it lies in this one, in its place."""
    height, width = total.shape[-2:]
    first, last = max(0, down), min(height, down + other.shape[-2])
    begin, end = max(0, right), min(width, right + other.shape[-1])
    if first < last and begin < end:
        part = other[..., first - down : last - down, begin - right : end - right]
        total[..., first:last, begin:end] += part
