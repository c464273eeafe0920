"""The guided filter on a coarse grid: an edge-aware smoothing whose answer is a line at each place.

In every window the input is explained by a line in the guide, `input = slope * guide + level`; the
lines of all windows that see a place are averaged (He et al., Guided Image Filtering, 2010). Made
of a small picture and drawn out over a large one (He and Sun, Fast Guided Filter, 2015), the lines
bring the large guide's edges with them, so that nothing spreads beyond an edge.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from .scaling import resize

__all__ = ["box", "drawn_over", "lines"]

_STRIP_LINES = 64


def box(maps: Tensor, radius: int) -> Tensor:
    """The mean (N, C, h, w) of the 2 * radius + 1 cells each way; what lies outside is left out."""
    rows, columns = maps.shape[-2:]
    return _band(rows, radius, maps.device) @ maps @ _band(columns, radius, maps.device).mT


@cache
def _band(length: int, radius: int, device: torch.device) -> Tensor:
    """A window's mean at each of some cells in a row, as a matrix: grids are small."""
    with torch.inference_mode(False):
        place = torch.arange(length)
        near = ((place[:, None] - place).abs() <= radius).float()
        return (near / near.sum(1, keepdim=True)).to(device)


def lines(
    guide: Tensor, wanted: Tensor, radius: int, flat: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Explain `wanted` by `guide`: slope and level, of the shape of `wanted` (N, C, h, w).

    `guide` has one channel, or as many. `flat` is the variance of a guide that is half
    believed: with less the slope goes to 0 and the level to the mean.
    """
    moments = box(torch.cat([guide, guide * guide, wanted, guide * wanted], 1), radius)
    of_guide, of_wanted = guide.shape[1], wanted.shape[1]
    mean, square, level, both = moments.split((of_guide, of_guide, of_wanted, of_wanted), 1)
    # In the filter as it was published slopes give way as 1 / (1 + flat / spread): squared, an edge
    # keeps its slope where texture a tenth as strong has lost it.
    spread = square - mean * mean
    slope = (both - mean * level) * spread / (spread * spread + flat * flat)
    slope, level = box(torch.cat([slope, level - slope * mean], 1), radius).chunk(2, 1)
    return slope, level


def drawn_over(
    picture: Tensor,
    maps: Tensor,
    shift: tuple[float, float],
    make: Callable[[slice, Tensor], Tensor],
) -> Tensor:
    """Give a picture (N, C, H, W) made of `make(lines, drawn)`, strip of lines by strip.

    `drawn` are the maps (N, M, h, w) of the same view over those lines; that view begins `shift`
    (down, right) inside the picture, in its samples.
    """
    height, width = picture.shape[-2:]
    rows, columns = maps.shape[-2:]
    step = rows / height
    wide = resize(maps, rows, width, "bilinear", (0.0, -shift[1] * columns / width))
    result = torch.empty_like(picture, memory_format=torch.contiguous_format)
    # A strip stays in a processor's cache from step to step.
    tall = _STRIP_LINES if picture.device.type == "cpu" else height
    for top in range(0, height, tall):
        here = slice(top, min(top + tall, height))
        count = here.stop - top
        begin = ((top - shift[0]) * step, 0.0)
        drawn = resize(wide, count, width, "bilinear", begin, (count * step, width))
        result[..., here, :] = make(here, drawn)
    return result
