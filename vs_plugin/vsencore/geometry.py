"""Arithmetic of picture sizes: square pixels out of a sample aspect, exactly."""

from fractions import Fraction

import vapoursynth as vs

__all__ = ["doublings", "sample_aspect", "square_width"]


def sample_aspect(clip: vs.VideoNode) -> Fraction:
    """Read the shape of a pixel, width to height, from the first frame; 1 where it is not told."""
    props = clip.get_frame(0).props
    numerator, denominator = props.get("_SARNum", 1), props.get("_SARDen", 1)
    if not isinstance(numerator, int) or not isinstance(denominator, int):
        return Fraction(1)
    if numerator <= 0 or denominator <= 0:
        return Fraction(1)
    return Fraction(numerator, denominator)


def square_width(width: int, height: int, aspect: Fraction, target_height: int) -> int:
    """Give the even width at which `target_height` lines show the picture in its true shape.

    720x576 at 64:45 and 720x480 at 32:27 are 1920 wide at 1080; 16:15 and 8:9 are 1440. Halves
    round up, so the result never depends on the parity rule of the language.
    """
    exact = Fraction(width) * aspect * target_height / height
    return max(2, 2 * int(exact / 2 + Fraction(1, 2)))


def doublings(source: int, target: int) -> int:
    """Count how often `source` must be doubled until it is no smaller than `target`."""
    count = 0
    while source << count < target:
        count += 1
    return count
