"""Drawing with soft edges: shapes go onto a patch of the screen at twice its size.

Colours are reflectances in linear light; a patch keeps their square roots, so that eight bits hold
dark cloth without steps. Coordinates are scene units (1 is the height of the picture at zoom 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

__all__ = [
    "Camera",
    "Canvas",
    "Colour",
    "Patch",
    "Plane",
    "Point",
    "enlarged",
    "over",
    "soft_normals",
]

Colour = tuple[float, float, float]
Point = tuple[float, float]
Plane = NDArray[np.float32]

_SCALE = 2


@dataclass(frozen=True)
class Camera:
    """Where a camera looks: the scene point in the middle, the zoom, the picture's size."""

    x: float
    y: float
    zoom: float
    width: int
    height: int

    @property
    def px(self) -> float:
        """Pixels to a scene unit."""
        return self.zoom * self.height

    def see(self, point: Point) -> Point:
        """A scene point, in pixels."""
        return (
            (point[0] - self.x) * self.px + self.width / 2,
            (point[1] - self.y) * self.px + self.height / 2,
        )

    def grid(self, step: int) -> tuple[Plane, Plane]:
        """The scene coordinates of every step-th pixel: a row of x and a column of y."""
        across = (np.arange(0, self.width, step) + step / 2 - self.width / 2) / self.px + self.x
        down = (np.arange(0, self.height, step) + step / 2 - self.height / 2) / self.px + self.y
        return across.astype(np.float32)[None, :], down.astype(np.float32)[:, None]


@dataclass(frozen=True)
class Patch:
    """A drawn piece of the screen: its corner in pixels, reflectance (h, w, 3), alpha (h, w)."""

    left: int
    top: int
    colour: Plane
    alpha: Plane


class Canvas:
    """A part of the screen to draw on, `box` in scene units (left, top, right, bottom)."""

    def __init__(self, camera: Camera, box: tuple[float, float, float, float]) -> None:
        left, top = camera.see(box[:2])
        right, bottom = camera.see(box[2:])
        self.camera = camera
        self.left, self.top = max(0, math.floor(left)), max(0, math.floor(top))
        self.width = max(1, min(camera.width, math.ceil(right)) - self.left)
        self.height = max(1, min(camera.height, math.ceil(bottom)) - self.top)
        self._image = Image.new("RGBA", (self.width * _SCALE, self.height * _SCALE))
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: list[Point], colour: Colour) -> None:
        """Fill a polygon."""
        self._draw.polygon([self._at(p) for p in points], fill=_bytes(colour))

    def disc(self, centre: Point, radius: float | Point, colour: Colour) -> None:
        """Fill a circle, or an ellipse given its two radii."""
        rx, ry = (radius, radius) if isinstance(radius, float | int) else radius
        (x0, y0), (x1, y1) = (
            self._at((centre[0] + side * rx, centre[1] + side * ry)) for side in (-1, 1)
        )
        self._draw.ellipse((x0, y0, x1, y1), fill=_bytes(colour))

    def limb(self, joints: list[Point], widths: list[float], colour: Colour) -> None:
        """Draw an arm, a leg or a pole: round joints, straight between them, tapering."""
        for (a, wa), (b, wb) in zip(
            zip(joints, widths, strict=True),
            zip(joints[1:], widths[1:], strict=True),
            strict=False,
        ):
            length = math.hypot(b[0] - a[0], b[1] - a[1]) or 1.0
            nx, ny = -(b[1] - a[1]) / length / 2, (b[0] - a[0]) / length / 2
            self.polygon(
                [
                    (a[0] + nx * wa, a[1] + ny * wa),
                    (b[0] + nx * wb, b[1] + ny * wb),
                    (b[0] - nx * wb, b[1] - ny * wb),
                    (a[0] - nx * wa, a[1] - ny * wa),
                ],
                colour,
            )
        for joint, width in zip(joints, widths, strict=True):
            self.disc(joint, width / 2, colour)

    def line(self, points: list[Point], width: float, colour: Colour) -> None:
        """Draw a line, never thinner than one pixel of the canvas."""
        px = max(1, round(width * self.camera.px * _SCALE))
        self._draw.line([self._at(p) for p in points], fill=_bytes(colour), width=px)

    def patch(self) -> Patch:
        """What was drawn, at the screen's size, no larger than it must be."""
        box = self._image.getbbox() or (0, 0, _SCALE, _SCALE)
        left, top = box[0] // _SCALE, box[1] // _SCALE
        right, bottom = -(-box[2] // _SCALE), -(-box[3] // _SCALE)
        drawn = self._image.crop((_SCALE * left, _SCALE * top, _SCALE * right, _SCALE * bottom))
        small = np.asarray(drawn.convert("RGBa").reduce(_SCALE), np.float32)
        alpha = small[..., 3] * np.float32(1 / 255)
        colour = small[..., :3] / np.maximum(small[..., 3:], 1)
        return Patch(self.left + left, self.top + top, np.square(colour), alpha)

    def _at(self, point: Point) -> Point:
        x, y = self.camera.see(point)
        return (x - self.left) * _SCALE, (y - self.top) * _SCALE


def over(screen: Plane, patch: Patch, light: Plane | float) -> None:
    """Lay a patch, lit by `light` (broadcast to (h, w, 3)), over the screen in place."""
    height, width = patch.alpha.shape
    part = screen[patch.top : patch.top + height, patch.left : patch.left + width]
    part += (patch.colour * light - part) * patch.alpha[..., None]


def enlarged(small: Plane, size: tuple[int, int]) -> Plane:
    """A small picture (h, w, 3) drawn up to (width, height), bilinear."""
    out = np.empty((size[1], size[0], 3), np.float32)
    for c in range(3):
        out[..., c] = _resized(np.ascontiguousarray(small[..., c], np.float32), size)
    return out


def soft_normals(alpha: Plane, roundness_px: float) -> tuple[Plane, Plane]:
    """How far a drawn shape turns to the right and down at each pixel, about -1..1."""
    # The blur is found at about two pixels of a coarser grid, whatever its size on the screen.
    step = max(1, round(roundness_px / 2))
    image = Image.fromarray(alpha)
    coarse = np.asarray(image.reduce(step) if step > 1 else image)
    soft = ndimage.gaussian_filter(coarse, roundness_px / step, truncate=2.5)
    across, down = (_slope(soft, axis) * (2.0 * roundness_px / step) for axis in (1, 0))
    if step == 1:
        return across, down
    return _resized(across, image.size), _resized(down, image.size)


def _slope(soft: Plane, axis: int) -> Plane:
    """The fall of a plane along an axis, by central differences, level at the borders."""
    slope = np.zeros_like(soft)
    if axis:
        slope[:, 1:-1] = 0.5 * (soft[:, :-2] - soft[:, 2:])
    else:
        slope[1:-1] = 0.5 * (soft[:-2] - soft[2:])
    return slope


def _resized(plane: Plane, size: tuple[int, int]) -> Plane:
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))


def _bytes(colour: Colour) -> tuple[int, int, int, int]:
    r, g, b = (round(255 * math.sqrt(min(1.0, max(0.0, c)))) for c in colour)
    return r, g, b, 255
