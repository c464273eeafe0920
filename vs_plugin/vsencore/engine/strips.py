"""Pictures worked on some lines at a time, so that a step finds in the cache what the last left.

A large picture that is gone over as a whole comes from memory and goes back there at each step, and
every result is new memory that the system first has to clear: twice the time on a CPU, or more.
Strips are also too small for torch to share out among threads, which wait for each other at the end
of every step: frames are what is worked side by side. A GPU has the bandwidth, and there each strip
would be a launch of its own.
"""

from collections.abc import Iterator

from torch import Tensor

from .bands import BLOCK_OF_FEWER

__all__ = ["strips"]

# Torch shares out steps of more samples than 32768.
_MOST_SAMPLES = 32768


def strips(picture: Tensor) -> Iterator[slice]:
    """Slices of the lines of a picture (..., H, W): all, or on a CPU a part of one of `bands`."""
    lines, width = picture.shape[-2:]
    tall = lines
    if picture.device.type == "cpu":
        tall = BLOCK_OF_FEWER
        while tall > 1 and tall * width > _MOST_SAMPLES:
            tall //= 2
    for top in range(0, lines, max(tall, 1)):
        yield slice(top, min(top + tall, lines))
