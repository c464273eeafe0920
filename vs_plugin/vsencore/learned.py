"""Fields to clean, whole, large frames: the learned network as a stage and as a filter."""

from dataclasses import dataclass

import torch
import vapoursynth as vs
from torch import Tensor

from .arguments import check_choice, check_clip, check_number, check_whole
from .engine.bridge import chain
from .engine.scaling import resize
from .engine.stage import Needs, Stage
from .fields import top_field_first
from .geometry import sample_aspect, square_width
from .nets import Restorer, Shape
from .nets.bundled import load, shape_of
from .zoo import ZooError

__all__ = ["RestorerStage", "remaster"]


@dataclass(frozen=True)
class RestorerStage:
    """The network over windows of pictures that are lit alike.

    grain: how much of what the network took out of the centre picture's own lines is given back,
    0 (none: that step is left out) to 1 (all: grain, pores and noise as the source has them).
    """

    model: str
    shape: Shape
    grain: float = 0.0
    network: Restorer | None = None

    @property
    def reach(self) -> int:
        """Pictures needed on each side."""
        return self.shape.reach

    @property
    def scale(self) -> int:
        """How much larger than the source's frame the result is."""
        return self.shape.scale

    @property
    def needs(self) -> Needs:
        """Y'CbCr, lit alike, in even sizes."""
        # Each of its convolutions sees one cell, of two pixels, further; the kernels two pixels.
        seen = 2 * (2 + 2 * self.shape.blocks) + 4
        return Needs(
            colour="yuv",
            multiple_of=2,
            receptive_px=seen,
            light=True,
            fields=self.shape.kind == "fields",
            precisions=frozenset({torch.float32, torch.float16, torch.bfloat16}),
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> Stage:
        """Load the weights onto a device, channels last."""
        network = load(self.model).to(device, dtype).to(memory_format=torch.channels_last)
        return RestorerStage(self.model, self.shape, self.grain, network)

    def run(self, window: Tensor) -> Tensor:
        """Restore (N, 2 * reach + 1, 4, h, w)."""
        assert self.network is not None, "a stage runs where `to` put it"
        luma, chroma = self.network(window)
        if self.grain:
            luma = luma + self.grain * self._taken(window[:, self.reach, :1], luma)
        chroma = resize(chroma, luma.shape[-2], luma.shape[-1], "bicubic")
        return torch.cat([luma, chroma], 1)

    def _taken(self, centre: Tensor, luma: Tensor) -> Tensor:
        """What the network took out of the centre picture, at the result's size."""
        height, width = centre.shape[-2:]
        down, scale = self.shape.down, self.shape.scale
        # To a sample of the source belong scale x scale of the result, and of a field's lines every
        # second such row.
        cells = luma.reshape(-1, 1, height, down * scale, width, scale)
        taken = centre - cells[:, :, :, :scale].mean((3, 5))
        shift = (0.25 if down == 2 else 0.0, 0.0)
        return resize(taken, luma.shape[-2], luma.shape[-1], "bicubic", shift)


def remaster(
    clip: vs.VideoNode,
    height: int = 1080,
    *,
    width: int | None = None,
    model: str = "base",
    grain: float = 0.0,
    rate: str = "double",
    tff: bool | None = None,
    crop_edges: int = 0,
    matrix: str = "auto",
    format: int | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> vs.VideoNode:
    """Make clean, whole, large frames of fields: one network for all that is wrong with them.

    Deinterlacing, noise, compression and enlargement are decided together, from two fields on each
    side whose stage light was made equal; no window crosses a cut. Frame n of the result is at the
    time of field n.

    Args:
        clip: Interlaced, constant; YUV or Gray of 8 to 16 bit integers.
        height: Lines of the result, even, 16 to 8640.
        width: Columns of the result, even; None keeps the shape that the sample aspect
            (_SARNum and _SARDen of the first frame, 1:1 where missing) gives the picture.
        model: "base", or the file of weights that `scripts/train/fieldnet.py` made.
        grain: 0 (none) to 1 (all) of the grain that the network took out is given back.
        rate: "double", a frame for each field, or "single", a frame for each frame.
        tff: Whether the top field comes first; None reads _FieldBased of the first frame.
        crop_edges: Columns taken off left and right first: analogue blanking, usually 8.
        matrix: "auto" (SD colour becomes BT.709 above 576 lines), "keep", or "709".
        format: A YUV or Gray integer format of VapourSynth; None is YUV420P10, or GRAY10 for Gray.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16" for the network and the pictures it adds to;
            bf16 costs up to two codes of 10 bit.

    Returns:
        The frames, limited range, chroma left-sited; colour, aspect and duration are true for them,
        _SceneChangePrev, _SceneChangeNext and EncoreFlash are written.

    Raises:
        vs.Error: A wrong argument, or a field order that is neither given nor flagged.
    """
    check_clip("remaster", clip)
    check_whole("remaster", "height", height, 16, 8640, even=True)
    if width is not None:
        check_whole("remaster", "width", width, 16, 16384, even=True)
    check_number("remaster", "grain", grain, 0, 1)
    check_choice("remaster", "rate", rate, ("double", "single"))
    check_whole("remaster", "crop_edges", crop_edges, 0, (clip.width - 1) // 2, even=True)
    top_first = top_field_first("remaster", clip, tff)
    _check_lines(clip, crop_edges)
    try:
        shape = shape_of(model)
    except ZooError as error:
        raise vs.Error(f"remaster: {error}") from error
    if shape.kind != "fields":
        raise vs.Error(f"remaster: {model} restores frames, and not fields")
    if width is None:
        shown = clip.width - 2 * crop_edges
        width = square_width(shown, clip.height, sample_aspect(clip), height)
        if not 16 <= width <= 16384:
            raise vs.Error(
                f"remaster: {height} lines of this shape would be {width} columns wide, and 16 to"
                " 16384 can be made; give a width, or other lines"
            )
    if format is None:
        format = vs.GRAY10 if clip.format.color_family == vs.GRAY else vs.YUV420P10
    fields = clip.std.Crop(left=crop_edges, right=crop_edges).std.SetFieldBased(
        2 if top_first else 1
    )
    try:
        frames = chain(
            fields.std.SeparateFields(tff=top_first),
            [RestorerStage(model, shape, grain)],
            height=height,
            width=width,
            format=format,
            matrix=matrix,
            device=device,
            precision=precision,
        )
    except ZooError as error:
        raise vs.Error(f"remaster: {error}") from error
    frames = frames.std.SetFrameProps(_SARNum=1, _SARDen=1)
    if rate == "double":
        return frames
    firsts, seconds = frames.std.SelectEvery(2, [0]), frames.std.SelectEvery(2, [1])
    # A shot's last frame is told by its second field.
    firsts = firsts.std.CopyFrameProps(seconds, props=["_SceneChangeNext"])
    return firsts.std.CopyFrameProps(clip, props=["_DurationNum", "_DurationDen"])


def _check_lines(clip: vs.VideoNode, crop_edges: int) -> None:
    """Refuse what cannot be parted into fields, or cut, without chroma being torn from luma."""
    if "_Field" in clip.get_frame(0).props:
        raise vs.Error("remaster: clip must be woven frames, and these are separated fields")
    if clip.format.subsampling_h > 1:
        raise vs.Error(
            f"remaster: clip must have chroma at every line or every second, not {clip.format.name}"
        )
    lines, columns = 2 << clip.format.subsampling_h, 1 << clip.format.subsampling_w
    if clip.height % lines:
        raise vs.Error(
            f"remaster: clip must have a multiple of {lines} lines to hold fields of"
            f" {clip.format.name}, not {clip.height}; crop it first"
        )
    if crop_edges % columns:
        raise vs.Error(
            f"remaster: crop_edges must be a multiple of {columns} for {clip.format.name},"
            f" not {crop_edges}"
        )
