"""The people of the demo's concert: what each of them is doing at a moment, drawn in soft light."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from encore.concert import score
from encore.concert.canvas import Camera, Canvas, Colour, Patch, Plane, Point, over, soft_normals
from encore.concert.face import Head, Light
from encore.concert.light import Show

__all__ = ["HEAD", "SINGER", "crowd", "drummer", "glow", "guitarist", "singer"]

SINGER: Point = (1.02, 0.440)
"""Where the middle of the singer's face is when nothing moves."""
HEAD = 0.086
"""The height of the singer's face."""

_Place = Callable[[float, float], Point]
"""From head units about the singer's face to the scene."""
_SKIN: Colour = (0.50, 0.30, 0.21)


def singer(screen: Plane, camera: Camera, show: Show, t: float, head: Head) -> None:
    """The singer: body, then head, then the hand with the microphone."""
    beat = 2 * math.pi * t / score.BEAT_S
    sway = 0.011 * math.sin(beat / 4) + 0.003 * math.sin(2.7 * t)
    centre = (SINGER[0] + sway, SINGER[1] + 0.005 * abs(math.sin(beat / 2)))
    turn = 0.09 * math.sin(beat / 4 + 0.6) + 0.03 * math.sin(1.9 * t)

    def at(x: float, y: float) -> Point:
        lag = 1 - 0.75 * min(1.0, max(0.0, (y - 1) / 5))  # the feet stay where they are
        return (
            SINGER[0] + sway * lag + HEAD * x,
            SINGER[1] + (centre[1] - SINGER[1]) * lag + HEAD * y,
        )

    canvas = Canvas(camera, (*at(-2.4, -1.6), *at(3.0, 6.6)))
    reach = 0.5 + 0.5 * math.sin(beat / 4)
    _legs(canvas, at, math.sin(beat / 2))
    _jacket(canvas, at)
    elbow, hand = at(1.30, 1.75 - 0.5 * reach), at(1.45 + 0.25 * reach, 0.95 - 1.15 * reach)
    canvas.limb([at(0.74, 1.02), elbow], [0.40 * HEAD, 0.30 * HEAD], _JACKET)
    canvas.limb([elbow, hand], [0.30 * HEAD, 0.22 * HEAD], _JACKET)
    canvas.disc(hand, 0.13 * HEAD, _SKIN)
    for finger in range(4):
        lean = -0.5 + 0.3 * finger
        tip = (hand[0] + HEAD * 0.26 * math.sin(lean), hand[1] - HEAD * 0.26 * math.cos(lean))
        canvas.limb([hand, tip], [0.075 * HEAD, 0.055 * HEAD], _SKIN)
    _lay(screen, canvas.patch(), camera, show, 0.16 * HEAD, spot=0.75)
    over(
        screen,
        head.patch(
            camera.see(centre),
            turn,
            _face_lights(show, t),
            0.03 + 0.07 * show.wash + 0.10 * np.float32(show.flash),
            score.mouth(t),
            (_eyelids(t), 0.7 * math.sin(0.8 * t + 0.5)),
            (camera.width, camera.height),
        ),
        1.0,
    )
    _microphone(screen, camera, show, at, turn)


def drummer(screen: Plane, camera: Camera, show: Show, t: float) -> None:
    """The drummer behind the kit, striking on the beat."""
    x, y, unit = 0.61, 0.445, 0.062
    canvas = Canvas(camera, (x - 0.24, y - 0.10, x + 0.24, 0.62))
    strike = [max(0.0, math.cos(2 * math.pi * (t / score.BEAT_S + p))) ** 3 for p in (0.0, 0.5)]
    shirt = (0.20, 0.21, 0.24)
    canvas.limb([(x, y + 0.7 * unit), (x, y + 2.4 * unit)], [1.3 * unit, 1.0 * unit], shirt)
    for side, hit in zip((-1, 1), strike, strict=True):
        shoulder = (x + 0.55 * side * unit, y + 0.75 * unit)
        elbow = (x + 1.05 * side * unit, y + 1.55 * unit)
        hand = (x + 1.30 * side * unit, y + (0.55 + 0.75 * hit) * unit)
        stick = (hand[0] + 0.55 * side * unit, hand[1] + (-0.65 + 1.0 * hit) * unit)
        canvas.limb([shoulder, elbow, hand], [0.36 * unit, 0.28 * unit, 0.2 * unit], shirt)
        canvas.disc(hand, 0.13 * unit, _SKIN)
        canvas.line([hand, stick], 0.05 * unit, (0.6, 0.5, 0.35))
    _plain_head(canvas, (x, y + 0.01 * strike[0]), unit, (0.05, 0.04, 0.03))
    _kit(canvas, x, t)
    _lay(screen, canvas.patch(), camera, show, 0.010, spot=0.16)


def guitarist(screen: Plane, camera: Camera, show: Show, t: float) -> None:
    """The guitarist to the right, rocking, the plucking hand at every half beat."""
    beat = 2 * math.pi * t / score.BEAT_S
    x, y, unit = 1.37 + 0.006 * math.sin(beat / 4), 0.455 + 0.004 * math.sin(beat), 0.078
    canvas = Canvas(camera, (x - 0.26, y - 0.12, x + 0.24, 0.97))

    def at(u: float, v: float) -> Point:
        return x + unit * u, y + unit * v

    black = (0.035, 0.035, 0.045)
    for side in (-1, 1):
        foot = (1.37 + 0.058 * side, 0.945)
        canvas.limb(
            [at(0.3 * side, 2.9), at(0.5 * side, 4.4), foot],
            [0.60 * unit, 0.45 * unit, 0.3 * unit],
            black,
        )
        canvas.limb([foot, (foot[0] + 0.02 * side, 0.952)], [0.028, 0.02], (0.08, 0.06, 0.05))
    shirt = (0.30, 0.31, 0.34)
    canvas.polygon([at(-0.75, 0.75), at(0.75, 0.75), at(0.55, 3.1), at(-0.55, 3.1)], shirt)
    canvas.limb([at(-0.62, 0.95), at(0.62, 0.95)], [0.5 * unit, 0.5 * unit], shirt)
    for row in range(5):
        canvas.line([at(-0.62, 1.2 + 0.4 * row), at(0.62, 1.25 + 0.4 * row)], 0.05 * unit, black)
    _plain_head(canvas, at(0.02 * math.sin(beat), 0.0), unit, (0.10, 0.05, 0.02))
    canvas.limb([at(-0.35, 2.45), at(-1.0, 2.35)], [0.85 * unit, 1.15 * unit], (0.45, 0.05, 0.04))
    canvas.disc(at(-0.55, 2.42), 0.13 * unit, (0.02, 0.02, 0.02))
    canvas.limb([at(-0.2, 2.35), at(2.2, 1.55)], [0.17 * unit, 0.13 * unit], (0.22, 0.12, 0.06))
    canvas.limb([at(2.2, 1.55), at(2.55, 1.42)], [0.24 * unit, 0.26 * unit], (0.12, 0.06, 0.03))
    for string in range(3):
        drop = 0.05 * (string - 1)
        canvas.line([at(-1.0, 2.48 + drop), at(2.4, 1.46 + drop)], 0.010 * unit, (0.6, 0.6, 0.6))
    pluck = 0.22 * math.sin(2 * beat)
    canvas.limb(
        [at(-0.72, 1.0), at(-1.15, 2.0), at(-0.55, 2.35 + pluck)],
        [0.4 * unit, 0.3 * unit, 0.2 * unit],
        shirt,
    )
    canvas.disc(at(-0.52, 2.36 + pluck), 0.15 * unit, _SKIN)
    slide = 0.35 * math.sin(2 * math.pi * t / score.BAR_S)
    canvas.limb(
        [at(0.72, 1.0), at(1.25, 2.1), at(1.45 + slide, 1.85 - 0.33 * slide)],
        [0.4 * unit, 0.3 * unit, 0.2 * unit],
        shirt,
    )
    canvas.disc(at(1.45 + slide, 1.80 - 0.33 * slide), 0.14 * unit, _SKIN)
    _lay(screen, canvas.patch(), camera, show, 0.012, spot=0.22)


def crowd(screen: Plane, camera: Camera, show: Show, t: float, chance: NDArray[np.float64]) -> None:
    """Dark heads and waving arms at the stage's edge, rimmed by its light; telephones held up.

    `chance` is one row of four numbers 0..1 for each person.
    """
    canvas = Canvas(camera, (-0.2, 0.66, 2.0, 1.1))
    lights: list[tuple[Point, float]] = []
    cloth = (0.016, 0.015, 0.018)
    for number, (a, b, c, d) in enumerate(chance):
        x = -0.1 + 2.0 * (number + 0.8 * a) / len(chance)
        size = 0.052 + 0.022 * b
        bounce = 0.008 * math.sin(2 * math.pi * (t / score.BEAT_S + 0.25 * c))
        y = 0.935 + 0.05 * (c - 0.5) + bounce
        canvas.disc((x, y), (0.40 * size, 0.5 * size), cloth)
        canvas.limb(
            [(x - 0.8 * size, y + 1.1 * size), (x + 0.8 * size, y + 1.1 * size)],
            [size, size],
            cloth,
        )
        canvas.polygon(
            [
                (x - 1.25 * size, 1.1),
                (x - 1.2 * size, y + size),
                (x + 1.2 * size, y + size),
                (x + 1.25 * size, 1.1),
            ],
            cloth,
        )
        if d < 0.40:
            wave = 0.35 * math.sin(math.pi * t / score.BEAT_S + 0.8 * a)
            for side in (-1, 1) if d < 0.20 else (1,):
                shoulder = (x + 0.9 * side * size, y + size)
                elbow = (x + (1.15 * side + 0.3 * wave) * size, y - 0.5 * size)
                hand = (x + (0.75 * side + 1.5 * wave) * size, y - (1.7 + b) * size)
                canvas.limb([shoulder, elbow, hand], [0.52 * size, 0.42 * size, 0.30 * size], cloth)
                _open_hand(canvas, hand, size, side, cloth)
        elif d > 0.84:
            hand = (
                x + (0.6 + 0.25 * math.sin(math.pi * t / score.BEAT_S / 2 + a)) * size,
                y - 1.7 * size,
            )
            canvas.limb([(x + 0.9 * size, y + size), hand], [0.42 * size, 0.24 * size], cloth)
            lights.append((hand, 0.5 + 0.5 * b))
    patch = canvas.patch()
    _, down = soft_normals(patch.alpha, 0.006 * camera.px)
    rim = np.maximum(-down, 0)[..., None] * (
        1.6 * show.wash + 2.2 * show.top + 3.0 * np.float32(show.flash)
    )
    over(screen, Patch(patch.left, patch.top, patch.colour * (1 + 6 * rim), patch.alpha), 1.0)
    for where, power in lights:
        glow(screen, camera.see(where), 0.0035 * camera.px, power * np.array([1.0, 0.98, 0.92]))


_JACKET: Colour = (0.20, 0.018, 0.03)


def _open_hand(canvas: Canvas, wrist: Point, size: float, side: int, colour: Colour) -> None:
    palm = (wrist[0], wrist[1] - 0.16 * size)
    canvas.disc(palm, (0.20 * size, 0.24 * size), colour)
    for finger in range(5):
        lean = side * (-1.1 + 0.42 * finger)
        tip = (palm[0] + 0.46 * size * math.sin(lean), palm[1] - 0.50 * size * math.cos(lean))
        canvas.limb([palm, tip], [0.16 * size, 0.11 * size], colour)


def _legs(canvas: Canvas, at: _Place, step: float) -> None:
    denim = (0.035, 0.045, 0.08)
    for side in (-1, 1):
        knee = at(0.42 * side + 0.05 * step, 4.55 - 0.10 * max(0.0, side * step))
        foot = at(0.55 * side, 6.0)
        canvas.limb(
            [at(0.28 * side, 2.9), knee, foot], [0.62 * HEAD, 0.46 * HEAD, 0.34 * HEAD], denim
        )
        canvas.limb([foot, at(0.80 * side, 6.15)], [0.34 * HEAD, 0.22 * HEAD], (0.05, 0.03, 0.02))


def _jacket(canvas: Canvas, at: _Place) -> None:
    canvas.limb([at(-0.72, 1.04), at(0.72, 1.04)], [0.44 * HEAD, 0.44 * HEAD], _JACKET)
    canvas.polygon(
        [
            at(-0.30, 0.74),
            at(0.30, 0.74),
            at(0.92, 1.0),
            at(0.62, 3.15),
            at(-0.62, 3.15),
            at(-0.92, 1.0),
        ],
        _JACKET,
    )
    for n in range(-8, 9):  # pinstripes
        stripe = (0.42, 0.10, 0.10)
        canvas.line(
            [at(0.095 * n, 0.86 + 0.02 * abs(n)), at(0.072 * n, 3.12)], 0.010 * HEAD, stripe
        )
    canvas.polygon(
        [at(-0.20, 0.70), at(0.20, 0.70), at(0.03, 2.1), at(-0.03, 2.1)], (0.62, 0.62, 0.60)
    )
    canvas.polygon(
        [at(-0.30, 0.70), at(-0.16, 0.68), at(-0.02, 2.15), at(-0.34, 1.30)], (0.12, 0.010, 0.018)
    )
    canvas.polygon(
        [at(0.30, 0.70), at(0.16, 0.68), at(0.02, 2.15), at(0.34, 1.30)], (0.12, 0.010, 0.018)
    )
    for n in range(4):
        canvas.disc(at(0.07, 2.28 + 0.21 * n), 0.035 * HEAD, (0.75, 0.62, 0.30))


def _microphone(screen: Plane, camera: Camera, show: Show, at: _Place, turn: float) -> None:
    ball = at(-0.14 - 0.40 * math.sin(turn), 0.47)
    foot = at(-0.52, 1.12)
    canvas = Canvas(camera, (*at(-1.6, 0.2), *at(0.4, 2.4)))
    canvas.limb(
        [at(-0.74, 1.02), at(-1.02, 1.95), at(-0.47, 1.05)],
        [0.42 * HEAD, 0.36 * HEAD, 0.25 * HEAD],
        _JACKET,
    )
    canvas.limb(
        [at(-0.58, 1.18), at(-0.42, 0.98)], [0.30 * HEAD, 0.28 * HEAD], (0.03, 0.006, 0.008)
    )
    canvas.limb([ball, foot], [0.13 * HEAD, 0.08 * HEAD], (0.03, 0.03, 0.035))
    canvas.disc(at(-0.40, 0.90), 0.15 * HEAD, _SKIN)
    for finger in range(4):
        shade = 0.85 + 0.06 * finger
        knuckle = at(-0.50 + 0.05 * finger, 1.00 - 0.075 * finger)
        tip = at(-0.27 + 0.05 * finger, 0.98 - 0.075 * finger)
        canvas.limb(
            [knuckle, tip],
            [0.085 * HEAD, 0.07 * HEAD],
            (_SKIN[0] * shade, _SKIN[1] * shade, _SKIN[2] * shade),
        )
    canvas.disc(ball, 0.125 * HEAD, (0.22, 0.22, 0.24))
    for n in range(-4, 5):  # the grille
        half = 0.118 * math.sqrt(max(0.0, 1 - (n / 4.6) ** 2)) * HEAD
        off = 0.026 * n * HEAD
        dark = (0.05, 0.05, 0.055)
        canvas.line(
            [(ball[0] - half, ball[1] + off), (ball[0] + half, ball[1] + off)], 0.007 * HEAD, dark
        )
        canvas.line(
            [(ball[0] + off, ball[1] - half), (ball[0] + off, ball[1] + half)], 0.007 * HEAD, dark
        )
    canvas.disc((ball[0] - 0.04 * HEAD, ball[1] - 0.045 * HEAD), 0.022 * HEAD, (0.9, 0.9, 0.9))
    _lay(screen, canvas.patch(), camera, show, 0.10 * HEAD, spot=0.7)


def _kit(canvas: Canvas, x: float, t: float) -> None:
    shell, skin, brass = (0.10, 0.02, 0.16), (0.55, 0.54, 0.50), (0.60, 0.45, 0.14)
    for dx, dy, rx, ry in (
        (-0.115, 0.570, 0.050, 0.030),
        (0.115, 0.575, 0.050, 0.030),
        (-0.05, 0.520, 0.038, 0.026),
        (0.05, 0.520, 0.038, 0.026),
    ):
        canvas.polygon(
            [
                (x + dx - rx, dy - ry),
                (x + dx + rx, dy - ry),
                (x + dx + 0.9 * rx, dy + ry),
                (x + dx - 0.9 * rx, dy + ry),
            ],
            shell,
        )
        canvas.disc((x + dx, dy - ry), (rx, 0.008), skin)
    canvas.disc((x, 0.565), 0.056, (0.30, 0.30, 0.31))
    canvas.disc((x, 0.565), 0.050, shell)
    canvas.disc((x, 0.565), 0.043, skin)
    for dx, y, phase in ((-0.185, 0.455, 0.0), (0.185, 0.440, 0.5)):
        since = (t / score.BEAT_S + phase) % 1.0
        tilt = 0.008 * math.exp(-3 * since) * math.sin(30 * since)
        canvas.line([(x + dx, y), (x + 0.95 * dx, 0.60)], 0.004, (0.4, 0.4, 0.4))
        canvas.polygon(
            [
                (x + dx - 0.062, y + tilt),
                (x + dx, y - 0.007),
                (x + dx + 0.062, y - tilt),
                (x + dx, y + 0.007),
            ],
            brass,
        )


def _plain_head(canvas: Canvas, centre: Point, unit: float, hair: Colour) -> None:
    x, y = centre
    canvas.limb(
        [(x, y + 0.3 * unit), (x, y + 0.8 * unit)], [0.34 * unit, 0.38 * unit], (0.3, 0.18, 0.12)
    )
    canvas.disc((x, y - 0.10 * unit), (0.42 * unit, 0.52 * unit), hair)
    canvas.disc((x, y + 0.02 * unit), (0.33 * unit, 0.46 * unit), _SKIN)
    canvas.disc((x, y - 0.34 * unit), (0.36 * unit, 0.22 * unit), hair)
    for side in (-1, 1):
        canvas.disc((x + 0.14 * side * unit, y), (0.055 * unit, 0.03 * unit), (0.03, 0.02, 0.02))
        canvas.line(
            [(x + 0.07 * side * unit, y - 0.09 * unit), (x + 0.22 * side * unit, y - 0.10 * unit)],
            0.03 * unit,
            hair,
        )
    canvas.line(
        [(x - 0.1 * unit, y + 0.26 * unit), (x + 0.1 * unit, y + 0.26 * unit)],
        0.03 * unit,
        (0.22, 0.07, 0.06),
    )
    canvas.line(
        [(x, y - 0.02 * unit), (x + 0.03 * unit, y + 0.14 * unit)], 0.025 * unit, (0.30, 0.17, 0.12)
    )


def _lay(
    screen: Plane, patch: Patch, camera: Camera, show: Show, roundness: float, *, spot: float
) -> None:
    """Light a drawn figure as if it were round, from the front left and from behind."""
    right, down = soft_normals(patch.alpha, max(0.7, roundness * camera.px))
    key = np.clip(0.70 - 0.45 * right - 0.35 * down, 0, None)
    rim = np.clip(np.hypot(right, down) - 0.35, 0, None) * np.clip(
        0.4 + right - 0.6 * down, 0, None
    )
    light = 0.02 + 0.16 * show.wash + spot * key[..., None] * show.spot
    light = (
        light + (2.2 * rim)[..., None] * show.top + (1.1 * key)[..., None] * np.float32(show.flash)
    )
    over(screen, patch, np.asarray(light, np.float32))


def _face_lights(show: Show, t: float) -> list[Light]:
    """The spot in front; the wash from the left below; the other colour from behind right."""
    drift = 0.25 * math.sin(0.9 * t)
    return [
        Light((-0.42 + drift, -0.40, 0.80), (0.78 * show.spot).astype(np.float32)),
        Light((-0.85, 0.25, 0.35), (0.60 * show.wash).astype(np.float32)),
        Light((0.92, -0.25, 0.22), (1.15 * show.top).astype(np.float32)),
        Light((0.05, -0.2, 1.0), np.full(3, 1.1 * show.flash, np.float32)),
    ]


def _eyelids(t: float) -> float:
    """Open with short blinks, and half closed on the long notes."""
    blink = min(1.0, abs((t + 0.9) % 2.7 - 0.08) / 0.08)
    dreamy = 1 - 0.45 * max(0.0, math.sin(2 * math.pi * (t - 0.4) / (2 * score.BAR_S))) ** 4
    return blink * dreamy


def glow(screen: Plane, at: Point, radius: float, colour: NDArray[np.floating]) -> None:
    """Add a lamp that looks at the camera: a core of `radius` pixels and its halo."""
    reach = math.ceil(7 * radius) + 1
    x0, y0 = max(0, int(at[0]) - reach), max(0, int(at[1]) - reach)
    x1, y1 = min(screen.shape[1], int(at[0]) + reach), min(screen.shape[0], int(at[1]) + reach)
    if x0 >= x1 or y0 >= y1:
        return
    x, y = np.arange(x0, x1)[None, :] + 0.5 - at[0], np.arange(y0, y1)[:, None] + 0.5 - at[1]
    far = (x * x + y * y) / radius**2
    shine = 1.6 * np.exp(-far) + 0.10 * np.exp(-far / 9)
    screen[y0:y1, x0:x1] += (shine[..., None] * colour).astype(np.float32)
