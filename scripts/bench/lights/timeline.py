"""What a show's timeline tells of its light: events of made films found, missed, and made up.

A film has one event, or none (pans). `found` is an event of its kind that shares a frame with the
true one (a lamp's change: within two frames); `late` is by how many frames its beginning and its
end are off in the mean; `wrong` counts all other events in those films: of another kind, or where
nothing happens. A strobe's rate is held to the true one.
"""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from judged import data_folder

from encore.facts import Borders
from encore.glances import Glance, glance
from encore.lights import Event, timeline
from lights.events import RATE, Film, Truth, films
from vsencore.engine.colour import Signal

__all__ = ["HEAD", "looked", "rows"]

HEAD = (
    f"{'film':<12}{'films':>7}{'found':>7}{'wrong':>7}{'late: first':>13}{'last':>7}{'Hz off':>9}"
)
_SEED = 8
_KINDS = ("flash", "strobe", "lamp", "blackout", "fade", "fast pan", "whip pan")
_RGB = Signal(family="RGB", bits=8, full_range=True)
# The colour of a film's light is not an event that it was made to have.
_UNJUDGED = ("wash",)


@dataclass
class Score:
    """How one kind of film fared."""

    films: int = 0
    found: int = 0
    wrong: int = 0
    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    hertz: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def add(self, film: Film, events: list[Event]) -> None:
        """Count one film."""
        self.films += 1
        events = [event for event in events if event.kind not in _UNJUDGED]
        if film.kind == "fade":  # before one, or after one, it is dark
            events = [event for event in events if event.kind != "blackout"]
        for truth in film.events:
            hits = [event for event in events if _is(event, truth)]
            if not hits:
                self.told.append(f"{film.kind} {film.seed}: {truth} missed")
                continue
            best = max(hits, key=lambda event: event.last - event.first)
            events.remove(best)
            self.found += 1
            self.first.append(abs(best.first - truth.first))
            self.last.append(abs(best.last - truth.last))
            if truth.hertz and best.rate_hz:
                self.hertz.append(abs(best.rate_hz - truth.hertz))
        self.wrong += len(events)
        self.told += [
            f"{film.kind} {film.seed}: {event.kind} {event.first}..{event.last} made up"
            for event in events
        ]

    def row(self, name: str) -> str:
        """One line under HEAD."""
        first, last, hertz = (
            f"{np.mean(one):.2f}" if one else "-" for one in (self.first, self.last, self.hertz)
        )
        return (
            f"{name:<12}{self.films:>7}{self.found:>7}{self.wrong:>7}{first:>13}{last:>7}{hertz:>9}"
        )


def rows(quick: bool, *, judged: bool = True, seed: int = _SEED) -> list[str]:
    """Look at each film; lines of what went wrong follow the table."""
    scores = {kind: Score() for kind in _KINDS}
    made = films(data_folder(), judged=judged, count=40 if quick else 200, seed=seed, kinds=_KINDS)
    for film in made:
        told = timeline(looked(film), Fraction(RATE))
        scores[film.kind].add(film, told.events)
    lines = [score.row(kind) for kind, score in scores.items()]
    return lines + [f"  {what}" for score in scores.values() for what in score.told]


def looked(film: Film) -> list[Glance]:
    """A film's frames as the timeline looks at them."""
    return [
        glance([np.ascontiguousarray(frame[..., n]) for n in range(3)], _RGB, Borders())
        for frame in film.frames
    ]


def _is(event: Event, truth: Truth) -> bool:
    near = 2 if truth.kind == "lamp" else 0
    return (
        event.kind == truth.kind
        and event.first <= truth.last + near
        and event.last >= truth.first - near
    )
