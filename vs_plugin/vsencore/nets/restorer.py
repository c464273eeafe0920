"""The network that makes clean, whole, larger frames of a window of fields or of frames.

One network does deinterlacing, noise, compression and enlargement at once: the samples that the
missing lines need are in the neighbours, under the same noise that hides them, and to decide one
thing first is to throw away what the next would have needed (the joint formulation of Zhao et al.,
"Rethinking deinterlacing for early interlaced videos", 2020).

Everything happens at half the size of a picture in both directions, four luma samples to a cell
(pixel unshuffle; Shi et al., CVPR 2016, the other way round): 4:2:0 chroma is at home there, and a
3x3 convolution sees twice as far. In its middle part (a U of one step; Ronneberger et al., 2015) it
works at half of that again, with twice the channels, where what moved is found within few steps.
Every layer but the last ends in a ReLU, so that all features are positive numbers within a range
that can be measured: eight bits hold them (`int8`). What the network says is added to an
enlargement of the centre picture by a fixed kernel: with all weights at 0 that is what comes out.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..engine.scaling import resize

__all__ = ["Kind", "Restorer", "Shape", "cells", "finished"]

type Kind = Literal["fields", "frames"]

# A field's lines, drawn out over a frame's, begin a quarter of a field line above the frame's.
_TOP_FIELD = 0.25
# A number of a cell is (code - 128) / 224.
CELL_STEP, CELL_ZERO = 1 / 224, 128
# What is said of a pixel is small. Told in tenths it is learned in steps that are as small, and a
# training that begins does not overshoot.
TOLD_STEP = 0.1
# What a header may say; a file that says more is no network of ours.
_BOUNDS = {
    "channels": (1, 512),
    "blocks": (1, 64),
    "deep": (0, 64),
    "reach": (1, 8),
    "scale": (1, 2),
}


@dataclass(frozen=True)
class Shape:
    """What a network is: of fields or of frames, how wide, how deep, how far it looks in time.

    blocks: of two convolutions each, at the size of cells, before the middle part and again after
    it. deep: of the same, in the middle part. scale: how much larger than the frame the result is,
    in each direction; 1 or 2.
    """

    kind: Kind
    channels: int
    blocks: int
    deep: int
    reach: int
    scale: int = 2

    @property
    def down(self) -> int:
        """Lines of the result's frame, at scale 1, to one line of the window's pictures."""
        return 2 if self.kind == "fields" else 1

    @property
    def shift(self) -> tuple[float, float]:
        """Where, in the centre picture's samples, the result begins: for `scaling.resize`."""
        return (_TOP_FIELD if self.kind == "fields" else 0.0, 0.0)

    @property
    def pictures(self) -> int:
        """Pictures in a window."""
        return 2 * self.reach + 1

    @property
    def taken(self) -> int:
        """Numbers in a cell: four of luma, two of chroma; a neighbour's trust besides."""
        return 7 * self.pictures - 1

    @property
    def multiple_of(self) -> int:
        """What a picture's sides must be multiples of."""
        return 4 if self.deep else 2

    @property
    def seen_px(self) -> int:
        """How far in a picture a pixel of the result can see."""
        cells = 2 + 4 * self.blocks + (4 * self.deep + 3 if self.deep else 0)
        return 2 * cells + 4

    @property
    def luma(self) -> int:
        """Pixels of the result in a cell: 2 x 2 of the picture, that is 4 * down of the frame."""
        return 4 * self.down * self.scale**2

    @property
    def told(self) -> int:
        """Numbers that are told of a cell; chroma is told at the frame's own size."""
        return self.luma + 8 * self.down

    @property
    def layers(self) -> int:
        """Layers whose features have a range: all but the last."""
        return 1 + 4 * self.blocks + (2 * self.deep + 3 if self.deep else 0)

    def facts(self) -> dict[str, str]:
        """The shape as a safetensors header holds it."""
        return {name: str(value) for name, value in asdict(self).items()}

    @classmethod
    def from_facts(cls, facts: dict[str, str]) -> Self:
        """Read a shape from a header; raises KeyError or ValueError for one that is none."""
        kind = facts["kind"]
        if kind not in ("fields", "frames"):
            raise ValueError(f"kind is {kind!r}")
        numbers = {name: int(facts[name]) for name in _BOUNDS}
        for name, (least, most) in _BOUNDS.items():
            if not least <= numbers[name] <= most:
                raise ValueError(f"{name} is {numbers[name]}")
        return cls("fields" if kind == "fields" else "frames", **numbers)


class Restorer(nn.Module):
    """A window of pictures to the centre one, restored and enlarged."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.channels
        self.head = nn.Conv2d(shape.taken, width, 3, padding=1)
        self.before = nn.ModuleList(_Block(width) for _ in range(shape.blocks))
        if shape.deep:
            self.sink = nn.Conv2d(width, 2 * width, 2, stride=2)
            self.middle = nn.ModuleList(_Block(2 * width) for _ in range(shape.deep))
            self.rise = nn.Conv2d(2 * width, 4 * width, 1)
            self.join = nn.Conv2d(width, width, 3, padding=1)
        self.after = nn.ModuleList(_Block(width) for _ in range(shape.blocks))
        self.tail = nn.Conv2d(width, shape.told, 3, padding=1)
        # How large each layer's features get, for `int8`; 0 where that was never measured.
        self.ranges: Tensor
        self.register_buffer("ranges", torch.zeros(shape.layers))
        # It begins as the fixed kernel alone. Colours are small numbers, and torch's own scales of
        # weights would make them smaller at every layer: larger ones learn at once.
        with torch.no_grad():
            self.head.weight.mul_(4)
            assert self.tail.bias is not None
            self.tail.weight.zero_()
            self.tail.bias.zero_()

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Restore windows (N, 2 * reach + 1, 4, h, w), sides of multiples of `multiple_of`.

        Channels are Y' 0..1, Cb and Cr -0.5..0.5, and trust 0..1; of fields, the centre is a top
        one. Returns luma (N, 1, h * down * scale, w * scale) and chroma (N, 2, h * down, w).
        """
        centre = window[:, self.shape.reach, :3]
        return finished(self.shape, self.said(cells(window)), centre)

    def said(self, numbers: Tensor, see: Callable[[Tensor], None] = lambda _: None) -> Tensor:
        """What is to be added, (N, told, h/2, w/2), to cells (N, taken, h/2, w/2).

        `see` is shown the features of every layer but the last, in order.
        """
        features = self.head(numbers)
        see(features)
        for block in self.before:
            features = block(features, see)
        if self.shape.deep:
            deep = self.sink(features)
            see(deep)
            for block in self.middle:
                deep = block(deep, see)
            risen = functional.relu(self.rise(deep))
            see(risen)
            features = features + self.join(functional.pixel_shuffle(risen, 2))
            see(features)
        for block in self.after:
            features = block(features, see)
        said: Tensor = self.tail(features)
        return said * TOLD_STEP


class _Block(nn.Module):
    """Two convolutions beside the straight way (He et al., 2016; without normalisation)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():
            self.first.weight.mul_(2.5)

    def forward(self, features: Tensor, see: Callable[[Tensor], None]) -> Tensor:
        inner = functional.relu(self.first(features))
        see(inner)
        result: Tensor = features + self.second(inner)
        see(result)
        return result


def cells(window: Tensor) -> Tensor:
    """Fold windows (N, K, 4, h, w) to cells (N, 7K - 1, h/2, w/2).

    All numbers are (code - 128) / 224 of limited 8 bit, so that luma, chroma and trust have one
    scale, and a source of 8 bit is held exactly by 8 bits.
    """
    n, pictures, _, height, width = window.shape
    luma = functional.pixel_unshuffle(window[:, :, 0], 2)
    rest = functional.avg_pool2d(window[:, :, 1:].reshape(n, -1, height, width), 2)
    rest = rest.view(n, pictures, 3, height // 2, width // 2)
    centre = pictures // 2
    trust = torch.cat([rest[:, :centre, 2], rest[:, centre + 1 :, 2]], 1)
    colour = rest[:, :, :2].flatten(1, 2)
    numbers = torch.cat([luma * (219 / 224) - 0.5, colour, trust - 0.5], 1)
    return numbers.contiguous(memory_format=torch.channels_last)


def finished(shape: Shape, said: Tensor | None, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Add what the network says, if anything, to the enlarged centre (N, 3, h, w)."""
    height, width = centre.shape[-2:]
    down, scale = shape.down, shape.scale
    luma = resize(centre[:, :1], height * down * scale, width * scale, "bicubic", shape.shift)
    chroma = centre[:, 1:]
    if down == 2:
        chroma = resize(chroma, height * down, width, "bicubic", shape.shift)
    if said is None:
        return luma, chroma
    luma = luma + _spread(said[:, : shape.luma], 1, 2 * down * scale, 2 * scale)
    return luma, chroma + _spread(said[:, shape.luma :], 2, 2 * down, 2)


def _spread(told: Tensor, channels: int, rows: int, columns: int) -> Tensor:
    """Lay out (N, channels * rows * columns, h, w) as (N, channels, h * rows, w * columns)."""
    n, _, height, width = told.shape
    parts = told.reshape(n, channels, rows, columns, height, width)
    return parts.permute(0, 1, 4, 2, 5, 3).reshape(n, channels, height * rows, width * columns)
