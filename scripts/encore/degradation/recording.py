"""A truth recorded: camera, tape and codec in a row, and the frames they leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encore.degradation import codec, tape
from encore.degradation.camera import Signal, is_top, shoot
from encore.degradation.recipe import Recipe

__all__ = ["Recording", "record", "taped"]

Planes = NDArray[np.uint8]


@dataclass(frozen=True)
class Recording:
    """Decoded frames, woven when interlaced: 8-bit 4:2:0, BT.601, limited range, chroma left."""

    y: Planes
    """(frames, height, width)"""
    u: Planes
    """(frames, height / 2, width / 2)"""
    v: Planes
    top_first: bool
    interlaced: bool
    recipe: Recipe

    def fields(self) -> tuple[Planes, Planes, Planes]:
        """The planes' fields in the order of time: (2 * frames, half the lines, width) each."""
        return self._fields(self.y), self._fields(self.u), self._fields(self.v)

    def _fields(self, plane: Planes) -> Planes:
        count, lines, width = plane.shape
        parted = plane.reshape(count, lines // 2, 2, width).transpose(0, 2, 1, 3)
        ordered = parted if self.top_first else parted[:, ::-1]
        return np.ascontiguousarray(ordered).reshape(2 * count, lines // 2, width)


def record(truth: Planes, recipe: Recipe) -> Recording:
    """The truth, R'G'B' (moments, height, width, 3), as the recipe's SD recording of it.

    One moment is one field of an interlaced recording, and one frame of a progressive one.
    Raises ValueError for a wrong shape, an odd number of moments for fields, and for DV in NTSC
    (which is 4:1:1) or with the top field first; JobError when FFmpeg fails.
    """
    signal = _played(truth, recipe)
    planes = [_woven(plane, recipe) for plane in (signal.y, signal.u, signal.v)]
    packed = np.concatenate([plane.reshape(len(plane), -1) for plane in planes], axis=1)
    ahead = _ahead(signal, recipe, len(packed))
    shown = codec.through(np.concatenate((ahead, packed)), recipe)[len(ahead) :]
    y, u, v = _unpacked(shown, recipe)
    return Recording(y, u, v, recipe.top_first, recipe.interlaced, recipe)


def taped(truth: Planes, recipe: Recipe) -> tuple[Planes, Planes, Planes]:
    """The recording before its codec: y, u and v as `Recording` has them; raises as `record`."""
    signal = _played(truth, recipe)
    y, u, v = (_woven(plane, recipe) for plane in (signal.y, signal.u, signal.v))
    return y, u, v


def _played(truth: Planes, recipe: Recipe) -> Signal:
    _check(truth, recipe)
    signal = shoot(truth, recipe)
    tape.play(signal, recipe)
    return signal


def _check(truth: Planes, recipe: Recipe) -> None:
    if truth.ndim != 4 or truth.shape[-1] != 3 or truth.dtype != np.uint8:
        raise ValueError(f"truth is uint8 (T, H, W, 3); got {truth.dtype} {truth.shape}")
    if not len(truth) or (recipe.interlaced and len(truth) % 2):
        need = "an even number of moments, two fields a frame" if recipe.interlaced else "a moment"
        raise ValueError(
            f"an {'interlaced ' * recipe.interlaced}recording needs {need}; got {len(truth)}"
        )
    if recipe.codec == "dv" and (recipe.system != "pal" or recipe.top_first):
        raise ValueError("dv is made for pal with the bottom field first only")


def _ahead(signal: Signal, recipe: Recipe, frames: int) -> Planes:
    chosen = codec.lead_in(recipe, frames)
    planes = [_woven(plane[chosen], recipe) for plane in (signal.y, signal.u, signal.v)]
    return np.concatenate([plane.reshape(len(plane), -1) for plane in planes], axis=1)


def _woven(plane: NDArray[np.float32], recipe: Recipe) -> Planes:
    # 0 and 255 are sync in BT.601; overshoots up to them are kept, as real recordings keep them.
    codes: Planes = np.clip(plane + 0.5, 1, 254).astype(np.uint8)
    if not recipe.interlaced:
        return codes
    count, lines, width = codes.shape
    frames = np.empty((count // 2, 2 * lines, width), np.uint8)
    for parity in range(2):
        frames[:, (0 if is_top(parity, recipe) else 1) :: 2] = codes[parity::2]
    return frames


def _unpacked(packed: Planes, recipe: Recipe) -> tuple[Planes, Planes, Planes]:
    height, width, count = recipe.height, recipe.width, len(packed)
    y, u, v = np.split(packed, (height * width, height * width * 5 // 4), axis=1)
    half = (count, height // 2, width // 2)
    return y.reshape(count, height, width), u.reshape(half), v.reshape(half)
