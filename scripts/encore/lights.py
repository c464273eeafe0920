"""The timeline of a show's light: cuts, flashes, strobes, lamps, washes, blackouts, fades.

One pass over the source's frames (`glances`), then arithmetic (`light_events`); what comes of it is
plain data that a report draws (`light_page`) and an editor imports (`cut_lists`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch
import vapoursynth as vs
from numpy.typing import NDArray

from encore import light_events
from encore.facts import Facts, PictureFacts, Ratio
from encore.glances import Glance, Tracks, glances, tracks
from encore.hues import hex_of, hue_of, name_of
from encore.light_events import Kind, Span
from encore.progress import Reporter, clock
from vsencore.engine.threads import one_thread

__all__ = ["Event", "LightState", "Timeline", "Track", "of_clip", "summary", "timeline"]

_MOST_POINTS = 4000
_STEADY_FRAMES = 3


class Event(Facts):
    """One thing that happens to the light, or a cut.

    Frames are those of the job, both ends included; seconds are on the source's clock, and `end_s`
    is when the last frame ends. A cut's frame is the first of the new shot.
    """

    kind: Kind
    first: int
    last: int
    start_s: float
    end_s: float
    rate_hz: float | None = None
    """Of a strobe."""
    flashes: int | None = None
    """How many a strobe has."""
    stops: float | None = None
    """How much more light: of a flash than around it, of a lamp or a fade than before."""
    colour: str | None = None
    """Of a wash, and of the light after a lamp's change: sRGB, at full strength."""
    name: str | None = None
    hue_deg: float | None = None
    """CIELAB hue angle; None of white."""


class LightState(Facts):
    """A stretch of one light inside a shot: what may be given one tone curve."""

    shot: int
    kind: str
    """"steady", "strobe", "fade" or "blackout"."""
    first: int
    last: int
    start_s: float
    end_s: float
    luminance: float
    """Mean, linear; like all that follows, the median over the state's frames without flashes."""
    dark: float
    """The share of the picture under a hundredth of white's light."""
    percentiles: tuple[float, float, float, float, float]
    """Linear luminance under which lie 1, 5, 50, 95 and 99 per cent of the picture."""
    colour: str
    """sRGB of the light, at full strength."""
    name: str


class Track(Facts):
    """Luminance and colour over time, for drawing: a point for each `every` frames."""

    every: int
    low: list[float]
    mean: list[float]
    high: list[float]
    """Linear luminance; so that a flash of one frame is still seen."""
    colour: list[str]
    """sRGB, at full strength."""


class Timeline(Facts):
    """A show's light from its first frame to its last."""

    version: int = 1
    first: int = 0
    """The frame of the recording that is frame 0 here, where only a part was looked at."""
    frames: int
    whole: int | None = None
    """The frames of the whole recording, where only a part was looked at."""
    rate: Ratio
    start_s: float
    events: list[Event]
    states: list[LightState]
    track: Track

    @property
    def cuts(self) -> list[int]:
        """The frames that begin a shot, but for the first."""
        return [event.first for event in self.events if event.kind == "cut"]

    @property
    def duration_s(self) -> float:
        """How long the frames play."""
        return float(self.frames / self.rate)

    def seconds(self, frame: int) -> float:
        """When a frame begins, on the source's clock."""
        return self.start_s + float(frame / self.rate)

    def of(self, *kinds: Kind) -> list[Event]:
        """The events of some kinds, in order."""
        return [event for event in self.events if event.kind in kinds]


def of_clip(
    clip: vs.VideoNode,
    picture: PictureFacts,
    reporter: Reporter,
    *,
    first: int = 0,
    last: int | None = None,
) -> Timeline:
    """Look at every frame of a source's clip once, as `scan.source_arguments` opens it.

    Or at those from `first` on, up to `last`, which is not taken.
    """
    looked = glances(clip[first:last], picture, reporter)
    start_s = picture.start_s + float(first / picture.rate)
    with one_thread(torch.device("cpu")):
        found = timeline(looked, picture.rate, start_s=start_s)
    if found.frames == len(clip):
        return found
    return found.model_copy(update={"first": first, "whole": len(clip)})


def timeline(looked: Iterable[Glance], rate: Fraction, *, start_s: float = 0.0) -> Timeline:
    """Tell what happens to the light of frames at `rate` a second.

    Raises ValueError where there is no frame.
    """
    seen = tracks(looked)
    hertz = float(rate)
    shares = light_events.flash_shares(seen, hertz)
    flashes = light_events.flashes(seen, hertz, shares)
    strobes = light_events.strobes(flashes, hertz)
    single = [flash for flash in flashes if not _within(flash.first, strobes)]
    blackouts = [b for b in light_events.blackouts(seen, hertz) if not _in_strobe(b, strobes)]
    fades = light_events.fades(seen, hertz)
    beside = round(0.1 * hertz)
    lamps = [
        lamp
        for lamp in light_events.lamps(seen, hertz, shares)
        if not _within(lamp.first, fades, beside) and not _within(lamp.first, blackouts, 2)
    ]
    washes = light_events.washes(seen, hertz, shares)
    cuts = [Span("cut", cut, cut) for cut in seen.cuts]
    spans = [*cuts, *single, *strobes, *lamps, *washes, *blackouts, *fades]

    def seconds(frame: int) -> float:
        return round(start_s + float(frame / rate), 4)

    return Timeline(
        frames=len(seen),
        rate=rate,
        start_s=start_s,
        events=[_event(span, seconds) for span in sorted(spans, key=_order)],
        states=_states(seen, shares, lamps, strobes, blackouts, fades, seconds),
        track=_track(seen, shares),
    )


def summary(told: Timeline) -> list[tuple[str, str]]:
    """Rows (what, text) for people, as `table` prints them."""
    counts = Counter(event.kind for event in told.events)
    shots = counts["cut"] + 1
    rows = [
        (
            "light",
            f"{counts['cut']} cut{'s' * (counts['cut'] != 1)} "
            f"({told.duration_s / shots:.1f} s a shot), "
            f"{counts['flash']} single flashes, {counts['lamp']} changes of lamps, "
            f"{counts['blackout']} blackouts, {counts['fade']} slow fades",
        )
    ]
    strobes = told.of("strobe")
    if strobes:
        rates = sorted(event.rate_hz or 0.0 for event in strobes)
        lasting = sum(event.end_s - event.start_s for event in strobes)
        first = clock(strobes[0].start_s - told.start_s)
        rows.append(
            (
                "strobes",
                f"{len(strobes)} of {rates[0]:.1f} to {rates[-1]:.1f} Hz, "
                f"{lasting:.1f} s together, the first at {first}",
            )
        )
    shares: Counter[str] = Counter()
    for event in told.of("wash"):
        shares[event.name or ""] += event.last - event.first + 1
    if shares:
        words = [f"{name} {count / told.frames:.0%}" for name, count in shares.most_common(6)]
        rows.append(("washes", ", ".join(words)))
    frames = np.array([state.last - state.first + 1 for state in told.states])
    dark = float(np.average([state.dark for state in told.states], weights=frames))
    rows.append(("", f"{dark:.0%} of the picture is dark; {len(told.states)} light states"))
    return rows


def _event(span: Span, seconds: Callable[[int], float]) -> Event:
    colour = span.colour
    named = None if colour is None else name_of(colour)
    return Event(
        kind=span.kind,
        first=span.first,
        last=span.last,
        start_s=seconds(span.first),
        end_s=seconds(span.last + 1),
        rate_hz=None if span.rate_hz is None else round(span.rate_hz, 2),
        flashes=span.count,
        stops=None if span.stops is None else round(span.stops, 2),
        colour=None if colour is None else hex_of(colour, full=True),
        name=named,
        hue_deg=None if colour is None or named == "white" else round(hue_of(colour)[0], 1),
    )


def _order(span: Span) -> tuple[int, int]:
    return span.first, span.last


def _within(frame: int, spans: Iterable[Span], margin: int = 0) -> bool:
    return any(span.first - margin <= frame <= span.last + margin for span in spans)


def _in_strobe(blackout: Span, strobes: Iterable[Span]) -> bool:
    """Whether it is only the dark between two flashes."""
    return any(
        strobe.first <= blackout.first and blackout.last <= strobe.last for strobe in strobes
    )


def _states(
    seen: Tracks,
    shares: NDArray[np.float32],
    lamps: list[Span],
    strobes: list[Span],
    blackouts: list[Span],
    fades: list[Span],
    seconds: Callable[[int], float],
) -> list[LightState]:
    """Cut each shot where its light changes; what is too short joins what is before it."""
    kinds = np.full(len(seen), "steady", dtype="<U8")
    for spans in (strobes, fades, blackouts):
        for span in spans:
            kinds[span.first : span.last + 1] = span.kind
    bounds = set(np.flatnonzero(kinds[1:] != kinds[:-1]) + 1) | {lamp.first for lamp in lamps}
    luminance = seen.luminance
    states = []
    for shot, (first, end) in enumerate(light_events.shots(seen)):
        inner = [first]
        for bound in sorted(int(b) for b in bounds if first < b < end):
            if min(bound - inner[-1], end - bound) >= _STEADY_FRAMES:
                inner.append(bound)
        for begin, until in pairwise([*inner, end]):
            chosen = np.arange(begin, until)
            kind = str(Counter(kinds[begin:until].tolist()).most_common(1)[0][0])
            calm = chosen[shares[chosen] <= 0.25]
            if kind != "strobe" and len(calm):
                chosen = calm
            tone = np.median(seen.tone[chosen], 0)
            one, five, half, bright, top = np.median(seen.percentiles[chosen], 0)
            states.append(
                LightState(
                    shot=shot,
                    kind=kind,
                    first=begin,
                    last=until - 1,
                    start_s=seconds(begin),
                    end_s=seconds(until),
                    luminance=_short(np.median(luminance[chosen])),
                    dark=round(float(np.median(seen.dark[chosen])), 4),
                    percentiles=(
                        _short(one),
                        _short(five),
                        _short(half),
                        _short(bright),
                        _short(top),
                    ),
                    colour=hex_of(tone, full=True),
                    name=name_of(tone),
                )
            )
    return states


def _track(seen: Tracks, shares: NDArray[np.float32]) -> Track:
    every = -(-len(seen) // _MOST_POINTS)
    luminance = seen.luminance
    starts = np.arange(0, len(seen), every)
    counts = np.diff(np.r_[starts, len(seen)])
    weight = 1 - shares + np.float32(1e-3)
    tone = np.add.reduceat(seen.tone * weight[:, None], starts)
    tone /= np.add.reduceat(weight, starts)[:, None]
    return Track(
        every=every,
        low=[_short(one) for one in np.minimum.reduceat(luminance, starts)],
        mean=[_short(one) for one in np.add.reduceat(luminance, starts) / counts],
        high=[_short(one) for one in np.maximum.reduceat(luminance, starts)],
        colour=[hex_of(one, full=True) for one in tone],
    )


def _short(value: float | np.floating) -> float:
    return float(f"{float(value):.4g}")
