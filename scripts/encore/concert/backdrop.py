"""What stands still on the stage: curtain, banner, truss, floor and stacks, painted once a shot.

The painting covers the whole scene at a scale a little finer than the shot needs; each picture
takes its window from it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from encore.concert.canvas import Camera, Plane
from encore.concert.light import HORIZON, LAMPS

__all__ = ["Backdrop"]

_LEFT, _TOP, _RIGHT, _BOTTOM = -0.12, -0.06, 1.90, 1.06
_SCALE = 2


class Backdrop:
    """The painting, `px` pixels to a scene unit."""

    def __init__(self, px: float, seed: int) -> None:
        self._px = px
        fine = px * _SCALE
        rng = np.random.default_rng([seed, 0xBACD])
        size = (round((_BOTTOM - _TOP) * fine), round((_RIGHT - _LEFT) * fine))
        y = ((np.arange(size[0], dtype=np.float32) + 0.5) / fine + _TOP)[:, None]
        x = ((np.arange(size[1], dtype=np.float32) + 0.5) / fine + _LEFT)[None, :]
        wall = _curtain(x, y)
        floor = _boards(x, np.maximum(y, HORIZON + 1e-3), rng)
        painting = np.where((y < HORIZON)[..., None], wall, floor)
        image = Image.fromarray((255 * np.sqrt(np.clip(painting, 0, 1)) + 0.5).astype(np.uint8))
        draw = _Draw(image, fine)
        draw.banner()
        draw.truss()
        draw.stacks()
        draw.riser()
        self._image = image.reduce(_SCALE)

    def seen(self, camera: Camera) -> Plane:
        """The reflectance a camera sees, (height, width, 3)."""
        half_width, half_height = camera.width / 2 / camera.px, camera.height / 2 / camera.px
        box = (
            (camera.x - half_width - _LEFT) * self._px,
            (camera.y - half_height - _TOP) * self._px,
            (camera.x + half_width - _LEFT) * self._px,
            (camera.y + half_height - _TOP) * self._px,
        )
        size = (camera.width, camera.height)
        window = self._image.resize(size, Image.Resampling.BICUBIC, box=box)
        return np.square(np.asarray(window, np.float32) * np.float32(1 / 255))


class _Draw:
    """Pillow in scene units."""

    def __init__(self, image: Image.Image, px: float) -> None:
        self._image, self._px = image, px
        self._on = ImageDraw.Draw(image)

    def banner(self) -> None:
        """A black cloth with the name in outlined letters and a line of small print."""
        self._box(0.50, 0.165, 1.28, 0.375, (6, 6, 8))
        for inset in (0.006, 0.010):
            self._frame(0.50 + inset, 0.165 + inset, 1.28 - inset, 0.375 - inset, (120, 110, 90))
        self._text("ENCORE", (0.89, 0.258), 0.150, (245, 238, 220), (150, 40, 40))
        self._text(
            "LIVE AT THE LANTERN HALL · ONE NIGHT ONLY", (0.89, 0.350), 0.022, (215, 205, 180)
        )

    def truss(self) -> None:
        """Two chords with a zigzag between them, and the lamps' housings below."""
        metal, dark = (120, 122, 128), (64, 66, 72)
        for n in range(60):
            a, b = -0.1 + 0.036 * n, -0.1 + 0.036 * (n + 1)
            high, low = 0.028, 0.062
            self._line((a, low if n % 2 else high), (b, high if n % 2 else low), 0.004, dark)
        for y in (0.028, 0.062):
            self._line((_LEFT, y), (_RIGHT, y), 0.006, metal)
        for x, y in LAMPS:
            self._box(x - 0.017, y - 0.026, x + 0.017, y - 0.002, (40, 40, 44))
            self._line((x, 0.062), (x, y - 0.02), 0.005, metal)

    def stacks(self) -> None:
        """Loudspeakers at both sides, with grilles fine enough to make an encoder work."""
        for left in (0.03, 0.165, 1.475, 1.61):
            for row in range(3):
                top = 0.36 + 0.11 * row
                self._box(left, top, left + 0.125, top + 0.105, (34, 33, 35))
                self._frame(left + 0.004, top + 0.004, left + 0.121, top + 0.101, (96, 92, 84))
                for line in range(14):
                    y = top + 0.011 + 0.0064 * line
                    self._line((left + 0.010, y), (left + 0.115, y), 0.0018, (74, 72, 70))
                for x in (left + 0.036, left + 0.089):
                    self._disc((x, top + 0.053), 0.024, (20, 20, 22))
                    self._disc((x, top + 0.053), 0.010, (60, 60, 64))

    def riser(self) -> None:
        """The drummer's platform."""
        self._box(0.36, 0.600, 0.86, 0.605, (140, 132, 120))
        self._box(0.36, 0.605, 0.86, 0.675, (38, 34, 36))
        for n in range(17):
            x = 0.366 + 0.03 * n
            self._line((x, 0.612), (x, 0.668), 0.002, (70, 64, 62))

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return (x - _LEFT) * self._px, (y - _TOP) * self._px

    def _box(
        self, x0: float, y0: float, x1: float, y1: float, colour: tuple[int, int, int]
    ) -> None:
        self._on.rectangle((*self._at(x0, y0), *self._at(x1, y1)), fill=colour)

    def _frame(
        self, x0: float, y0: float, x1: float, y1: float, colour: tuple[int, int, int]
    ) -> None:
        width = max(1, round(0.0018 * self._px))
        self._on.rectangle((*self._at(x0, y0), *self._at(x1, y1)), outline=colour, width=width)

    def _line(
        self,
        a: tuple[float, float],
        b: tuple[float, float],
        width: float,
        colour: tuple[int, int, int],
    ) -> None:
        px = max(1, round(width * self._px))
        self._on.line((*self._at(*a), *self._at(*b)), fill=colour, width=px)

    def _disc(self, centre: tuple[float, float], r: float, colour: tuple[int, int, int]) -> None:
        x, y = centre
        self._on.ellipse((*self._at(x - r, y - r), *self._at(x + r, y + r)), fill=colour)

    def _text(
        self,
        text: str,
        centre: tuple[float, float],
        height: float,
        colour: tuple[int, int, int],
        outline: tuple[int, int, int] | None = None,
    ) -> None:
        self._on.text(
            self._at(*centre),
            text,
            fill=colour,
            font=ImageFont.load_default(height * self._px),
            anchor="mm",
            stroke_width=round(0.05 * height * self._px) if outline else 0,
            stroke_fill=outline,
        )


def _curtain(x: Plane, y: Plane) -> NDArray[np.float32]:
    """Folds that lean a little, woven cloth, darker upwards."""
    fold = np.sin(2 * math.pi * (9.3 * x + 0.35 * np.sin(2.1 * x) + 0.10 * y))
    fold = 0.62 + 0.30 * fold + 0.10 * np.sin(2 * math.pi * (23.7 * x - 0.2 * y))
    weave = 1 + 0.10 * np.sin(2 * math.pi * 130 * x) * np.sin(2 * math.pi * 130 * y)
    cloth = np.asarray((0.34, 0.32, 0.34), np.float32)
    return (fold * weave)[..., None].astype(np.float32) * cloth


def _boards(x: Plane, y: Plane, rng: np.random.Generator) -> NDArray[np.float32]:
    """Planks that run towards a point behind the singer, with grain and dark joints."""
    depth = 0.12 / (y - HORIZON + 0.05)
    across = (x - 0.889) * depth / 0.12 * 0.35
    plank = across * 7.0
    number = np.floor(plank).astype(np.int64)
    tone = rng.uniform(0.72, 1.15, 512).astype(np.float32)[number % 512]
    joint = 1 - 0.75 * np.exp(-(((plank - np.round(plank)) / 0.035) ** 2))
    grain = 1 + 0.10 * np.sin(95 * across + 3 * np.sin(9 * depth)) * np.sin(31 * depth)
    wood = np.asarray((0.20, 0.145, 0.105), np.float32)
    shade = ndimage.gaussian_filter1d(tone * joint * grain, 1.0, axis=0)
    return np.asarray(shade)[..., None].astype(np.float32) * wood
