"""Decoded frames placed by their timestamps.

Timestamps are rounded (to 1 ms in Matroska, 1/90 000 s in MPEG), so position is counted in samples
and the stamps only watch over it: a stamp that disagrees by less than a tolerance is jitter, one
that disagrees by more says that sound is missing (which becomes silence) or came twice (which is
dropped). What follows a damaged place is therefore where it belongs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

__all__ = ["Placement", "Timeline", "anchor"]

# Less than the shortest thing that can be lost, a packet, and more than any container's rounding.
_LONGEST_TOLERANCE_S = Fraction(20, 1000)
_SHORTEST_TOLERANCE_S = Fraction(5, 1000)
_ROUNDING_S = Fraction(3, 2000)

# A leap as long as this is not missing sound but a new clock (titles of a disc in a row, a spliced
# broadcast). Containers whose clock cannot restart are believed, however long the gap.
_NEW_CLOCK_S = 10


@dataclass(frozen=True)
class Placement:
    """Where a frame goes: after `gap` samples of silence, without its first `drop` samples."""

    gap: int = 0
    drop: int = 0
    new_clock: bool = False


class Timeline:
    """Counts samples from `start` (seconds on the container's clock) and places frames after them.

    restarts: whether the container's clock may begin anew in the middle of a file.
    """

    def __init__(self, start: Fraction, sample_rate_hz: int, *, restarts: bool) -> None:
        self._rate = sample_rate_hz
        self._restarts = restarts
        self._origin = start
        self._count = 0

    def place(
        self, at: Fraction | None, samples: int, following: Fraction | None = None
    ) -> Placement:
        """Where `samples` samples stamped `at` seconds go; they then count as placed.

        following: the next frame's stamp. One stamp alone is not believed (Ogg pages have odd
        ones): the next has to tell of the same distance.
        """
        placement = self._placement(at, samples)
        if following is not None and at is not None and placement != Placement():
            apart = following - at - Fraction(samples, self._rate)
            if (
                abs(apart) > _ROUNDING_S
                and self._placement(following - Fraction(samples, self._rate), samples)
                == Placement()
            ):
                placement = Placement()
        if placement.new_clock and at is not None:
            self._origin = at - Fraction(self._count, self._rate)
        self._count += placement.gap + samples - placement.drop
        return placement

    def _placement(self, at: Fraction | None, samples: int) -> Placement:
        if at is None:
            return Placement()
        late = at - self._origin - Fraction(self._count, self._rate)
        length = Fraction(samples, self._rate) * Fraction(3, 4)
        if abs(late) <= min(_LONGEST_TOLERANCE_S, max(_SHORTEST_TOLERANCE_S, length)):
            return Placement()
        if late < -_NEW_CLOCK_S or (late > _NEW_CLOCK_S and self._restarts):
            return Placement(new_clock=True)
        if late > 0:
            return Placement(gap=round(late * self._rate))
        return Placement(drop=min(samples, round(-late * self._rate)))


def anchor(frames: Sequence[tuple[Fraction | None, int]], sample_rate_hz: int) -> Fraction:
    """When the first of these (stamp in seconds, samples) really begins, in seconds.

    The first stamp alone can be off by a part of a packet (an MP4 edit that begins inside one), so
    where the stamps after it agree on another beginning, within the tolerance, that is taken.
    """
    count = 0
    starts = []
    for at, samples in frames:
        if at is not None:
            starts.append(at - Fraction(count, sample_rate_hz))
        count += samples
    if not starts:
        return Fraction(0)
    agreed = median(starts)
    off = abs(agreed - starts[0])
    return agreed if _ROUNDING_S < off <= _LONGEST_TOLERANCE_S else starts[0]
