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
    growth: tuple[int, int],
    receptive_px: int,
    tile_px: int,
    multiple_of: int = 1,
    minimum_px: int = 1,
) -> Tensor:
    """Give run(window) of (N, T, C, H, W), tile by tile.

    `growth` is how many times higher and wider than the window the result is. `tile_px` is the side
    of a core in input pixels; tiles are that and what surrounds them. Tiles are multiples of
    `multiple_of` and no smaller than `minimum_px`, where the window is.
    """
    n, _, _, height, width = window.shape
    step = max(multiple_of, tile_px // multiple_of * multiple_of)
    margin = receptive_px + _FADE_PX
    margin += -margin % multiple_of
    least = minimum_px + -minimum_px % multiple_of
    result: Tensor | None = None
    higher, wider = growth
    weight = torch.zeros((1, 1, height * higher, width * wider), device=window.device)
    for top in range(0, height, step):
        for left in range(0, width, step):
            bottom, right = min(height, top + step), min(width, left + step)
            y0, y1 = _around(top, bottom, margin, least, height)
            x0, x1 = _around(left, right, margin, least, width)
            part = run(window[..., y0:y1, x0:x1])
            if result is None:
                shape = (n, part.shape[1], height * higher, width * wider)
                result = torch.zeros(shape, dtype=torch.float32, device=window.device)
            rows = _fade(top, bottom, y0, y1, height, higher, part.device)
            columns = _fade(left, right, x0, x1, width, wider, part.device)
            mask = rows[:, None] * columns[None, :]
            place = (..., slice(y0 * higher, y1 * higher), slice(x0 * wider, x1 * wider))
            result[place] += part.float() * mask
            weight[place] += mask
    assert result is not None
    return result / weight


def _around(first: int, last: int, margin: int, least: int, size: int) -> tuple[int, int]:
    """Where the tile of a core first..last begins and ends: a thin one grows into the picture."""
    begin = max(0, min(first - margin, size - least))
    return begin, min(size, max(last + margin, begin + least))


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
