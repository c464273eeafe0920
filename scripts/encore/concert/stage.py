"""The demo's picture: a stage, its band, its singer and the crowd before it, at any moment.

A picture is a pure function of its time. Reflectances are lit in linear light, the haze is added,
and a camera's soft shoulder and BT.709 transfer make code values of it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from encore.concert import people, score
from encore.concert.backdrop import Backdrop
from encore.concert.canvas import Camera, Plane, enlarged
from encore.concert.face import Head
from encore.concert.light import LAMPS, Rig, Show

__all__ = ["Stage"]

_EXPOSURE = 1.15
_BRIGHTEST = 4.0


class Stage:
    """One concert, ready to be looked at; safe to ask from several threads."""

    def __init__(self, seconds: float, seed: int, height: int) -> None:
        self.height = height
        self.width = 2 * round(height * 16 / 18)
        self._seconds, self._seed = seconds, seed
        self._chance = np.random.default_rng([seed, 0xC0]).random((44, 4))
        self._heads: dict[score.Shot, Head] = {}
        self._backdrops: dict[score.Shot, Backdrop] = {}
        for start in (0.0, *score.cuts(seconds)):
            self._prepare(score.shot_at(start, seconds))

    def picture(self, t: float) -> NDArray[np.uint8]:
        """The picture at `t` seconds, R'G'B' (height, width, 3), full range."""
        shot = score.shot_at(t, self._seconds)
        camera, show = self._camera(shot, t), Show.at(t)
        if shot == "close":
            screen = self._bokeh(camera, show, t)
            people.singer(screen, camera, show, t, self._heads[shot])
            screen += 0.012 * show.wash + 0.04 * np.float32(show.flash)
        else:
            screen = self._stage(camera, show, t, shot)
        return _developed(screen)

    def _prepare(self, shot: score.Shot) -> None:
        if shot in self._heads:
            return
        px = self._camera(shot, 0.0).px
        self._heads[shot] = Head(people.HEAD * px, self._seed)
        if shot != "close":
            self._backdrops[shot] = Backdrop(1.05 * px, self._seed)

    def _camera(self, shot: score.Shot, t: float) -> Camera:
        """The wide shot pans and pushes in slowly, the medium one is hand-held."""
        if shot == "close":
            shake = 0.0016 * math.sin(2.3 * t)
            place = (people.SINGER[0] + 0.012 + shake, people.SINGER[1] + 0.016, 7.2)
        elif shot == "medium":
            place = (1.05 + 0.010 * math.sin(0.9 * t), 0.53 + 0.004 * math.sin(1.7 * t), 1.75)
        else:
            place = (0.889 + 0.010 * math.sin(0.5 * t), 0.5, 1.02 + 0.012 * (t % score.BAR_S))
        return Camera(*place, self.width, self.height)

    def _stage(self, camera: Camera, show: Show, t: float, shot: score.Shot) -> Plane:
        size = (self.width, self.height)
        rig = Rig(*camera.grid(max(1, self.height // 192)), self._seed)
        screen = self._backdrops[shot].seen(camera)
        screen *= enlarged(rig.surfaces(show), size)
        for lamp, (_, colour) in zip(LAMPS, show.lamps, strict=True):
            people.glow(screen, camera.see(lamp), 0.0085 * camera.px, 1.3 * colour + 0.25)
            if show.flash:
                blinder = (lamp[0] + 0.11, lamp[1] - 0.02)
                white = np.full(3, 2.5 * show.flash)
                people.glow(screen, camera.see(blinder), 0.016 * camera.px, white)
        air = 0.5 * enlarged(rig.air(show, t), size)  # half of the haze is behind the band
        people.drummer(screen, camera, show, t)
        screen += air
        people.guitarist(screen, camera, show, t)
        people.singer(screen, camera, show, t, self._heads[shot])
        screen += air
        people.crowd(screen, camera, show, t, self._chance)
        return screen

    def _bokeh(self, camera: Camera, show: Show, t: float) -> Plane:
        """The stage behind a face, out of focus: soft discs of the lamps before a blurred wash."""
        step = max(1, self.height // 96)
        height, width = camera.height // step, camera.width // step
        y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(0, camera.width / camera.height, width, dtype=np.float32)[None, :]
        folds = 0.8 + 0.2 * np.sin(7.5 * x + 0.8)
        screen = ((0.03 + 0.13 * y * y) * folds)[..., None] * show.wash
        screen = screen + ((0.05 * (1 - y)) * folds)[..., None] * show.top
        screen += 0.10 * np.float32(show.flash)
        for number, (angle, colour) in enumerate(show.lamps):
            cx, cy = 0.05 + 0.24 * number + 0.03 * math.sin(0.7 * t), 0.16 + 0.05 * (number % 3)
            far = np.sqrt((x - cx) ** 2 + (y - cy) ** 2)
            disc = (
                1
                / (1 + np.exp(np.clip((far - 0.055) / 0.008, -30, 30)))
                * (0.75 + 0.25 * (far / 0.055) ** 2)
            )
            aimed = 0.35 + 0.65 * math.cos(angle) ** 6
            screen += (
                (disc * aimed + 0.10 * np.exp(-((far / 0.16) ** 2)))[..., None] * 0.65 * colour
            )
        return enlarged(np.asarray(screen, np.float32), (self.width, self.height))


def _developed(screen: Plane) -> NDArray[np.uint8]:
    """Linear light to code values: bloom, the shoulder 1 - exp(-x), and BT.709's transfer."""
    height, width = screen.shape[:2]
    eighth = 0.25 * sum(
        screen[dy::8, dx::8][: height // 8, : width // 8] for dy in (1, 5) for dx in (1, 5)
    )
    bloom = 0.35 * ndimage.gaussian_filter(np.maximum(eighth - 0.45, 0), (3, 3, 0))
    screen += enlarged(np.asarray(bloom, np.float32), (width, height))
    screen *= np.float32(len(_TRANSFER) / _BRIGHTEST)
    np.minimum(screen, len(_TRANSFER) - 1, out=screen)
    return _TRANSFER[screen.astype(np.uint16)]


def _transfer(entries: int) -> NDArray[np.uint8]:
    light = 1 - np.exp(-_EXPOSURE * _BRIGHTEST * np.arange(entries) / entries)
    code = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
    return np.asarray(255 * np.clip(code, 0, 1) + 0.5).astype(np.uint8)


_TRANSFER = _transfer(1 << 16)
