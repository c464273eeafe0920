"""Fields or worn frames to clean, whole, large frames: the learned network as stage and filter."""

from dataclasses import dataclass, replace

import torch
import vapoursynth as vs
from torch import Tensor

from .arguments import check_choice, check_clip, check_number, check_whole
from .canvas import crop, deepen, extend
from .engine.bridge import chain
from .engine.scaling import resize
from .engine.stage import Needs, Stage
from .fields import top_field_first
from .geometry import sample_aspect, square_width
from .low_band import LockStage
from .nets import Restorer, Shape, int8
from .nets.bundled import load, shape_of
from .nets.restorer import Kind, cells, finished
from .zoo import ZooError

__all__ = ["RestorerStage", "cleaned", "first_fields", "remaster", "restored"]


@dataclass(frozen=True)
class RestorerStage:
    """The network over windows of pictures that are lit alike.

    strength: how much of what the network says is added to the enlarged picture, 0 (nothing: it is
    not even asked) to 1. grain: how much of what is then gone from the centre picture's own lines
    is given back, 0 (none: that step is left out) to 1 (all: grain, pores and noise as the source
    has them). bytes: whether a processor that is quicker so works in eight bits.
    """

    model: str
    shape: Shape
    strength: float = 1.0
    grain: float = 0.0
    bytes: bool = True
    network: Restorer | None = None
    quick: int8.Int8Restorer | None = None

    @property
    def reach(self) -> int:
        """Pictures needed on each side."""
        return self.shape.reach if self.strength else 0

    @property
    def scale(self) -> int:
        """How much larger than the source's frame the result is."""
        return self.shape.scale

    @property
    def needs(self) -> Needs:
        """Y'CbCr, lit alike, in sizes that can be folded."""
        return Needs(
            colour="yuv",
            multiple_of=self.shape.multiple_of,
            receptive_px=self.shape.seen_px,
            light=bool(self.strength),
            fields=self.shape.kind == "fields",
            precisions=frozenset({torch.float32, torch.float16, torch.bfloat16}),
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> Stage:
        """Load the weights onto a device, channels last; into bytes where that is quicker."""
        network = load(self.model, self.shape.kind)
        small = self.bytes and device.type == "cpu" and dtype == torch.float32
        if small and int8.supported() and bool((network.ranges > 0).all()):
            return replace(self, quick=int8.Int8Restorer(network))
        return replace(
            self, network=network.to(device, dtype).to(memory_format=torch.channels_last)
        )

    def run(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Restore (N, 2 * reach + 1, 4, h, w): luma, and chroma at the frame's own size."""
        centre = window[:, self.reach, :3]
        luma, chroma = finished(self.shape, self._said(window), centre)
        if self.grain and self.strength:
            luma = luma + self.grain * self._taken(centre[:, :1], luma)
        return luma, chroma

    def _said(self, window: Tensor) -> Tensor | None:
        if not self.strength:
            return None
        if self.quick is not None:
            said = self.quick.said(int8.codes(window))
        else:
            assert self.network is not None, "a stage runs where `to` put it"
            said = self.network.said(cells(window))
        return said if self.strength == 1 else self.strength * said

    def _taken(self, centre: Tensor, luma: Tensor) -> Tensor:
        """What the network took out of the centre picture, at the result's size."""
        height, width = centre.shape[-2:]
        down, scale = self.shape.down, self.shape.scale
        # To a sample of the source belong scale x scale of the result, and of a field's lines every
        # second such row.
        parts = luma.reshape(-1, 1, height, down * scale, width, scale)
        taken = centre - parts[:, :, :, :scale].mean((3, 5))
        return resize(taken, luma.shape[-2], luma.shape[-1], "bicubic", self.shape.shift)


def remaster(
    clip: vs.VideoNode,
    height: int = 1080,
    *,
    width: int | None = None,
    model: str = "base",
    strength: float = 1.0,
    grain: float = 0.0,
    lock: float = 0.0,
    rate: str = "double",
    tff: bool | None = None,
    crop_edges: int = 0,
    matrix: str = "auto",
    format: int | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> vs.VideoNode:
    """Make clean, whole, large frames: one network for all that is wrong with a recording.

    Deinterlacing, noise, compression and enlargement are decided together, from some fields (of a
    progressive clip: frames) on each side, of "base" three (two), whose stage light was made equal;
    no window crosses a cut. Frame n of the result is at the time of field n, or of frame n.

    Args:
        clip: Constant; YUV or Gray of 8 to 16 bit integers. Where _FieldBased of its first frame is
            0 and `tff` is not given, it is progressive, and the network for frames is used.
        height: Lines of the result, even, 16 to 8640.
        width: Columns of the result, even; None keeps the shape that the sample aspect
            (_SARNum and _SARDen of the first frame, 1:1 where missing) gives the picture.
        model: "base", or a file of weights that `scripts/train/fieldnet.py` made.
        strength: How much of what the network says is applied: 1 is all, 0 leaves the network out,
            and each field or frame is only enlarged by a cubic kernel (grain is then nothing).
        grain: 0 (none) to 1 (all) of the grain that the network took out is given back.
        lock: How far the result's light and colours are held to the source's, 0 (not) to 1: see
            `vsencore.lock`.
        rate: Of fields: "double", a frame for each field, or "single", a frame for each frame.
        tff: Whether the top field comes first; None reads _FieldBased of the first frame.
        crop_edges: Columns taken off left and right first: analogue blanking, usually 8.
        matrix: "auto" (SD colour becomes BT.709 above 576 lines), "keep", or "709".
        format: A YUV or Gray integer format of VapourSynth; None is YUV420P10, or GRAY10 for Gray.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16" for the network and the pictures it adds to;
            bf16 costs about a code of 10 bit. "auto" also lets a processor that has VNNI calculate
            the network in bytes, several times as fast, which costs about one too; the same frame
            on another kind of processor then differs by that. "fp32" is the same everywhere but
            for rounding.

    Returns:
        The frames, limited range, chroma left-sited; colour, aspect and duration are true for them,
        _SceneChangePrev, _SceneChangeNext and EncoreFlash are written where strength is not 0.

    Raises:
        vs.Error: A wrong argument, or a field order that is neither given nor flagged.
    """
    check_clip("remaster", clip)
    check_whole("remaster", "height", height, 16, 8640, even=True)
    if width is not None:
        check_whole("remaster", "width", width, 16, 16384, even=True)
    check_number("remaster", "strength", strength, 0, 1)
    check_number("remaster", "grain", grain, 0, 1)
    check_number("remaster", "lock", lock, 0, 1)
    check_choice("remaster", "rate", rate, ("double", "single"))
    check_whole("remaster", "crop_edges", crop_edges, 0, (clip.width - 1) // 2, even=True)
    kind: Kind = "fields"
    if tff is None and clip.get_frame(0).props.get("_FieldBased") == 0:
        kind = "frames"
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
    frames = restored(
        "remaster",
        clip,
        kind,
        height,
        width,
        model=model,
        strength=strength,
        grain=grain,
        lock=lock,
        tff=tff,
        crop_edges=crop_edges,
        matrix=matrix,
        format=format,
        device=device,
        precision=precision,
    ).std.SetFrameProps(_SARNum=1, _SARDen=1)
    return frames if kind == "frames" or rate == "double" else first_fields(clip, frames)


def restored(
    name: str,
    clip: vs.VideoNode,
    kind: Kind,
    height: int,
    width: int,
    *,
    model: str,
    strength: float = 1.0,
    grain: float = 0.0,
    lock: float = 0.0,
    tff: bool | None = None,
    crop_edges: int = 0,
    matrix: str,
    format: int,
    device: str,
    precision: str = "auto",
) -> vs.VideoNode:
    """Run the network of a kind for the filter `name`: a frame for each field, or each frame."""
    try:
        shape = shape_of(model, kind)
    except ZooError as error:
        raise vs.Error(f"{name}: {error}") from error
    source = clip
    if kind == "fields":
        top_first = top_field_first(name, clip, tff)
        _check_lines(name, clip, crop_edges)
        flagged = clip.std.SetFieldBased(2 if top_first else 1)
        source = flagged.std.Crop(left=crop_edges, right=crop_edges).std.SeparateFields(
            tff=top_first
        )
    elif crop_edges:
        _check_columns(name, clip, crop_edges)
        source = clip.std.Crop(left=crop_edges, right=crop_edges)
    stage = RestorerStage(model, shape, strength, grain, bytes=precision == "auto")
    try:
        return chain(
            source,
            [stage, LockStage(lock)] if lock and strength else [stage],
            height=height,
            width=width,
            format=format,
            matrix=matrix,
            device=device,
            precision=precision,
        )
    except (ZooError, vs.Error) as error:
        raise vs.Error(f"{name}: {str(error).removeprefix('chain: ')}") from error


def cleaned(
    name: str,
    clip: vs.VideoNode,
    kind: Kind,
    *,
    model: str,
    device: str,
    grain: float = 0.0,
) -> vs.VideoNode:
    """The network's frames at the clip's own size and colour, at 16 bit, for the filter `name`."""
    canvas = extend(deepen(clip))
    frames = restored(
        name,
        canvas,
        kind,
        canvas.height,
        canvas.width,
        model=model,
        grain=grain,
        matrix="keep",
        format=canvas.format.id,
        device=device,
    )
    return crop(frames, clip.width, clip.height)


def first_fields(clip: vs.VideoNode, frames: vs.VideoNode) -> vs.VideoNode:
    """Keep the frames of first fields, with the durations of `clip`'s frames."""
    firsts, seconds = frames.std.SelectEvery(2, [0]), frames.std.SelectEvery(2, [1])
    # A shot's last frame is told by its second field.
    firsts = firsts.std.CopyFrameProps(seconds, props=["_SceneChangeNext"])
    return firsts.std.CopyFrameProps(clip, props=["_DurationNum", "_DurationDen"])


def _check_lines(name: str, clip: vs.VideoNode, crop_edges: int) -> None:
    """Refuse what cannot be parted into fields, or cut, without chroma being torn from luma."""
    if "_Field" in clip.get_frame(0).props:
        raise vs.Error(f"{name}: clip must be woven frames, and these are separated fields")
    if clip.format.subsampling_h > 1:
        raise vs.Error(
            f"{name}: clip must have chroma at every line or every second, not {clip.format.name}"
        )
    lines = 2 << clip.format.subsampling_h
    if clip.height % lines:
        raise vs.Error(
            f"{name}: clip must have a multiple of {lines} lines to hold fields of"
            f" {clip.format.name}, not {clip.height}; crop it first"
        )
    _check_columns(name, clip, crop_edges)


def _check_columns(name: str, clip: vs.VideoNode, crop_edges: int) -> None:
    columns = 1 << clip.format.subsampling_w
    if crop_edges % columns:
        raise vs.Error(
            f"{name}: crop_edges must be a multiple of {columns} for {clip.format.name},"
            f" not {crop_edges}"
        )
