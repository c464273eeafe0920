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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import vapoursynth as vs
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..arguments import check_choice, check_clip, check_number, check_progressive
from ..colour import read_colour
from ..engine.colour import Signal
from ..engine.device import Place, place
from ..engine.dither import ordered
from ..engine.scaling import resize
from ..engine.threads import one_thread
from ..zoo import ZooError
from .align import similarity, warp
from .blend import add_shifted, grain_kept, head, shares
from .crops import Matrix, bounds, inside, middles, scaled, square, upright_to_frame, whole
from .detail import AT_TRUTH, Ties, aligned, calmed, merged, raised, smoothed
from .model import SIDE_PX as MODEL_PX
from .model import FaceModel, Restored, load
from .reader import Reader
from .tracks import Face, Tracks, TracksError

__all__ = ["FALLBACK", "faces"]

FALLBACK = "EncoreFaceFallback"
"""The property of a frame that names the tracks whose model strayed: whole numbers."""


REACH = 3
"""Frames on each side that a face is merged from, and over which what is made of it is smoothed; of
a large face fewer."""

WINDOW = 2 * REACH
"""Frames on each side that a frame is made from."""

MOST = 8
"""Faces of a frame that are worked on, the largest; a few more where others come and go."""

# Faces are worked on at this many lines of the frame, or fewer: SD has no more to tell.
_LINES = 720
_MOST_PX, _LEAST_PX = 384, 16
# A face of more pixels than this has less noise to lose, and is merged from fewer frames: cost.
_LARGE_PX, _REACH_OF_LARGE = 256**2, 2
_STEPS = 8
# Of the box: how far the crop goes beyond it at the sides, above and below; and, in pixels that
# it is worked on at, at least.
_MARGIN, _LEAST_MARGIN_PX = (0.3, 0.36, 0.28), 24
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

    "detail" invents nothing: a face's own pixels over seven frames (of a large face five), aligned,
    lit alike and averaged where they agree, and what stands above the noise raised, steadily along
    the track. A model that restores faces (a name that `encore models list` shows so, or a file)
    adds what it makes of the face, less its low band, smoothed along the track, and only in frames
    where it is still the same face; elsewhere there is "detail".

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
    if not isinstance(tracks, Tracks | str | Path):
        raise vs.Error("faces: tracks must be a file that `encore scan --faces` wrote, or Tracks")
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
class _Crop:
    """Where a face is worked on: `wide` x `tall` pixels of the frame from `corner` on, as `size`.

    size: height and width. to_frame: (3, 3), from pixels of that size to the frame's.
    """

    corner: tuple[int, int]
    wide: int
    tall: int
    size: tuple[int, int]
    to_frame: Matrix


@dataclass(frozen=True)
class _Task:
    """One face of a frame, and its mask (1, 1, tall, wide) in the crop."""

    id: int
    crop: _Crop
    mask: Tensor


@dataclass(frozen=True)
class _Told:
    """What a face's own window tells of it.

    faces: the face in each frame of the window, this one's included. others: for each neighbour
    that was merged its matrix (3, 3), from the crop's pixels to the frame's. calmed: what takes the
    noise out, in full, and raised: the detail; both (1, 1, H, W), to be added.
    """

    crop: _Crop
    faces: Mapping[int, Face]
    others: Mapping[int, Matrix]
    ties: Ties
    calmed: Tensor
    raised: Tensor


class _Kept[Made]:
    """What was made of faces, by track and frame."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, int], Made] = {}

    def get(self, key: int, n: int, make: Callable[[], Made]) -> Made:
        """What there is, or else is made now."""
        if (key, n) not in self._made:
            self._made[key, n] = make()
        return self._made[key, n]

    def keep(self, frames: range) -> None:
        """Forget all but what belongs to some frames."""
        self._made = {at: made for at, made in self._made.items() if at[1] in frames}


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
        self._read = Reader(_signal(clip), chosen.device)
        self._centres: _Kept[Tensor] = _Kept()
        self._told: _Kept[_Told | None] = _Kept()
        self._restored: _Kept[Restored] = _Kept()
        # Frames that are worked on side by side are asked for out of turn.
        self._near = WINDOW + vs.core.num_threads
        self._lock = threading.Lock()
        # A frame's faces are asked for by all frames about it.
        self._at = lru_cache(maxsize=4 * self._near)(self._faces_at)
        around = [_shifted(clip, by) for by in range(-WINDOW, WINDOW + 1)]
        worked = clip.std.ModifyFrame(around, self._work)
        # Neighbours are asked for only where there is a face.
        self.clip = clip.std.FrameEval(lambda n: worked if self._at(n) else clip)

    def _faces_at(self, n: int) -> Mapping[int, Face]:
        """The faces in the clip's frame n, by the id of their track."""
        if not 0 <= n < self._length:
            return {}
        return {face[0]: face for face in self._tracks.at(float(n * self._step))}

    def _work(self, n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        frames = dict(zip(range(n - WINDOW, n + WINDOW + 1), f, strict=True))
        out = frames[n].copy()
        strayed = []
        with self._lock, torch.inference_mode(), one_thread(self._device):
            tasks = self._tasks(n, frames)
            masks = shares([task.mask for task in tasks], [task.crop.corner for task in tasks])
            changes = []
            for task, mask in zip(tasks, masks, strict=True):
                change, strays = self._change(n, task, frames)
                changes.append(change * mask)
                if strays:
                    strayed.append(task.id)
            self._write(np.asarray(out[0]), tasks, changes)
            for kept in (self._centres, self._told, self._restored):
                kept.keep(range(n - self._near, n + self._near + 1))
        if strayed:
            out.props[FALLBACK] = strayed
        return out

    def _tasks(self, n: int, frames: Mapping[int, vs.VideoFrame]) -> list[_Task]:
        """The faces of a frame that are worked on, the largest first."""
        faces = self._at(n)
        tasks = []
        for key in sorted(faces, key=lambda key: (-_area(faces[key]), key)):
            share = self._of_crowd(n, key)
            if share > _UNFELT:
                share *= self._found(n, key, frames)[1] * faces[key][3]
            crop = self._crop(faces[key]) if share > _UNFELT else None
            if crop is not None:
                tasks.append(_Task(key, crop, share * self._mask(faces[key], crop)))
        return tasks

    def _of_crowd(self, n: int, key: int) -> float:
        """How much of a face is worked on, 0..1, where there are more than can be.

        It is the mean of the frames about this one, so that no face is dropped at once where
        another comes.
        """
        shares = []
        for at in range(n - WINDOW, n + WINDOW + 1):
            faces = self._at(at)
            if key not in faces:
                continue
            share = 1.0
            if len(faces) > MOST:
                areas = sorted((_area(face) for face in faces.values()), reverse=True)
                share = (_area(faces[key]) / areas[MOST] - 1) / _CLEARLY
            shares.append(min(max(share, 0.0), 1.0))
        return sum(shares) / len(shares)

    def _crop(self, face: Face) -> _Crop | None:
        """Where a face is worked on; None of one that is too small."""
        height, width = self._size
        frame_px = np.array([width, height], np.float64)
        left, top, wide, tall = np.asarray(face[1], np.float64) * np.tile(frame_px, 2)
        least = _LEAST_MARGIN_PX * max(1.0, height / _LINES)
        beside, above, below = np.maximum(_MARGIN * np.array([wide, tall, tall]), least)
        first = np.array([left - beside, top - above])
        last = np.array([left + wide + beside, top + tall + below])
        first, last = np.clip(first, 0, frame_px), np.clip(last, 0, frame_px)
        if (last - first).min() < _LEAST_PX:
            return None
        reduced = max(1.0, height / _LINES, float((last - first).max()) / _MOST_PX)
        reduced = math.ceil(reduced * _STEPS) / _STEPS
        (x, across, columns), (y, down, rows) = (
            whole(begin, end, reduced, length)
            for begin, end, length in zip(first, last, (width, height), strict=True)
        )
        to_frame = scaled((x, y), (across / columns, down / rows))
        return _Crop((x, y), across, down, (rows, columns), to_frame)

    def _mask(self, face: Face, crop: _Crop) -> Tensor:
        frame_px = np.array(self._size[::-1], np.float64)
        box = np.asarray(face[1], np.float64) * np.tile(frame_px, 2)
        box[:2] -= crop.corner
        points = np.asarray(face[2], np.float64) * frame_px - crop.corner
        size = crop.tall, crop.wide
        return head(box.astype(np.float32), points.astype(np.float32), size, 1.0, self._device)

    def _found(
        self, n: int, key: int, frames: Mapping[int, vs.VideoFrame]
    ) -> tuple[dict[int, Face], float]:
        """The face in frame n and its neighbours, and how far the track's ends are, 0..1."""
        found, share = {n: self._at(n)[key]}, 1.0
        for way in (-1, 1):
            inner = self._inner(n, key, way, frames, found)
            share *= min(1.0, (inner + 1) / (REACH + 1))
        return found, share

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
        mine = self._told_of(n, task.id, frames)
        assert mine is not None, "a task has a crop"
        share = self._same(n, task.id, mine, frames)
        change = min(self._strength / AT_TRUTH, 1.0) * mine.calmed
        if share:
            change = change + share * self._strength * self._modelled(n, mine, frames)
        if share < 1:
            change = change + (1 - share) * self._detail(mine, task.id, frames)
        strays = self._model is not None and not share
        return resize(change, task.crop.tall, task.crop.wide, "bicubic"), strays

    def _told_of(self, n: int, key: int, frames: Mapping[int, vs.VideoFrame]) -> _Told | None:
        return self._told.get(key, n, lambda: self._tell(n, key, frames))

    def _tell(self, n: int, key: int, frames: Mapping[int, vs.VideoFrame]) -> _Told | None:
        """Merge a face over its window; None of one that is too small."""
        found, _ = self._found(n, key, frames)
        crop = self._crop(found[n])
        if crop is None:
            return None
        frame_px = np.array(self._size[::-1], np.float64)
        here = middles(found[n][2], frame_px)
        others, cuts, maps = {}, [], []
        reach = _REACH_OF_LARGE if crop.size[0] * crop.size[1] > _LARGE_PX else REACH
        for at, face in sorted(found.items()):
            if not 0 < abs(at - n) <= reach:
                continue
            moved = similarity(here, middles(face[2], frame_px))
            there = self._crop(face)
            if there is None or not 0.5 < np.linalg.norm(moved[:, 0]) < 2:
                continue
            others[at] = square(moved) @ crop.to_frame
            cuts.append(self._centre(at, key, there, frames))
            maps.append(np.linalg.inv(there.to_frame) @ others[at])
        centre = self._centre(n, key, crop, frames)
        seen = aligned(centre, _stacked(cuts, centre, "replicate"), self._tensor(maps))
        made = merged(seen)
        mask = resize(self._mask(found[n], crop), *crop.size)
        return _Told(
            crop,
            found,
            others,
            Ties(seen.moved, seen.gain, made.weights),
            calmed(made, centre) + grain_kept(centre, made, mask),
            raised(seen, made, mask, self._strength),
        )

    def _centre(self, n: int, key: int, crop: _Crop, frames: Mapping[int, vs.VideoFrame]) -> Tensor:
        """A face's luma as it is worked on."""

        def make() -> Tensor:
            own = self._read.luma(frames[n], *crop.corner, crop.wide, crop.tall)
            return resize(own, *crop.size)

        return self._centres.get(key, n, make)

    def _detail(self, mine: _Told, key: int, frames: Mapping[int, vs.VideoFrame]) -> Tensor:
        """The raised detail, smoothed along the track."""
        others, maps = [], []
        for at, to_frame in mine.others.items():
            told = self._told_of(at, key, frames)
            assert told is not None, "what was merged has a crop"
            others.append(told.raised)
            maps.append(np.linalg.inv(told.crop.to_frame) @ to_frame)
        pictures = _stacked(others, mine.raised, "constant")
        return smoothed(mine.raised, pictures, self._tensor(maps), mine.ties)

    def _same(self, n: int, key: int, mine: _Told, frames: Mapping[int, vs.VideoFrame]) -> float:
        """How much of the model is to be used, 0..1.

        It fades towards frames in which the model strays, so that the face does not jump.
        """
        if self._model is None:
            return 0.0
        strays = [
            abs(at - n)
            for at in mine.faces
            if not self._restored_at(at, mine.faces[at], frames).same
        ]
        return min(strays, default=REACH + 1) / (REACH + 1)

    def _modelled(self, n: int, mine: _Told, frames: Mapping[int, vs.VideoFrame]) -> Tensor:
        """What the model adds, smoothed along the track over the frames that are the same face."""

        def of(at: int, to_frame: Matrix) -> tuple[Restored, Matrix]:
            face = mine.faces[at]
            upright = np.linalg.inv(upright_to_frame(face, self._size))
            return self._restored_at(at, face, frames), upright @ to_frame

        own, to_own = of(n, mine.crop.to_frame)
        centre = warp(own.added, self._tensor([to_own]), mine.crop.size)
        used, others, maps = [], [], []
        for number, (at, to_frame) in enumerate(mine.others.items()):
            one, to_its = of(at, to_frame)
            if one.same:
                used.append(number)
                others.append(one.added)
                maps.append(to_its)
        pictures = _stacked(others, centre, "constant")
        return smoothed(centre, pictures, self._tensor(maps), mine.ties.of(used))

    def _restored_at(self, at: int, face: Face, frames: Mapping[int, vs.VideoFrame]) -> Restored:
        """What the model makes of a face, from the cache or anew."""

        def make() -> Restored:
            assert self._model is not None
            crop, scale = self._upright(face, frames[at])
            lines = min(_SOURCE_LINES, self._size[0])
            source_px = round(MODEL_PX * scale * lines / self._size[0])
            return self._model.restored(crop, self._read.luma_of, source_px)

        return self._restored.get(face[0], at, make)

    def _upright(self, face: Face, frame: vs.VideoFrame) -> tuple[Tensor, float]:
        """A face as models take it, R'G'B' (1, 3, 512, 512), and frame pixels to one of its own."""
        to_frame = upright_to_frame(face, self._size)
        scale = float(np.linalg.norm(to_frame[:2, 0]))
        across, down = bounds(to_frame, (MODEL_PX, MODEL_PX))
        left, top, wide, tall = inside(across, down, self._size, self._read.grid)
        picture = self._read.rgb(frame, left, top, wide, tall)
        reduced = max(1.0, scale)
        size = (max(1, round(tall / reduced)), max(1, round(wide / reduced)))
        small = resize(picture, *size)
        to_cut = np.linalg.inv(scaled((left, top), (wide / size[1], tall / size[0])))
        crop = warp(small, self._tensor([to_cut @ to_frame]), (MODEL_PX, MODEL_PX))
        return crop.clamp(0, 1), scale

    def _tensor(self, maps: Sequence[Matrix]) -> Tensor:
        rows = np.array([one[:2] for one in maps], np.float32).reshape(-1, 2, 3)
        return torch.from_numpy(rows).to(self._device)

    def _write(
        self, plane: NDArray[np.integer], tasks: Sequence[_Task], changes: Sequence[Tensor]
    ) -> None:
        """Add the changes to a frame's luma; where faces overlap, both at once."""
        places = [task.crop.corner for task in tasks]
        codes = []
        for task, change, (left, top) in zip(tasks, changes, places, strict=True):
            total = torch.zeros_like(change)
            for other, (other_left, other_top) in zip(changes, places, strict=True):
                add_shifted(total, other, other_left - left, other_top - top)
            own = _part(plane, task.crop).astype(np.int32)
            codes.append(self._coded(own, total, left, top))
        for task, coded in zip(tasks, codes, strict=True):
            _part(plane, task.crop)[:] = coded

    def _coded(
        self, own: NDArray[np.int32], change: Tensor, left: int, top: int
    ) -> NDArray[np.int32]:
        """The codes with a change added; where there is none, they stay."""
        tall, wide = own.shape
        # The dither's pattern lies still while the face moves through it.
        dither = ordered(tall, wide, 0, self._device, top, left)
        moved = torch.round(change / self._read.code + dither).to(torch.int32)[0, 0].cpu().numpy()
        return np.asarray(np.clip(own + moved, 0, (1 << self._read.signal.bits) - 1), np.int32)


def _area(face: Face) -> float:
    return float(np.prod(np.asarray(face[1][2:])))


def _part(plane: NDArray[np.integer], crop: _Crop) -> NDArray[np.integer]:
    left, top = crop.corner
    return plane[top : top + crop.tall, left : left + crop.wide]


def _stacked(pictures: Sequence[Tensor], like: Tensor, beyond: str) -> Tensor:
    """Pictures (1, 1, h, w) of nearly one size as (K, 1, H, W); `beyond` as torch's pad has it."""
    if not pictures:
        return like[:0]
    tall, wide = (max(one.shape[axis] for one in pictures) for axis in (-2, -1))
    return torch.cat(
        [
            functional.pad(one, (0, wide - one.shape[-1], 0, tall - one.shape[-2]), beyond)
            for one in pictures
        ]
    )


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
