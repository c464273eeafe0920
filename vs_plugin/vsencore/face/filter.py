"""The filter: each face of a frame found in the tracks, made clearer, and put back where it was.

A frame is a function of a few frames about it and of the tracks. The tracks of a scan end at cuts,
and where a frame says that a shot begins or ends, no window goes on. What is worked on is a small
crop about each face, at the size that an SD recording has to tell something for; what comes of it
is a difference, enlarged and added to the clip's own samples, so that all else stays as it is to
the bit. Nothing is done to chroma: the colour of a face is the stage's.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import vapoursynth as vs
from numpy.typing import NDArray
from torch import Tensor

from ..arguments import check_choice, check_clip, check_number, check_progressive
from ..colour import read_colour
from ..engine.colour import LUMA_WEIGHTS, Signal, chroma_up, to_unit, yuv_to_rgb
from ..engine.device import Place, place
from ..engine.dither import ordered
from ..engine.scaling import resize
from ..zoo import ZooError
from .align import similarity, warp
from .blend import add_shifted, grain_kept, head, shares
from .crops import Matrix, bounds, filled, inside, middles, scaled, square, upright_to_frame, whole
from .detail import AT_TRUTH, Aligned, Merged, aligned, calmed, merged, raised
from .model import SIDE_PX as MODEL_PX
from .model import FaceModel, Restored, load
from .tracks import Face, Tracks, TracksError

__all__ = ["FALLBACK", "faces"]

FALLBACK = "EncoreFaceFallback"
"""The property of a frame that names the tracks whose model strayed: whole numbers."""


REACH = 4
"""Frames on each side that a face is merged from."""

MOST = 8
"""Faces of a frame that are worked on: the largest."""

# Faces are worked on at this many lines of the frame, or fewer: SD has no more to tell.
_LINES = 864
_MOST_PX, _LEAST_PX = 384, 16
_STEPS = 8
# Of the box: how far the crop goes beyond it at the sides, above and below.
_MARGIN = (0.45, 0.45, 0.36)
# Of two faces of nearly one size neither may come and go: a face counts in full that is a quarter
# larger than the largest which is left out.
_CLEARLY = 0.25
_UNFELT = 1e-3
# What the recording has to tell of a face is counted in its own lines.
_SOURCE_LINES = 576


def faces(
    clip: vs.VideoNode,
    strength: float = 0.5,
    *,
    tracks: Tracks | str | Path,
    method: str = "detail",
    identity: str = "strict",
    device: str = "auto",
    format: int | None = None,
) -> vs.VideoNode:
    """Make the faces of a finished clip clearer, and keep them who they are.

    "detail" invents nothing: a face's own pixels over nine frames, aligned, lit alike and averaged
    where they agree, and what stands above the noise raised. A model of faces (a name that `encore
    models list` shows, or a file) adds what it makes of the face, less its low band, smoothed along
    the track, and only in frames where it is still the same face; elsewhere there is "detail".

    Args:
        clip: Constant; YUV or Gray of 8 to 16 bit integers; whole frames, at their final size.
        strength: 0 gives the clip back; 0.5 comes nearest to the truth; 1 shows most.
        tracks: What `encore scan --faces` wrote, or the same as an object. They may be counted at
            another rate than the clip's.
        method: "detail", or a model's name or file.
        identity: How near a model's face must be to the clip's: "strict", "normal", or "off".
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        format: A format of the same kind with other bits; None is the clip's own.

    Returns:
        The clip; frames without a face are the same to the bit, and chroma is everywhere. Of a
        model, EncoreFaceFallback names the tracks of the faces that it was not used for.

    Raises:
        vs.Error: A wrong argument, tracks or a model that cannot be read, or a device that is not
            there.
    """
    check_clip("faces", clip)
    check_progressive("faces", clip)
    check_number("faces", "strength", strength, 0, 1)
    check_choice("faces", "identity", identity, ("strict", "normal", "off"))
    if not isinstance(method, str) or not method:
        raise vs.Error('faces: method must be "detail", or the name or file of a model')
    clip = _formatted(clip, format)
    if not strength:
        return clip
    try:
        found = tracks if isinstance(tracks, Tracks) else Tracks.load(tracks)
        chosen = place(device, [])
        if not found.tracks:
            return clip
        model = None if method == "detail" else load(method, chosen.device, identity)
    except (TracksError, ZooError, ValueError) as error:
        raise vs.Error(f"faces: {error}") from error
    return _Node(clip, strength, found, model, chosen).clip


@dataclass(frozen=True)
class _Task:
    """One face of a frame: where its crop lies, its mask there, and the frames it is merged from.

    left, top, wide, tall: of the crop, in pixels of the frame. size: height and width that it is
    worked on at. to_frame: (3, 3), from pixels of that size to the frame's. others: for each
    neighbour its matrix (3, 3), from the frame's pixels to the neighbour's. faces: the face in each
    of the frames, this one's included.
    """

    id: int
    corner: tuple[int, int]
    wide: int
    tall: int
    size: tuple[int, int]
    to_frame: Matrix
    others: Mapping[int, Matrix]
    faces: Mapping[int, Face]
    mask: Tensor


class _Node:
    """The filter over one clip. `clip` is the result."""

    def __init__(
        self,
        clip: vs.VideoNode,
        strength: float,
        tracks: Tracks,
        model: FaceModel | None,
        chosen: Place,
    ) -> None:
        self._length, self._size = clip.num_frames, (clip.height, clip.width)
        self._strength, self._tracks, self._model = strength, tracks, model
        self._device = chosen.device
        rate = clip.fps or tracks.rate
        self._step = tracks.rate / Fraction(rate)
        self._signal = _signal(clip)
        (codes,) = to_unit([torch.arange(2)[None]], self._signal)
        self._code = float(codes[0, 1] - codes[0, 0])
        self._restored: OrderedDict[tuple[int, int], Restored] = OrderedDict()
        self._lock = threading.Lock()
        around = [_shifted(clip, by) for by in range(-REACH, REACH + 1)]
        worked = clip.std.ModifyFrame(around, self._work)
        # Neighbours are asked for only where there is a face.
        self.clip = clip.std.FrameEval(lambda n: worked if self._at(n) else clip)

    def _at(self, n: int) -> dict[int, Face]:
        """The faces in the clip's frame n, by the id of their track."""
        if not 0 <= n < self._length:
            return {}
        return {face[0]: face for face in self._tracks.at(float(n * self._step))}

    def _work(self, n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        frames = dict(zip(range(n - REACH, n + REACH + 1), f, strict=True))
        out = frames[n].copy()
        strayed = []
        with self._lock, torch.inference_mode():
            tasks = self._tasks(n, frames)
            masks = shares([task.mask for task in tasks], [task.corner for task in tasks])
            changes = []
            for task, mask in zip(tasks, masks, strict=True):
                change, strays = self._change(n, task, frames)
                changes.append(change * mask)
                if strays:
                    strayed.append(task.id)
            self._write(np.asarray(out[0]), tasks, changes)
        if strayed:
            out.props[FALLBACK] = strayed
        return out

    def _tasks(self, n: int, frames: Mapping[int, vs.VideoFrame]) -> list[_Task]:
        """The faces of a frame that are worked on, the largest first."""
        areas = {key: float(np.prod(np.asarray(face[1][2:]))) for key, face in self._at(n).items()}
        largest = sorted(areas, key=lambda key: (-areas[key], key))
        left_out = areas[largest[MOST]] if len(largest) > MOST else 0.0
        tasks = []
        for key in largest[:MOST]:
            share = 1.0
            if left_out:
                share = min(1.0, (areas[key] / left_out - 1) / _CLEARLY)
            task = self._task(n, key, share, frames) if share > _UNFELT else None
            if task is not None:
                tasks.append(task)
        return tasks

    def _task(
        self, n: int, key: int, share: float, frames: Mapping[int, vs.VideoFrame]
    ) -> _Task | None:
        found = {n: self._at(n)[key]}
        for way in (-1, 1):
            inner = self._inner(n, key, way, frames, found)
            share *= min(1.0, (inner + 1) / (REACH + 1))
        height, width = self._size
        frame_px = np.array([width, height], np.float64)
        _, box, points, trust = found[n]
        left, top, wide, tall = np.asarray(box, np.float64) * np.tile(frame_px, 2)
        first = np.array([left - _MARGIN[0] * wide, top - _MARGIN[1] * tall])
        last = np.array([left + (1 + _MARGIN[0]) * wide, top + (1 + _MARGIN[2]) * tall])
        first, last = np.clip(first, 0, frame_px), np.clip(last, 0, frame_px)
        share *= trust
        if (last - first).min() < _LEAST_PX or share <= _UNFELT:
            return None
        reduced = max(1.0, height / _LINES, float((last - first).max()) / _MOST_PX)
        reduced = math.ceil(reduced * _STEPS) / _STEPS
        (x, across, columns), (y, down, rows) = (
            whole(begin, end, reduced, length)
            for begin, end, length in zip(first, last, (width, height), strict=True)
        )
        corner, size = (x, y), (rows, columns)
        mask = head(
            np.array([left - x, top - y, wide, tall], np.float32),
            np.asarray(points * frame_px - corner, np.float32),
            (down, across),
            share,
            self._device,
        )
        here = middles(points, frame_px)
        others = {}
        for at, face in found.items():
            moved = similarity(here, middles(face[2], frame_px))
            if at != n and 0.5 < np.linalg.norm(moved[:, 0]) < 2:
                others[at] = square(moved)
        to_frame = scaled(corner, (across / size[1], down / size[0]))
        return _Task(key, corner, across, down, size, to_frame, others, found, mask)

    def _inner(
        self,
        n: int,
        key: int,
        way: int,
        frames: Mapping[int, vs.VideoFrame],
        found: dict[int, Face],
    ) -> int:
        """Find the face in the frames on one side; how many there are before the track just ends.

        Where a shot or the clip ends, nobody sees a face's change set in: then all count as found.
        """
        leaves, comes = ("_SceneChangeNext", "_SceneChangePrev")[::way]
        for by in range(1, REACH + 1):
            at = n + way * by
            cut = not 0 <= at < self._length or bool(
                frames[at - way].props.get(leaves) or frames[at].props.get(comes)
            )
            if cut:
                return REACH
            face = self._at(at).get(key)
            if face is None:
                return by - 1
            found[at] = face
        return REACH

    def _change(
        self, n: int, task: _Task, frames: Mapping[int, vs.VideoFrame]
    ) -> tuple[Tensor, bool]:
        """What is to be added to a crop's luma (1, 1, tall, wide), and whether the model strays."""
        left, top = task.corner
        own = self._luma(frames[n], left, top, task.wide, task.tall)
        centre = resize(own, *task.size)
        cuts, maps = self._cuts(task, frames)
        seen = aligned(centre, cuts, maps)
        made = merged(seen)
        mask = resize(task.mask, *task.size)
        added, share = self._modelled(n, task, frames, seen, made)
        change = share * added
        if share < 1:
            change = change + (1 - share) * raised(seen, made, mask, self._strength)
        change = change + self._merging * grain_kept(centre, made, mask)
        strays = self._model is not None and not share
        return resize(change, task.tall, task.wide, "bicubic"), strays

    @property
    def _merging(self) -> float:
        return min(self._strength / AT_TRUTH, 1.0)

    def _modelled(
        self,
        n: int,
        task: _Task,
        frames: Mapping[int, vs.VideoFrame],
        seen: Aligned,
        made: Merged,
    ) -> tuple[Tensor | float, float]:
        """What the model adds, smoothed along the track, and how much of it is to be used, 0..1.

        It fades towards frames in which the model strays, so that the face does not jump.
        """
        if self._model is None:
            return 0.0, 0.0
        told = {at: self._restored_at(at, face, frames[at]) for at, face in task.faces.items()}
        strays = [abs(at - n) for at, one in told.items() if not one.same]
        share = min(strays, default=REACH + 1) / (REACH + 1)
        if not share:
            return 0.0, 0.0
        order = [n, *task.others]
        maps = [
            np.linalg.inv(upright_to_frame(task.faces[at], self._size))
            @ task.others.get(at, np.eye(3))
            @ task.to_frame
            for at in order
        ]
        added = warp(
            torch.cat([told[at].added for at in order]),
            self._tensor(maps),
            task.size,
            torch.cat([torch.zeros_like(seen.moved[:1]), seen.moved])
            if len(seen.moved)
            else torch.zeros(1, 2, *task.size, device=self._device),
        )
        one = torch.ones_like(seen.centre)
        weights = torch.cat([one, made.weights]) if len(made.weights) else one
        same = torch.tensor([float(told[at].same) for at in order], device=self._device)
        weights = weights * same[:, None, None, None]
        gain = torch.cat([one, seen.gain]) if len(seen.gain) else one
        smooth = (weights * gain * added).sum(0, keepdim=True) / weights.sum(0, keepdim=True)
        return self._strength * smooth + self._merging * calmed(made, seen.centre), share

    def _restored_at(self, at: int, face: Face, frame: vs.VideoFrame) -> Restored:
        """What the model makes of a face, from the cache or anew."""
        assert self._model is not None
        key = (face[0], at)
        found = self._restored.get(key)
        if found is None:
            crop, scale = self._upright(face, frame)
            lines = min(_SOURCE_LINES, self._size[0])
            source_px = round(MODEL_PX * scale * lines / self._size[0])
            found = self._model.restored(crop, self._luma_of, source_px)
            self._restored[key] = found
            while len(self._restored) > MOST * (2 * REACH + 2):
                self._restored.popitem(last=False)
        return found

    @property
    def _luma_of(self) -> Tensor:
        red, blue = LUMA_WEIGHTS.get(self._signal.matrix, LUMA_WEIGHTS[1])
        return torch.tensor([red, 1 - red - blue, blue], device=self._device)

    def _upright(self, face: Face, frame: vs.VideoFrame) -> tuple[Tensor, float]:
        """A face as models take it, R'G'B' (1, 3, 512, 512), and frame pixels to one of its own."""
        to_frame = upright_to_frame(face, self._size)
        scale = float(np.linalg.norm(to_frame[:2, 0]))
        across, down = bounds(to_frame, (MODEL_PX, MODEL_PX))
        left, top, wide, tall = inside(across, down, self._size, self._grid)
        picture = self._rgb(frame, left, top, wide, tall)
        reduced = max(1.0, scale)
        size = (max(1, round(tall / reduced)), max(1, round(wide / reduced)))
        small = resize(picture, *size)
        to_cut = np.linalg.inv(scaled((left, top), (wide / size[1], tall / size[0])))
        crop = warp(small, self._tensor([to_cut @ to_frame]), (MODEL_PX, MODEL_PX))
        return crop.clamp(0, 1), scale

    def _cuts(self, task: _Task, frames: Mapping[int, vs.VideoFrame]) -> tuple[Tensor, Tensor]:
        """The neighbours' luma about the face (K, 1, h, w), and the maps (K, 2, 3) into it."""
        scale = (task.wide / task.size[1], task.tall / task.size[0])
        maps = {at: moved @ task.to_frame for at, moved in task.others.items()}
        places = {}
        for at, to_other in maps.items():
            across, down = bounds(to_other, task.size[::-1])
            places[at] = inside(across, down, self._size, (1, 1))
        if not places:
            return (
                torch.zeros(0, 1, *task.size, device=self._device),
                torch.zeros(0, 2, 3, device=self._device),
            )
        # One size for all, so that they are worked on together.
        wide, columns = filled(max(p[2] for p in places.values()), scale[0], self._size[1])
        tall, rows = filled(max(p[3] for p in places.values()), scale[1], self._size[0])
        small = (rows, columns)
        cuts, into = [], []
        for at, (left, top, _, _) in places.items():
            left, top = min(left, self._size[1] - wide), min(top, self._size[0] - tall)
            cuts.append(self._luma(frames[at], left, top, wide, tall))
            to_cut = np.linalg.inv(scaled((left, top), (wide / small[1], tall / small[0])))
            into.append(to_cut @ maps[at])
        return resize(torch.cat(cuts), *small), self._tensor(into)

    def _luma(self, frame: vs.VideoFrame, left: int, top: int, wide: int, tall: int) -> Tensor:
        return to_unit([self._plane(frame, 0, left, top, wide, tall)], self._signal)[0]

    def _rgb(self, frame: vs.VideoFrame, left: int, top: int, wide: int, tall: int) -> Tensor:
        luma = self._plane(frame, 0, left, top, wide, tall)
        if self._signal.family == "GRAY":
            return to_unit([luma], self._signal)[0].expand(-1, 3, -1, -1)
        across, down = self._grid
        chroma = [
            self._plane(frame, n, left // across, top // down, wide // across, tall // down)
            for n in (1, 2)
        ]
        planes = to_unit([luma, *chroma], self._signal)
        large = chroma_up(torch.cat(planes[1:], 1), self._signal, (tall, wide))
        matrix = self._signal.matrix if self._signal.matrix in LUMA_WEIGHTS else 1
        return yuv_to_rgb(torch.cat([planes[0], large], 1), matrix)

    @property
    def _grid(self) -> tuple[int, int]:
        """Luma samples, across and down, to one of chroma."""
        across, down = self._signal.subsampling
        return 1 << across, 1 << down

    def _plane(
        self, frame: vs.VideoFrame, n: int, left: int, top: int, wide: int, tall: int
    ) -> Tensor:
        part = np.asarray(frame[n])[top : top + tall, left : left + wide]
        return torch.from_numpy(part.astype(np.int32))[None, None].to(self._device)

    def _tensor(self, maps: Sequence[Matrix]) -> Tensor:
        rows = np.stack([one[:2] for one in maps]).astype(np.float32)
        return torch.from_numpy(rows).to(self._device)

    def _write(
        self, plane: NDArray[np.integer], tasks: Sequence[_Task], changes: Sequence[Tensor]
    ) -> None:
        """Add the changes to a frame's luma; where faces overlap, both at once."""
        places = [task.corner for task in tasks]
        codes = []
        for task, change, (left, top) in zip(tasks, changes, places, strict=True):
            total = torch.zeros_like(change)
            for other, (other_left, other_top) in zip(changes, places, strict=True):
                add_shifted(total, other, other_left - left, other_top - top)
            own = plane[top : top + task.tall, left : left + task.wide].astype(np.int32)
            codes.append(self._coded(own, total, left, top))
        for task, coded, (left, top) in zip(tasks, codes, places, strict=True):
            plane[top : top + task.tall, left : left + task.wide] = coded

    def _coded(
        self, own: NDArray[np.int32], change: Tensor, left: int, top: int
    ) -> NDArray[np.int32]:
        """The codes with a change added; where there is none, they stay."""
        tall, wide = own.shape
        # The dither's pattern lies still while the face moves through it.
        dither = ordered(tall, wide, 0, self._device, top, left)
        moved = torch.round(change / self._code + dither).to(torch.int32)[0, 0].cpu().numpy()
        return np.asarray(np.clip(own + moved, 0, (1 << self._signal.bits) - 1), np.int32)


def _signal(clip: vs.VideoNode) -> Signal:
    told = read_colour(clip)
    location = clip.get_frame(0).props.get("_ChromaLocation", 0)
    return Signal(
        family="GRAY" if clip.format.color_family == vs.GRAY else "YUV",
        bits=clip.format.bits_per_sample,
        subsampling=(clip.format.subsampling_w, clip.format.subsampling_h),
        matrix=told.matrix,
        transfer=told.transfer,
        primaries=told.primaries,
        full_range=told.full_range,
        chroma_location=location if isinstance(location, int) else 0,
    )


def _formatted(clip: vs.VideoNode, format: int | None) -> vs.VideoNode:
    """The clip with as many bits as are wanted, its samples the same."""
    if format is None or format == clip.format.id:
        return clip
    try:
        wanted = vs.core.get_video_format(format)
    except vs.Error as error:
        raise vs.Error(f"faces: format is unknown: {error}") from error
    deeper = clip.format.replace(bits_per_sample=max(wanted.bits_per_sample, 8))
    if wanted.id != deeper.id or not clip.format.bits_per_sample <= wanted.bits_per_sample <= 16:
        raise vs.Error(
            f"faces: format must be {clip.format.name} with as many bits or more, up to 16,"
            f" not {wanted.name}"
        )
    return clip.resize.Point(format=format)


def _shifted(clip: vs.VideoNode, by: int) -> vs.VideoNode:
    """The clip whose frame n is n + by; beyond the ends the first and the last frame stand."""
    length = clip.num_frames
    if not by:
        return clip
    if by < 0:
        return (clip[0] * -by + clip)[:length]
    return (clip[min(by, length - 1) :] + clip[-1] * by)[:length]
