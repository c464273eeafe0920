"""A show's light at a glance: drawn once as shapes, written as PNG or SVG.

From top to bottom: cuts; the luminance over time in the stage's own colours, with the peaks that
flashes reach; flashes, strobes with their rates, changes of lamps; washes; blackouts and fades;
time. A long show is drawn in strips, one under another. Height is what the eye sees: the 2.4th root
of light.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from encore.errors import RequestError
from encore.light_events import Kind
from encore.lights import Event, Timeline
from encore.progress import clock

__all__ = ["Page", "draw", "layout", "png", "svg"]

_WIDTH, _LEFT, _RIGHT, _TOP = 1600, 104, 24, 44
_STRIP_S = 1800.0
_MOST_STRIPS = 4
_CUTS, _PLOT, _MARKS, _WASH, _DARK, _AXIS, _GAP = 14, 200, 44, 22, 22, 24, 16
_BACK, _PANEL, _LINE, _INK, _DIM = "#17181c", "#0b0b0e", "#33353d", "#e8e8ea", "#9a9ca5"
_FLASH, _STROBE, _LAMP = "#ffe14d", "#ff9f1c", "#3fd0d4"
_WHITE = (255.0, 255.0, 255.0)
_TEXT_PX = 12
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
_COUNTED: tuple[tuple[Kind, str, str], ...] = (
    ("cut", "cut", "cuts"),
    ("flash", "flash", "flashes"),
    ("strobe", "strobe", "strobes"),
    ("lamp", "change of lamps", "changes of lamps"),
    ("blackout", "blackout", "blackouts"),
    ("fade", "slow fade", "slow fades"),
)
_LEVELS = ((0.01, "1 %"), (0.1, "10 %"), (0.5, "50 %"), (1.0, "100 %"))


@dataclass(frozen=True)
class Shape:
    """A filled polygon; or, with `text`, a line of it that begins at (or ends at) its one point."""

    points: tuple[tuple[float, float], ...]
    fill: str
    text: str = ""
    anchor: str = "start"


@dataclass(frozen=True)
class Page:
    """What is drawn, in order."""

    width: int
    height: int
    shapes: list[Shape]


def draw(timeline: Timeline, path: Path, *, title: str = "") -> None:
    """Write a drawing, .png or .svg; raises RequestError for another ending."""
    page = layout(timeline, title)
    match path.suffix.lower():
        case ".png":
            path.write_bytes(png(page))
        case ".svg":
            path.write_text(svg(page), "utf-8")
        case _:
            raise RequestError(f"{path.name!r}: light is drawn as .png or .svg")


def layout(timeline: Timeline, title: str = "") -> Page:
    """Where everything goes."""
    strips = min(_MOST_STRIPS, max(1, math.ceil(timeline.duration_s / _STRIP_S)))
    strip = _CUTS + _PLOT + _MARKS + _WASH + _DARK + _AXIS + 2 * _GAP
    height = _TOP + strips * strip
    shapes = [_box(0, 0, _WIDTH, height, _BACK), *_header(timeline, title)]
    for number in range(strips):
        first = timeline.frames * number // strips
        end = timeline.frames * (number + 1) // strips
        shapes += _Strip(timeline, first, end, _TOP + number * strip).shapes()
    return Page(_WIDTH, height, shapes)


def png(page: Page) -> bytes:
    """The page as a PNG file."""
    picture = Image.new("RGB", (page.width, page.height))
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(_TEXT_PX)
    for shape in page.shapes:
        if shape.text:
            anchor = {"start": "ls", "middle": "ms", "end": "rs"}[shape.anchor]
            pen.text(shape.points[0], shape.text, shape.fill, font, anchor=anchor)
        else:
            pen.polygon([(round(x), round(y)) for x, y in _inward(shape.points)], shape.fill)
    held = io.BytesIO()
    picture.save(held, "PNG", optimize=True)
    return held.getvalue()


def svg(page: Page) -> str:
    """The page as an SVG file."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {page.width} {page.height}" '
        f'width="{page.width}" height="{page.height}" font-family="sans-serif" '
        f'font-size="{_TEXT_PX}" shape-rendering="crispEdges">'
    ]
    for shape in page.shapes:
        if shape.text:
            x, y = shape.points[0]
            lines.append(
                f'<text x="{x:g}" y="{y:g}" fill="{shape.fill}" text-anchor="{shape.anchor}">'
                f"{escape(shape.text)}</text>"
            )
        else:
            corners = " ".join(f"{x:.4g},{y:.4g}" for x, y in shape.points)
            lines.append(f'<polygon points="{corners}" fill="{shape.fill}"/>')
    return "\n".join([*lines, "</svg>\n"])


class _Strip:
    """A stretch of the show, from one frame to another, drawn at a height."""

    def __init__(self, timeline: Timeline, first: int, end: int, top: float) -> None:
        self._told, self._first, self._end = timeline, first, end
        self._cuts = top + _GAP
        self._plot = self._cuts + _CUTS
        self._marks = self._plot + _PLOT
        self._wash = self._marks + _MARKS
        self._dark = self._wash + _WASH
        self._axis = self._dark + _DARK
        self._wide = _WIDTH - _LEFT - _RIGHT

    def shapes(self) -> Iterator[Shape]:
        """All of the strip."""
        yield _box(_LEFT, self._plot, self._wide, _PLOT, _PANEL)
        yield from self._grid()
        yield from self._luminance()
        yield from self._levels()
        yield from self._labels()
        for event in self._told.events:
            if event.last >= self._first and event.first < self._end:
                yield from self._event(event)
        yield from self._rates()

    def _x(self, frame: float) -> float:
        inside = min(max(frame, self._first), self._end)
        return _LEFT + self._wide * (inside - self._first) / max(1, self._end - self._first)

    def _y(self, luminance: float) -> float:
        return self._plot + _PLOT * (1 - math.pow(min(max(luminance, 0.0), 1.0), 1 / 2.4))

    def _grid(self) -> Iterator[Shape]:
        """The time axis."""
        rate = float(self._told.rate)
        length = (self._end - self._first) / rate
        step = next((one for one in _STEPS_S if length / one <= 16), _STEPS_S[-1])
        mark = math.ceil(self._first / rate / step) * step
        while mark * rate < self._end:
            x = self._x(mark * rate)
            yield _box(x, self._plot, 1, self._axis - self._plot + 5, _LINE)
            yield Shape(((x, self._axis + 18),), _DIM, clock(mark), "middle")
            mark += step

    def _luminance(self) -> Iterator[Shape]:
        """A column a pixel: up to the mean in the stage's colour, up to the peak paler."""
        track = self._told.track
        points = len(track.mean)
        edges = np.linspace(self._first, self._end, self._wide + 1) / track.every
        colours = np.array([_rgb(one) for one in track.colour])
        low, mean, high = (np.array(one) for one in (track.low, track.mean, track.high))
        for column in range(self._wide):
            at = min(int(edges[column]), points - 1)
            until = min(max(math.ceil(edges[column + 1]), at + 1), points)
            middle = float(mean[at:until].mean())
            peak = float(high[at:until].max())
            colour = colours[at:until].mean(0)
            x = _LEFT + column
            top, bright = self._y(middle), self._y(peak)
            if top - bright >= 1:
                faint = self._y(float(low[at:until].min()))
                paler = _mixed(_mixed(colour, _WHITE, 0.35), _rgb(_PANEL), 0.45)
                yield _box(x, bright, 1, min(top, faint) - bright, _hex(paler))
            if self._plot + _PLOT - top >= 0.5:
                yield _box(x, top, 1, self._plot + _PLOT - top, _hex(colour))

    def _levels(self) -> Iterator[Shape]:
        for level, name in _LEVELS:
            y = self._y(level)
            yield Shape(((_LEFT - 8, y + 4),), _DIM, name, "end")
            yield _box(_LEFT - 5, y, 5, 1, _LINE)

    def _labels(self) -> Iterator[Shape]:
        rows = (
            (self._cuts + 6, "cuts"),
            (self._marks + 16, "flash, lamp"),
            (self._marks + 36, "strobe"),
            (self._wash + 15, "wash"),
            (self._dark + 15, "dark, fade"),
        )
        for y, name in rows:
            yield Shape(((_LEFT - 8, y),), _DIM, name, "end")

    def _event(self, event: Event) -> Iterator[Shape]:
        x, end = self._x(event.first), self._x(event.last + 1)
        match event.kind:
            case "cut":
                yield _box(x, self._cuts, 1, _CUTS, _INK)
            case "flash":
                y = self._marks + 5
                yield Shape(((x, y), (x + 4, y + 7), (x, y + 14), (x - 4, y + 7)), _FLASH)
            case "lamp":
                y = self._marks + 5
                fill = event.colour or _LAMP
                yield Shape(((x - 6, y + 14), (x + 6, y + 14), (x, y)), _LAMP)
                yield Shape(((x - 3, y + 12.5), (x + 3, y + 12.5), (x, y + 5)), fill)
            case "strobe":
                yield _box(x, self._marks + 24, max(3.0, end - x), 16, _STROBE)
            case "wash":
                yield _box(x, self._wash + 3, max(1.0, end - x), _WASH - 6, event.colour or _DIM)
            case "blackout":
                wide = max(3.0, end - x)
                yield _box(x - 1, self._dark + 3, wide + 2, _DARK - 6, _INK)
                yield _box(x, self._dark + 4, wide, _DARK - 8, "#000000")
            case _:
                low, high = self._dark + _DARK - 4, self._dark + 4
                up = (event.stops or 0.0) > 0
                tip = (end, high) if up else (x, high)
                yield Shape(((x, low), (end, low), tip), _DIM)

    def _rates(self) -> Iterator[Shape]:
        """Strobes' rates: inside their bars, or after them where there is room."""
        strobes = [e for e in self._told.of("strobe") if self._first <= e.first < self._end]
        follows = [*(self._x(event.first) for event in strobes[1:]), float(_WIDTH)]
        for event, following in zip(strobes, follows, strict=False):
            text = f"{event.rate_hz:.1f} Hz"
            wide = 6.5 * len(text)
            x, end = self._x(event.first), self._x(event.last + 1)
            if end - x > wide + 6:
                yield Shape(((x + 4, self._marks + 36),), "#000000", text)
            elif max(end, x + 3) + wide + 8 > _WIDTH - _RIGHT:
                yield Shape(((x - 4, self._marks + 36),), _STROBE, text, "end")
            elif following - max(end, x + 3) > wide + 8:
                yield Shape(((max(end, x + 3) + 4, self._marks + 36),), _STROBE, text)


def _header(timeline: Timeline, title: str) -> Iterator[Shape]:
    shown = clock(timeline.duration_s)
    yield Shape(((_LEFT, 26),), _INK, f"{title or 'the light of a show'}, {shown}")
    x = _WIDTH - _RIGHT
    counted = Counter(event.kind for event in timeline.events)
    counts = [(counted[kind], one if counted[kind] == 1 else many) for kind, one, many in _COUNTED]
    yield Shape(((x, 26),), _DIM, ", ".join(f"{count} {name}" for count, name in counts), "end")


def _box(x: float, y: float, wide: float, high: float, fill: str) -> Shape:
    return Shape(((x, y), (x + wide, y), (x + wide, y + high), (x, y + high)), fill)


def _inward(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """Pillow's polygons include their right and bottom edges: take them in by a pixel."""
    right, bottom = max(x for x, _ in points), max(y for _, y in points)
    left, top = min(x for x, _ in points), min(y for _, y in points)
    return [
        (x - 1 if x == right > left + 0.99 else x, y - 1 if y == bottom > top + 0.99 else y)
        for x, y in points
    ]


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (float(int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    return red, green, blue


def _mixed(
    one: NDArray[np.float64] | tuple[float, ...], other: tuple[float, ...], share: float
) -> NDArray[np.float64]:
    return np.asarray(one) * (1 - share) + np.asarray(other) * share


def _hex(colour: NDArray[np.float64]) -> str:
    return "#" + "".join(f"{min(255, max(0, round(float(one)))):02x}" for one in colour)
