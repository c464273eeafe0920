"""Parts of a frame, as the clip has them, for arithmetic."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import vapoursynth as vs
from torch import Tensor

from ..engine.colour import LUMA_WEIGHTS, Signal, chroma_up, to_unit, yuv_to_rgb

__all__ = ["Reader"]


@dataclass(frozen=True)
class Reader:
    """Reads parts of frames of one signal to a device; sides and corners are in luma's samples."""

    signal: Signal
    device: torch.device

    @cached_property
    def code(self) -> float:
        """What a code of luma is of full light."""
        (codes,) = to_unit([torch.arange(2)[None]], self.signal)
        return float(codes[0, 1] - codes[0, 0])

    @property
    def grid(self) -> tuple[int, int]:
        """Luma samples, across and down, to one of chroma."""
        across, down = self.signal.subsampling
        return 1 << across, 1 << down

    @cached_property
    def luma_of(self) -> Tensor:
        """The weights (3,) of R', G' and B' in luma."""
        red, blue = LUMA_WEIGHTS.get(self.signal.matrix, LUMA_WEIGHTS[1])
        return torch.tensor([red, 1 - red - blue, blue], device=self.device)

    def luma(self, frame: vs.VideoFrame, left: int, top: int, wide: int, tall: int) -> Tensor:
        """Y' (1, 1, tall, wide), 0..1."""
        return to_unit([self._plane(frame, 0, left, top, wide, tall)], self.signal)[0]

    def rgb(self, frame: vs.VideoFrame, left: int, top: int, wide: int, tall: int) -> Tensor:
        """R'G'B' (1, 3, tall, wide), 0..1; the part begins and ends on a sample of chroma."""
        luma = self._plane(frame, 0, left, top, wide, tall)
        if self.signal.family == "GRAY":
            return to_unit([luma], self.signal)[0].expand(-1, 3, -1, -1)
        across, down = self.grid
        chroma = [
            self._plane(frame, n, left // across, top // down, wide // across, tall // down)
            for n in (1, 2)
        ]
        planes = to_unit([luma, *chroma], self.signal)
        large = chroma_up(torch.cat(planes[1:], 1), self.signal, (tall, wide))
        matrix = self.signal.matrix if self.signal.matrix in LUMA_WEIGHTS else 1
        return yuv_to_rgb(torch.cat([planes[0], large], 1), matrix)

    def _plane(
        self, frame: vs.VideoFrame, n: int, left: int, top: int, wide: int, tall: int
    ) -> Tensor:
        part = np.asarray(frame[n])[top : top + tall, left : left + wide]
        return torch.from_numpy(part.astype(np.int32))[None, None].to(self.device)
