"""Products with banded matrices: what scales a picture, or averages it, along one axis.

Every sample of a result is a weighted sum of a few neighbours in the source. The band is cut into
blocks of 32 results, or of 16 where results are fewer than samples: each block reads one short
window of the source, and all blocks are one batched matrix product. That is close to the speed of
memory on CPU and CUDA alike, for any ratio. A tap-by-tap sum is 6 times slower on a CPU and a
product with the whole matrix 7 times (720x576 to 2880x2160, three planes).

On a CPU large windows are not gathered: each block is a product of its own, read and written where
it lies. The sums are the same to the bit.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["BLOCK_OF_FEWER", "Band", "across", "band", "down", "lines_of"]

# Results a block: 16 to 64 are alike, and below products are too small to be fast. Of fewer results
# than samples windows are long, and mostly 0 for each.
BLOCK, BLOCK_OF_FEWER = 32, 16
# Samples of a window from which a product of its own costs less than its place in a batch.
_LARGE_DOWN, _LARGE_ACROSS = 32768, 4096


@dataclass(frozen=True, eq=False)
class Band:
    """A matrix of `size` rows as blocks.

    weights: (count, block, taps), rows beyond `size` 0. starts: where each block's window begins.
    places: (count * taps), what all of them read.
    """

    size: int
    weights: Tensor
    starts: tuple[int, ...]
    places: Tensor


def band(matrix: Tensor, device: torch.device, dtype: torch.dtype) -> Band:
    """Cut a matrix (size, source) of float64 into blocks; each row has something in it."""
    size, source = matrix.shape
    rows = BLOCK if size >= source else BLOCK_OF_FEWER
    edges = range(0, size, rows)
    used = [(matrix[edge : edge + rows] != 0).any(0).nonzero() for edge in edges]
    taps = max(int(columns[-1] - columns[0]) + 1 for columns in used)
    starts = [min(int(columns[0]), source - taps) for columns in used]
    weights = torch.zeros(len(edges), rows, taps, dtype=torch.float64)
    for block, (edge, start) in enumerate(zip(edges, starts, strict=True)):
        part = matrix[edge : edge + rows, start : start + taps]
        weights[block, : part.shape[0]] = part
    places = torch.tensor(starts)[:, None] + torch.arange(taps)
    return Band(size, weights.to(dtype).to(device), tuple(starts), places.reshape(-1).to(device))


def down(x: Tensor, by: Band) -> Tensor:
    """The matrix times the columns of pictures (N, C, H, W): (N, C, size, W)."""
    samples, channels, _, width = x.shape
    count, rows, taps = by.weights.shape
    if _apart(x, width * taps, _LARGE_DOWN):
        result = x.new_empty(samples * channels, by.size, width)
        for plane, made in zip(x.flatten(0, 1), result, strict=True):
            for start, weights, room in zip(by.starts, by.weights, made.split(rows), strict=True):
                torch.mm(weights[: len(room)], plane[start : start + taps], out=room)
        return result.view(samples, channels, by.size, width)
    windows = x.index_select(2, by.places).view(samples * channels, count, taps, width)
    blocks = torch.matmul(by.weights, windows)
    return blocks.view(samples, channels, count * rows, width)[:, :, : by.size]


def lines_of(x: Tensor, by: Band, lines: slice) -> Tensor:
    """Some lines of `down`: all of them, or some of one block."""
    if lines == slice(0, by.size):
        return down(x, by)
    number, first = divmod(lines.start, by.weights.shape[1])
    weights = by.weights[number, first : first + lines.stop - lines.start]
    assert len(weights) == lines.stop - lines.start, "lines must lie in one block"
    start = by.starts[number]
    return torch.matmul(weights, x[:, :, start : start + weights.shape[-1]])


def across(x: Tensor, by: Band) -> Tensor:
    """The matrix times the rows of pictures (N, C, H, W): (N, C, H, size)."""
    samples, channels, height, width = x.shape
    count, columns, taps = by.weights.shape
    lines = samples * channels * height
    if _apart(x, lines * taps, _LARGE_ACROSS):
        flat, result = x.reshape(lines, width), x.new_empty(lines, by.size)
        for start, weights, room in zip(
            by.starts, by.weights, result.split(columns, 1), strict=True
        ):
            torch.mm(flat[:, start : start + taps], weights[: room.shape[1]].mT, out=room)
        return result.view(samples, channels, height, by.size)
    windows = x.index_select(3, by.places).view(lines, count, taps).transpose(0, 1)
    blocks = torch.bmm(windows, by.weights.transpose(1, 2)).transpose(0, 1)
    return blocks.reshape(samples, channels, height, count * columns)[..., : by.size]


def _apart(x: Tensor, samples: int, large: int) -> bool:
    """Whether blocks are worked one by one; what is trained cannot be written into its place."""
    return x.device.type == "cpu" and samples >= large and not x.requires_grad
