"""Drawings for a page: lines over time or pitch as SVG, spectrograms as PNG inside it.

No library of plots: a page of ours is one file without scripts, and these are a few shapes.
"""

import base64
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from .spectrogram import Spectrogram

__all__ = ["Line", "chart", "picture"]

_WIDTH, _HEIGHT = 960, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 22, 30
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_RANGE_DB = 90.0
# Dark to light in lightness alone, so that louder is lighter for every eye (after "magma").
_COLOURS = ((0, 0, 4), (40, 17, 89), (113, 31, 129), (182, 54, 121), (241, 96, 93), (254, 176, 120))
_LIGHTEST = (252, 253, 191)


@dataclass(frozen=True)
class Line:
    """A line of a chart. name: as the legend says it; shade: the page's colour class for it."""

    name: str
    x: npt.NDArray[np.floating]
    y: npt.NDArray[np.floating]
    shade: str = "after"


def chart(
    lines: Sequence[Line],
    unit: str,
    *,
    low: float,
    high: float,
    log_hz: bool = False,
    marks: Sequence[tuple[float, str]] = (),
    level: float | None = None,
) -> str:
    """An SVG of lines between `low` and `high` in `unit`, over seconds or, with log_hz, pitch.

    marks: places on the x axis with a word each. level: a dashed line across, such as a target.
    """
    first = min((float(line.x[0]) for line in lines if len(line.x)), default=0.0)
    last = max((float(line.x[-1]) for line in lines if len(line.x)), default=1.0)
    axis = _Axis(max(first, 20.0) if log_hz else 0.0, max(last, first + 1e-3), log_hz)
    parts = [_grid(axis, unit, low, high)]
    if level is not None and low < level < high:
        at = _row(level, low, high)
        parts.append(f'<path class="level" d="M{_LEFT} {at:.1f}h{_PLOT_WIDTH}"/>')
    for at_x, word in marks:
        column = axis.column(at_x)
        parts.append(f'<path class="mark" d="M{column:.1f} {_TOP}v{_PLOT_HEIGHT}"/>')
        parts.append(
            f'<text class="word" x="{column + 3:.1f}" y="{_TOP + 10}">{_said(word)}</text>'
        )
    parts += [
        f'<path class="line {one.shade}" d="{_path(one, axis, low, high)}"/>' for one in lines
    ]
    named = " ".join(
        f'<span class="key {line.shade}">{_said(line.name)}</span>' for line in lines if line.name
    )
    drawn = "".join(parts)
    return (
        f'<figure><figcaption>{named}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'role="img" aria-label="{_said(", ".join(line.name for line in lines))}">{drawn}</svg>'
        "</figure>"
    )


def picture(name: str, seen: Spectrogram, loudest_db: float) -> str:
    """A spectrogram as an image with its axes; `loudest_db` is the lightest colour."""
    share = np.clip((seen.level_db - loudest_db + _RANGE_DB) / _RANGE_DB, 0, 1)
    table = np.array([*_COLOURS, _LIGHTEST], dtype=np.float64)
    places = np.linspace(0, 1, len(table))
    shades = [np.interp(share[::-1], places, table[:, part]) for part in range(3)]
    pixels = np.stack(shades, axis=2).round().astype(np.uint8)
    if not pixels.shape[1]:
        return ""
    image = io.BytesIO()
    Image.fromarray(pixels).save(image, "PNG", optimize=True)
    data = base64.b64encode(image.getvalue()).decode("ascii")
    axis = _Axis(0.0, seen.step_s * seen.level_db.shape[1], log=False)
    ticks = []
    for hertz in (100, 500, 1000, 2000, 5000, 10000, 20000):
        if hertz < seen.edges_hz[-1]:
            up = np.searchsorted(seen.edges_hz, hertz) / (len(seen.edges_hz) - 1)
            row = _TOP + _PLOT_HEIGHT * (1 - float(up))
            ticks.append(_label(_LEFT - 6, row + 4, _hertz(hertz), "end"))
    return (
        f'<figure><figcaption><span class="key">{_said(name)}</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_said(name)}">'
        f'<image x="{_LEFT}" y="{_TOP}" width="{_PLOT_WIDTH}" height="{_PLOT_HEIGHT}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
        f"{''.join(ticks)}{axis.labels()}</svg></figure>"
    )


@dataclass(frozen=True)
class _Axis:
    first: float
    last: float
    log: bool

    def column(self, value: float) -> float:
        """Where a value of the axis stands, in the drawing's units."""
        first, last, at = self.first, self.last, min(max(value, self.first), self.last)
        if self.log:
            first, last, at = math.log(first), math.log(last), math.log(at)
        return _LEFT + _PLOT_WIDTH * (at - first) / (last - first)

    def ticks(self) -> list[float]:
        """Round values along the axis."""
        if self.log:
            return [
                hertz
                for hertz in (50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 20000.0)
                if self.first <= hertz <= self.last
            ]
        step = _round_step(self.last - self.first, (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800))
        return [n * step for n in range(int(self.last / step) + 1)]

    def labels(self) -> str:
        """The axis' words."""
        words = _hertz if self.log else _clock
        base = _HEIGHT - _BOTTOM + 18
        return "".join(_label(self.column(at), base, words(at), "middle") for at in self.ticks())


def _grid(axis: _Axis, unit: str, low: float, high: float) -> str:
    step = _round_step(high - low, (0.5, 1, 2, 3, 5, 6, 10, 12, 20, 24, 50))
    parts = []
    for n in range(math.ceil(low / step), math.floor(high / step) + 1):
        row = _row(n * step, low, high)
        parts.append(f'<path class="grid" d="M{_LEFT} {row:.1f}h{_PLOT_WIDTH}"/>')
        parts.append(_label(_LEFT - 6, row + 4, f"{n * step:g}", "end"))
    parts.append(_label(4, _TOP - 10, unit, "start"))
    return "".join(parts) + axis.labels()


def _path(line: Line, axis: _Axis, low: float, high: float) -> str:
    points, begun = [], False
    for x, y in zip(line.x, line.y, strict=True):
        if not math.isfinite(y):
            begun = False
            continue
        row = min(max(_row(float(y), low, high), _TOP), _TOP + _PLOT_HEIGHT)
        points.append(f"{'L' if begun else 'M'}{axis.column(float(x)):.1f} {row:.1f}")
        begun = True
    return "".join(points)


def _row(value: float, low: float, high: float) -> float:
    return _TOP + _PLOT_HEIGHT * (high - value) / (high - low)


def _round_step(span: float, steps: Sequence[float]) -> float:
    return next((step for step in steps if span / step <= 10), steps[-1])


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_said(text)}</text>'


def _hertz(hertz: float) -> str:
    return f"{hertz / 1000:g} kHz" if hertz >= 1000 else f"{hertz:g} Hz"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _said(text: str) -> str:
    return html.escape(text)
