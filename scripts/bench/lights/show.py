"""A made show of ten minutes, to look at its drawn timeline: four songs over real clips.

Each song fades up, has verses in one wash and choruses that change between two, a strobe in its
last chorus, some flashes, and ends in a blackout or a fade. Shots are stretches of the judged
clips, lit as miniatures, so that ten minutes are made in seconds; enough for a drawing.
"""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encore.facts import Borders
from encore.glances import DARK, PERCENTS, Glance, glance
from encore.light_page import draw
from encore.lights import Timeline, timeline
from lights.events import JUDGED, RATE, decoded
from vsencore.engine.colour import Signal

__all__ = ["draw_show", "made_show"]

_RGB = Signal(family="RGB", bits=8, full_range=True)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_SONG_S, _DARK_S = 140, 10
_PALETTES = (
    ((0.08, 0.12, 1.0), (1.0, 0.35, 0.1), 7.5),
    ((0.9, 0.05, 0.1), (0.7, 0.1, 1.0), 10.0),
    ((1.0, 0.8, 0.6), (0.1, 0.9, 0.8), 6.0),
    ((0.2, 0.1, 0.9), (1.0, 0.1, 0.5), 11.5),
)

type Light = NDArray[np.float32]


def draw_show(data: Path, path: Path) -> Timeline:
    """Make the show, and draw its timeline."""
    told = timeline(made_show(data), Fraction(RATE))
    draw(told, path, title="a made show of four songs")
    return told


def made_show(data: Path, seed: int = 5) -> Iterator[Glance]:
    """Its frames, at 25 a second."""
    rng = np.random.default_rng(seed)
    minis = [_minis(data, span) for span in JUDGED]
    shot, place, left = minis[0], 0, 0
    for light, quick in itertools.chain.from_iterable(_song(rng, one) for one in _PALETTES):
        if left == 0:
            others = [one for one in minis if one is not shot]
            shot = others[int(rng.integers(len(others)))]
            place = int(rng.integers(len(shot)))
            left = round(RATE * (rng.uniform(1.5, 3) if quick else rng.uniform(4, 9)))
        there_and_back = len(shot) - 1 - abs(len(shot) - 1 - place % (2 * len(shot) - 1))
        yield _lit(shot[there_and_back], light)
        place, left = place + 1, left - 1


def _song(
    rng: np.random.Generator, palette: tuple[tuple[float, ...], tuple[float, ...], float]
) -> Iterator[tuple[Light, bool]]:
    """The light of each frame of a song, and whether shots are short there."""
    verse, chorus = (np.array(one, np.float32) for one in palette[:2])
    hertz = palette[2]
    flashes = set(rng.integers(10 * RATE, _SONG_S * RATE, 5).tolist())
    fades_out = rng.random() < 0.5
    for n in range(_SONG_S * RATE):
        second = n / RATE
        part = int(second // 35)
        singing = second % 35 > 20
        colour = verse
        if singing:
            colour = chorus if int(second % 35 - 20) // 4 % 2 else 0.6 * verse + 0.2
        light = np.float32(0.5) * colour * min(1.0, (second / 4) ** 2)
        if fades_out:
            light = light * max(0.0, min(1.0, (_SONG_S - second) / 6)) ** 2
        if part == 3 and 25 < second % 35 < 33:
            on = n * hertz / RATE % 1 < max(0.35, hertz / RATE)
            light = np.ones(3, np.float32) if on else light * np.float32(0.3)
        if n in flashes:
            light = light + np.float32(1)
        yield np.asarray(light, np.float32), singing
    for _ in range(_DARK_S * RATE):
        yield np.zeros(3, np.float32), False


def _minis(data: Path, span: tuple[str, int, int]) -> list[Light]:
    """The linear miniatures (3, 24, 32) of a stretch of a clip."""
    name, first, end = span
    with torch.inference_mode():
        return [
            glance([np.ascontiguousarray(frame[..., n]) for n in range(3)], _RGB, Borders())
            .mini.numpy()
            .clip(0, 1)
            ** np.float32(2.4)
            for frame in decoded(str(data / "clips" / name))[first : min(end, first + 200)]
        ]


def _lit(mini: Light, light: Light) -> Glance:
    linear = np.clip(mini * light[:, None, None], 0, 1)
    luminance = np.sort(np.einsum("c,chw->hw", _LUMINANCE, linear).ravel())
    places = [round(percent / 100 * (len(luminance) - 1)) for percent in PERCENTS]
    dark = float(np.searchsorted(luminance, DARK)) / len(luminance)
    coded = torch.from_numpy(linear ** np.float32(1 / 2.4))
    return Glance(coded, luminance[places], dark)
