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

from . import bands
from .scaling import band, resize
from .strips import strips

__all__ = ["box", "drawn_over", "lines"]


def box(maps: Tensor, radius: int) -> Tensor:
    """The mean (N, C, h, w) of the 2 * radius + 1 cells each way; what lies outside is left out."""
    rows, columns = (_window(length, radius, maps.device) for length in maps.shape[-2:])
    return bands.across(bands.down(maps, rows), columns)


@cache
def _window(length: int, radius: int, device: torch.device) -> bands.Band:
    """A window's mean at each of some cells in a row, as a matrix."""
    with torch.inference_mode(False):
        place = torch.arange(length)
        near = ((place[:, None] - place).abs() <= radius).double()
        return bands.band(near / near.sum(1, keepdim=True), device, torch.float32)


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
    make: Callable[[slice, Tensor, Tensor], None],
) -> Tensor:
    """Give a picture (N, C, H, W) that `make(lines, drawn, room)` writes, strip of lines by strip.

    `drawn` are the maps (N, M, h, w) of the same view over those lines; that view begins `shift`
    (down, right) inside the picture, in its samples. `room` is where the lines go; both are new.
    """
    height, width = picture.shape[-2:]
    rows, columns = maps.shape[-2:]
    wide = resize(maps, rows, width, "bilinear", (0.0, -shift[1] * columns / width))
    begin = -shift[0] * rows / height
    down = band(rows, height, "bilinear", begin, rows, maps.device, maps.dtype)
    result = torch.empty_like(picture, memory_format=torch.contiguous_format)
    for here in strips(picture):
        make(here, bands.lines_of(wide, down, here), result[..., here, :])
    return result
