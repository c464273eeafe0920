"""Runs a stage on a picture that does not fit into memory, in tiles without a seam.

Every tile is cut with as much around it as a result pixel can see (the receptive field), so that in
its core it equals the whole picture's result. Where cores meet they overlap by a few pixels more
and are cross-faded, which hides what little the arithmetic of another size may differ by.
"""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["run_tiled"]

_FADE_PX = 8


def run_tiled(
    run: Callable[[Tensor], Tensor],
    window: Tensor,
    *,
    scale: int,
    receptive_px: int,
    tile_px: int,
    multiple_of: int = 1,
) -> Tensor:
    """Give run(window) of (N, T, C, H, W) as (N, C, H * scale, W * scale), tile by tile.

    `tile_px` is the side of a core in input pixels; tiles are that and what surrounds them.
    """
    n, _, _, height, width = window.shape
    step = max(multiple_of, tile_px // multiple_of * multiple_of)
    margin = receptive_px + _FADE_PX
    margin += -margin % multiple_of
    result: Tensor | None = None
    weight = torch.zeros((1, 1, height * scale, width * scale), device=window.device)
    for top in range(0, height, step):
        for left in range(0, width, step):
            bottom, right = min(height, top + step), min(width, left + step)
            y0, x0 = max(0, top - margin), max(0, left - margin)
            y1, x1 = min(height, bottom + margin), min(width, right + margin)
            part = run(window[..., y0:y1, x0:x1])
            if result is None:
                shape = (n, part.shape[1], height * scale, width * scale)
                result = torch.zeros(shape, dtype=torch.float32, device=window.device)
            rows = _fade(top, bottom, y0, y1, height, scale, part.device)
            columns = _fade(left, right, x0, x1, width, scale, part.device)
            mask = rows[:, None] * columns[None, :]
            place = (..., slice(y0 * scale, y1 * scale), slice(x0 * scale, x1 * scale))
            result[place] += part.float() * mask
            weight[place] += mask
    assert result is not None
    return result / weight


def _fade(
    first: int, last: int, begin: int, end: int, size: int, scale: int, device: torch.device
) -> Tensor:
    """Weights along one axis of a tile begin..end with core first..last: 1, and ramps outside."""
    at = torch.arange(begin * scale, end * scale, device=device, dtype=torch.float32) + 0.5
    fade = _FADE_PX * scale
    weight = torch.ones_like(at)
    if first > 0:
        weight = torch.minimum(weight, (at - (first * scale - fade)) / (2 * fade))
    if last < size:
        weight = torch.minimum(weight, ((last * scale + fade) - at) / (2 * fade))
    return weight.clamp(0, 1)
