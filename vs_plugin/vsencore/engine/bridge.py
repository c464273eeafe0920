"""How a chain becomes a VapourSynth node: frames in, one block of frames out, nothing in between.

The node that works has one frame a block. It asks for all the source frames that a block can need
as ordinary clips, so VapourSynth does the scheduling, and a callback never waits for another frame
(a `get_frame` in a callback is how filters deadlock). The block's frames travel as properties of a
small carrier frame, from which a second node hands them out one by one.

Integers cross the border, not floats: a 3840x2160 frame of YUV420P10 is 25 MB, of RGBS 100 MB.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
import vapoursynth as vs
from torch import Tensor

from ..arguments import check_choice, check_clip, check_whole
from ..colour import read_colour, wanted_colour
from ..geometry import sample_aspect
from . import colour, light, scaling
from .chain import Chain, Pictures
from .colour import Signal, siting
from .device import Place, place
from .stage import AnyStage, Beside, Colour, Finish, Stage, check_stage, growth
from .threads import one_thread

__all__ = ["chain", "finish", "scenes"]

_ATTACHED = "EncoreBlock"
# On a processor the second lane turns to codes what the first has made.
_LANES, _CPU_LANES = 3, 2
_MOST_PX = 65536
_PARITIES: dict[object, colour.Field] = {0: "bottom", 1: "top"}
_FAMILIES: dict[int, Literal["YUV", "GRAY", "RGB"]] = {
    vs.YUV: "YUV",
    vs.GRAY: "GRAY",
    vs.RGB: "RGB",
}
# A multiple of the dither's tile and of four lines of chroma; more lines than a kernel sees.
_STRIP_LINES, _HALO_LINES = 256, 16


def chain(
    clip: vs.VideoNode,
    stages: Sequence[AnyStage],
    *,
    height: int | None = None,
    width: int | None = None,
    format: int | None = None,
    matrix: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    batch: int | None = None,
) -> vs.VideoNode:
    """Run stages over a clip as one node: one upload, one download.

    Args:
        clip: Constant; YUV, Gray or RGB of 8 to 16 bit integers. Progressive; or, for a first
            stage that takes fields, separated fields (std.SeparateFields).
        stages: In the order they run. None at all gives the clip back, the same samples.
        height: Lines of the result, even; None is what the stages make of it. With `width` None
            the shape is kept.
        width: Columns of the result, even.
        format: A YUV, Gray or RGB integer format of VapourSynth; None is the clip's own.
        matrix: "auto" (SD colour becomes BT.709 above 576 lines), "keep", or "709".
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16" for the stages; colour is always fp32.
        batch: Frames worked at once, 1 to 64; None chooses by the free memory.

    Returns:
        The filtered clip, limited range (RGB full); colour properties are true for it, others the
        source's. Where a stage looks at neighbours, _SceneChangePrev, _SceneChangeNext and
        EncoreFlash too.

    Raises:
        vs.Error: A wrong argument, an interlaced clip, or a device that is not there.
    """
    check_clip("chain", clip, rgb=True)
    check_choice("chain", "matrix", matrix, ("auto", "keep", "709"))
    for name, value in (("height", height), ("width", width)):
        if value is not None:
            check_whole("chain", name, value, 16, 16384, even=True)
    if batch is not None:
        check_whole("chain", "batch", batch, 1, 64)
    try:
        stages = [check_stage(stage) for stage in stages]
        windowed = [stage for stage in stages if isinstance(stage, Stage)]
        chosen = place(device, windowed, precision)
    except (TypeError, ValueError) as error:
        raise vs.Error(f"chain: {error}") from error
    untouched = height in (None, clip.height) and width in (None, clip.width)
    if not stages and untouched and format in (None, clip.format.id) and matrix == "auto":
        return clip
    _check_fields(clip, stages)
    down, across = 1, 1
    for stage in stages:
        higher, wider = growth(stage)
        down, across = down * higher, across * wider
    made = (clip.height * down, clip.width * across)
    size = _size(*made, height, width)
    source = _signal(clip)
    target = _target(clip, source, format, matrix, size[0])
    _check_size(size, target)
    batch = batch or chosen.batch(*made)
    batch = min(batch, clip.num_frames)
    aspect = None
    if height is not None and width is not None:  # the shape may change, and its pixels with it
        aspect = sample_aspect(clip) * Fraction(made[1] * height, made[0] * width)
    return _Node(clip, stages, chosen, source, target, size, batch, aspect).clip


def finish(
    clip: vs.VideoNode,
    stages: Sequence[Finish],
    *,
    source: vs.VideoNode | None = None,
    bits: int | None = None,
    device: str = "auto",
) -> vs.VideoNode:
    """Run finishes over a clip as it stands: its planes are neither scaled nor converted.

    Args:
        clip: Constant, YUV or Gray of 8 to 16 bit integers, whole frames.
        stages: In the order they run.
        source: A clip as long, any size: frames, or single fields; for finishes that look at it.
        bits: Of the result, 8 to 16; None is the clip's own.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Returns:
        The clip with other samples; its range, siting and all properties are what they were.

    Raises:
        vs.Error: A device that is not there.
    """
    try:
        chosen = place(device, [])
    except ValueError as error:
        raise vs.Error(f"finish: {error}") from error
    signal, place_on = _signal(clip), chosen.device
    target = replace(signal, bits=bits or signal.bits)
    placed = [stage.to(place_on, torch.float32) for stage in stages]
    transfers = _Cuda(place_on) if place_on.type == "cuda" else _Host(place_on)
    shown = None if source is None else _signal(source)

    def work(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        template, frame, *seen = f
        with torch.inference_mode(), one_thread(place_on):
            luma, chroma = _unit(frame, signal, transfers)
            beside = Beside(n, chroma_shift=siting(signal, None))
            if shown is not None:
                pictures = _read(seen[0], shown, signal, transfers)
                beside = replace(beside, source=pictures.frames, field=pictures.field)
            for stage in placed:
                luma, chroma = stage.finish(luma, chroma, beside)
            planes = [luma, *chroma.split(1, 1)][: frame.format.num_planes]
            out = template.copy()
            transfers.download(colour.to_code(planes, target), [out])
        for name, value in frame.props.items():
            out.props[name] = value
        return out

    blank = vs.core.std.BlankClip(clip, format=_format_id(target), keep=True)
    return blank.std.ModifyFrame([blank, clip, *([] if source is None else [source])], work)


def scenes(clip: vs.VideoNode) -> vs.VideoNode:
    """Write _SceneChangePrev, _SceneChangeNext and EncoreFlash (0..1); no sample is changed.

    A flash is not a cut: see `light`. Raises vs.Error for a clip that is not of integers.
    """
    check_clip("scenes", clip, rgb=True)
    here = place("cpu", [])
    host = _Host(here.device)
    signal = _signal(clip)
    run = Chain([], clip.num_frames, 1, here, _recolour(_matrix(signal)))

    def write(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        def source(at: int) -> Pictures:
            return _read(f[at - n + light.LOOK], signal, signal, host)

        out = f[light.LOOK].copy()
        _write_flags(out, run.flags(n, source))
        return out

    around = _neighbours(clip, light.LOOK, light.LOOK, 1, clip.num_frames)
    return clip.std.ModifyFrame(around, write)


class _Node:
    """One chain as a node. `clip` is the result."""

    def __init__(
        self,
        clip: vs.VideoNode,
        stages: Sequence[AnyStage],
        chosen: Place,
        source: Signal,
        target: Signal,
        size: tuple[int, int],
        batch: int,
        aspect: Fraction | None,
    ) -> None:
        self._source, self._target, self._size = source, target, size
        self._aspect = aspect
        self._matrix = _matrix(target)
        self._chain = Chain(stages, clip.num_frames, batch, chosen, _recolour(self._matrix))
        on_cuda = chosen.device.type == "cuda"
        self._transfers = _Cuda(chosen.device) if on_cuda else _Host(chosen.device)
        core = vs.core.core
        before = self._chain.before
        self._before, self._batch = before, batch
        around = _neighbours(clip, before, self._chain.after, batch, self._chain.blocks)
        height, width = size
        # keep=True: the blank frame is only a template, and one is enough.
        self._blank = core.std.BlankClip(
            clip, width, height, _format_id(target), length=clip.num_frames, keep=True
        )
        lanes = _LANES if on_cuda else _CPU_LANES
        carrier = core.std.BlankClip(clip, 16, 16, vs.GRAY8, length=self._chain.blocks, keep=True)
        asked = [carrier, self._blank[::batch], *around]
        # A ModifyFrame runs one callback at a time. Several, each with its share of the blocks, let
        # one block's copies overlap another's arithmetic.
        shares = [
            carrier[lane::lanes].std.ModifyFrame(
                [_every(one, lanes, lane) for one in asked], self._lane(lane, lanes)
            )
            for lane in range(min(lanes, self._chain.blocks))
        ]
        blocks = core.std.Interleave(shares)[: self._chain.blocks]
        handed = core.std.Interleave([blocks] * batch)[: clip.num_frames] if batch > 1 else blocks
        self.clip = self._blank.std.ModifyFrame([handed], self._hand_out)

    def _lane(self, lane: int, lanes: int) -> Callable[[int, list[vs.VideoFrame]], vs.VideoFrame]:
        return lambda n, f: self._work(n * lanes + lane, f)

    def _work(self, number: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        carrier, template, *around = f
        first = number * self._batch

        def source(at: int) -> Pictures:
            frame = around[at - first + self._before]
            return _read(frame, self._source, self._target, self._transfers)

        frames = range(first, min(first + self._batch, self._chain.length))
        planes = self._finished(self._chain.block(number, source), len(frames))
        flags = [self._chain.flags(at, source) for at in frames] if self._chain.looks else []
        made = [template.copy() for _ in frames]
        self._transfers.download(planes, made)
        result = carrier.copy()
        for place_in, out in enumerate(made):
            for name, value in around[self._before + place_in].props.items():
                out.props[name] = value
            self._write_facts(out)
            if flags:
                _write_flags(out, flags[place_in])
            result.props[f"{_ATTACHED}{place_in}"] = out
        return result

    def _hand_out(self, n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.props[f"{_ATTACHED}{n % self._batch}"]
        assert isinstance(frame, vs.VideoFrame)
        return frame

    def _finished(self, pictures: Pictures, count: int) -> list[Tensor]:
        """The integer planes of a block, (N, 1, h, w) each, in the target's format and size."""
        with torch.inference_mode():
            if self._target.family == "RGB":
                pictures = Pictures(pictures.colour, pictures.whole())
            frames, (height, width) = pictures.frames[:count], self._size
            chroma = None if pictures.chroma is None else pictures.chroma[:count]
            # A strip of a large picture stays in the processor's cache from step to step. What is
            # scaled is smaller before, and a GPU has the bandwidth.
            strips = frames.device.type == "cpu" and frames.shape[-2:] == self._size
            strips = strips and chroma is None
            step = _STRIP_LINES if strips else height
            coded = []
            for top in range(0, height, step):
                first, last = max(0, top - _HALO_LINES), min(height, top + step + _HALO_LINES)
                shown = frames[..., first:last, :] if strips else frames
                part = Pictures(pictures.colour, shown, None, chroma)
                planes = self._planes(part, (last - first, width))
                planes = [_cut(plane, top - first, step, last - first) for plane in planes]
                coded.append(colour.to_code(planes, self._target))
            return [torch.cat(plane, -2) for plane in zip(*coded, strict=True)]

    def _planes(self, pictures: Pictures, size: tuple[int, int]) -> list[Tensor]:
        """The target's planes in unit range, `size` (height, width) being luma's."""
        frames, target = pictures.frames.float(), self._target
        if target.family == "RGB":
            if pictures.colour == "yuv":
                frames = colour.yuv_to_rgb(frames, self._matrix)
            return list(scaling.resize(frames, *size).split(1, 1))
        # Turned before it is scaled, so that chroma is only scaled to the little it will be.
        if pictures.colour == "rgb":
            luma, chroma = colour.rgb_to_yuv(frames, self._matrix).split((1, 2), 1)
        elif pictures.chroma is not None:
            luma, chroma = frames, pictures.chroma.float()
        else:
            luma, chroma = frames[:, :1], frames[:, 1:]
        luma = scaling.resize(luma, *size)
        if target.family == "GRAY":
            return [luma]
        across, down = target.subsampling
        small = (size[0] >> down, size[1] >> across)
        return [luma, *colour.chroma_down(chroma, target, small).split(1, 1)]

    def _write_facts(self, out: vs.VideoFrame) -> None:
        target = self._target
        out.props["_Matrix"] = target.matrix
        out.props["_Transfer"] = target.transfer
        out.props["_Primaries"] = target.primaries
        out.props["_Range"] = int(target.full_range)
        out.props["_FieldBased"] = 0
        if target.subsampling != (0, 0):
            out.props["_ChromaLocation"] = target.chroma_location
        elif "_ChromaLocation" in out.props:
            del out.props["_ChromaLocation"]
        if "_Field" in out.props:
            del out.props["_Field"]
        if self._aspect is not None:
            out.props["_SARNum"] = self._aspect.numerator
            out.props["_SARDen"] = self._aspect.denominator


@dataclass(frozen=True)
class _Host:
    """Transfers where the device shares the processor's memory, or torch moves it by itself."""

    device: torch.device

    def upload(self, plane: np.ndarray[Any, Any]) -> Tensor:
        return torch.from_numpy(np.asarray(_Borrowed(plane))).to(self.device)

    def download(self, planes: Sequence[Tensor], frames: Sequence[vs.VideoFrame]) -> None:
        for number, plane in enumerate(planes):
            for one, frame in zip(plane.cpu(), frames, strict=True):
                np.copyto(np.asarray(frame[number]), one[0].numpy())


class _Cuda:
    """Transfers through pinned buffers, on streams of their own beside the arithmetic."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._in, self._out = torch.cuda.Stream(device), torch.cuda.Stream(device)
        self._free: dict[tuple[object, ...], list[tuple[Tensor, torch.cuda.Event]]] = {}
        self._lock = threading.Lock()

    def upload(self, plane: np.ndarray[Any, Any]) -> Tensor:
        buffer, done = self._buffer(plane.shape, torch.from_numpy(plane[:1]).dtype)
        np.copyto(buffer.numpy(), plane)
        with torch.cuda.stream(self._in):
            moved = buffer.to(self._device, non_blocking=True)
            done.record(self._in)
        now = torch.cuda.current_stream(self._device)
        now.wait_stream(self._in)
        moved.record_stream(now)
        self._give_back(buffer, done)
        return moved

    def download(self, planes: Sequence[Tensor], frames: Sequence[vs.VideoFrame]) -> None:
        now = torch.cuda.current_stream(self._device)
        self._out.wait_stream(now)
        under_way = []
        for plane in planes:
            buffer, done = self._buffer(tuple(plane.shape), plane.dtype)
            with torch.cuda.stream(self._out):
                buffer.copy_(plane, non_blocking=True)
                plane.record_stream(self._out)
                done.record(self._out)
            under_way.append((buffer, done))
        for number, (buffer, done) in enumerate(under_way):
            done.synchronize()
            for one, frame in zip(buffer, frames, strict=True):
                np.copyto(np.asarray(frame[number]), one[0].numpy())
            self._give_back(buffer, done)

    def _buffer(
        self, shape: tuple[int, ...], dtype: torch.dtype
    ) -> tuple[Tensor, torch.cuda.Event]:
        """A pinned buffer whose last copy is over: an old one, or else a new one."""
        with self._lock:
            free = self._free.setdefault((shape, dtype), [])
            for number, (buffer, done) in enumerate(free):
                if done.query():
                    del free[number]
                    return buffer, done
        return torch.empty(shape, dtype=dtype, pin_memory=True), torch.cuda.Event()

    def _give_back(self, buffer: Tensor, done: torch.cuda.Event) -> None:
        with self._lock:
            self._free[tuple(buffer.shape), buffer.dtype].append((buffer, done))


class _Borrowed:
    """An array's samples said to be writable: torch warns of others. Nobody writes to them."""

    def __init__(self, plane: np.ndarray[Any, Any]) -> None:
        told = plane.__array_interface__
        self.__array_interface__ = told | {"data": (told["data"][0], False)}
        self.owner = plane


def _cut(plane: Tensor, top: int, lines: int, whole: int) -> Tensor:
    """The lines of a plane that belong to luma's `top` .. `top + lines` of `whole` ones."""
    share = whole // plane.shape[-2]
    return plane[..., top // share : (top + lines) // share, :]


def _read(
    frame: vs.VideoFrame, source: Signal, target: Signal, transfers: _Host | _Cuda
) -> Pictures:
    """A VapourSynth frame as Y'CbCr 4:4:4 of the target's colour on the device.

    Colour is converted here, where pictures are small: at four times the size it would cost
    sixteen times as much, and a model sees what its result will be. Gray has chroma of 0.
    """
    planes = [
        transfers.upload(np.asarray(frame[number]))[None, None]
        for number in range(frame.format.num_planes)
    ]
    unit = colour.to_unit(planes, source)
    field = _PARITIES.get(frame.props.get("_Field"))
    luma = unit[0]
    if source.family == "GRAY":
        empty = torch.zeros_like(luma)
        return Pictures("yuv", torch.cat([luma, empty, empty], 1), field)
    if source.family == "RGB":
        rgb = colour.convert(torch.cat(unit, 1), source, target)
        return Pictures("yuv", colour.rgb_to_yuv(rgb, _matrix(target)), field)
    chroma = torch.cat(unit[1:], 1)
    chroma = colour.chroma_up(chroma, source, (luma.shape[-2], luma.shape[-1]), field)
    frames = torch.cat([luma, chroma], 1)
    if (source.matrix, source.primaries) != (_matrix(target), target.primaries):
        rgb = colour.convert(colour.yuv_to_rgb(frames, source.matrix), source, target)
        frames = colour.rgb_to_yuv(rgb, _matrix(target))
    return Pictures("yuv", frames, field)


def _unit(frame: vs.VideoFrame, signal: Signal, transfers: _Host | _Cuda) -> tuple[Tensor, Tensor]:
    """Luma and chroma of a YUV or Gray frame, chroma at its own size; Gray has small, empty one."""
    planes = [
        transfers.upload(np.asarray(frame[number]))[None, None]
        for number in range(frame.format.num_planes)
    ]
    luma, *chroma = colour.to_unit(planes, signal)
    if not chroma:
        return luma, luma.new_zeros(1, 2, -(-frame.height // 2), -(-frame.width // 2))
    return luma, torch.cat(chroma, 1)


def _recolour(matrix: int) -> Callable[[Tensor, Colour], Tensor]:
    def recolour(frames: Tensor, to: Colour) -> Tensor:
        if to == "rgb":
            return colour.yuv_to_rgb(frames, matrix)
        return colour.rgb_to_yuv(frames, matrix)

    return recolour


def _matrix(signal: Signal) -> int:
    """The matrix of a signal's Y'CbCr; between stages RGB needs one too, and any will do."""
    return 1 if signal.family == "RGB" else signal.matrix


def _neighbours(
    clip: vs.VideoNode, before: int, after: int, batch: int, blocks: int
) -> list[vs.VideoNode]:
    """Clips of one frame a block: the j-th gives source frame block * batch - before + j.

    Beyond the clip's ends its first and its last frame stand.
    """
    missing = (blocks - 1) * batch + batch + after - clip.num_frames
    padded = clip
    if before:
        padded = clip[0] * before + padded
    if missing > 0:
        padded = padded + clip[-1] * missing
    width = before + batch + after
    return [_every(padded, batch, j)[:blocks] for j in range(width)]


def _every(clip: vs.VideoNode, step: int, first: int) -> vs.VideoNode:
    """Each `step`-th frame from `first` on, with the duration that it has."""
    rest = clip[first:]
    # A slice with a step would make durations longer, as of a clip that is played so.
    return rest.std.SelectEvery(step, [0], modify_duration=False) if step > 1 else rest


def _write_flags(out: vs.VideoFrame, flags: light.Flags) -> None:
    out.props["_SceneChangePrev"] = int(flags.cut_prev)
    out.props["_SceneChangeNext"] = int(flags.cut_next)
    out.props["EncoreFlash"] = float(flags.flash)


def _check_fields(clip: vs.VideoNode, stages: Sequence[AnyStage]) -> None:
    """Refuse fields where frames are due, and frames where fields are."""
    props = clip.get_frame(0).props
    if any(stage.needs.fields for stage in stages[1:]):
        raise vs.Error("chain: a stage that takes fields must be the first")
    if stages and stages[0].needs.fields:
        if "_Field" not in props:
            raise vs.Error("chain: the first stage takes fields; separate them (SeparateFields)")
        if clip.format.subsampling_h > 1:
            raise vs.Error(
                "chain: fields must have chroma at every line or every second,"
                f" not {clip.format.name}"
            )
        return
    if props.get("_FieldBased", 0) or "_Field" in props:
        raise vs.Error("chain: clip must be progressive; deinterlace it first")


def _signal(clip: vs.VideoNode) -> Signal:
    props = clip.get_frame(0).props
    told = read_colour(clip)
    location = props.get("_ChromaLocation", 0)
    rgb = clip.format.color_family == vs.RGB
    return Signal(
        family=_FAMILIES[clip.format.color_family],
        bits=clip.format.bits_per_sample,
        subsampling=(clip.format.subsampling_w, clip.format.subsampling_h),
        matrix=told.matrix,
        transfer=told.transfer,
        primaries=told.primaries,
        full_range=props.get("_Range", 1) == 1 if rgb else told.full_range,
        chroma_location=location if isinstance(location, int) else 0,
    )


def _target(
    clip: vs.VideoNode, source: Signal, format: int | None, matrix: str, height: int
) -> Signal:
    try:
        wanted = clip.format if format is None else vs.core.get_video_format(format)
    except vs.Error as error:
        raise vs.Error(f"chain: format is unknown: {error}") from error
    integer = wanted.sample_type == vs.INTEGER and wanted.bits_per_sample <= 16
    if not integer or wanted.color_family not in _FAMILIES:
        raise vs.Error(f"chain: format must be YUV, Gray or RGB integers, not {wanted.name}")
    told = read_colour(clip)
    if source.family != "GRAY":  # luma alone cannot change its matrix; its tags go on as they came
        told = wanted_colour(told, matrix, height)
    family = _FAMILIES[wanted.color_family]
    of_matrix = told.matrix
    if family == "RGB":
        of_matrix = 0
    elif source.family == "RGB":
        # RGB has no matrix to keep: it gets the one that goes with its primaries.
        of_matrix = told.primaries if told.primaries in (5, 6, 7, 9) else 1
    return Signal(
        family=family,
        bits=wanted.bits_per_sample,
        subsampling=(wanted.subsampling_w, wanted.subsampling_h),
        matrix=of_matrix,
        transfer=told.transfer,
        primaries=told.primaries,
        full_range=family == "RGB",
        chroma_location=0,
    )


def _size(
    made_height: int, made_width: int, height: int | None, width: int | None
) -> tuple[int, int]:
    if height is None and width is None:
        return made_height, made_width
    if height is None:
        assert width is not None
        return round(made_height * width / made_width / 2) * 2, width
    if width is None:
        return height, round(made_width * height / made_height / 2) * 2
    return height, width


def _check_size(size: tuple[int, int], target: Signal) -> None:
    """Refuse a size that no frame has, before any memory is asked for it."""
    height, width = size
    if not (1 <= height <= _MOST_PX and 1 <= width <= _MOST_PX):
        raise vs.Error(
            f"chain: the result would be {width}x{height}, and {_MOST_PX} is the most;"
            " give a height and a width"
        )
    across, down = target.subsampling
    if width % (1 << across) or height % (1 << down):
        raise vs.Error(
            f"chain: a result of {width}x{height} cannot have the chroma of its format;"
            " give an even height and width, or a format of 4:4:4"
        )


def _format_id(signal: Signal) -> int:
    family = next(code for code, name in _FAMILIES.items() if name == signal.family)
    found = vs.core.query_video_format(family, vs.INTEGER, signal.bits, *signal.subsampling)
    return int(found.id)
