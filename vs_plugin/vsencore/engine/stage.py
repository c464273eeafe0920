"""What a filter of the engine is: a window of pictures in, one picture out, and nothing else.

A stage knows no VapourSynth, no device, no tiles, no cuts. It says what it needs, and `run` is a
pure function: the same window gives the same picture, whatever was asked before.

A **finish** is a stage of another kind: it sees one finished picture, luma and chroma apart as they
stand, with the source's picture of the same moment and the frame's number beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from .colour import Field

__all__ = [
    "AnyStage",
    "Beside",
    "Colour",
    "Finish",
    "Made",
    "Needs",
    "Stage",
    "check_stage",
    "growth",
]

type Colour = Literal["rgb", "yuv"]
type Made = Tensor | tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a stage wants of its pictures.

    colour: "rgb" gives R'G'B' 0..1, "yuv" gives Y' 0..1 and Cb, Cr -0.5..0.5, both 4:4:4 and three
    channels. multiple_of, minimum_px: height and width are padded to these, the outermost samples
    repeated, and the result is cropped. receptive_px: how far, in input pixels, a result pixel can
    see; tiles overlap by no less. Where that must be measured it is a function, which is called
    when a picture is first cut into tiles. light: the neighbours' stage light is made equal to the
    centre's, and a fourth channel says how far that can be trusted, 0..1 (1 at the centre).
    fields: the pictures are the single fields of an interlaced clip, and the result a whole frame,
    twice as high besides `scale`. Windows are turned upside down where the centre is a bottom
    field, and the result turned back: the stage only ever sees a top field there. Such a stage is
    the first of its chain. precisions: what the stage stands; float32 always works.
    """

    colour: Colour = "rgb"
    multiple_of: int = 1
    minimum_px: int = 1
    receptive_px: int | Callable[[], int] = 0
    light: bool = False
    fields: bool = False
    precisions: frozenset[torch.dtype] = frozenset({torch.float32})


class _Asks(Protocol):
    """What every stage tells of itself: its reach, its scale, and what it needs."""

    @property
    def reach(self) -> int: ...

    @property
    def scale(self) -> int: ...

    @property
    def needs(self) -> Needs: ...


@runtime_checkable
class Stage(_Asks, Protocol):
    """A filter.

    reach: frames it needs on each side. scale: how much larger the result is in each direction,
    a frame's lines counted where it takes fields.
    """

    def to(self, device: torch.device, dtype: torch.dtype) -> "Stage":
        """Give the same stage with its weights on a device, in a precision."""

    def run(self, window: Tensor) -> Made:
        """Filter windows (N, 2 * reach + 1, 3, H, W) to pictures (N, 3, H * scale, W * scale).

        With `needs.light` the windows have four channels; of `needs.fields` the result has twice
        the lines. Where `needs.colour` is "yuv" the result may also be luma (N, 1, H * scale,
        W * scale) and chroma (N, 2, h, w) apart, h and w whole multiples of H and W: most results
        are 4:2:0, and large chroma is made only to be thrown away.
        """


@dataclass(frozen=True)
class Beside:
    """What a finish is told beside its picture.

    frame: its number in the clip. source: the source's picture of that moment, where there is one,
    Y'CbCr 4:4:4 (1, 3, h, w) in the result's matrix; of an interlaced clip a single field, and
    `field` its parity. chroma_shift: (down, right), in chroma's own samples, where luma's view
    begins inside the result's chroma, as `scaling.resize` takes it.
    """

    frame: int
    source: Tensor | None = None
    field: Field | None = None
    chroma_shift: tuple[float, float] = (0.0, 0.0)


@runtime_checkable
class Finish(_Asks, Protocol):
    """A stage of one picture that keeps its size: `reach` is 0 and `scale` 1.

    Its pictures are float32, one at a time, whole, and not turned where the source's is a field.
    """

    def to(self, device: torch.device, dtype: torch.dtype) -> "Finish":
        """Give the same stage for a device."""

    def finish(self, luma: Tensor, chroma: Tensor, beside: Beside) -> tuple[Tensor, Tensor]:
        """Filter luma (1, 1, H, W) and chroma (1, 2, h, w) of any smaller size, or equal."""


type AnyStage = Stage | Finish


def growth(stage: AnyStage) -> tuple[int, int]:
    """Give how many times higher and wider a stage's result is than its pictures."""
    return stage.scale * (2 if stage.needs.fields else 1), stage.scale


def check_stage(stage: object) -> AnyStage:
    """Give a stage back, or raise TypeError or ValueError that says what it lacks."""
    if not isinstance(stage, Stage | Finish):
        raise TypeError(f"a stage has reach, scale, needs, to and run; {stage!r} has not")
    for name in ("reach", "scale"):
        value = getattr(stage, name)
        least = 0 if name == "reach" else 1
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} of {type(stage).__name__} must be at least {least}")
    return stage
