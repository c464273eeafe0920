"""Faces followed through a shot: one track a person, though lamps flash and hands pass.

The detector looks at some frames; in between, and where it sees nothing, a face is followed by the
motion of its texture (`sight`). A step that is not sure is not made: the next goes from the last
frame in which the face was seen, so a flash that blinds the camera, or a hand, is stepped over.
What is detected is joined to what is followed by place, size and texture, all pairs at once.

Nothing is smoothed on the way. At the end of a shot each track is solved as a whole (`smoothing`),
from what was detected and how it moved, so that nothing lags; only then is it judged whether it is
a face at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from .detect import Detection, Detector, Picture, overlap
from .sight import (
    Grey,
    Patch,
    Step,
    Values,
    alike,
    inside,
    patch,
    sight_of,
    step_between,
    stepped,
)
from .smoothing import Deviations, Seen, Stepped, solve
from .tracks import POINTS, Track, Tracks

__all__ = ["MOST_FACES", "follow"]

MOST_FACES = 12
"""Tracks in one frame at most: the larger, the more central and the longer ones."""

# Scores: what may begin a track, and what may go on with one.
_SURE, _FAINT = 0.6, 0.3

# Seconds: between two looks of the detector; without any look that saw the face, followed or not;
# how far a track goes on beyond its last detection, or begins before its first.
_LOOK_SOON_S, _LOOK_LATE_S = 0.09, 0.32
_GAP_FOLLOWED_S, _GAP_LOST_S = 4.0, 2.0
_BEYOND_S = 1.0
_STEP_OVER_S = 0.5

# A track is one that lasts, was detected often enough, and surely at least once.
_LEAST_S, _LEAST_LOOKS, _LEAST_BEST, _LEAST_MEAN = 0.4, 3, 0.7, 0.5

# How like its last detection a face must stay, -1..1; less is something before it.
_LIKE_SEEN = 0.35
# What joining costs in sizes of the face; a faint detection must lie near.
_FAR, _NEAR = 1.9, 0.7

# Deviations, in sizes of the face, from which the weights of the solution follow; a bend's is of a
# frame of 25 a second. Of what is seen: YuNet on a still face with noise.
_PLACE = Deviations(seen=0.03, step=0.004, bend=0.02)
_SIZE = Deviations(seen=0.04, step=0.005, bend=0.004)
_BEND_AT_HZ = 25.0
# Where nothing tells how a face moved, it rather stays: else a gap would be swung through.
_UNTOLD = 0.05


def follow(
    shown: Iterable[tuple[Picture, bool]],
    detector: Detector,
    *,
    rate: Fraction,
    aspect: float | None = None,
    most: int = MOST_FACES,
    least_px: float = 0.0,
) -> Tracks:
    """Follow every face through pictures, shot by shot; memory does not grow with their number.

    Args:
        shown: Pictures of one size and of square pixels, each with whether it begins a shot.
        detector: What finds faces in one picture.
        rate: Pictures a second.
        aspect: Width over height as shown; None is the pictures' own.
        most: Tracks in one frame at most.
        least_px: Height of the smallest face that is kept, in the pictures' own pixels.

    Returns:
        The tracks. Trust is 1 where the detector saw the face. Beside it, it is 0.95 where the
        texture was followed, which falls by a third in a second, and 0.5 where it was not (a
        flash, a hand, another's head), which falls to a third.
    """
    found: list[_Path] = []
    shot: _Shot | None = None
    count, size = 0, (1, 1)
    for picture, begins in shown:
        if shot is None or begins:
            found += shot.ended() if shot else []
            shot = _Shot(detector, count, float(rate), most, least_px)
        size = (picture.shape[1], picture.shape[0])
        shot.add(picture)
        count += 1
    found += shot.ended() if shot else []
    kept = _bounded(found, most, size)
    scale = np.array(size, np.float64)
    tracks = tuple(path.track(n, scale) for n, path in enumerate(kept))
    return Tracks(rate, max(count, 1), aspect or size[0] / size[1], tracks)


@dataclass(eq=False)
class _Path:
    """A finished track, in pixels."""

    first: int
    boxes: Values
    """(n, 4): middle x, middle y, width, height."""
    points: Values
    trust: Values

    def track(self, number: int, scale: Values) -> Track:
        boxes = self.boxes.copy()
        boxes[:, :2] -= boxes[:, 2:] / 2
        # What hangs out of the frame further than a file may say is no face anyone sees.
        boxes = np.clip(boxes / np.tile(scale, 2), -3.9, 3.9)
        points = np.clip(self.points / scale, -3.9, 3.9)
        return Track(
            number,
            self.first,
            boxes.astype(np.float32),
            points.astype(np.float32),
            self.trust.astype(np.float32),
        )


@dataclass(eq=False)
class _Trail:
    """A face while it is followed."""

    frame: int
    """The last frame in which it was seen or followed."""
    sight: Grey
    """That frame, its light made equal."""
    box: Values
    """There: middle x, middle y, width, height."""
    points: Values
    looks: dict[int, Detection] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    speed: Values = field(default_factory=lambda: np.zeros(2))
    """Pixels a frame."""
    seen: int = 0
    """The last frame in which it was detected."""
    like: Patch | None = None
    """The patch there."""
    unbroken: int = 0
    """The last frame up to which every frame was followed since then."""

    def detected(self, at: int, sight: Grey, one: Detection) -> None:
        if at > self.frame and self.looks:
            middle = one.box[:2] + one.box[2:] / 2
            self.speed = (middle - self.box[:2]) / (at - self.frame) * 0.5
        self.looks[at] = one
        self.box, self.points = _centred(one.box), one.points.astype(np.float64)
        self.frame, self.sight = at, sight
        self.seen = self.unbroken = at
        self.like = patch(sight, self.box)

    def moved(self, at: int, sight: Grey, step: Step) -> None:
        self.steps.append(step)
        self.speed = 0.5 * self.speed + 0.5 * step.move[0] / (at - self.frame)
        if self.unbroken == self.frame and at == self.frame + 1:
            self.unbroken = at
        self.box = stepped(self.box, step)
        self.points = self.points + step.move[1:]
        self.frame, self.sight = at, sight

    def is_like(self, sight: Grey, box: Values) -> bool:
        """Whether what a box holds could be the face that was last detected."""
        return self.like is None or alike(patch(sight, box), self.like) >= _LIKE_SEEN

    def expected(self, at: int) -> Values:
        """Where its box is by now: what was last known, moved on a little."""
        box = self.box.copy()
        box[:2] += self.speed * min(at - self.frame, 3)
        return box


class _Shot:
    """The faces of one shot, while its pictures come."""

    def __init__(
        self, detector: Detector, first: int, rate: float, most: int, least_px: float
    ) -> None:
        self._detector, self._first, self._rate = detector, first, rate
        self._most, self._least_px = most, least_px
        self._next = first - 1
        self._look_at = first
        self._pause = max(1, round(_LOOK_SOON_S * rate))
        self._recent: deque[Grey] = deque(maxlen=max(2, round(_BEYOND_S * rate)))
        """The sights before this one, the latest last: a new face is followed back in them."""
        self._trails: list[_Trail] = []
        self._done: list[_Path] = []

    def add(self, picture: Picture) -> None:
        self._next += 1
        at = self._next
        sight = sight_of(picture)
        for trail in self._trails:
            self._go_on(trail, at, sight)
        if at >= self._look_at:
            self._look(at, picture, sight)
        for trail in [one for one in self._trails if self._is_over(one, at)]:
            self._trails.remove(trail)
            self._done += self._judged(trail)
        self._recent.append(sight)

    def ended(self) -> list[_Path]:
        return self._done + [path for trail in self._trails for path in self._judged(trail)]

    def _go_on(self, trail: _Trail, at: int, sight: Grey) -> None:
        if at - trail.frame > max(2, _STEP_OVER_S * self._rate):
            return
        step = _next_step(trail, sight, at)
        if step is not None and trail.is_like(sight, stepped(trail.box, step)):
            trail.moved(at, sight, step)

    def _look(self, at: int, picture: Picture, sight: Grey) -> None:
        found = _largest(self._detector.find(picture), 2 * self._most, picture.shape)
        fresh = list(self._trails)
        sure = [one for one in found if one.score >= _SURE]
        faint = [one for one in found if _FAINT <= one.score < _SURE]
        left = self._join(fresh, sure, at, sight, strict=False)
        unseen = [trail for trail in fresh if trail.seen != at]
        self._join(unseen, faint, at, sight, strict=True)
        for one in left:
            if any(overlap(one.box, _cornered(other.box)) > 0.3 for other in self._trails):
                continue
            if len(self._trails) < 2 * self._most:
                self._begin(one, at, sight)
        missed = any(trail.seen != at for trail in self._trails)
        known = len(self._trails) == len(fresh)
        self._pause = min(self._pause + 1, self._late) if known and not missed else self._soon
        if not self._trails:
            self._pause = self._late if at > self._first + 3 * self._soon else self._soon
        self._look_at = at + self._pause

    @property
    def _soon(self) -> int:
        return max(1, round(_LOOK_SOON_S * self._rate))

    @property
    def _late(self) -> int:
        return max(2, round(_LOOK_LATE_S * self._rate))

    def _join(
        self,
        trails: list[_Trail],
        found: list[Detection],
        at: int,
        sight: Grey,
        *,
        strict: bool,
    ) -> list[Detection]:
        """Give trails the detections that are theirs; give back what is left of these."""
        if not trails or not found:
            return found
        costs = np.array([[self._cost(one, two, at, sight) for two in found] for one in trails])
        taken: set[int] = set()
        for n, m in zip(*linear_sum_assignment(costs), strict=True):
            if costs[n, m] < (_NEAR if strict else _FAR):
                trails[n].detected(at, sight, found[m])
                taken.add(int(m))
        return [one for n, one in enumerate(found) if n not in taken]

    def _cost(self, trail: _Trail, one: Detection, at: int, sight: Grey) -> float:
        """How unlikely it is that a detection is a trail's; _FAR or more: it is not."""
        box, other = trail.expected(at), _centred(one.box)
        size = float(np.sqrt(np.prod(box[2:])))
        away = float(np.linalg.norm(other[:2] - box[:2])) / size
        grown = abs(float(np.log(np.prod(other[2:]) / np.prod(box[2:])))) / 2
        gap_s = (at - trail.frame) / self._rate
        if away > min(0.6 + 1.5 * gap_s, 1.6) or grown > 0.4 + 0.3 * min(gap_s, 1):
            return 2 * _FAR
        like = 0.0 if trail.like is None else alike(patch(sight, other), trail.like)
        if away > 0.6 and like < 0.1:
            return 2 * _FAR
        return away + grown + 0.5 * (1 - like)

    def _begin(self, one: Detection, at: int, sight: Grey) -> None:
        """A new trail, followed back to where it was first to be seen, or to one that was lost."""
        trail = _Trail(at, sight, _centred(one.box), one.points.astype(np.float64))
        back = replace(trail)
        trail.detected(at, sight, one)
        for before, earlier in zip(
            range(at - 1, self._first - 1, -1), reversed(self._recent), strict=False
        ):
            step = _next_step(back, earlier, before)
            if step is None:
                break
            box = stepped(back.box, step)
            if inside(box, earlier) < 0.6 or not trail.is_like(earlier, box):
                break
            trail.steps.append(step)
            back.box, back.points = box, back.points + step.move[1:]
            back.speed = -step.move[0]
            back.frame, back.sight = before, earlier
            for lost in self._trails:
                if lost.frame == before and overlap(_cornered(box), _cornered(lost.box)) > 0.4:
                    lost.steps += trail.steps
                    lost.detected(at, sight, one)
                    return
        self._trails.append(trail)

    def _is_over(self, trail: _Trail, at: int) -> bool:
        if inside(trail.expected(at), trail.sight) < 0.4:
            return True
        gap = _GAP_FOLLOWED_S if trail.frame == at else _GAP_LOST_S
        return at - trail.seen > gap * self._rate

    def _judged(self, trail: _Trail) -> list[_Path]:
        """The trail's whole path, where it is a face."""
        shot = self._next - self._first + 1
        scores = np.array([one.score for one in trail.looks.values()])
        span = max(trail.looks) - min(trail.looks) + 1
        # A shot too short for three looks may have fewer.
        enough = min(_LEAST_LOOKS, 1 + (shot - 1) // self._soon)
        if (
            len(scores) < enough
            or span < min(_LEAST_S * self._rate, 0.5 * shot)
            or scores.max() < _LEAST_BEST
            or np.median(scores) < _LEAST_MEAN
        ):
            return []
        path = _solved(trail, self._first, self._next, self._rate)
        return [path] if np.median(path.boxes[:, 3]) >= self._least_px else []


def _next_step(trail: _Trail, sight: Grey, at: int) -> Step | None:
    guess = trail.speed * abs(at - trail.frame)
    return step_between((trail.sight, sight), (trail.frame, at), trail.box, trail.points, guess)


def _centred(box: NDArray[np.float32]) -> Values:
    return np.concatenate([box[:2] + box[2:] / 2, box[2:]]).astype(np.float64)


def _cornered(box: Values) -> NDArray[np.float32]:
    return np.concatenate([box[:2] - box[2:] / 2, box[2:]]).astype(np.float32)


def _largest(found: list[Detection], most: int, shape: tuple[int, ...]) -> list[Detection]:
    ranked = sorted(found, key=lambda one: -_weight(_centred(one.box)[None], shape[1], shape[0]))
    return ranked[:most]


def _weight(boxes: Values, width: int, height: int) -> float:
    """How much a face matters: its size, less towards the edges."""
    sizes = np.sqrt(boxes[:, 2] * boxes[:, 3])
    away = np.abs(boxes[:, :2] / (width, height) - 0.5).max(1)
    return float(np.median(sizes * (1.5 - away)))


def _bounded(paths: list[_Path], most: int, size: tuple[int, int]) -> list[_Path]:
    """The tracks that matter most, no more than `most` in any frame, in order of time."""
    length = max((path.first + len(path.trust) for path in paths), default=0)
    crowd = np.zeros(length, np.int32)
    kept = []

    def worth(path: _Path) -> float:
        return _weight(path.boxes, *size) * float(np.sqrt(min(len(path.trust), 250)))

    for path in sorted(paths, key=worth, reverse=True):
        span = slice(path.first, path.first + len(path.trust))
        if crowd[span].max() < most:
            crowd[span] += 1
            kept.append(path)
    return sorted(kept, key=lambda path: (path.first, float(path.boxes[0, 0])))


def _solved(trail: _Trail, first: int, last: int, rate: float) -> _Path:
    """The whole track, from what was detected and followed."""
    looks = sorted(trail.looks)
    begin = max(first, min([looks[0], *(step.end for step in trail.steps)]))
    beyond = min(trail.unbroken, looks[-1] + round(_BEYOND_S * rate))
    end = min(last, max(looks[-1], beyond))
    length = end - begin + 1
    steps = [step for step in trail.steps if max(step.start, step.end) <= end]
    boxes = np.stack([_centred(trail.looks[n].box) for n in looks])
    points = np.stack([trail.looks[n].points for n in looks]).astype(np.float64)
    # A doubtful detection counts for less.
    scores = np.clip([trail.looks[n].score for n in looks], 0.2, 1)
    areas = boxes[:, 2] * boxes[:, 3]
    at = np.array(looks) - begin
    starts = np.array([step.start - begin for step in steps], np.int_)
    ends = np.array([step.end - begin for step in steps], np.int_)
    moves = np.array([step.move for step in steps]).reshape(-1, 1 + POINTS, 2)
    growths = np.array([[step.growth] * 2 for step in steps]).reshape(-1, 2)
    sureness = 1 / np.interp(ends, at, areas)
    untold = _uncovered(length, starts, ends)
    still = (_PLACE.step / _UNTOLD * rate / _BEND_AT_HZ) ** 2 / np.interp(untold, at, areas)

    def told(move: Values, weight: Values, rest: Values) -> Stepped:
        return Stepped(
            np.concatenate([starts, untold]),
            np.concatenate([ends, untold + 1]),
            np.concatenate([move, np.zeros((len(untold), 2))]),
            np.concatenate([weight, rest]),
        )

    def placed(values: Values, which: int) -> Values:
        seen = Seen(at, values, scores / areas)
        return solve(length, seen, told(moves[:, which], sureness, still), _at(_PLACE, rate))

    middle = placed(boxes[:, :2], 0)
    marks = [placed(points[:, n], 1 + n) for n in range(POINTS)]
    seen = Seen(at, np.log(boxes[:, 2:]), scores)
    steady = told(growths, np.ones(len(steps)), np.full(len(untold), (_SIZE.step / _UNTOLD) ** 2))
    sizes = np.exp(solve(length, seen, steady, _at(_SIZE, rate)))
    trust = _trust(length, at, np.concatenate([starts, ends]), rate)
    return _Path(begin, np.concatenate([middle, sizes], 1), np.stack(marks, 1), trust)


def _uncovered(length: int, starts: NDArray[np.int_], ends: NDArray[np.int_]) -> NDArray[np.int_]:
    """The places from which no step leads to the next."""
    change = np.zeros(length + 1, int)
    np.add.at(change, np.minimum(starts, ends), 1)
    np.subtract.at(change, np.maximum(starts, ends), 1)
    return np.flatnonzero(np.cumsum(change)[: length - 1] == 0)


def _at(expected: Deviations, rate: float) -> Deviations:
    """At another rate a bend is spread over more frames, or fewer."""
    return replace(expected, bend=expected.bend * (_BEND_AT_HZ / rate) ** 2)


def _trust(length: int, looks: NDArray[np.int_], followed: NDArray[np.int_], rate: float) -> Values:
    frames = np.arange(length)
    after = np.searchsorted(looks, frames).clip(0, len(looks) - 1)
    before = (np.searchsorted(looks, frames, "right") - 1).clip(0)
    away = np.minimum(np.abs(looks[after] - frames), np.abs(frames - looks[before]))
    trust: Values = 0.5 * np.exp(-1.1 * away / rate)
    trust[followed] = 0.95 * np.exp(-0.4 * away[followed] / rate)
    trust[looks] = 1.0
    return np.asarray(trust, np.float64)
