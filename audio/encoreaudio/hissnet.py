"""The small net that tells how much of each time and frequency is music.

It sees how far each coefficient of a spectrogram stands above the noise, and nothing else: neither
pitch, level nor phase. What it has learnt is how music looks beside hiss: lines go on in time,
strokes in frequency, and hiss does neither. Its answer is a correction to Wiener's gain, in the
logit, so far above the noise the gain is one whatever the net says.

Four by four neighbours become the channels of one coarse place (as in Shi et al., "Real-time single
image super-resolution", CVPR 2016), so three small convolutions see 0.3 s and 130 Hz around each.
They are matrix products here, since a library of networks takes more memory than the whole chain;
`scripts/train/hiss.py` trains the same net with one.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

__all__ = ["PATCH", "REACH", "excess", "gain"]

type _Floats = npt.NDArray[np.float32]

PATCH = 4
"""Frames and bins must be multiples of it."""
REACH = 4 * PATCH
"""How many frames each side an answer may depend on."""

_LAYERS = (0, 2, 4)
_ROWS_AT_ONCE = 16  # what stays in a processor's cache
_WEIGHTS = Path(__file__).with_name("trained") / "hiss.safetensors"


def excess(power: _Floats) -> _Floats:
    """How the net likes to see a power of which the noise has 1 on average."""
    seen: _Floats = np.log(power + np.float32(0.1))
    return seen


def gain(own: _Floats, other: _Floats) -> _Floats:
    """From the excess of each coefficient, and of its strongest companion, to its gain, 0 to 1.

    Shape (maps, frames, bins) for all three; frames and bins are multiples of `PATCH`.
    """
    answer = np.empty_like(own)

    def one(at: int) -> None:
        answer[at] = _gain(own[at], other[at])

    # Products of matrices let go of the interpreter, so two maps are told at once.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, range(len(own))))
    return answer


def _gain(own: _Floats, other: _Floats) -> _Floats:
    layers, slope = _net()
    seen = np.concatenate((_folded(own), _folded(other)), axis=2)
    seen *= np.float32(1 / 3)
    for number, (matrix, offset) in enumerate(layers):
        seen = _convolved(seen, matrix, offset)
        if number < len(layers) - 1:
            np.maximum(seen, 0, out=seen)
    rows, columns, _ = seen.shape
    unfolded = seen.reshape(rows, columns, PATCH, PATCH).transpose(0, 2, 1, 3)
    logit = unfolded.reshape(own.shape) + slope * own
    # A logistic curve by a bounded function: no power of a large number.
    answer: _Floats = np.tanh(0.5 * logit).astype(np.float32)
    answer += np.float32(1)
    answer *= np.float32(0.5)
    return answer


def _folded(held: _Floats) -> _Floats:
    """Each patch as the channels of one place: (rows, columns, 16)."""
    frames, bins = held.shape
    patches = held.reshape(frames // PATCH, PATCH, bins // PATCH, PATCH)
    return patches.transpose(0, 2, 1, 3).reshape(frames // PATCH, bins // PATCH, PATCH * PATCH)


def _convolved(seen: _Floats, matrix: _Floats, offset: _Floats) -> _Floats:
    """A 3x3 convolution of (rows, columns, channels), zeros around."""
    rows, columns, _ = seen.shape
    wide = np.pad(seen, ((1, 1), (1, 1), (0, 0)))
    thirds = matrix.reshape(3, -1, matrix.shape[1])
    out = np.empty((rows, columns, matrix.shape[1]), dtype=np.float32)
    for first in range(0, rows, _ROWS_AT_ONCE):
        last = min(first + _ROWS_AT_ONCE, rows)
        held = wide[first : last + 2]
        near = np.concatenate([held[:, along : along + columns] for along in range(3)], axis=2)
        part = out[first:last].reshape(-1, matrix.shape[1])
        flat = near.reshape(-1, near.shape[2])
        span = (last - first) * columns
        np.matmul(flat[:span], thirds[0], out=part)
        for down in (1, 2):
            part += flat[down * columns : down * columns + span] @ thirds[down]
    out += offset
    return out


@cache
def _net() -> tuple[list[tuple[_Floats, _Floats]], np.float32]:
    """Each layer as a matrix of (nine places times channels in, channels out) and its offset."""
    held = load_file(_WEIGHTS)
    layers = []
    for number in _LAYERS:
        weight, offset = held[f"layers.{number}.weight"], held[f"layers.{number}.bias"]
        matrix = np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, len(weight)))
        layers.append((matrix, offset))
    return layers, np.float32(held["slope"][0])
