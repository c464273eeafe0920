"""Linear steps along one axis as matrices, so that a whole chain costs one multiplication.

Blur, scaling, sharpening and low-passes are all linear and separable: the camera multiplies their
banded matrices once, and applies the product to every picture, block by block along the band.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from encore.degradation.recipe import Kernel

__all__ = ["Matrix", "across", "blurred", "decimated", "down", "scaled", "sharpened", "shifted"]

Matrix = NDArray[np.float32]

_BLOCK = 48


def scaled(source: int, target: int, kernel: Kernel) -> Matrix:
    """From `source` to `target` samples over the same width, antialiased, (target, source)."""
    ratio = source / target
    stretch = max(1.0, ratio)
    centre = (np.arange(target) + 0.5) * ratio - 0.5
    at = np.arange(-int(4 * stretch) - 1, int(4 * stretch) + 2)
    taps = np.floor(centre)[:, None] + at
    away = taps - centre[:, None]
    if kernel == "area":  # the share of a source sample under the target's box
        weight = np.clip(0.5 * (stretch + 1) - np.abs(away), 0, 1)
    else:
        weight = _KERNELS[kernel](away / stretch)
    return _gathered(taps, weight, source)


def blurred(size: int, sigma: float) -> Matrix:
    """A Gaussian of `sigma` samples; 0 changes nothing."""
    if sigma <= 0:
        return np.eye(size, dtype=np.float32)
    reach = int(np.ceil(4 * sigma))
    at = np.arange(-reach, reach + 1)
    # Integrated over each sample: a narrow Gaussian is not a few points of itself.
    edge = (np.arange(-reach, reach + 2) - 0.5) / (sigma * np.sqrt(2))
    weight = np.diff(erf(edge))
    return _gathered(np.arange(size)[:, None] + at, np.tile(weight, (size, 1)), size)


def sharpened(size: int, amount: float, sigma: float) -> Matrix:
    """What stands out from a Gaussian of `sigma`, added `amount` times: the halo of a camera."""
    eye = np.eye(size, dtype=np.float32)
    return eye + np.float32(amount) * (eye - blurred(size, sigma)) if amount else eye


def shifted(size: int, right: float) -> Matrix:
    """Everything `right` samples later, between samples by a cubic."""
    whole = int(np.floor(-right))
    at = np.arange(-2, 4) + whole
    taps = np.arange(size)[:, None] + at
    return _gathered(taps, np.tile(_cubic(at + right), (size, 1)), size)


def decimated(size: int) -> Matrix:
    """Every second sample, the even ones, after [1 2 1]/4: chroma sited left."""
    taps = 2 * np.arange(size // 2)[:, None] + np.arange(-1, 2)
    return _gathered(taps, np.tile((0.25, 0.5, 0.25), (size // 2, 1)), size)


def down(matrix: Matrix, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The matrix along the first axis of (lines, ...)."""
    flat = picture.reshape(len(picture), -1)
    out = np.empty((len(matrix), flat.shape[1]), np.float32)
    for first in range(0, len(matrix), _BLOCK):
        rows = matrix[first : first + _BLOCK]
        low, high = _band(rows)
        np.matmul(rows[:, low:high], flat[low:high], out=out[first : first + _BLOCK])
    return out.reshape(len(matrix), *picture.shape[1:])


def across(matrix: Matrix, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The matrix along the last axis of (..., samples)."""
    out = np.empty((*picture.shape[:-1], len(matrix)), np.float32)
    for first in range(0, len(matrix), _BLOCK):
        rows = matrix[first : first + _BLOCK]
        low, high = _band(rows)
        out[..., first : first + _BLOCK] = picture[..., low:high] @ rows[:, low:high].T
    return out


def _band(rows: Matrix) -> tuple[int, int]:
    used = np.flatnonzero(np.any(rows != 0, axis=0))
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)


def _cubic(x: NDArray[np.floating]) -> NDArray[np.float64]:
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


_KERNELS = {"bicubic": _cubic, "lanczos": _lanczos}


def _gathered(taps: NDArray[np.number], weight: NDArray[np.float64], size: int) -> Matrix:
    """Taps and weights of each row as a matrix of sum 1; the edge sample stands for what is out."""
    weight = weight / weight.sum(1, keepdims=True)
    matrix = np.zeros((len(taps), size))
    rows = np.broadcast_to(np.arange(len(taps))[:, None], taps.shape)
    np.add.at(matrix, (rows, np.clip(taps, 0, size - 1).astype(int)), weight)
    return matrix.astype(np.float32)
