"""The network that makes clean, whole, larger frames of a window of fields or of frames.

One network does deinterlacing, noise, compression and enlargement at once: the samples that the
missing lines need are in the neighbours, under the same noise that hides them, and to decide one
thing first is to throw away what the next would have needed (the joint formulation of Zhao et al.,
"Rethinking deinterlacing for early interlaced videos", 2020).

Everything happens at half the size of a picture in both directions, four luma samples to a cell
(pixel unshuffle; Shi et al., CVPR 2016, the other way round). 4:2:0 chroma is at home there, a 3x3
convolution sees twice as far, so that it finds what moved, and the features of a PAL field stay in
a processor's cache. What the network says is added to an enlargement of the centre picture by a
fixed kernel: with all weights at 0 that is what comes out.
"""

from dataclasses import asdict, dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..engine.scaling import resize

__all__ = ["Restorer", "Shape"]

# A field's lines, drawn out over a frame's, begin a quarter of a field line above the frame's.
_TOP_FIELD = 0.25
# What a header may say; a file that says more is no network of ours.
_BOUNDS = {"channels": (1, 1024), "blocks": (1, 128), "reach": (1, 8), "scale": (1, 2)}


@dataclass(frozen=True)
class Shape:
    """What a network is: of fields or of frames, how wide, how deep, how far it looks in time.

    scale: how much larger than the frame the result is, in each direction; 1 or 2.
    """

    kind: Literal["fields", "frames"]
    channels: int
    blocks: int
    reach: int
    scale: int = 2

    @property
    def down(self) -> int:
        """Lines of the result's frame, at scale 1, to one line of the window's pictures."""
        return 2 if self.kind == "fields" else 1

    def facts(self) -> dict[str, str]:
        """The shape as a safetensors header holds it."""
        return {name: str(value) for name, value in asdict(self).items()}

    @classmethod
    def from_facts(cls, facts: dict[str, str]) -> Self:
        """Read a shape from a header; raises KeyError or ValueError for one that is none."""
        kind = facts["kind"]
        if kind not in ("fields", "frames"):
            raise ValueError(f"kind is {kind!r}")
        numbers = {name: int(facts[name]) for name in ("channels", "blocks", "reach", "scale")}
        for name, (least, most) in _BOUNDS.items():
            if not least <= numbers[name] <= most:
                raise ValueError(f"{name} is {numbers[name]}")
        return cls("fields" if kind == "fields" else "frames", **numbers)


class Restorer(nn.Module):
    """A window of pictures to the centre one, restored and enlarged."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        pictures = 2 * shape.reach + 1
        # A picture's cell: four of luma, two of chroma; a neighbour's also how far it is trusted.
        taken = 6 * pictures + (pictures - 1)
        width = shape.channels
        self.head = nn.Conv2d(taken, width, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(shape.blocks))
        # To a cell belong 2 x 2 pixels of the picture, so 4 * down of the frame, at `scale`; chroma
        # is told at the frame's own size.
        self._luma = 4 * shape.down * shape.scale**2
        self.tail = nn.Conv2d(width, self._luma + 8 * shape.down, 3, padding=1)
        # It begins as the fixed kernel alone. Colours are small numbers, and torch's own scales of
        # weights would make them smaller at every layer: larger ones learn at once.
        with torch.no_grad():
            self.head.weight.mul_(5)
            assert self.tail.bias is not None
            self.tail.weight.zero_()
            self.tail.bias.zero_()

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Restore windows (N, 2 * reach + 1, 4, h, w), h and w even.

        Channels are Y' 0..1, Cb and Cr -0.5..0.5, and trust 0..1; of fields, the centre is a top
        one. Returns luma (N, 1, h * down * scale, w * scale) and chroma (N, 2, h * down, w).
        """
        said = self.tail(self._features(_cells(window)))
        centre = window[:, self.shape.reach]
        height, width = centre.shape[-2:]
        down, scale = self.shape.down, self.shape.scale
        shift = (_TOP_FIELD if down == 2 else 0.0, 0.0)
        luma = resize(centre[:, :1], height * down * scale, width * scale, "bicubic", shift)
        luma = luma + _spread(said[:, : self._luma], 1, 2 * down * scale, 2 * scale)
        chroma = centre[:, 1:3]
        if down == 2:
            chroma = resize(chroma, height * down, width, "bicubic", shift)
        return luma, chroma + _spread(said[:, self._luma :], 2, 2 * down, 2)

    def _features(self, cells: Tensor) -> Tensor:
        features: Tensor = self.head(cells)
        for block in self.blocks:
            features = block(features)
        return features


class _Block(nn.Module):
    """Two convolutions beside the straight way (He et al., 2016; without normalisation)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():
            self.first.weight.mul_(2.5)

    def forward(self, features: Tensor) -> Tensor:
        inner = functional.relu(self.first(features), inplace=True)
        result: Tensor = self.second(inner)
        return result.add_(features)


def _cells(window: Tensor) -> Tensor:
    """Fold windows (N, K, 4, h, w) to cells (N, 7K - 1, h/2, w/2)."""
    n, pictures, _, height, width = window.shape
    luma = functional.pixel_unshuffle(window[:, :, 0], 2)
    rest = functional.avg_pool2d(window[:, :, 1:].reshape(n, -1, height, width), 2)
    rest = rest.view(n, pictures, 3, height // 2, width // 2)
    centre = pictures // 2
    trust = torch.cat([rest[:, :centre, 2], rest[:, centre + 1 :, 2]], 1)
    colour = rest[:, :, :2].flatten(1, 2)
    cells = torch.cat([luma - 0.5, colour, trust], 1)
    return cells.contiguous(memory_format=torch.channels_last)


def _spread(cells: Tensor, channels: int, rows: int, columns: int) -> Tensor:
    """Lay out (N, channels * rows * columns, h, w) as (N, channels, h * rows, w * columns)."""
    n, _, height, width = cells.shape
    parts = cells.view(n, channels, rows, columns, height, width)
    return parts.permute(0, 1, 4, 2, 5, 3).reshape(n, channels, height * rows, width * columns)
