"""Where crops lie: pixels of a frame, of a part of it, of that part made smaller.

A map is a matrix (3, 3) on (x, y, 1); a pixel's middle is a whole number, as `align.warp` takes it.
"""

import math

import numpy as np
from numpy.typing import NDArray

from .align import similarity
from .model import POINTS_PX
from .tracks import Face, Numbers

__all__ = [
    "Matrix",
    "bounds",
    "inside",
    "middles",
    "scaled",
    "square",
    "upright_to_frame",
    "whole",
]

Matrix = NDArray[np.float64]

# More than a model's crop itself needs of a frame; and what sizes are multiples of.
_ROOM_PX = 6
_GRID_PX = 16


def middles(points: Numbers, frame_px: Matrix) -> Matrix:
    """Points as parts of a frame, in pixels whose middles are whole numbers."""
    return np.asarray(points, np.float64) * frame_px - 0.5


def upright_to_frame(face: Face, size: tuple[int, int]) -> Matrix:
    """The matrix (3, 3) from the pixels of the crop that models take to the frame's."""
    frame_px = np.array([size[1], size[0]], np.float64)
    return square(similarity(POINTS_PX, middles(face[2], frame_px)))


def whole(first: float, last: float, reduced: float, length: int) -> tuple[int, int, int]:
    """A part of a frame's length that holds these bounds: where it begins, how long it is, and how
    long once reduced.
    """
    span, size = _filled(last - first, reduced, length)
    begin = round((first + last - span) / 2)
    return min(max(begin, 0), length - span), span, size


def _filled(wanted: float, reduced: float, length: int) -> tuple[int, int]:
    """At least the wanted pixels, as far as there are so many, and how many they become.

    Those are a multiple of 16: they are halved four times, and tables are kept for each size.
    """
    size = math.ceil(wanted / reduced / _GRID_PX) * _GRID_PX
    return min(round(size * reduced), length), size


def square(rows: Matrix) -> Matrix:
    """Make a matrix (2, 3) one of (3, 3)."""
    return np.concatenate([rows, [[0.0, 0.0, 1.0]]])


def scaled(corner: tuple[int, int], by: tuple[float, float]) -> Matrix:
    """From the pixels of a part that was made smaller to the frame's: (3, 3)."""
    shifts = [corner[n] + 0.5 * by[n] - 0.5 for n in (0, 1)]
    return np.array([[by[0], 0, shifts[0]], [0, by[1], shifts[1]], [0, 0, 1]], np.float64)


def bounds(maps: Matrix, size: tuple[int, int]) -> tuple[Matrix, Matrix]:
    """From where to where a picture of a size (wide, tall) lies in a frame: across and down."""
    corners = np.array([[x, y, 1.0] for x in (-0.5, size[0] - 0.5) for y in (-0.5, size[1] - 0.5)])
    across, down, _ = maps @ corners.T
    return np.array([across.min(), across.max()]), np.array([down.min(), down.max()])


def inside(
    across: Matrix, down: Matrix, size: tuple[int, int], grid: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The part of a frame that holds these bounds and a little more: left, top, wide, tall.

    It begins and ends on a sample of chroma.
    """
    found = []
    for (first, last), length, step in zip((across, down), size[::-1], grid, strict=True):
        begin = int(np.clip(np.floor(first) - _ROOM_PX, 0, length - 2 * step)) // step * step
        end = int(np.clip(np.ceil(last) + _ROOM_PX, begin + 2 * step, length))
        found.append((begin, min(length, -(-end // step) * step) - begin))
    (left, wide), (top, tall) = found
    return left, top, wide, tall
