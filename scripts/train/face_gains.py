"""Measures how much too weak the bands of a remastered, merged face are: `_WEAKER` of `faces`.

    sh scripts/run python scripts/train/degrade.py --out FILMS --films 40 --seed 770000
    sh scripts/run python scripts/train/face_gains.py FILMS [--workers 2]

The films' photographs are remastered by the base network as in a job. About each moment that has a
truth some places are cut as the filter `faces` cuts a face, at a size between that of the recording
and one and a half of it, and merged over the filter's own window by its own code; in place of the
points of a face's track stands a similarity found between the pictures, a little wrong, as points
are. For each band is printed the factor that brings what was merged nearest to the truth (least
squares; 1 and `_WEAKER`), by how much of the band is sure, and the share of the energy in each of
these columns.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import vapoursynth as vs
from numpy.typing import NDArray
from torch import Tensor

import vsencore
from vsencore.engine.scaling import resize
from vsencore.face import detail
from vsencore.face.crops import scaled, square
from vsencore.face.filter import REACH

_SIDE = 192
_PLACES = 6
_LARGEST = 0.78
_SMALLEST = 0.5
_ROOM_PX = 8
# How wrong the points of a track are, in pixels of a crop, and its turn and growth.
_WRONG_PX, _WRONG = 0.4, 0.004
# A place where the recording is not as bright as its truth has a flash that the shutter shared.
_SAME_LIGHT = 1.5 / 255
_COLUMNS = 8

type Luma = NDArray[np.float32]
type Matrix = NDArray[np.float64]
type Sums = NDArray[np.float64]


def main() -> int:
    """Measure all films, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("films", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    folders = sorted(path.parent for path in given.films.glob("film_*/recipe.json"))
    if not folders:
        raise SystemExit(f"{given.films} holds no films; make some with scripts/train/degrade.py")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    total, places = 0.0, 0
    with get_context("spawn").Pool(given.workers) as pool:
        for number, (sums, count) in enumerate(pool.imap_unordered(measured, folders), 1):
            total, places = total + sums, places + count
            print(f"{number}/{len(folders)} films, {places} places", file=sys.stderr, flush=True)
    if not places:
        raise SystemExit("no place of these films could be followed; make more films")
    print(f"{'band':<6}{'all':>6}  sure, in eighths: factor (share of the energy)")
    for number, band in enumerate(np.asarray(total)):
        both, own = band.T
        cells = "".join(
            f"{one / two:8.2f} ({two / own.sum():.2f})" if two else " " * 15
            for one, two in zip(both, own, strict=True)
        )
        print(f"{number:<6}{both.sum() / own.sum():>6.2f}{cells}")
    return 0


def measured(folder: Path) -> tuple[Sums, int]:
    """The sums of a film's places (bands, columns, 2): of found times truth, and found squared."""
    torch.set_num_threads(1)
    vs.core.num_threads = 1
    told = json.loads((folder / "recipe.json").read_text())
    dice = np.random.default_rng(int(told["film_seed"]))
    truths = np.load(folder / "truth_y.npy", mmap_mode="r")
    frames = _remastered(folder, told, truths.shape[1:])
    total, count = np.zeros((detail.BANDS - 1, _COLUMNS, 2)), 0
    with torch.inference_mode():
        for number, at in enumerate(np.load(folder / "moments.npy")):
            if not REACH <= at < len(frames) - REACH:
                continue
            near = frames[at - REACH : at + REACH + 1]
            truth = (truths[number].astype(np.float32) - 16) / 219
            for _ in range(_PLACES):
                found = _window(near, truth, told["tiles"], dice)
                if found is not None:
                    total, count = total + _sums(*found), count + 1
    return total, count


def _sums(seen: detail.Aligned, truth: Tensor) -> Sums:
    found = detail.sure_bands(seen, detail.merged(seen))
    total = np.zeros((detail.BANDS - 1, _COLUMNS, 2))
    clean = detail.bands(truth, detail.BANDS - 1)
    for sums, (band, sure), true in zip(total, found, clean, strict=True):
        column = (sure * _COLUMNS).long().clamp(0, _COLUMNS - 1).flatten()
        for number, product in enumerate((band * true, band * band)):
            sums[:, number] = torch.zeros(_COLUMNS).index_add(0, column, product.flatten()).numpy()
    return total


def _remastered(folder: Path, told: dict[str, Any], size: Sequence[int]) -> Luma:
    """The luma 0..1 of all moments (N, height, width), at twice SD."""
    planes = [np.load(folder / f"{name}.npy") for name in "yuv"]
    if told["interlaced"]:
        planes = [_woven(plane, bool(told["top_first"])) for plane in planes]
    count, height, width = planes[0].shape
    blank = vs.core.std.BlankClip(
        format=vs.YUV420P8, width=width, height=height, length=count, fpsnum=25, fpsden=1
    )

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.copy()
        for number, plane in enumerate(planes):
            np.asarray(frame[number])[:] = plane[n]
        return frame

    order = (2 if told["top_first"] else 1) if told["interlaced"] else 0
    colour = 5 if told["system"] == "pal" else 6
    clip = blank.std.ModifyFrame(blank, draw).std.SetFrameProps(
        _FieldBased=order,
        _Matrix=colour,
        _Primaries=colour,
        _Transfer=6,
        _Range=0,
        _ChromaLocation=0,
    )
    large = vsencore.remaster(clip, height=size[0], width=size[1], matrix="keep")
    seen = [np.array(frame[0], np.float32) for frame in large.frames(close=True)]
    return (np.stack(seen) - 64) / 876


def _woven(fields: NDArray[np.uint8], top_first: bool) -> NDArray[np.uint8]:
    count, height, width = fields.shape
    frames = np.empty((count // 2, 2 * height, width), np.uint8)
    first = 0 if top_first else 1
    frames[:, first::2], frames[:, 1 - first :: 2] = fields[0::2], fields[1::2]
    return frames


def _window(
    near: Luma, truth: Luma, tiles: list[dict[str, int]], dice: np.random.Generator
) -> tuple[detail.Aligned, Tensor] | None:
    """One place of the middle frame, and its truth; None where it is lit anew or not followed."""
    tile = tiles[int(dice.integers(len(tiles)))]
    shorter = min(tile["height"], tile["width"])
    least = max(_SMALLEST, (_SIDE + 2 * _ROOM_PX + 2) / shorter)
    scale = dice.uniform(least, _LARGEST)
    span, room = round(_SIDE / scale), round(_ROOM_PX / scale)
    free = [tile[side] - span - 2 * room for side in ("height", "width")]
    if min(free) < 0:
        return None
    top = tile["top"] + room + int(dice.integers(free[0] + 1))
    left = tile["left"] + room + int(dice.integers(free[1] + 1))
    view = slice(top, top + span), slice(left, left + span)
    wide = slice(top - room, top + span + room), slice(left - room, left + span + room)
    centre, clean = _tensor(near[REACH][view]), _tensor(truth[view])
    if abs(float((centre - clean).mean())) >= _SAME_LIGHT:
        return None
    size = round((span + 2 * room) * _SIDE / span / 2) * 2
    by = (span + 2 * room) / size
    to_cut = np.linalg.inv(scaled((-room, -room), (by, by)))
    to_place = scaled((0, 0), (span / _SIDE, span / _SIDE))
    cuts, maps = [], []
    for number, other in enumerate(near):
        if number == REACH:
            continue
        moved = _followed(near[REACH][view], other[view])
        if moved is None:
            return None
        cuts.append(resize(_tensor(other[wide]), size, size))
        maps.append((to_cut @ moved @ _wrong(span, scale, dice) @ to_place)[:2])
    seen = detail.aligned(
        resize(centre, _SIDE, _SIDE),
        torch.cat(cuts),
        torch.from_numpy(np.stack(maps).astype(np.float32)),
    )
    return seen, resize(clean, _SIDE, _SIDE)


def _wrong(span: int, scale: float, dice: np.random.Generator) -> Matrix:
    """A small similarity (3, 3) about the middle of a place: what a track's points are off by."""
    growth, turn = dice.normal(0, _WRONG, 2)
    matrix = square(np.eye(2, 3))
    matrix[:2, :2] += [[growth, -turn], [turn, growth]]
    middle = np.full(2, span / 2)
    matrix[:2, 2] = dice.normal(0, _WRONG_PX / scale, 2) + middle - matrix[:2, :2] @ middle
    return matrix


def _followed(first: Luma, second: Luma) -> Matrix | None:
    """The similarity (3, 3) that leads from a place's pixels to another moment's, by corners."""
    one, other = (np.clip(a * 255, 0, 255).astype(np.uint8) for a in (first, second))
    points = cv2.goodFeaturesToTrack(one, 80, 0.01, 5)
    if points is None or len(points) < 12:
        return square(np.eye(2, 3))  # nothing to hold on to: it stands, as far as one can see
    found, good, _ = cv2.calcOpticalFlowPyrLK(one, other, points, None, winSize=(21, 21))
    kept = good.ravel() == 1
    if kept.sum() < 8:
        return None
    fitted, within = cv2.estimateAffinePartial2D(points[kept], found[kept], ransacReprojThreshold=1)
    if fitted is None or within.mean() < 0.4 or not 0.8 < np.hypot(*fitted[:, 0]) < 1.25:
        return None
    return square(np.asarray(fitted, np.float64))


def _tensor(picture: Luma) -> Tensor:
    return torch.from_numpy(np.array(picture, np.float32))[None, None]


if __name__ == "__main__":
    sys.exit(main())
