"""Presence for a voice that a worn tape or a far microphone has dulled.

A broad bell of at most a few decibels where consonants are told apart, about 3 kHz. It is the
peaking equaliser of R. Bristow-Johnson's "Audio EQ Cookbook" (W3C note, 2021), which is of minimum
phase: it has no delay and does not ring before an attack.
"""

import math

import numpy as np
import scipy.signal

from .signal import Block

__all__ = ["Presence"]

_MOST_DB = 4.0
_CENTRE_HZ = 3000.0
_QUALITY = 0.7  # two octaves between the half-gain points


class Presence:
    """Raises what lies about 3 kHz by `amount` (0..1) of 4 dB; at 0 the samples pass bit for bit.

    At a rate too low for it the bell sits half way to the highest frequency there is.
    """

    latency = 0

    def __init__(self, sample_rate_hz: int, channels: int, amount: float) -> None:
        self._sections = _bell(min(_CENTRE_HZ / sample_rate_hz, 0.25), amount * _MOST_DB)
        self._state = np.zeros((1, 2, channels))
        self._channels = channels
        self._on = amount > 0

    def process(self, block: Block) -> Block:
        """The block (frames, channels) with its bell."""
        if not self._on or not len(block):
            return block
        raised, self._state = scipy.signal.sosfilt(self._sections, block, axis=0, zi=self._state)
        return np.asarray(raised)

    def flush(self) -> Block:
        """Nothing is held back."""
        return np.zeros((0, self._channels))


def _bell(centre: float, gain_db: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Peaking equaliser as one second-order section; `centre` as a part of the sample rate."""
    root = 10 ** (gain_db / 40)
    angle = 2 * math.pi * centre
    width = math.sin(angle) / (2 * _QUALITY)
    middle = -2 * math.cos(angle)
    section = np.array(
        [[1 + width * root, middle, 1 - width * root, 1 + width / root, middle, 1 - width / root]]
    )
    scaled: np.ndarray[tuple[int, int], np.dtype[np.float64]] = section / section[:, 3:4]
    return scaled
