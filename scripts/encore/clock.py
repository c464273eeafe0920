"""The picture's rate and whether it is constant, from the times that its frames really carry.

Frame n of a constant stream lies at `start + n / rate`. The rate that the container claims is
believed where it explains the times; else the usual rate nearest to the common step is taken, else
the step itself, exactly. Times may be rounded (Matroska knows only milliseconds) or alternate (soft
3:2 pulldown moves every other film frame by a quarter of its length): a frame within 0.3 of a step
from its place is in its place. A frame in its place after one or more empty places follows a gap;
frames that sit between places belong to a variable rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Literal

import numpy as np

from encore.facts import Damage

__all__ = ["Clock", "clock_of"]

_USUAL = [
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(48),
    Fraction(50),
    Fraction(60000, 1001),
    Fraction(60),
    Fraction(15),
    Fraction(20),
    Fraction(12),
    Fraction(10),
    Fraction(100),
    Fraction(120000, 1001),
    Fraction(120),
]
_IN_PLACE = 0.3
_RATE_AGREES = 2e-4
_MOSTLY = 0.9


@dataclass(frozen=True)
class Clock:
    """Where the frames of a stream are in time."""

    rate: Fraction
    start_s: float
    kind: Literal["frames", "times", "none"]
    why: str
    damage: list[Damage] = field(default_factory=list)

    @property
    def constant(self) -> bool:
        """True where frame n lies at start_s + n / rate."""
        return self.kind != "times"


def clock_of(times: list[Fraction] | None, claimed: list[Fraction]) -> Clock:
    """The clock of frames at `times` (seconds, in the order they are shown; None: not known).

    `claimed` are the rates that the container and the codec tell, the most trusted first.
    """
    believable = [rate for rate in claimed if 1 <= rate <= 1000]
    if not times or len(times) < 2:
        rate = believable[0] if believable else Fraction(25)
        start = float(times[0]) if times else 0.0
        why = "a single frame: as tagged" if times else "no timestamps in the stream: as tagged"
        return Clock(rate, start, "frames" if times else "none", why)
    rate, why = _rate(times, believable)
    place = np.array([float((at - times[0]) * rate) for at in times])
    steps = np.diff(place)
    start = float(times[0])
    if (steps <= 0).any():
        return _broken(times, rate, start, steps)
    if np.abs(place - np.arange(len(place))).max() < _IN_PLACE:
        return Clock(rate, start, "frames", why)
    return _gappy(times, rate, start, place)


def _rate(times: list[Fraction], claimed: list[Fraction]) -> tuple[Fraction, str]:
    steps = [after - before for before, after in pairwise(times)]
    usual = median(steps) or Fraction(1, 25)
    # Soft 3:2 pulldown steps by two fields and by three; a lost frame makes a step twice as long.
    near = [step for step in steps if abs(step - usual) < usual * 3 / 5]
    mean = sum(near, Fraction(0)) / len(near)
    # What steps are rounded or alternate by stays in the mean of a short stream.
    rounding = Fraction(1, 1000) if all(1000 % at.denominator == 0 for at in times) else Fraction(0)
    uneven = max(rounding, max(near) - min(near))
    tolerance = _RATE_AGREES + float(uneven / usual) / len(near)
    for rates, why in (
        (claimed, "every frame is at its place; the rate is as tagged"),
        (_USUAL, "every frame is at its place; the rate is the usual one nearest"),
    ):
        best = min(rates, key=lambda rate: abs(1 / rate - mean), default=None)
        if best is not None and abs(float(mean * best) - 1) < tolerance:
            return best, why
    exact = (1 / mean).limit_denominator(1_000_000)
    return exact, "every frame is at its place; the rate is that of the timestamps"


def _broken(times: list[Fraction], rate: Fraction, start: float, steps: np.ndarray) -> Clock:
    back = np.flatnonzero(steps <= 0)
    damage = [
        Damage(
            at_s=float(times[n]), what=f"the clock jumps back by {-steps[n] / float(rate):.3f} s"
        )
        for n in back
    ]
    return Clock(
        rate, start, "none", "the timestamps jump back: frames are counted instead", damage
    )


def _gappy(times: list[Fraction], rate: Fraction, start: float, place: np.ndarray) -> Clock:
    """A clock with empty places, or with frames between the places."""
    # Each step on its own: what is lost in a gap need not be a whole number of frames.
    steps = np.diff(place)
    whole = np.abs(steps - np.maximum(1, np.round(steps))) < _IN_PLACE
    single = whole & (np.round(steps) <= 1)
    if single.mean() >= _MOSTLY or (len(steps) < 20 and (~single).sum() <= 2):
        gaps = np.flatnonzero(steps >= 1 + _IN_PLACE)
        lost = int(sum(round(steps[n]) - 1 for n in gaps))
        damage = [
            Damage(
                at_s=float(times[n]) + float(1 / rate),
                what=f"picture: {_count(round(float(steps[n])) - 1)} missing",
            )
            for n in gaps
        ]
        places = "1 place" if len(gaps) == 1 else f"{len(gaps)} places"
        return Clock(rate, start, "times", f"{_count(lost)} missing at {places}", damage)
    slowest, fastest = 1 / (steps.max() / float(rate)), 1 / (steps.min() / float(rate))
    # What varies is shown at a usual rate: frames are repeated or left out, each as near its time
    # as that allows.
    usual = float(median(float(b - a) for a, b in pairwise(times)))
    rate = min(_USUAL, key=lambda one: abs(float(one) * usual - 1))
    why = f"the timestamps vary: from {slowest:.2f} to {fastest:.2f} frames a second"
    return Clock(rate, start, "times", why)


def _count(frames: int) -> str:
    return "1 frame" if frames == 1 else f"{frames} frames"
