"""Short stage shows with a known truth: scenes under lamps, seen by a moving camera.

A scene is a reflectance (a backdrop of many scales, set pieces, people who move) under a sum of
lamps in linear light; a camera with position, zoom and shake looks at a part of it; the picture is
exposed, given its transfer, noise and 8 bits. All is drawn from a seed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

HEIGHT, WIDTH, LENGTH = 96, 128, 14


@dataclass
class Show:
    """Frames (N, 3, H, W) of R'G'B' 0..1, and the gaps that are cuts: g lies before frame g."""

    frames: Tensor
    cuts: list[int] = field(default_factory=list)
    either: bool = False
    """The cut is hidden in a white-out: the gap before or after that frame is as true."""


class Dice:
    """Draws from a seed."""

    def __init__(self, seed: int) -> None:
        self.source = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.source))

    def whole(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return int(torch.randint(low, high + 1, (), generator=self.source))

    def colour(self, least: float = 0.1) -> Tensor:
        """A lamp's colour with its strongest channel 1."""
        drawn = least + (1 - least) * torch.rand(3, generator=self.source)
        return drawn / drawn.max()

    def noise(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.source)


class Scene:
    """A place with people and lamps, and a camera that follows a path of its own."""

    def __init__(self, dice: Dice, exposure: float | None = None, like: "Scene | None" = None):
        self.dice = dice
        self.paint = like.paint if like else _paint(dice)
        self.people = [_Person(dice) for _ in range(dice.whole(1, 4))]
        self.ambient = dice.uniform(0.02, 0.3) * dice.colour(0.3)
        self.spots = [_Spot(dice) for _ in range(dice.whole(1, 3))]
        self.exposure = exposure if exposure is not None else dice.uniform(0.35, 1.1)
        self.noise = dice.uniform(0.2, 1.0) / 255  # 1 to 6 steps in a frame of SD, made this small
        self.shake = dice.uniform(0, 0.006)
        self.centre = torch.tensor([dice.uniform(-0.3, 0.3), dice.uniform(-0.3, 0.3)])
        self.zoom = dice.uniform(0.35, 0.6)
        self.drift = torch.tensor([dice.uniform(-0.006, 0.006), dice.uniform(-0.003, 0.003)])
        self.zooming = dice.uniform(-0.01, 0.01)
        self.phase = dice.uniform(0, 100)

    def linear(self, n: int, pan: tuple[float, float] = (0.0, 0.0), lamps: float = 1.0) -> Tensor:
        """The light that reaches the camera at frame n, (3, H, W), moved aside by `pan`."""
        time = self.phase + n
        zoom = self.zoom * (1 + self.zooming) ** n
        centre = self.centre + self.drift * n + torch.tensor(pan) * zoom * 2
        centre = centre + self.shake * self.dice.noise(2)
        y, x = torch.meshgrid(
            torch.linspace(-1, 1, HEIGHT) * zoom * 0.75 + centre[1],
            torch.linspace(-1, 1, WIDTH) * zoom + centre[0],
            indexing="ij",
        )
        grid = torch.stack([x, y], -1)
        picture = functional.grid_sample(
            self.paint[None], grid[None], align_corners=False, padding_mode="reflection"
        )[0]
        for person in self.people:
            picture = person.over(picture, x, y, time)
        light = self.ambient[:, None, None] * torch.ones_like(picture)
        for spot in self.spots:
            light = light + spot.at(x, y, time)
        return picture * light * (self.exposure * lamps)

    def taken(self, linear: Tensor) -> Tensor:
        """What the recording holds of that light: transfer, noise, 8 bits."""
        coded = linear.clamp(0, 1) ** (1 / 2.2)
        noisy = coded + self.noise * self.dice.noise(*coded.shape)
        return (noisy.clamp(0, 1) * 255).round() / 255


class _Person:
    def __init__(self, dice: Dice) -> None:
        self.x, self.y = dice.uniform(-0.6, 0.6), dice.uniform(-0.3, 0.4)
        self.size = dice.uniform(0.05, 0.14)
        self.reflectance = dice.uniform(0.1, 0.8) * dice.colour(0.5)
        self.stripes = dice.uniform(20, 80)
        self.reach, self.pace = dice.uniform(0.0, 0.15), dice.uniform(0.05, 0.35)

    def over(self, picture: Tensor, x: Tensor, y: Tensor, time: float) -> Tensor:
        sway = torch.tensor(time * self.pace).sin() * self.reach
        dx, dy = (x - self.x - sway) / self.size, (y - self.y) / (2.2 * self.size)
        inside = ((1 - dx**2 - dy**2) * 6).clamp(0, 1)
        cloth = self.reflectance[:, None, None] * (0.7 + 0.3 * torch.sin(self.stripes * (x - sway)))
        return picture + inside * (cloth - picture)


class _Spot:
    def __init__(self, dice: Dice) -> None:
        self.x, self.y = dice.uniform(-0.6, 0.6), dice.uniform(-0.5, 0.5)
        self.wide, self.soft = dice.uniform(0.15, 0.5), dice.uniform(0.1, 1.0)
        self.colour = dice.uniform(0.3, 1.2) * dice.colour()
        self.reach, self.pace = dice.uniform(0.0, 0.4), dice.uniform(0.02, 0.25)

    def at(self, x: Tensor, y: Tensor, time: float) -> Tensor:
        sway = torch.tensor(time * self.pace).sin() * self.reach
        distance = ((x - self.x - sway) ** 2 + (y - self.y) ** 2).sqrt() / self.wide
        return self.colour[:, None, None] * torch.sigmoid((1 - distance) / (0.3 * self.soft))


def _paint(dice: Dice) -> Tensor:
    """A backdrop (3, 240, 320): waves of every size, and flat or striped pieces of a set."""
    height, width = 240, 320
    steep = dice.uniform(0.7, 1.4)
    total = torch.zeros(1, 1, height, width)
    tint = torch.zeros(1, 3, height, width)
    for rows in (4, 8, 16, 32, 64):
        drawn = dice.noise(1, 4, rows, rows * 4 // 3) * (4 / rows) ** steep
        grown = functional.interpolate(drawn, (height, width), mode="bilinear", align_corners=False)
        total, tint = total + grown[:, :1], tint + 0.3 * grown[:, 1:]
    picture = torch.sigmoid(dice.uniform(0.8, 1.8) * (total + tint - dice.uniform(0, 1)))[0]
    for _ in range(dice.whole(4, 14)):
        top, left = dice.whole(0, height - 20), dice.whole(0, width - 20)
        tall, wide = dice.whole(6, 95), dice.whole(6, 95)
        patch = picture[:, top : top + tall, left : left + wide]
        share = dice.uniform(0.4, 0.9)
        patch += share * (dice.uniform(0.02, 0.9) * dice.colour(0.6)[:, None, None] - patch)
    return picture.clamp(0.01, 0.95)


# Shows without a cut.


def calm(dice: Dice) -> Show:
    return _lit(dice, lambda n: 1.0)


def single_flash(dice: Dice) -> Show:
    at, strength = dice.whole(4, 10), dice.uniform(1.5, 8)
    return _lit(dice, lambda n: strength if n == at else 1.0)


def long_flash(dice: Dice) -> Show:
    at, long, strength = dice.whole(3, 10), dice.whole(2, 3), dice.uniform(1.5, 10)
    return _lit(dice, lambda n: strength if at <= n < at + long else 1.0)


def white_out(dice: Dice) -> Show:
    at, long = dice.whole(3, 10), dice.whole(1, 3)
    return _lit(dice, lambda n: dice.uniform(50, 400) if at <= n < at + long else 1.0)


def strobe(dice: Dice) -> Show:
    rate = (25, 30000 / 1001, 50, 60000 / 1001)[dice.whole(0, 3)]
    hertz, duty, start = dice.uniform(5, 12), dice.uniform(0.1, 0.5), dice.uniform(0, 1)
    strength, colour, rest = dice.uniform(2, 20), dice.colour(0.5), dice.uniform(0.05, 1)

    def lamps(n: int) -> Tensor:
        on = (n * hertz / rate + start) % 1 < max(duty, hertz / rate)
        return colour * strength if on else torch.full((3,), rest)

    return _lit(dice, lamps)


def lamp_change(dice: Dice) -> Show:
    """All lamps take another colour and strength in one frame."""
    scene, at = Scene(dice), dice.whole(3, 10)
    frames = []
    for n in range(LENGTH):
        if n == at:
            scene.ambient = dice.uniform(0.02, 0.3) * dice.colour()
            for spot in scene.spots:
                spot.colour = dice.uniform(0.2, 1.2) * dice.colour(0.05)
        frames.append(scene.taken(scene.linear(n)))
    return Show(torch.stack(frames))


def other_lamp(dice: Dice) -> Show:
    """One spot goes out and another comes on in one frame, elsewhere and of another colour."""
    scene, at, other = Scene(dice), dice.whole(3, 10), _Spot(dice)
    scene.ambient = dice.uniform(0.1, 0.3) * dice.colour(0.3)
    frames = []
    for n in range(LENGTH):
        if n == at:
            scene.spots = [other, *scene.spots[1:]]
        frames.append(scene.taken(scene.linear(n)))
    return Show(torch.stack(frames))


def spot_strobe(dice: Dice) -> Show:
    """A single strong spot that flashes by itself over a part of the stage."""
    scene, spot, on = Scene(dice), _Spot(dice), [dice.uniform(0, 1) < 0.35 for _ in range(LENGTH)]
    on[-1] = False  # a flash on a clip's last frame cannot be told from a shot of one frame
    spot.colour = spot.colour * dice.uniform(3, 15)
    lamps = scene.spots
    frames = []
    for n in range(LENGTH):
        scene.spots = [*lamps, spot] if on[n] else lamps
        frames.append(scene.taken(scene.linear(n)))
    return Show(torch.stack(frames))


def blackout(dice: Dice) -> Show:
    at, long, rest = dice.whole(2, 8), dice.whole(1, 8), dice.uniform(0, 0.002)
    return _lit(dice, lambda n: rest if at <= n < at + long else 1.0)


def fade(dice: Dice) -> Show:
    at, long = dice.whole(1, 6), dice.whole(3, 8)
    up = dice.uniform(0, 1) < 0.5

    def lamps(n: int) -> float:
        share = min(max((n - at) / long, 0.0), 1.0)
        return (share if up else 1 - share) ** 2

    return _lit(dice, lamps)


def dissolve(dice: Dice) -> Show:
    one, other, at, long = Scene(dice), Scene(dice), dice.whole(1, 4), dice.whole(6, 12)
    frames = []
    for n in range(18):
        share = min(max((n - at) / long, 0.0), 1.0)  # of the signal: so does a vision mixer
        frames.append(one.taken(one.linear(n)) * (1 - share) + other.taken(other.linear(n)) * share)
    return Show(torch.stack(frames))


def pan(dice: Dice) -> Show:
    return _panned(dice, dice.uniform(0.02, 0.06))


def whip_pan(dice: Dice) -> Show:
    """The camera is thrown aside: up to a quarter of the picture's width a frame, blurred."""
    return _panned(dice, dice.uniform(0.1, 0.25))


# Shows with a cut.


def hard_cut(dice: Dice) -> Show:
    return _joined(dice, Scene(dice), Scene(dice))


def dark_cut(dice: Dice) -> Show:
    """Two dim scenes; less light than this leaves no contrast of a step of 8 bits."""
    return _joined(
        dice, Scene(dice, dice.uniform(0.012, 0.04)), Scene(dice, dice.uniform(0.012, 0.04))
    )


def same_stage_cut(dice: Dice) -> Show:
    """The same set, people and lamps seen by another camera: closer, from elsewhere."""
    one = Scene(dice)
    other = Scene(dice, like=one)
    other.people, other.spots, other.ambient = one.people, one.spots, one.ambient
    other.exposure, other.phase = one.exposure, one.phase
    side = 1 if one.centre[0] < 0 else -1
    one.zoom, other.zoom = dice.uniform(0.5, 0.6), dice.uniform(0.25, 0.35)
    other.centre = one.centre + torch.tensor(
        [side * dice.uniform(0.2, 0.4), dice.uniform(-0.2, 0.2)]
    )
    return _joined(dice, one, other)


def cut_at_flash(dice: Dice) -> Show:
    """A flash on the last frame before a cut, or the first after it."""
    strength, first = dice.uniform(1.5, 8), dice.whole(-1, 0)
    return _joined(dice, Scene(dice), Scene(dice), lambda n: strength if n == first else 1.0)


def cut_in_white_out(dice: Dice) -> Show:
    """The frame before or after a cut shows nothing but white."""
    first = dice.whole(-1, 0)
    show = _joined(dice, Scene(dice), Scene(dice), lambda n: 400 if n == first else 1.0)
    show.either = True
    return show


def cut_in_strobe(dice: Dice) -> Show:
    every, on, strength = dice.whole(3, 6), dice.whole(1, 2), dice.uniform(2, 8)
    start = dice.whole(0, 5)
    return _joined(
        dice, Scene(dice), Scene(dice), lambda n: strength if (n + start) % every < on else 1.0
    )


def cut_in_pan(dice: Dice) -> Show:
    one, other = Scene(dice), Scene(dice)
    one.drift = one.drift * 6
    other.drift = other.drift * 6
    return _joined(dice, one, other)


def cut_with_lamp_change(dice: Dice) -> Show:
    """A lamp change two frames before or after the cut."""
    at, colour = dice.whole(0, 1) * 4 - 2, 2 * dice.colour()
    return _joined(dice, Scene(dice), Scene(dice), lambda n: colour if n >= at else 1.0)


WITHOUT_CUT: list[Callable[[Dice], Show]] = [
    calm, single_flash, long_flash, white_out, strobe, spot_strobe, lamp_change, other_lamp,
    blackout, fade, dissolve, pan, whip_pan,
]  # fmt: skip
WITH_CUT: list[Callable[[Dice], Show]] = [
    hard_cut, dark_cut, same_stage_cut, cut_at_flash, cut_in_white_out, cut_in_strobe, cut_in_pan,
    cut_with_lamp_change,
]  # fmt: skip


def _lit(dice: Dice, lamps: Callable[[int], float | Tensor]) -> Show:
    """One scene; `lamps` gives how all its light is multiplied at frame n."""
    scene = Scene(dice)
    return Show(
        torch.stack([scene.taken(_times(scene.linear(n), lamps(n))) for n in range(LENGTH)])
    )


def _joined(
    dice: Dice, one: Scene, other: Scene, lamps: Callable[[int], float | Tensor] = lambda n: 1.0
) -> Show:
    """Two scenes; `lamps` counts from the first frame after the cut."""
    at = dice.whole(4, 10)
    frames = []
    for n in range(LENGTH):
        scene = one if n < at else other
        frames.append(scene.taken(_times(scene.linear(n), lamps(n - at))))
    return Show(torch.stack(frames), [at])


def _panned(dice: Dice, fastest: float) -> Show:
    """A pan that starts, holds `fastest` (of the width a frame) and stops, with its own blur."""
    scene, start, ramp, hold = Scene(dice), dice.whole(1, 4), dice.whole(1, 3), dice.whole(3, 6)
    side = 1 if dice.uniform(0, 1) < 0.5 else -1
    tilt = dice.uniform(-0.3, 0.3)
    frames, place = [], 0.0
    for n in range(LENGTH):
        rise = min((n - start) / ramp, (start + 2 * ramp + hold - n) / ramp, 1.0)
        speed = side * fastest * max(rise, 0.0)
        seen = [
            scene.linear(n, (place + speed * step / 4, tilt * (place + speed * step / 4)))
            for step in range(3)  # a shutter open for half the frame's time
        ]
        frames.append(scene.taken(torch.stack(seen).mean(0)))
        place += speed
    return Show(torch.stack(frames))


def _times(linear: Tensor, lamps: float | Tensor) -> Tensor:
    return linear * (lamps[:, None, None] if isinstance(lamps, Tensor) else lamps)
