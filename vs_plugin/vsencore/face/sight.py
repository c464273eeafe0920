"""Pictures without their light, and how a face moves from one to another.

A *sight* is luma less its local mean, over its local spread: a lamp that comes up, a flash or
another colour changes it little. Motion is told from a grid of places over the face by pyramids
of Lucas and Kanade (Bouguet 2000), each place followed there and back (Kalal, Mikolajczyk and
Matas, Forward-Backward Error, ICPR 2010), and one move, turn and scale that most places agree on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .detect import Picture

__all__ = [
    "Grey",
    "Patch",
    "Step",
    "Values",
    "alike",
    "inside",
    "patch",
    "sight_of",
    "step_between",
    "stepped",
]

Values = NDArray[np.float64]
Grey = NDArray[np.uint8]
"""A sight, (height, width)."""
Patch = NDArray[np.float32]
"""A face in a few cells, of mean 0 and length 1; all 0 where there is nothing to see."""

_AROUND = (13, 13)
"""In pairs of pixels."""
_NOISE_CODES = 2.0
"""Less spread than this is noise, and stays small."""
_CELLS = 20
_PLACES = 7
_LEAST_LIKE = 0.5


@dataclass
class Step:
    """The motion of a face from one frame to another, either way in time."""

    start: int
    end: int
    move: Values
    """(n, 2), pixels: of the box's middle, and of the points."""
    growth: float
    """Logarithm of the scale."""


def sight_of(picture: Picture) -> Grey:
    """The picture (height, width, 3) without its light."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    # Mean and spread change slowly: a quarter of the samples tells them, in a tenth of the time.
    small = cv2.resize(luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.float32)
    mean = cv2.boxFilter(small, -1, _AROUND, borderType=cv2.BORDER_REPLICATE)
    square = cv2.sqrBoxFilter(small, -1, _AROUND, borderType=cv2.BORDER_REPLICATE)
    gain = 42 / (np.sqrt(np.maximum(square - mean * mean, 0)) + _NOISE_CODES)
    size = (luma.shape[1], luma.shape[0])
    full_gain, offset = (cv2.resize(one, size) for one in (gain, 128 - gain * mean))
    sight = cv2.multiply(luma, full_gain, dtype=cv2.CV_32F)
    return np.asarray(cv2.add(sight, offset, dtype=cv2.CV_8U), np.uint8)


def step_between(
    sights: tuple[Grey, Grey],
    frames: tuple[int, int],
    box: Values,
    points: Values,
    guess: Values,
) -> Step | None:
    """How a face goes on from the first sight to the second; None where that cannot be told.

    Args:
        sights: Where it is known, and where it is sought.
        frames: Their numbers.
        box: In the first: middle x, middle y, width, height, pixels.
        points: In the first, (n, 2), pixels.
        guess: (2,): how far it has moved, as far as one can tell.
    """
    step = _step_from(sights, frames, box, points, guess)
    if step is not None:
        return step
    # It turned round, or lamps were out for some frames: sought all around, then followed again.
    found = _sought(sights, box, abs(frames[1] - frames[0]))
    return None if found is None else _step_from(sights, frames, box, points, found)


def _step_from(
    sights: tuple[Grey, Grey],
    frames: tuple[int, int],
    box: Values,
    points: Values,
    guess: Values,
) -> Step | None:
    size = float(np.sqrt(box[2] * box[3]))
    start = _places(box, sights[0].shape)
    if len(start) < 12:
        return None
    end, good = _followed(sights, box, start, guess, size)
    if int(good.sum()) < max(8, 0.3 * len(start)):
        return None
    fitted, within = cv2.estimateAffinePartial2D(
        start[good], end[good], ransacReprojThreshold=max(0.8, 0.03 * size)
    )
    if fitted is None or float(np.mean(within)) < 0.5:
        return None
    turn = np.asarray(fitted, np.float64)
    scale = float(np.hypot(turn[0, 0], turn[1, 0]))
    if not 0.8 < scale < 1.25:
        return None
    known = np.vstack([box[:2], points])
    step = Step(*frames, known @ turn[:, :2].T + turn[:, 2] - known, float(np.log(scale)))
    like = alike(patch(sights[0], box), patch(sights[1], stepped(box, step)))
    return step if like >= _LEAST_LIKE else None


def stepped(box: Values, step: Step) -> Values:
    """The box after a step."""
    return np.concatenate([box[:2] + step.move[0], box[2:] * np.exp(step.growth)])


def patch(sight: Grey, box: Values) -> Patch:
    """The face in a few cells."""
    scale = box[2:] / _CELLS
    corner = box[:2] - box[2:] / 2 + scale / 2
    low, high = np.zeros(2, int), np.array(sight.shape[::-1])
    cell = 2 * round(float(scale.mean()) / 2) + 1
    if cell > 1:  # fewer cells than pixels: what is between them counts too
        low = np.clip(np.floor(corner - 2 * scale), 0, high - 1).astype(int)
        high = np.clip(np.ceil(corner + (_CELLS + 2) * scale), low + 1, high).astype(int)
    cut = cv2.blur(sight[low[1] : high[1], low[0] : high[0]], (cell, cell))
    cells = cv2.warpAffine(
        cut,
        np.array([[scale[0], 0, corner[0] - low[0]], [0, scale[1], corner[1] - low[1]]]),
        (_CELLS, _CELLS),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)
    cells -= cells.mean()
    length = float(np.linalg.norm(cells))
    # Under a code of spread there is nothing: white, or black.
    return np.asarray(cells / length if length > _CELLS else 0 * cells, np.float32)


def alike(one: Patch, other: Patch) -> float:
    """How like two patches are, -1..1."""
    return float((one * other).sum())


def inside(box: Values, sight: Grey) -> float:
    """The part of a box that lies in the picture."""
    size = np.array(sight.shape[::-1])
    low = np.clip(box[:2] - box[2:] / 2, 0, size)
    high = np.clip(box[:2] + box[2:] / 2, 0, size)
    return float(np.prod(high - low) / np.prod(box[2:]))


def _sought(sights: tuple[Grey, Grey], box: Values, gap: int) -> Values | None:
    """How far the face went, where its small picture is found again; None where it is not.

    A face goes a third of its size in a frame at most, and one and a half in all.
    """
    scale = _CELLS / float(np.sqrt(box[2] * box[3]))
    reach = box[2:] * min(0.35 * gap, 1.5)
    low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
    face, _ = _shrunk(sights[0], low, high, scale)
    around, corner = _shrunk(sights[1], low - reach, high + reach, scale)
    if min(face.shape) < 8 or any(np.array(around.shape) < face.shape) or np.ptp(face) < 16:
        return None
    likeness = cv2.matchTemplate(around, face, cv2.TM_CCOEFF_NORMED)
    best = np.unravel_index(int(np.argmax(likeness)), likeness.shape)
    if float(likeness[best]) < _LEAST_LIKE:
        return None
    origin = np.maximum(np.floor(low), 0)
    return np.asarray(corner + np.array(best[::-1]) / scale - origin, np.float64)


def _shrunk(sight: Grey, low: Values, high: Values, scale: float) -> tuple[Grey, Values]:
    """A part of a sight at another scale, and where its corner lies."""
    first = np.clip(np.floor(low), 0, None).astype(int)
    last = np.clip(np.ceil(high), first, sight.shape[::-1]).astype(int)
    cut = sight[first[1] : last[1], first[0] : last[0]]
    if min(cut.shape) < 2:
        return np.zeros((0, 0), np.uint8), first.astype(np.float64)
    size = np.maximum(np.round((last - first) * scale), 1).astype(int)
    small = cv2.resize(cut, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), first.astype(np.float64)


def _places(box: Values, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A grid over the face, but for what lies at the picture's edge or beyond."""
    offsets = np.linspace(-0.42, 0.42, _PLACES)
    grid = np.stack(np.meshgrid(offsets, offsets), -1).reshape(-1, 2)
    places = box[:2] + grid * box[2:]
    height, width = shape
    seen = ((places >= 2) & (places < (width - 2, height - 2))).all(1)
    return np.asarray(places[seen], np.float32)


def _followed(
    sights: tuple[Grey, Grey],
    box: Values,
    start: NDArray[np.float32],
    guess: Values,
    size: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where the places are in the second sight, and which of them come back when followed back."""
    # Only about the face: pyramids of whole pictures would cost more than everything else.
    margin = np.maximum(box[2:], 24) + np.abs(guess)
    low = np.clip(np.floor(box[:2] - box[2:] / 2 - margin), 0, None).astype(int)
    high = np.ceil(box[:2] + box[2:] / 2 + margin).astype(int)
    one, two = (np.ascontiguousarray(sight[low[1] : high[1], low[0] : high[0]]) for sight in sights)
    if min(one.shape) < 16:
        return start, np.zeros(len(start), np.bool_)
    reach = int(np.clip(round(0.3 * size), 7, 31)) | 1
    corner = low.astype(np.float32)
    there = start - corner
    end, known = _flow(one, two, there, np.asarray(there + guess, np.float32), reach)
    back, known_back = _flow(two, one, end, there.copy(), reach)
    astray = np.linalg.norm(back - there, axis=1)
    return end + corner, known & known_back & (astray < max(0.6, 0.03 * size))


def _flow(
    one: Grey,
    two: Grey,
    start: NDArray[np.float32],
    guess: NDArray[np.float32],
    reach: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    end, known, _ = cv2.calcOpticalFlowPyrLK(
        one,
        two,
        start,
        guess,
        winSize=(reach, reach),
        maxLevel=3,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 0.02),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return np.asarray(end, np.float32), np.asarray(known).ravel() == 1
