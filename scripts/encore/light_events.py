"""What happens to a show's light, told from its tracks: pure arithmetic on a few numbers a frame.

- A **flash** is more light than on both sides of it within a sixth of a second, as the picture
  engine has it; on one side only where a cut is on the other.
- A **strobe** is flashes at equal distances, four or more, at 2.5 Hz and up. Its rate is the slope
  of a line through the flashes' times over their numbers, so it is finer than a frame.
- A **lamp** comes, goes or changes where the light in one place steps from one level to another
  within a few frames and stays, and the picture's structure stays.
- A **blackout** holds no light worth the name, for a tenth of a second at least.
- A **fade** is a slow rise or fall of all that is lit, by a stop and a half or more.
- A **wash** is a colour that the light as a whole has for a second or more.

Stops are log2 of linear light.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from encore.glances import Tracks
from encore.hues import names_of

__all__ = ["Kind", "Span", "blackouts", "fades", "flash_shares", "flashes", "lamps", "shots"]
__all__ += ["strobes", "washes"]

Kind = Literal["cut", "flash", "strobe", "lamp", "wash", "blackout", "fade"]
Floats = NDArray[np.floating]

_BESIDE_S = 0.16
_BESIDE_FRAMES = 4
_FLASH = 0.25
"""Of `flash_shares`: 0.4 stops above both sides."""
_FLASH_STILL = 0.4
_SURE_STOPS = 1.5
_STROBE_GAP_S = 0.4
_STROBE_FLASHES = 4
_LAMP_SIDE_S = 0.24
_LAMP_STOPS = 0.45
_LAMP_STEP = 0.12
_LAMP_STILL = 0.6
_LAMP_QUICKLY = 0.6
_LAMP_SUDDEN = 4.0
_LAMP_ONE_WAY = 0.6
_FAINT = 0.002
_CODE_STOPS = np.log2((np.arange(256) / 255) ** 2.4 + _FAINT).astype(np.float32)
_CHUNK = 512
_BLACK_MEAN, _BLACK_PEAK = 0.001, 0.006
_BLACK_S = 0.1
_FADE_STOPS = 1.5
_FADE_S = 0.4
_FADE_STOPS_PER_S = 0.5
_FADE_STILL = 0.6
_TOGETHER = 0.75
_WASH_S = 1.0
_WASH_SMOOTH_S = 0.6


@dataclass(frozen=True)
class Span:
    """One thing that happens, from frame `first` to `last`, both included."""

    kind: Kind
    first: int
    last: int
    stops: float | None = None
    rate_hz: float | None = None
    count: int | None = None
    colour: tuple[float, float, float] | None = None
    """Linear red, green, blue."""


def shots(tracks: Tracks) -> list[tuple[int, int]]:
    """Frames (first, end) of each shot."""
    return list(pairwise([0, *tracks.cuts, len(tracks)]))


def flash_shares(tracks: Tracks, rate: float) -> NDArray[np.float32]:
    """How much of a flash each frame is, 0..1: 1 from a stop above both sides on."""
    beside = _beside(rate)
    shares = np.zeros(len(tracks), np.float32)
    for first, end in shots(tracks):
        stops = np.log2(tracks.light[first:end] + 1e-4)
        before = _rise(stops, beside)
        after = _rise(stops[::-1], beside)[::-1]
        if first:  # begins with a cut
            before[0] = np.inf
        if end < len(tracks):
            after[-1] = np.inf
        rise = np.minimum(before, after).max(-1)
        shares[first:end] = np.clip((np.where(np.isfinite(rise), rise, 0) - 0.2) / 0.8, 0, 1)
    return shares


def flashes(tracks: Tracks, rate: float, shares: NDArray[np.float32]) -> list[Span]:
    """Each flash by itself; those of a strobe too."""
    found = []
    stops = np.log2(tracks.luminance + 1e-4)
    beside = _beside(rate)
    for first, last in _runs(shares > _FLASH):
        parts = _apart(stops[first : last + 1]) if last - first >= beside else [(0, last - first)]
        for one, other in parts:
            around = np.r_[
                stops[max(0, first + one - beside) : first + one],
                stops[first + other + 1 : first + other + 1 + beside],
            ]
            peak = float(stops[first + one : first + other + 1].max())
            base = float(around.min()) if len(around) else peak
            span = Span("flash", first + one, first + other, stops=peak - base)
            still = tracks.likeness[[span.first, min(span.last + 1, len(tracks) - 1)]]
            moved = bool(((still >= 0) & (still < _FLASH_STILL)).all())
            together = peak - base > _SURE_STOPS or _lit_together(tracks, span) >= _TOGETHER
            if together and not moved:
                found.append(span)
    return found


def strobes(found: list[Span], rate: float) -> list[Span]:
    """The regular ones among flashes, as one span each; a strobe goes on over cuts."""
    spans: list[Span] = []
    run: list[Span] = []
    for flash in [*found, None]:
        if flash is not None and (not run or _middle(flash) - _middle(run[-1]) <= _gap(rate)):
            run.append(flash)
            continue
        spans += _regular(run, rate)
        run = [] if flash is None else [flash]
    return spans


def lamps(tracks: Tracks, rate: float, shares: NDArray[np.float32]) -> list[Span]:
    """Where a lamp comes, goes or changes for good, within a shot."""
    found: list[Span] = []
    side = max(3, round(_LAMP_SIDE_S * rate))
    calm = shares <= _FLASH
    steps = _steps(tracks)
    stepped = (steps > _LAMP_STEP) & calm & np.r_[False, calm[:-1]]
    for first, end in shots(tracks):
        gaps = (np.flatnonzero(stepped[first + 1 : end]) + first + 1).tolist()
        told = [_lamp(tracks, steps, calm, (first, end), gap, side) for gap in gaps]
        sized = sorted((one for one in told if one is not None), key=lambda one: -one[0])
        for _, span in sized:
            if all(abs(span.first - other.first) > side for other in found):
                found.append(span)
    return sorted(found, key=lambda span: span.first)


def blackouts(tracks: Tracks, rate: float) -> list[Span]:
    """Stretches without light."""
    black = (tracks.luminance < _BLACK_MEAN) & (tracks.percentiles[:, -1] < _BLACK_PEAK)
    least = max(2, round(_BLACK_S * rate))
    return [
        Span("blackout", first, last) for first, last in _runs(black) if last - first + 1 >= least
    ]


def fades(tracks: Tracks, rate: float) -> list[Span]:
    """Slow rises and falls of all that is lit, within a shot."""
    found = []
    half = max(1, round(0.1 * rate))
    smooth = 2 * round(0.1 * rate) + 1
    luminance = tracks.luminance
    for first, end in shots(tracks):
        if end - first < _FADE_S * rate:
            continue
        stops = np.log2(median_filter(luminance[first:end], smooth, mode="nearest") + _FAINT)
        padded = np.pad(stops, half, mode="edge")
        slope = (padded[2 * half :] - padded[: -2 * half]) * rate / (2 * half)
        for sign in (1, -1):
            for one, other in _runs(sign * slope > _FADE_STOPS_PER_S):
                change = float(stops[other] - stops[one])
                steepest = float(np.abs(np.diff(stops[one : other + 1], prepend=stops[one])).max())
                slow = other - one + 1 >= _FADE_S * rate and steepest < 0.4 * abs(change)
                likeness = tracks.likeness[first + one : first + other + 1]
                known = likeness[likeness >= 0]
                moved = len(known) > 0 and float(np.median(known)) < _FADE_STILL
                if not slow or abs(change) < _FADE_STOPS or moved:
                    continue
                if _together(tracks, first + one, first + other, sign) >= _TOGETHER:
                    found.append(Span("fade", first + one, first + other, stops=change))
    return sorted(found, key=lambda span: span.first)


def washes(tracks: Tracks, rate: float, shares: NDArray[np.float32]) -> list[Span]:
    """Stretches in which the light as a whole has one colour."""
    tone = _smoothed(tracks, rate, shares)
    parts = [names_of(tone[start : start + _CHUNK]) for start in range(0, len(tone), _CHUNK)]
    names = np.concatenate(parts)
    names[(names == "white") | (tracks.luminance <= _BLACK_MEAN)] = ""
    found = []
    for first, last in _stretches(names, max(1, round(_WASH_S * rate))):
        if names[first]:
            mean = tone[first : last + 1].mean(0)
            found.append(Span("wash", first, last, colour=_full(mean)))
    return found


def _beside(rate: float) -> int:
    return max(_BESIDE_FRAMES, round(_BESIDE_S * rate))


def _rise(stops: Floats, beside: int) -> Floats:
    """How far each frame stands above the lowest of those before it; 0 for the first."""
    lowest = stops.copy()
    for back in range(1, beside + 1):
        lowest[back:] = np.minimum(lowest[back:], stops[:-back])
    return np.asarray(stops - lowest)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The first and the last of each run of what is true."""
    edges = np.flatnonzero(np.diff(np.r_[0, mask.view(np.int8), 0]))
    return [(int(one), int(end) - 1) for one, end in edges.reshape(-1, 2)]


def _apart(stops: Floats) -> list[tuple[int, int]]:
    """A long run of flash frames taken apart where the light dips by half its height."""
    middle = (float(stops.max()) + float(stops.min())) / 2
    if float(stops.max() - stops.min()) < 0.5:
        return [(0, len(stops) - 1)]
    return _runs(stops > middle)


def _middle(flash: Span) -> float:
    return (flash.first + flash.last) / 2


def _gap(rate: float) -> float:
    return _STROBE_GAP_S * rate + 0.5


def _regular(run: list[Span], rate: float) -> list[Span]:
    """The strobes in a run of flashes that follow each other quickly."""
    found: list[Span] = []
    start = 0
    while len(run) - start >= _STROBE_FLASHES:
        fit = None
        for end in range(start + _STROBE_FLASHES, len(run) + 1):
            tried = _period(np.array([_middle(one) for one in run[start:end]]))
            if tried is None:
                break
            fit = end, tried
        if fit is None:
            start += 1
            continue
        end, period = fit
        stops = [one.stops or 0.0 for one in run[start:end]]
        found.append(
            Span(
                "strobe",
                run[start].first,
                run[end - 1].last,
                stops=float(np.median(stops)),
                rate_hz=rate / period,
                count=end - start,
            )
        )
        start = end
    return found


def _period(times: Floats) -> float | None:
    """The distance of regular times, in frames; None where they are not regular.

    A time may be half a frame off, as frames have it, and a flash or two may be missing.
    """
    gaps = np.diff(times)
    usual = float(np.median(gaps))
    period = float(gaps[gaps <= _next(usual)].mean())
    for _ in range(3):
        steps = np.where(gaps <= _next(period), 1, np.round(gaps / period))
        numbers = np.cumsum(np.r_[0, steps])
        period, offset = np.polyfit(numbers, times, 1)
    missing = numbers[-1] + 1 - len(times)
    error = np.abs(times - (period * numbers + offset))
    # At two or three frames a period, a flash of the rounding's mercy is a frame off.
    if error.max() > max(1.05, 0.2 * period) or error.mean() > 0.55 or missing > len(times) / 4:
        return None
    return float(period)


def _steps(tracks: Tracks) -> Floats:
    """How far, in stops, the light of a place changes from the frame before; 0 for the first."""
    steps = np.zeros(len(tracks), np.float32)
    for start in range(1, len(tracks), _CHUNK):
        stops = _CODE_STOPS[tracks.grid[start - 1 : start + _CHUNK]]
        steps[start : start + _CHUNK] = np.abs(np.diff(stops, axis=0)).mean((1, 2, 3))
    return steps


def _next(period: float) -> float:
    """The longest gap to the very next flash: at 12 Hz and 25 frames, two frames or three."""
    return max(1.6 * period, period + 1.01)


def _lamp(
    tracks: Tracks,
    steps: Floats,
    calm: NDArray[np.bool_],
    shot: tuple[int, int],
    gap: int,
    side: int,
) -> tuple[float, Span] | None:
    """The change about the gap before a frame, if it is one that lasts: its size and span."""
    start, end = max(shot[0], gap - side - 1), min(shot[1], gap + side + 1)
    frames = np.arange(start, end)
    # A change within a frame's exposure or between its fields takes two gaps.
    before = frames[(frames < max(gap - 1, start + 1)) & calm[start:end]]
    after = frames[(frames > gap) & calm[start:end]]
    if len(before) < 2 or len(after) < 3:
        return None
    stops = _CODE_STOPS[tracks.grid[start:end].reshape(end - start, -1)]
    sides = stops[before - start], stops[after - start]
    one, other = (np.median(part, 0) for part in sides)
    change = other - one
    size = float(np.abs(change).mean())
    if size < _LAMP_STOPS:
        return None
    along = (stops - one) @ change / float(change @ change)
    at = gap - start
    # Within two frames most of the way, and little on both sides: a pan goes on and on.
    quickly = float(along[min(at + 1, len(along) - 1)] - along[at - 1]) > _LAMP_QUICKLY
    beside = steps[frames[(np.abs(frames - gap) > 1) & (frames > start)]]
    sudden = float(steps[gap]) / (float(beside.mean()) + 0.02)
    # What moves darkens one place and lights another; most lamps do one of them.
    places = change.reshape(-1, 3)
    strongest = places[:, int(np.abs(places).sum(0).argmax())]
    one_way = abs(float(strongest.sum())) > _LAMP_ONE_WAY * float(np.abs(strongest).sum())
    moved = 0 <= tracks.likeness[gap] < _LAMP_STILL
    if not quickly or moved or sudden < (_LAMP_SUDDEN if one_way else 1.5 * _LAMP_SUDDEN):
        return None
    level = [float(np.median(np.log2(tracks.luminance[part] + _FAINT))) for part in (before, after)]
    colour = _full(np.median(tracks.tone[after], 0))
    return size, Span("lamp", gap, gap, stops=level[1] - level[0], colour=colour)


def _full(tone: Floats) -> tuple[float, float, float]:
    """A colour with its strongest primary at 1."""
    red, green, blue = (float(one) for one in tone / max(float(tone.max()), 1e-9))
    return red, green, blue


def _lit_together(tracks: Tracks, flash: Span) -> float:
    """The share of what is lit that is brighter in a flash than just before and after it."""
    at = (flash.first + flash.last) // 2
    beside = [max(0, flash.first - 1), min(len(tracks) - 1, flash.last + 1)]
    stops = _CODE_STOPS[tracks.grid[[at, *beside]].max(-1)]
    lit = stops[0] > np.log2(4 * _FAINT)
    return float((stops[0] > stops[1:].max(0) + 0.1)[lit].mean()) if lit.any() else 0.0


def _together(tracks: Tracks, first: int, last: int, sign: int) -> float:
    """The share of what is lit that goes the same way."""
    stops = _CODE_STOPS[tracks.grid[[first, last]].max(-1)]
    lit = stops.max(0) > np.log2(4 * _FAINT)
    return float((sign * (stops[1] - stops[0]) > 0.5)[lit].mean()) if lit.any() else 0.0


def _smoothed(tracks: Tracks, rate: float, shares: NDArray[np.float32]) -> Floats:
    """The tone of each frame without flashes and flicker."""
    calm = np.flatnonzero(shares <= _FLASH)
    if not len(calm):
        calm = np.arange(len(tracks))
    # A flash has the colour of the calm frame before it.
    held = calm[np.searchsorted(calm, np.arange(len(tracks)), "right").clip(1) - 1]
    wide = 2 * round(_WASH_SMOOTH_S * rate / 2) + 1
    return np.asarray(median_filter(tracks.tone[held], (wide, 1), mode="nearest"))


def _stretches(names: NDArray[np.str_], least: int) -> list[tuple[int, int]]:
    """Runs of one name; what is shorter than `least` joins the longer of its neighbours."""
    edges = np.flatnonzero(names[1:] != names[:-1]) + 1
    runs = [[int(one), int(end) - 1] for one, end in pairwise(np.r_[0, edges, len(names)].tolist())]
    while len(runs) > 1:
        lengths = [last - first + 1 for first, last in runs]
        at = int(np.argmin(lengths))
        if lengths[at] >= least:
            break
        beside = [n for n in (at - 1, at + 1) if 0 <= n < len(runs)]
        into = max(beside, key=lambda n: lengths[n])
        names[runs[at][0] : runs[at][1] + 1] = names[runs[into][0]]
        runs = _stretched(names)
    return [(first, last) for first, last in runs]


def _stretched(names: NDArray[np.str_]) -> list[list[int]]:
    edges = np.flatnonzero(names[1:] != names[:-1]) + 1
    return [[int(one), int(end) - 1] for one, end in pairwise(np.r_[0, edges, len(names)].tolist())]
