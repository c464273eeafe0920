"""A whole show as a few numbers a frame, in one pass: what its light and its cuts are told from.

Of each frame one field is read, so that all of it is of one moment. It is averaged to the
miniature that the picture engine tells cuts by (`vsencore.engine.light`); of every eighth sample
each way the luminance is taken. What is kept of a frame is less than 200 bytes: a two-hour show
takes 30 MB. Light is linear, as a BT.1886 display shows the codes (a 2.4 power), 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import batched
from typing import Literal

import numpy as np
import torch
import vapoursynth as vs
from numpy.typing import NDArray

from encore.facts import Borders, PictureFacts
from encore.progress import Reporter
from vsencore.engine import light
from vsencore.engine.colour import Signal, to_unit, yuv_to_rgb

__all__ = ["COLUMNS", "DARK", "PERCENTS", "ROWS", "Glance", "Tracks", "glance", "glances", "tracks"]

PERCENTS = (1, 5, 50, 95, 99)
DARK = 0.01
"""Less light than this, of white's, is dark."""
ROWS, COLUMNS = 4, 8
"""Of the coarse picture of the light that is kept of each frame."""

Floats = NDArray[np.float32]

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_POWER = 2.4
_EVERY = 8
_BLOCK = 64
_MATRICES = {"bt709": 1, "fcc": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "bt2020nc": 9}
_FAMILIES: dict[int, Literal["YUV", "GRAY", "RGB"]] = {
    vs.YUV: "YUV",
    vs.GRAY: "GRAY",
    vs.RGB: "RGB",
}
_LINEAR = (np.arange(1024) / 1023).astype(np.float32) ** np.float32(_POWER)


@dataclass(frozen=True)
class Glance:
    """One frame: its miniature, R'G'B' (3, 24, 32), and its light in percentiles."""

    mini: torch.Tensor
    percentiles: Floats
    """Luminance under which lie PERCENTS of the picture."""
    dark: float
    """The share of the picture that is darker than DARK."""


@dataclass(frozen=True)
class Tracks:
    """What is kept of N frames."""

    light: Floats
    """(N, 3): the mean light of red, green and blue."""
    tone: Floats
    """(N, 3): its colour, each part weighed by its strongest primary; the strongest is 1."""
    grid: NDArray[np.uint8]
    """(N, ROWS, COLUMNS, 3): where the light is, in codes: 255 (light ** (1 / 2.4))."""
    percentiles: Floats
    """(N, 5)."""
    dark: Floats
    """(N)."""
    likeness: Floats
    """(N): of each frame's structure to the one's before, unshifted; -1 where nothing tells."""
    cuts: list[int]
    """Frames that begin a shot, but for the first."""

    def __len__(self) -> int:
        return len(self.light)

    @cached_property
    def luminance(self) -> Floats:
        """(N): the mean luminance."""
        return np.asarray(self.light @ _LUMINANCE, np.float32)


def glances(clip: vs.VideoNode, picture: PictureFacts, reporter: Reporter) -> Iterator[Glance]:
    """Look at each frame of a source's clip, in order; borders are left out."""
    if clip.format.sample_type == vs.FLOAT:
        clip = clip.resize.Point(
            format=vs.core.query_video_format(
                clip.format.color_family,
                vs.INTEGER,
                16,
                clip.format.subsampling_w,
                clip.format.subsampling_h,
            ).id
        )
    signal = _signal(clip, picture)
    with reporter.stage("light", unit="frames") as update:
        for number, frame in enumerate(clip.frames(prefetch=4, close=True)):
            planes = [np.asarray(frame[n]) for n in range(frame.format.num_planes)]
            yield glance(planes, signal, picture.borders)
            update(number + 1, len(clip))


def glance(planes: list[NDArray[np.integer]], signal: Signal, borders: Borders) -> Glance:
    """Look at one frame: planes (height, width) of codes. It is read before this returns."""
    fields = [
        _inside(plane, borders, signal.subsampling if number else (0, 0))[::2]
        for number, plane in enumerate(planes)
    ]
    small = [torch.from_numpy(part.astype(np.float32))[None, None] for part in fields]
    mini = _rgb([light.miniature(part, "top") for part in small], signal)[0]
    height, width = fields[0].shape
    rows, columns = np.arange(0, height, _EVERY // 2), np.arange(0, width, _EVERY)
    across, down = signal.subsampling
    sampled = [_sample(fields[0], rows, columns)]
    sampled += [_sample(part, rows >> down, columns >> across) for part in fields[1:]]
    rgb = _rgb(sampled, signal)[0].clamp(0, 1)
    codes = (rgb.flatten(1) * (len(_LINEAR) - 1)).to(torch.int16).numpy()
    luminance = np.sort(_LUMINANCE @ _LINEAR[codes])
    places = [round(percent / 100 * (len(luminance) - 1)) for percent in PERCENTS]
    dark = float(np.searchsorted(luminance, DARK)) / len(luminance)
    return Glance(mini, luminance[places].astype(np.float32), dark)


def tracks(looked: Iterable[Glance]) -> Tracks:
    """Keep what is told of each frame, and find the cuts, in the memory of some frames."""
    kept = _Kept()
    with torch.inference_mode():
        for block in batched(looked, _BLOCK):
            kept.add(block)
        return kept.finish()


def _signal(clip: vs.VideoNode, picture: PictureFacts) -> Signal:
    return Signal(
        family=_FAMILIES[clip.format.color_family],
        bits=clip.format.bits_per_sample,
        subsampling=(clip.format.subsampling_w, clip.format.subsampling_h),
        matrix=_MATRICES.get(picture.matrix.value, 1),
        full_range=picture.range.value == "pc",
    )


def _inside(
    plane: NDArray[np.integer], borders: Borders, subsampling: tuple[int, int]
) -> NDArray[np.integer]:
    across, down = subsampling
    bottom = plane.shape[0] - (borders.bottom >> down)
    right = plane.shape[1] - (borders.right >> across)
    return plane[borders.top >> down : bottom, borders.left >> across : right]


def _sample(
    plane: NDArray[np.integer], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> torch.Tensor:
    height, width = plane.shape
    chosen = plane[np.ix_(rows.clip(max=height - 1), columns.clip(max=width - 1))]
    return torch.from_numpy(chosen.astype(np.float32))[None, None]


def _rgb(planes: list[torch.Tensor], signal: Signal) -> torch.Tensor:
    """R'G'B' (1, 3, h, w) of planes (1, 1, h, w) of codes."""
    unit = to_unit(planes, signal)
    if signal.family == "GRAY":
        return unit[0].expand(-1, 3, -1, -1)
    joined = torch.cat(unit, 1)
    return joined if signal.family == "RGB" else yuv_to_rgb(joined, signal.matrix)


@dataclass
class _Kept:
    """Grows by blocks; the last frames' miniatures wait for those that follow them."""

    count: int = 0
    cuts: list[int] = field(default_factory=list)
    _waiting: torch.Tensor | None = None
    """Miniatures of frames `_first` and after."""
    _first: int = 0
    _asked: int = 1
    """The next gap to be told: gap n lies before frame n."""
    _open: list[int] = field(default_factory=list)
    """Gaps that may be cuts."""
    _blocks: list[tuple[NDArray[np.generic], ...]] = field(default_factory=list)

    def add(self, block: tuple[Glance, ...]) -> None:
        """Take the next frames."""
        minis = torch.stack([one.mini for one in block])
        before = minis[:1] if self._waiting is None else self._waiting[-1:]
        likeness = light.like_next(torch.cat([before, minis])).numpy()
        self._open += [
            self.count + int(place)
            for place in np.flatnonzero(likeness < light.ALIKE)
            if self.count + place > 0
        ]
        self._blocks.append(
            (
                *_light(minis.numpy()),
                np.stack([one.percentiles for one in block]),
                np.array([one.dark for one in block], np.float32),
                likeness.astype(np.float32),
            )
        )
        known = minis if self._waiting is None else torch.cat([self._waiting, minis])
        self._waiting, self.count = known, self.count + len(block)
        self._tell(self.count - light.LOOK)
        keep = min(len(known), 2 * light.LOOK)
        self._first, self._waiting = self.count - keep, known[-keep:].clone()

    def finish(self) -> Tracks:
        """Tell the last cuts, and give all."""
        self._tell(self.count)
        if not self._blocks:
            raise ValueError("there is no frame to look at")
        columns = list(zip(*self._blocks, strict=True))
        self._blocks.clear()
        # One after another: a show's tracks are held twice only a column at a time.
        mean, tone, grid, percentiles, dark, likeness = (
            np.concatenate(columns.pop(0)) for _ in range(len(columns))
        )
        return Tracks(mean, tone, grid, percentiles, dark, likeness, self.cuts)

    def _tell(self, last: int) -> None:
        """Ask of the open gaps up to `last`; beyond the show's ends stand its end frames."""
        waiting = self._waiting
        assert waiting is not None or not self._open
        while self._open and self._open[0] <= last:
            gap = self._open.pop(0)
            assert waiting is not None
            around = torch.arange(gap - light.LOOK, gap + light.LOOK).clamp(0, self.count - 1)
            if light.cut_between(waiting[around - self._first]):
                self.cuts.append(gap)


def _light(minis: Floats) -> tuple[Floats, Floats, NDArray[np.uint8]]:
    """The mean light, the tone, and the coarse picture of miniatures (n, 3, 24, 32)."""
    linear = np.clip(minis, 0, 1) ** np.float32(_POWER)
    count, _, rows, columns = linear.shape
    # By the strongest primary, not by luminance: a blue wash is as much of a colour as a green one.
    tone = np.einsum("nhw,nchw->nc", linear.max(1), linear) + np.float32(1e-9)
    tone /= tone.max(1, keepdims=True)
    cells = linear.reshape(count, 3, ROWS, rows // ROWS, COLUMNS, columns // COLUMNS)
    coarse = cells.mean((3, 5)).transpose(0, 2, 3, 1)
    codes = 255 * coarse ** np.float32(1 / _POWER) + np.float32(0.5)
    return linear.mean((2, 3)), tone, codes.astype(np.uint8)
