"""Batches of what `pack.py` packed: read, turned, cropped.

A sample seen in a mirror, or backwards in time, is another sample as good; both only reorder the
numbers of a cell. Upside down it is not: the lines of a top field would be a bottom one's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsencore.nets import Shape, int8

__all__ = ["Pack", "Sample", "draw", "draw_pairs", "fixed", "joined", "packs"]

type Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Pack:
    """A film's samples, mapped and not read."""

    folder: Path

    @cached_property
    def arrays(self) -> dict[str, Codes]:
        """cells, chroma, truth_y, truth_uv and index."""
        names = ("cells", "chroma", "truth_y", "truth_uv", "index")
        return {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in names}

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Samples of one tile whose moments follow each other."""
        found = {(moment, tile): n for n, (moment, tile, _) in enumerate(self._index)}
        later = ((n, found.get((at + 1, tile))) for (at, tile), n in found.items())
        return [(n, after) for n, after in later if after is not None]

    def turned(self, number: int) -> bool:
        """Whether a sample was turned upside down."""
        return bool(self._index[number][2])

    def __len__(self) -> int:
        return len(self.arrays["cells"])

    @cached_property
    def _index(self) -> list[tuple[int, int, int]]:
        return [(int(at), int(tile), int(turned)) for at, tile, turned in self.arrays["index"]]


@dataclass(frozen=True)
class Sample:
    """Codes of 8 bit, (N, channels, h, w) each, as `pack.py` tells them."""

    cells: Tensor
    chroma: Tensor
    truth_y: Tensor
    truth_uv: Tensor

    def to(self, device: torch.device) -> "Sample":
        """The same on a device."""
        return Sample(
            *(part.to(device) for part in (self.cells, self.chroma, self.truth_y, self.truth_uv))
        )

    def numbers(self, shape: Shape) -> Tensor:
        """The cells as the network takes them; those of a longer window's middle."""
        codes = self.cells[:, _kept(shape, self.cells.shape[1])]
        return int8.numbers(codes)

    def centre(self) -> Tensor:
        """The centre picture (N, 3, h, w)."""
        at = 4 * (_pictures(self.cells.shape[1]) // 2)
        luma = torch.nn.functional.pixel_shuffle(self.cells[:, at : at + 4].float(), 2)
        return torch.cat([(luma - 16) / 219, (self.chroma.float() - 128) / 224], 1)

    def truth(self) -> tuple[Tensor, Tensor]:
        """Luma and chroma of the truth."""
        return (self.truth_y.float() - 16) / 219, (self.truth_uv.float() - 128) / 224


def packs(folder: Path) -> list[Pack]:
    """All packs under a folder."""
    return [Pack(path) for path in sorted(folder.glob("film_*")) if not path.suffix]


def draw(
    made: Sequence[Pack], dice: np.random.Generator, count: int, size: tuple[int, int]
) -> Sample:
    """Cut `count` samples at random places, `size` being rows and columns of cells."""
    parts = []
    for _ in range(count):
        pack = made[int(dice.integers(len(made)))]
        parts += _somewhere(pack, [int(dice.integers(len(pack)))], dice, size)
    return joined(parts)


def draw_pairs(
    made: Sequence[Pack], dice: np.random.Generator, count: int, size: tuple[int, int]
) -> tuple[Sample, list[tuple[bool, bool]]]:
    """Cut `count` pairs: the same place at two moments that follow each other.

    Samples 2n and 2n + 1 are a pair; told is which of them stand upside down.
    """
    if not any(pack.pairs for pack in made):
        raise ValueError("no pack has two moments that follow each other")
    parts: list[Sample] = []
    turned = []
    while len(parts) < 2 * count:
        pack = made[int(dice.integers(len(made)))]
        if pack.pairs:
            one, other = pack.pairs[int(dice.integers(len(pack.pairs)))]
            parts += _somewhere(pack, [one, other], dice, size)
            turned.append((pack.turned(one), pack.turned(other)))
    return joined(parts), turned


def _somewhere(
    pack: Pack, numbers: Sequence[int], dice: np.random.Generator, size: tuple[int, int]
) -> list[Sample]:
    """Cut the same random place of some samples of one tile."""
    tall, wide = pack.arrays["cells"].shape[2:]
    # The U halves cells: even numbers of them.
    y = 2 * int(dice.integers((tall - size[0]) // 2 + 1))
    x = 2 * int(dice.integers((wide - size[1]) // 2 + 1))
    mirrored, backwards = dice.integers(2), dice.integers(2)
    parts = []
    for number in numbers:
        upside_down = pack.turned(number) != pack.turned(numbers[0])
        part = _cut(pack, number, (tall - size[0] - y if upside_down else y, x), size)
        part = _mirrored(part) if mirrored else part
        parts.append(_reversed(part) if backwards else part)
    return parts


def fixed(made: Sequence[Pack], count: int, size: tuple[int, int]) -> list[Sample]:
    """The same samples every time: one of each pack in turn."""
    samples = []
    for number in range(count):
        pack = made[number % len(made)]
        tall, wide = pack.arrays["cells"].shape[2:]
        small = min(size[0], tall), min(size[1], wide)
        samples.append(_cut(pack, (number // len(made)) * 10 % len(pack), (0, 0), small))
    return samples


def _cut(pack: Pack, number: int, at: tuple[int, int], size: tuple[int, int]) -> Sample:
    arrays, tall = pack.arrays, pack.arrays["cells"].shape[2]

    def part(name: str) -> Tensor:
        plane = arrays[name][number]
        down, across = plane.shape[1] // tall, plane.shape[2] // arrays["cells"].shape[3]
        rows = slice(at[0] * down, (at[0] + size[0]) * down)
        columns = slice(at[1] * across, (at[1] + size[1]) * across)
        return torch.from_numpy(np.array(plane[:, rows, columns]))[None]

    return Sample(part("cells"), part("chroma"), part("truth_y"), part("truth_uv"))


def _pictures(channels: int) -> int:
    return (channels + 1) // 7


def _mirrored(part: Sample) -> Sample:
    """Left and right exchanged: also of the four luma samples in a cell."""
    channels = part.cells.shape[1]
    order = list(range(channels))
    for first in range(0, 4 * _pictures(channels), 2):
        order[first], order[first + 1] = first + 1, first
    return Sample(
        part.cells[:, order].flip(-1),
        part.chroma.flip(-1),
        part.truth_y.flip(-1),
        part.truth_uv.flip(-1),
    )


def _reversed(part: Sample) -> Sample:
    """A show backwards is a show."""
    channels = part.cells.shape[1]
    pictures = _pictures(channels)
    groups = [(0, 4, pictures), (4 * pictures, 2, pictures), (6 * pictures, 1, pictures - 1)]
    order = [
        first + size * picture + number
        for first, size, count in groups
        for picture in reversed(range(count))
        for number in range(size)
    ]
    return Sample(part.cells[:, order], part.chroma, part.truth_y, part.truth_uv)


def _kept(shape: Shape, channels: int) -> list[int]:
    """The numbers of the middle pictures of a window that was packed longer."""
    packed, wanted = _pictures(channels), shape.pictures
    if wanted > packed:
        raise ValueError(f"packed with {packed} pictures, and the network takes {wanted}")
    skip = (packed - wanted) // 2
    luma = range(4 * skip, 4 * (skip + wanted))
    colour = range(4 * packed + 2 * skip, 4 * packed + 2 * (skip + wanted))
    trust = range(6 * packed + skip, 6 * packed + skip + wanted - 1)
    return [*luma, *colour, *trust]


def joined(parts: Sequence[Sample]) -> Sample:
    """Samples of one size as one batch."""
    names = ("cells", "chroma", "truth_y", "truth_uv")
    return Sample(*(torch.cat([getattr(part, name) for part in parts]) for name in names))
