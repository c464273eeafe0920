"""What the demo's concert plays and when its lights change: the band and the stage follow this.

The tempo is 120 beats a minute, four beats a bar, one chord and one shot a bar. Times are seconds
from the first picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "BAR_S",
    "BASS",
    "BEAT_S",
    "CHORDS",
    "Note",
    "Shot",
    "cuts",
    "flash",
    "flashes",
    "mouth",
    "shot_at",
    "sung",
    "telling_moments",
]

BEAT_S = 0.5
BAR_S = 4 * BEAT_S

CHORDS = ((57, 60, 64), (53, 57, 60), (48, 55, 64), (55, 59, 62))
"""The MIDI notes of the chord in each bar, round and round: Am F C G."""
BASS = (33, 29, 36, 31)

Shot = str
_SHOTS: tuple[Shot, ...] = ("wide", "close", "medium")


@dataclass(frozen=True)
class Note:
    """One sung note: when, how long, its MIDI pitch, and the vowel it is sung on."""

    start_s: float
    length_s: float
    pitch: int
    vowel: str


# (beat within the bar, beats long, pitch, vowel), bar by bar.
_MELODY = (
    ((0.25, 0.65, 69, "e"), (1.0, 0.45, 72, "o"), (1.5, 1.2, 71, "a"), (3.0, 0.8, 69, "i")),
    ((0.0, 0.9, 72, "a"), (1.0, 0.4, 74, "e"), (1.5, 0.4, 72, "i"), (2.0, 1.7, 69, "a")),
    ((0.0, 0.6, 67, "o"), (0.75, 0.6, 72, "a"), (1.5, 2.2, 76, "a")),
    ((0.5, 0.4, 74, "e"), (1.0, 0.4, 74, "i"), (1.5, 0.9, 71, "o"), (2.5, 1.2, 67, "u")),
)
# (beat within the bar, seconds long): a blinder on one or two frames of a 25 Hz recording.
_FLASHES = (
    ((3.0, 0.08), (3.5, 0.04)),
    ((2.0, 0.04),),
    ((3.0, 0.04), (3.25, 0.04), (3.5, 0.08)),
    (),
)
# How far each vowel opens the mouth, and how wide it draws it; 1 is the widest "a".
_VOWELS = {"a": (1.0, 1.0), "e": (0.6, 1.12), "i": (0.36, 1.18), "o": (0.78, 0.74), "u": (0.4, 0.6)}
_LIPS_S = 0.06


def sung(seconds: float) -> list[Note]:
    """The notes that begin within a concert of this length."""
    notes = []
    for bar in range(math.ceil(seconds / BAR_S)):
        for beat, length, pitch, vowel in _MELODY[bar % len(_MELODY)]:
            start = bar * BAR_S + beat * BEAT_S
            if start < seconds:
                notes.append(Note(start, length * BEAT_S, pitch, vowel))
    return notes


def mouth(at_s: float) -> tuple[float, float]:
    """How open (0..1) and how wide (0.6..1.2) the singer's mouth is."""
    bar = math.floor(at_s / BAR_S)
    within = at_s - bar * BAR_S
    opened, width = 0.04, 1.0
    for beat, length, _, vowel in _MELODY[bar % len(_MELODY)]:
        since, until = within - beat * BEAT_S, (beat + length) * BEAT_S - within
        weight = _ramp((since + _LIPS_S) / _LIPS_S) * _ramp((until + _LIPS_S) / _LIPS_S)
        opened += weight * (_VOWELS[vowel][0] * (0.92 + 0.08 * math.sin(40 * at_s)) - opened)
        width += weight * (_VOWELS[vowel][1] - width)
    return opened, width


def cuts(seconds: float) -> list[float]:
    """When a new shot begins; a concert shorter than two bars is cut once, in its middle."""
    length = _shot_s(seconds)
    return [length * number for number in range(1, math.ceil(seconds / length - 1e-9))]


def shot_at(at_s: float, seconds: float) -> Shot:
    """Which camera is on the air."""
    return _SHOTS[math.floor(at_s / _shot_s(seconds) + 1e-9) % len(_SHOTS)]


def telling_moments(seconds: float) -> tuple[float, float]:
    """A moment of the whole stage and one of the singer's face, each the time of a 25 Hz frame."""
    length = _shot_s(seconds)
    return round(25 * 0.3 * length) / 25, round(25 * 1.2 * length) / 25


def flashes(seconds: float) -> list[tuple[float, float]]:
    """The blinders: (when, how long)."""
    times = []
    for bar in range(math.ceil(seconds / BAR_S)):
        for beat, length in _FLASHES[bar % len(_FLASHES)]:
            start = bar * BAR_S + beat * BEAT_S
            if start < seconds:
                times.append((start, length))
    return times


def flash(at_s: float) -> float:
    """How bright the blinders are, 0..1."""
    bar = math.floor(at_s / BAR_S + 1e-9)
    within = at_s - bar * BAR_S
    bright = 0.0
    for beat, length in _FLASHES[bar % len(_FLASHES)]:
        since = within - beat * BEAT_S
        if -1e-9 <= since < length - 1e-9:
            return 1.0
        if 0 <= since < length + 0.12:  # the filament cools
            bright = max(bright, 0.15 * math.exp(-(since - length) / 0.04))
    return bright


def _shot_s(seconds: float) -> float:
    """A shot's length: a bar, or half of a shorter concert, a whole number of 25 Hz frames."""
    return min(BAR_S, max(1, round(12.5 * seconds)) / 25)


def _ramp(x: float) -> float:
    x = min(1.0, max(0.0, x))
    return x * x * (3 - 2 * x)
