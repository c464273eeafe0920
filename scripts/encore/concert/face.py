"""The singer's head: a relief with skin and hair that any light can fall on, eyes and a mouth.

The head is made once for its size on the screen, as reflectance, alpha and surface normals; each
picture then draws the eyelids and the lips, lights the relief, and turns it into place.
Coordinates are head units: the face is 1 high, its middle the origin, x to the right, y down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from encore.concert.canvas import Patch

__all__ = ["Head", "Light"]

Plane = NDArray[np.float32]
Point = tuple[float, float]

_LEFT, _TOP, _WIDTH, _HEIGHT = -0.75, -0.85, 1.5, 1.85
_FINE = 2
_EYES = ((-0.165, -0.035), (0.165, -0.035))
_MOUTH = (0.0, 0.275)
_SKIN = np.array([0.60, 0.37, 0.26], np.float32)


@dataclass(frozen=True)
class Light:
    """A lamp far away: where it stands (right, down, towards us) and its linear RGB."""

    direction: tuple[float, float, float]
    colour: NDArray[np.float32]


class Head:
    """One head, made for a face `px` pixels high."""

    def __init__(self, px: float, seed: int) -> None:
        rng = np.random.default_rng([seed, 0xFACE])
        self._px = px * _FINE
        size = (round(_HEIGHT * self._px), round(_WIDTH * self._px))
        self._y = (np.arange(size[0], dtype=np.float32)[:, None] + 0.5) / self._px + _TOP
        self._x = (np.arange(size[1], dtype=np.float32)[None, :] + 0.5) / self._px + _LEFT
        skin, alpha = self._skin(rng)
        image = Image.new("RGBA", size[::-1])
        self._hair(image, rng, behind=True)
        image.alpha_composite(_image(skin, alpha))
        self._brows(image, rng)
        self._bare = image
        self._fringe = Image.new("RGBA", size[::-1])
        self._hair(self._fringe, rng, behind=False)
        self._normals = [_reduce(n) for n in self._relief()]

    def patch(
        self,
        place: Point,
        turn: float,
        lights: list[Light],
        ambient: NDArray[np.float32],
        mouth: tuple[float, float],
        eyes: tuple[float, float],
        screen: tuple[int, int],
    ) -> Patch:
        """The head in its light, ready to lay over the screen.

        `place` is the head's middle in pixels, `turn` its tilt in radians; `mouth` is openness
        and width, `eyes` openness and where they look (-1..1); `screen` is (width, height).
        """
        drawn = self._bare.copy()
        self._draw_eyes(drawn, *eyes)
        self._draw_mouth(drawn, *mouth)
        drawn.alpha_composite(self._fringe)
        fine = np.asarray(drawn.convert("RGBa").reduce(_FINE), np.float32) / 255
        alpha = fine[..., 3]
        colour = np.square(fine[..., :3] / np.maximum(alpha, 1 / 255)[..., None])
        lit = colour * self._shade(lights, ambient)
        stored = np.concatenate([np.sqrt(np.clip(lit / 4, 0, 1)), alpha[..., None]], axis=2)
        return self._turned(
            Image.fromarray((stored * 255 + 0.5).astype(np.uint8)), place, turn, screen
        )

    def _shade(self, lights: list[Light], ambient: NDArray[np.float32]) -> Plane:
        nx, ny, nz = self._normals
        total = np.empty((*nx.shape, 3), np.float32)
        total[:] = ambient
        for light in lights:
            dx, dy, dz = np.array(light.direction, np.float32) / np.linalg.norm(light.direction)
            facing = np.maximum(nx * dx + ny * dy + nz * dz, 0)
            halfway = np.array([dx, dy, dz + 1], np.float32) / np.float32(math.sqrt(2 + 2 * dz))
            sheen = np.maximum(nx * halfway[0] + ny * halfway[1] + nz * halfway[2], 0)
            for _ in range(4):  # to the 16th power
                sheen *= sheen
            facing += 0.30 * sheen
            for channel in range(3):
                total[..., channel] += facing * light.colour[channel]
        return total

    def _turned(
        self, lit: Image.Image, place: Point, turn: float, screen: tuple[int, int]
    ) -> Patch:
        px = self._px / _FINE
        reach = 1.15 * px
        left, top = max(0, int(place[0] - reach)), max(0, int(place[1] - reach))
        right = max(left + 1, min(screen[0], int(place[0] + reach)))
        bottom = max(top + 1, min(screen[1], int(place[1] + reach)))
        cos, sin = math.cos(turn), math.sin(turn)
        ox, oy = left - place[0], top - place[1]
        matrix = (
            *(cos, sin, cos * ox + sin * oy - _LEFT * px),
            *(-sin, cos, -sin * ox + cos * oy - _TOP * px),
        )
        placed = lit.transform(
            (right - left, bottom - top), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
        )
        values = np.asarray(placed, np.float32) * np.float32(1 / 255)
        return Patch(left, top, np.float32(4) * np.square(values[..., :3]), values[..., 3])

    def _relief(self) -> tuple[Plane, Plane, Plane]:
        """Surface normals of a height made of a dome and the bumps of a face."""
        x, y = self._x, self._y
        # The head is an ellipsoid; hair and neck beside and below it fall away like columns.
        dome = 0.42 * np.sqrt(np.maximum(0, 1 - (x / 0.47) ** 2 - ((y + 0.02) / 0.68) ** 2))
        hair = 0.30 * np.sqrt(np.maximum(0.02, 1 - (x / 0.62) ** 2)) - 0.12
        neck = 0.16 * np.sqrt(np.maximum(0, 1 - (x / 0.21) ** 2)) * (y > 0.45)
        height = np.maximum(np.maximum(dome, hair), neck)
        along = np.clip((y + 0.12) / 0.30, 0, 1) * np.clip((0.205 - y) / 0.05, 0, 1)
        height += 0.085 * along * np.exp(-((x / (0.030 + 0.035 * along)) ** 2))
        bumps = (
            (0.0, 0.15, 0.055, 0.040, 0.035),
            (-0.055, 0.17, 0.030, 0.026, 0.022),
            (0.055, 0.17, 0.030, 0.026, 0.022),
            (-0.165, -0.035, 0.085, 0.050, -0.040),
            (0.165, -0.035, 0.085, 0.050, -0.040),
            (-0.165, -0.030, 0.050, 0.034, 0.024),
            (0.165, -0.030, 0.050, 0.034, 0.024),
            (-0.15, -0.135, 0.110, 0.030, 0.020),
            (0.15, -0.135, 0.110, 0.030, 0.020),
            (-0.22, 0.11, 0.090, 0.070, 0.022),
            (0.22, 0.11, 0.090, 0.070, 0.022),
            (0.0, 0.245, 0.090, 0.022, 0.016),
            (0.0, 0.325, 0.075, 0.022, 0.016),
            (0.0, 0.225, 0.012, 0.025, -0.006),
            (0.0, 0.375, 0.070, 0.018, -0.010),
            (0.0, 0.44, 0.070, 0.050, 0.022),
        )
        for cx, cy, sx, sy, depth in bumps:
            height += depth * np.exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2)
        height = ndimage.gaussian_filter(height, 0.006 * self._px)
        nx = -np.gradient(height, axis=1) * self._px
        ny = -np.gradient(height, axis=0) * self._px
        length = np.sqrt(nx * nx + ny * ny + 1)
        return (
            np.asarray(nx / length, np.float32),
            np.asarray(ny / length, np.float32),
            np.asarray(1 / length, np.float32),
        )

    def _skin(self, rng: np.random.Generator) -> tuple[Plane, Plane]:
        x, y = self._x, self._y
        colour = np.broadcast_to(_SKIN, (len(y), x.shape[1], 3)).copy()
        grain = rng.standard_normal(colour.shape[:2], np.float32)
        pores = ndimage.gaussian_filter(grain, 0.0025 * self._px)
        colour *= (1 + 0.04 * pores / max(float(pores.std()), 1e-6))[..., None]
        for cx, cy, size, amount in (
            (-0.21, 0.13, 0.10, 0.30),
            (0.21, 0.13, 0.10, 0.30),
            (0.0, 0.16, 0.06, 0.22),
            (0.0, 0.29, 0.12, 0.12),
        ):
            flush = amount * np.exp(-(((x - cx) / size) ** 2) - ((y - cy) / size) ** 2)
            colour[..., 1:] *= (1 - flush)[..., None]
        for side in (-1, 1):
            shadow = 0.35 * np.exp(-(((x - side * 0.165) / 0.09) ** 2) - ((y + 0.06) / 0.05) ** 2)
            nostril = np.exp(-(((x - side * 0.036) / 0.017) ** 2) - ((y - 0.188) / 0.011) ** 2)
            colour *= (1 - np.maximum(shadow, 0.85 * nostril))[..., None]
        for _ in range(45):  # freckles, each within its own small window
            cx, cy = rng.normal(0, 0.17), rng.normal(0.09, 0.05)
            across, down = (np.abs(x[0] - cx) < 0.03, np.abs(y[:, 0] - cy) < 0.03)
            far = (x[:, across] - cx) ** 2 + (y[down] - cy) ** 2
            spot = 0.22 * np.exp(-far / rng.uniform(2e-5, 7e-5))
            tint = np.array([0.6, 1.0, 1.0], np.float32)
            colour[np.ix_(down, across)] *= 1 - spot[..., None] * tint
        lower = np.clip((y - 0.02) / 0.485, 0, 1)
        half = np.where(
            y < 0.02,
            0.355 * np.sqrt(np.clip(1 - ((y - 0.02) / 0.56) ** 2, 0, 1)),
            0.355 * np.clip(1 - lower**2.4, 0, 1) ** 0.60,
        )
        inside = np.clip((half - np.abs(x)) * self._px, 0, 1)
        neck = np.clip((0.19 + 0.03 * y - np.abs(x)) * self._px, 0, 1) * (y > 0.2) * (y < 0.95)
        colour *= np.where(inside > 0, 1.0, 0.25 + 0.4 * np.clip(y - 0.4, 0, 0.5))[
            ..., None
        ]  # the chin's shadow on the neck
        ears = sum(
            np.clip((1 - ((x - s * 0.365) / 0.045) ** 2 - ((y - 0.03) / 0.11) ** 2) * 30, 0, 1)
            for s in (-1, 1)
        )
        return colour, np.maximum(np.maximum(inside, neck), ears)

    def _hair(self, image: Image.Image, rng: np.random.Generator, *, behind: bool) -> None:
        """Strands from a parting at the crown down both sides; the back falls to the shoulders."""
        draw = ImageDraw.Draw(image)
        if behind:
            self._fill(
                draw,
                [
                    (-0.44, 0.62),
                    (-0.49, 0.1),
                    (-0.44, -0.35),
                    (-0.2, -0.62),
                    (0.1, -0.66),
                    (0.38, -0.48),
                    (0.49, -0.1),
                    (0.46, 0.6),
                    (0.3, 0.75),
                    (-0.3, 0.75),
                ],
                (0.03, 0.018, 0.012),
            )
        for _ in range(700 if behind else 420):
            side = -1 if rng.random() < 0.55 else 1
            out = rng.uniform(0.0, 1.0)
            root = (0.06 + rng.normal(0, 0.015), -0.60 + rng.uniform(-0.05, 0.05))
            if behind:
                over = (side * rng.uniform(0.25, 0.54), rng.uniform(-0.75, -0.35))
                down = (side * rng.uniform(0.36, 0.56), rng.uniform(0.0, 0.35))
                end = (side * rng.uniform(0.22, 0.56), rng.uniform(0.35, 0.92))
            else:
                over = (side * (0.10 + 0.36 * out), -0.66 + 0.24 * out + rng.normal(0, 0.015))
                down = (side * (0.36 + 0.11 * out), -0.34 + 0.3 * out + rng.normal(0, 0.02))
                end = (side * (0.375 + 0.12 * out + rng.normal(0, 0.015)), rng.uniform(0.05, 0.75))
            shine = rng.uniform(0.4, 1.0) ** 2
            colour = (0.26 * shine, 0.125 * shine, 0.06 * shine)
            width = max(1, round(rng.uniform(0.003, 0.008) * self._px))
            draw.line(
                [self._at(_bezier(root, over, down, end, i / 20)) for i in range(21)],
                fill=_bytes(colour),
                width=width,
                joint="curve",
            )

    def _brows(self, image: Image.Image, rng: np.random.Generator) -> None:
        draw = ImageDraw.Draw(image)
        for side in (-1, 1):
            for _ in range(150):
                t = rng.random()
                x = side * (0.075 + 0.19 * t)
                y = -0.135 - 0.035 * math.sin(math.pi * min(1.0, 0.25 + 0.75 * t)) + 0.028 * t
                y += rng.normal(0, 0.008 * (1 - 0.6 * t))
                tip = (x + side * 0.035, y - 0.012 + 0.02 * t)
                draw.line(
                    [self._at((x, y)), self._at(tip)],
                    fill=_bytes((0.06, 0.035, 0.022)),
                    width=max(1, round(0.004 * self._px)),
                )

    def _draw_eyes(self, image: Image.Image, opened: float, look: float) -> None:
        for centre, side in zip(_EYES, (-1, 1), strict=True):
            left, top = self._at((centre[0] - 0.13, centre[1] - 0.1))
            size = (round(0.26 * self._px), round(0.2 * self._px))
            eye = Image.new("RGBA", size, _bytes((0.60, 0.56, 0.53)))
            draw = ImageDraw.Draw(eye)

            def at(p: Point, c: Point = centre, x0: int = int(left), y0: int = int(top)) -> Point:
                x, y = self._at((c[0] + p[0], c[1] + p[1]))
                return x - x0, y - y0

            def disc(x: float, y: float, r: float, colour: tuple[float, float, float]) -> None:
                draw.ellipse((*at((x - r, y - r)), *at((x + r, y + r))), fill=_bytes(colour))  # noqa: B023

            gaze = 0.022 * look
            disc(gaze, -0.004, 0.040, (0.02, 0.04, 0.05))
            disc(gaze, -0.004, 0.035, (0.09, 0.22, 0.27))
            disc(gaze, 0.004, 0.022, (0.16, 0.34, 0.36))
            disc(gaze, -0.004, 0.016, (0.0, 0.0, 0.0))
            disc(gaze - 0.013, -0.018, 0.008, (1.0, 1.0, 1.0))
            disc(gaze + 0.014, 0.010, 0.004, (0.5, 0.5, 0.5))
            arc = [i / 12 for i in range(13)]
            upper = [(side * 0.082 * (2 * a - 1), self._lid(a, opened)) for a in arc]
            lower = [
                (side * 0.082 * (2 * a - 1), 0.004 + 0.026 * math.sin(math.pi * a)) for a in arc
            ]
            mask = Image.new("L", size)
            ImageDraw.Draw(mask).polygon([at(p) for p in upper + lower[::-1]], fill=255)
            image.paste(eye, (int(left), int(top)), mask)
            on = ImageDraw.Draw(image)
            inked = _bytes((0.015, 0.01, 0.01))
            on.line(
                [self._put(centre, p) for p in lower],
                fill=_bytes((0.22, 0.10, 0.08)),
                width=max(1, round(0.005 * self._px)),
            )
            on.line(
                [self._put(centre, p) for p in upper],
                fill=inked,
                joint="curve",
                width=max(1, round(0.013 * self._px)),
            )
            for a in arc[2:]:
                foot = (side * 0.082 * (2 * a - 1), self._lid(a, opened))
                tip = (foot[0] + side * 0.022 * (a - 0.2), foot[1] - 0.024 * (2 * opened - 1))
                on.line(
                    [self._put(centre, foot), self._put(centre, tip)],
                    fill=inked,
                    width=max(1, round(0.004 * self._px)),
                )
            crease = [
                (p[0] * 1.05, -0.026 - 0.030 * math.sin(math.pi * a))
                for p, a in zip(upper, arc, strict=True)
            ]
            on.line(
                [self._put(centre, p) for p in crease],
                fill=_bytes((0.25, 0.12, 0.09)),
                joint="curve",
                width=max(1, round(0.005 * self._px)),
            )

    def _lid(self, along: float, opened: float) -> float:
        arch = math.pow(max(0.0, math.sin(math.pi * along)), 0.8)
        return 0.004 + arch * (0.026 - opened * 0.068)

    def _draw_mouth(self, image: Image.Image, opened: float, width: float) -> None:
        draw = ImageDraw.Draw(image)
        half = 0.112 * (0.55 + 0.45 * width) * (1 - 0.12 * opened)
        gap = 0.115 * opened
        arc = [i / 24 for i in range(25)]
        bow = [
            (
                half * (2 * a - 1),
                -0.034 * math.sin(math.pi * a) ** 0.8
                + 0.012 * math.exp(-(((a - 0.5) / 0.07) ** 2)),
            )
            for a in arc
        ]
        chin = [(half * (2 * a - 1), (gap + 0.046) * math.sin(math.pi * a) ** 0.55) for a in arc]
        inner = 0.86
        above = [(inner * half * (2 * a - 1), -0.008 * math.sin(math.pi * a)) for a in arc]
        below = [(inner * half * (2 * a - 1), gap * math.sin(math.pi * a) ** 0.5) for a in arc]

        def fill(points: list[Point], colour: tuple[float, float, float]) -> None:
            draw.polygon([self._put(_MOUTH, p) for p in points], fill=_bytes(colour))

        fill(bow + chin[::-1], (0.42, 0.13, 0.12))
        fill(
            [(0.75 * x, gap + 0.014 + 0.55 * (y - gap)) for x, y in chin[6:19]]
            + [(0.6 * x, y + 0.012) for x, y in below[18:5:-1]],
            (0.55, 0.22, 0.20),
        )
        fill(above + below[::-1], (0.02, 0.006, 0.006))
        if gap > 0.02:
            teeth = min(0.024, 0.4 * gap)
            fill(
                [(0.82 * x, y + 0.002) for x, y in above]
                + [(0.8 * x, min(teeth, g)) for (x, _), (_, g) in zip(above, below, strict=True)][
                    ::-1
                ],
                (0.62, 0.58, 0.52),
            )
            fill([(0.8 * x, 0.96 * y) for x, y in below if y > 0.68 * gap], (0.30, 0.07, 0.07))
        else:
            draw.line(
                [self._put(_MOUTH, p) for p in below],
                fill=_bytes((0.08, 0.02, 0.02)),
                width=max(1, round(0.007 * self._px)),
            )

    def _fill(
        self, draw: ImageDraw.ImageDraw, points: list[Point], colour: tuple[float, float, float]
    ) -> None:
        closed = np.array([*points, points[0]]).T
        from scipy.interpolate import CubicSpline

        curve = CubicSpline(np.arange(closed.shape[1]), closed, axis=1, bc_type="periodic")
        at = curve(np.linspace(0, closed.shape[1] - 1, 120)).T
        draw.polygon([self._at((float(x), float(y))) for x, y in at], fill=_bytes(colour))

    def _put(self, centre: Point, p: Point) -> Point:
        return self._at((centre[0] + p[0], centre[1] + p[1]))

    def _at(self, p: Point) -> Point:
        return (p[0] - _LEFT) * self._px, (p[1] - _TOP) * self._px


def _bezier(a: Point, b: Point, c: Point, d: Point, t: float) -> Point:
    s = 1 - t
    x, y = (
        s**3 * a[i] + 3 * s * s * t * b[i] + 3 * s * t * t * c[i] + t**3 * d[i] for i in range(2)
    )
    return x, y


def _image(colour: Plane, alpha: Plane) -> Image.Image:
    stored = np.concatenate([np.sqrt(np.clip(colour, 0, 1)), alpha[..., None]], axis=2)
    return Image.fromarray((255 * stored + 0.5).astype(np.uint8))


def _reduce(plane: Plane) -> Plane:
    return np.asarray(Image.fromarray(plane.astype(np.float32)).reduce(_FINE), np.float32)


def _bytes(colour: tuple[float, float, float]) -> tuple[int, int, int, int]:
    r, g, b = (round(255 * math.sqrt(min(1.0, max(0.0, c)))) for c in colour)
    return r, g, b, 255
