"""Interlaced, progressive, telecined or mixed, and the field order: from the pictures.

Flags lie: some files that are flagged interlaced hold whole frames, and deinterlacing those is
damage. So short runs of neighbouring frames, spread over the film, are looked at. In each pair of
frames the blocks that move (by the distance between fields of like parity, which fine detail does
not disturb) tell which fields are near each other in time (see `fields`), each block weighing the
same however fast it moves. The run says what most of its pairs say, so that a cut or a flash inside
it is outvoted. A run in which nothing moves abstains and another place is looked at.

Telecine (3:2 pulldown) shows itself before that: every fifth frame repeats a top field of the frame
before it, and two frames later one repeats a bottom field.

A run may also be "shifted": whole pictures whose two fields lie in neighbouring frames. Where that
is found the borders between frames mean nothing (an edit between fields moves them), and runs that
happen to hold whole frames are of the same kind: the film is a sequence of fields, interlaced.

The film is what its runs agree on; it is mixed when runs that are sure of themselves disagree.
Where nothing moves at all, the flags are all there is, and the reason given says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encore.facts import FieldOrder, Structure
from encore.fields import PairDistances

__all__ = ["RUN", "Finding", "Run", "judge", "judge_run", "places"]

RUN = 11
"""Frames of a run: two periods of 3:2 pulldown and one more."""

_MIN_BLOCKS = 6
_MIN_VOTES = 3
_AGREE = 0.8
_MOVING, _LEAST = 2.5, 3.0
"""A block moves where its distance is this many times that of what is still, and so many squared
codes more."""
_LEAST_SPREAD = 0.12
_NEAR, _FAR = 0.7, 0.85
"""Where the middle distance lies between the least (0) and the greatest (1). In whole frames it is
the greatest: b and c differ by nothing but noise, and real ones measure 0.94 and more. In fields it
is the least; what a coder changes a frame at a time draws it up, to 0.69 in a damaged broadcast."""
_SHIFTED = 0.3
_REPEAT = 0.2
_RHYTHM = 0.85
_MINORITY, _FIELDS_MINORITY = 0.12, 0.3

Kind = Literal["progressive", "interlaced", "shifted", "telecine"]
_Repeat = Literal["top", "bottom"]


@dataclass(frozen=True)
class Run:
    """What one run of neighbouring frames says."""

    start: int
    kind: Kind | None
    """None where it abstains."""
    order: FieldOrder | None
    numbers: tuple[float, float, float]
    """The distances a, b and c over what moves, in shares of the motion between frames."""
    votes: int
    """How many of its pairs of frames had something to say."""


@dataclass(frozen=True)
class Finding:
    """What the whole film is."""

    structure: Structure
    field_order: FieldOrder | None
    why: str
    confidence: float


def places(frames: int, count: int) -> list[int]:
    """Where up to `count` runs begin, spread evenly over a film of `frames`, none overlapping."""
    last = max(0, frames - RUN)
    count = max(1, min(count, frames // RUN))
    if count == 1:
        return [last // 2]
    return sorted({round(last * n / (count - 1)) for n in range(count)})


def judge_run(start: int, pairs: Sequence[PairDistances]) -> Run:
    """What the pairs of neighbouring frames in one run say, in their order."""
    floor = _floor(pairs)
    heard = [_hear(pair, floor) for pair in pairs]
    votes = [vote for vote in heard if vote is not None]
    if len(votes) < _MIN_VOTES:
        return Run(start, None, None, (0.0, 0.0, 0.0), len(votes))
    middle = np.median(np.array([vote.numbers for vote in votes]), axis=0)
    numbers = (float(middle[0]), float(middle[1]), float(middle[2]))
    if _repeats_fields(heard):
        mean = np.mean(np.array([vote.numbers for vote in votes]), axis=0)
        return Run(start, "telecine", "top" if mean[1] < mean[2] else "bottom", numbers, len(votes))
    kind, order = _kind(numbers)
    agree = sum(_kind(vote.numbers)[1] == order for vote in votes)
    if kind is None or agree < _AGREE * len(votes):
        return Run(start, None, None, numbers, len(votes))
    return Run(start, kind, order, numbers, len(votes))


def judge(runs: Sequence[Run], flagged: Kind | None, flagged_order: FieldOrder | None) -> Finding:
    """What the film is; the flags decide only where nothing moves."""
    sure = [run for run in runs if run.kind is not None]
    if not sure:
        return _by_flags(flagged, flagged_order, len(runs))
    shifted = sum(run.kind == "shifted" for run in sure)
    fielded = shifted > max(1, _MINORITY * len(sure))
    kinds: Counter[Structure] = Counter(_structure(run, fielded) for run in sure)
    main, count = kinds.most_common(1)[0]
    share = count / len(sure)
    orders: Counter[FieldOrder] = Counter(run.order for run in sure if run.order is not None)
    order = orders.most_common(1)[0][0] if orders else None
    told = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    # What is coded or concealed a frame at a time looks like whole frames: fields cannot be faked.
    minority = _FIELDS_MINORITY if main == "interlaced" else _MINORITY
    if len(sure) - count >= 2 and share < 1 - minority:
        return Finding("mixed", order, f"runs of frames disagree: {told}", share)
    why = f"{count} of {len(sure)} runs of frames that move"
    if main == "progressive":
        if flagged == "interlaced":
            why += "; flagged interlaced, yet both fields of each frame are of one moment"
        return Finding(main, None, why, share)
    if fielded and main == "interlaced":
        why += "; whole pictures lie across the frames, so it is a sequence of fields"
    if len(orders) > 1:
        told = ", ".join(f"{n} {name}" for name, n in orders.most_common())
        why += f"; the field order changes ({told})"
    if flagged == "progressive":
        why += "; flagged progressive"
    elif flagged_order is not None and flagged_order != order:
        why += f"; flagged {flagged_order} field first"
    return Finding(main, order, why, share)


@dataclass(frozen=True)
class _Heard:
    """What one pair of frames says, from its moving blocks."""

    numbers: tuple[float, float, float]
    repeat: _Repeat | None


def _floor(pairs: Sequence[PairDistances]) -> float:
    """The distance between fields of like parity where nothing moves: noise."""
    lowest = [
        min(float(np.percentile(pair.tt, 10)), float(np.percentile(pair.bb, 10))) for pair in pairs
    ]
    return min(lowest, default=0.0)


def _hear(pair: PairDistances, floor: float) -> _Heard | None:
    if pair.light_changes:
        return None
    motion = (pair.tt + pair.bb) / 2
    still = np.minimum(floor, np.minimum(pair.a, np.minimum(pair.b, pair.c)))
    moving = motion > _MOVING * still + _LEAST
    if int(moving.sum()) < _MIN_BLOCKS:
        return None
    a, b, c = (_typical(map_[moving] / motion[moving]) for map_ in (pair.a, pair.b, pair.c))
    top = max(0.0, float(pair.tt[moving].mean()) - floor)
    bottom = max(0.0, float(pair.bb[moving].mean()) - floor)
    repeat: _Repeat | None = None
    if top < _REPEAT * bottom:
        repeat = "top"
    elif bottom < _REPEAT * top:
        repeat = "bottom"
    return _Heard((a, b, c), repeat)


def _typical(shares: NDArray[Any]) -> float:
    """The mean without the outermost tenths."""
    ordered = np.sort(shares)
    cut = len(ordered) // 10
    return float(ordered[cut : len(ordered) - cut].mean())


def _kind(numbers: tuple[float, float, float]) -> tuple[Kind | None, FieldOrder | None]:
    """What the distances a, b and c of one pair, or the middle ones of a run, mean."""
    order = np.argsort(numbers)
    low, middle, high = (numbers[int(i)] for i in order)
    if high - low < _LEAST_SPREAD:
        return None, None
    place = (middle - low) / (high - low)
    lowest, second = int(order[0]), int(order[1])
    if lowest == 0 and place > _FAR:
        return "progressive", None
    if lowest == 0 and place < _NEAR:
        return "interlaced", "top" if second == 1 else "bottom"
    if lowest == 0:
        return None, None
    kind: Kind = "interlaced" if place < _SHIFTED and second == 0 else "shifted"
    return kind, "top" if lowest == 1 else "bottom"


def _repeats_fields(heard: Sequence[_Heard | None]) -> bool:
    """True where fields repeat in the rhythm of 3:2 pulldown."""
    best = 0.0
    for phase in range(5):
        for apart in (2, 3):
            wanted = {phase: "top", (phase + apart) % 5: "bottom"}
            seen = [(vote.repeat, wanted.get(n % 5)) for n, vote in enumerate(heard) if vote]
            repeats = [said for said, want in seen if want]
            if len(set(repeats) - {None}) == 2 and len(repeats) >= 3:
                best = max(best, sum(said == want for said, want in seen) / len(seen))
    return best >= _RHYTHM


def _structure(run: Run, fielded: bool) -> Structure:
    if run.kind == "telecine":
        return "telecine"
    return "progressive" if run.kind == "progressive" and not fielded else "interlaced"


def _by_flags(flagged: Kind | None, order: FieldOrder | None, looked: int) -> Finding:
    why = f"nothing moves in {looked} run{'s' if looked > 1 else ''} of frames; "
    if flagged == "interlaced":
        return Finding("interlaced", order, why + "as flagged", 0.0)
    told = "as flagged" if flagged == "progressive" else "no flags either: taken as progressive"
    return Finding("progressive", None, why + told, 0.0)
