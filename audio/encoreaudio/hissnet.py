"""The small net that tells how much of each time and frequency is music.

It sees how far each coefficient of a spectrogram stands above the noise, and nothing else: neither
pitch, level nor phase. What it has learnt is how music looks beside hiss: lines go on in time,
strokes in frequency, and hiss does neither. Its answer is a correction to Wiener's gain, in the
logit, so far above the noise the gain is one whatever the net says.

Four by four neighbours become the channels of one coarse place (as in Shi et al., "Real-time single
image super-resolution", CVPR 2016), so three small convolutions see half a second and 230 Hz around
each; a side branch looks at eight places of a row as one, and so at strokes 2 kHz wide. They are
matrix products here, since a library of networks takes more memory than the whole chain;
`scripts/train/hiss.py` trains the same net with one.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

__all__ = ["BROAD", "PATCH", "REACH", "excess", "gain"]

type _Floats = npt.NDArray[np.float32]
type _Layer = tuple[_Floats, _Floats, tuple[int, int]]

PATCH = 4
"""Frames and bins under one place of the net; frames must be multiples of it."""
BROAD = 8
"""Places of a row under one of the side branch; bins must be multiples of `PATCH * BROAD`."""
REACH = 5 * PATCH
"""How many frames each side an answer may depend on."""

_LAYERS = ("first", "broad", "broader", "second", "third")
_ROWS_AT_ONCE = 4  # what stays in a processor's cache
_WEIGHTS = Path(__file__).with_name("trained") / "hiss.safetensors"


def excess(power: _Floats) -> _Floats:
    """How the net likes to see a power of which the noise has 1 on average."""
    seen: _Floats = np.log(power + np.float32(0.1))
    return seen


def gain(own: _Floats, other: _Floats) -> _Floats:
    """From the excess of each coefficient, and of its strongest companion, to its gain, 0 to 1.

    Shape (maps, frames, bins) for all three; frames in `PATCH`es, bins in `BROAD` ones.
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
    seen = _convolved(seen, layers["first"], bent=True)
    rows, columns, channels = seen.shape
    wide = seen.reshape(rows, columns // BROAD, BROAD, channels)
    around = _convolved(wide.mean(axis=2), layers["broad"], bent=True)
    wide += _convolved(around, layers["broader"], bent=False)[:, :, np.newaxis]
    seen = _convolved(seen, layers["second"], bent=True)
    seen = _convolved(seen, layers["third"], bent=False)
    unfolded = seen.reshape(rows, columns, PATCH, PATCH).transpose(0, 2, 1, 3)
    logit = unfolded.reshape(own.shape)
    logit += slope * own
    # A logistic curve by a bounded function: no power of a large number.
    logit *= np.float32(0.5)
    answer: _Floats = np.tanh(logit, out=logit)
    answer += np.float32(1)
    answer *= np.float32(0.5)
    return answer


def _folded(held: _Floats) -> _Floats:
    """Each patch as the channels of one place: (rows, columns, 16)."""
    frames, bins = held.shape
    patches = held.reshape(frames // PATCH, PATCH, bins // PATCH, PATCH)
    return patches.transpose(0, 2, 1, 3).reshape(frames // PATCH, bins // PATCH, PATCH * PATCH)


def _convolved(seen: _Floats, layer: _Layer, *, bent: bool) -> _Floats:
    """A convolution of (rows, columns, channels), zeros around; bent: negative sums become zero."""
    matrix, offset, (high, broad) = layer
    rows, columns, channels = seen.shape
    wide = np.pad(seen, ((high // 2,) * 2, (broad // 2,) * 2, (0, 0)))
    down, along, deep = wide.strides
    near = np.lib.stride_tricks.as_strided(
        wide, (rows, columns, high, broad * channels), (down, along, down, deep)
    )
    flat = np.empty((min(rows, _ROWS_AT_ONCE), *near.shape[1:]), dtype=np.float32)
    out = np.empty((rows, columns, matrix.shape[1]), dtype=np.float32)
    for first in range(0, rows, _ROWS_AT_ONCE):
        part = out[first : first + _ROWS_AT_ONCE].reshape(-1, matrix.shape[1])
        held = flat[: min(_ROWS_AT_ONCE, rows - first)]
        np.copyto(held, near[first : first + _ROWS_AT_ONCE])
        np.matmul(held.reshape(-1, len(matrix)), matrix, out=part)
        part += offset
        if bent:
            np.maximum(part, 0, out=part)
    return out


@cache
def _net() -> tuple[dict[str, _Layer], np.float32]:
    """Each layer as a matrix (places times channels in, channels out), its offset and its size."""
    held = load_file(_WEIGHTS)
    layers = {}
    for name in _LAYERS:
        weight, offset = held[f"{name}.weight"], held[f"{name}.bias"]
        matrix = np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, len(weight)))
        layers[name] = (matrix, offset, (weight.shape[2], weight.shape[3]))
    return layers, np.float32(held["slope"][0])
