"""Windows and their truths, cut from the films that `degrade.py` makes.

A film is a mosaic of scenes; a sample is a part of one of them: the pictures around one moment,
lit alike as the engine lights them, and the clean large frame of that moment. Where the moment's
field is a bottom one all is turned upside down, as the engine does.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsencore.engine import colour, light
from vsencore.engine.scaling import resize

__all__ = ["Film", "Sample", "draw", "films", "fixed"]

TILES = 3
# 4:2:0 of 8 bit, limited range; the matrix only serves the light, which is found in R'G'B'.
SIGNAL = colour.Signal("YUV", 8, (1, 1), matrix=5, transfer=6, primaries=5)
# The truth's chroma is left-sited, a network's is in the middle of a frame's pixel.
TRUTH_SHIFT = (0.0, 0.25)
_SAME_LIGHT = 1.5 / 255


@dataclass(frozen=True)
class Film:
    """A folder of arrays, mapped and not read."""

    folder: Path

    @cached_property
    def told(self) -> dict[str, Any]:
        """What was drawn for it."""
        return dict(json.loads((self.folder / "recipe.json").read_text()))

    @cached_property
    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """y, u, v, truth_y, truth_u, truth_v and moments."""
        names = ("y", "u", "v", "truth_y", "truth_u", "truth_v", "moments")
        return {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in names}

    @property
    def top_first(self) -> bool:
        """Which field is the first of a frame."""
        return bool(self.told["top_first"])


@dataclass(frozen=True)
class Sample:
    """Windows (N, K, 4, h, w), luma (N, 1, 2dh, 2w) and chroma (N, 2, dh, w) of the truth."""

    window: Tensor
    luma: Tensor
    chroma: Tensor

    def to(self, device: torch.device) -> "Sample":
        """The same on a device."""
        return Sample(self.window.to(device), self.luma.to(device), self.chroma.to(device))


def films(folder: Path) -> list[Film]:
    """All finished films under a folder."""
    return [Film(path.parent) for path in sorted(folder.glob("film_*/recipe.json"))]


def draw(
    made: Sequence[Film],
    dice: np.random.Generator,
    count: int,
    reach: int,
    lines: int,
    columns: int,
) -> Sample:
    """Cut `count` samples at random places, `lines` field lines by `columns`."""
    parts: list[Sample] = []
    for _ in range(100 * count):
        film = made[int(dice.integers(len(made)))]
        moment = int(dice.integers(len(film.arrays["moments"])))
        part = _cut(film, moment, int(dice.integers(TILES**2)), reach, lines, columns, dice)
        if _same_light(part):
            parts.append(part)
        if len(parts) == count:
            return _joined(parts)
    raise ValueError("hardly a sample is as bright as its truth: these films are no films")


def fixed(made: Sequence[Film], count: int, reach: int, lines: int, columns: int) -> list[Sample]:
    """The same samples every time: one of each film in turn, tile after tile."""
    dice = np.random.default_rng(7)
    samples = []
    for number in range(count):
        film = made[number % len(made)]
        moment = (number // len(made)) % len(film.arrays["moments"])
        samples.append(_cut(film, moment, number % TILES**2, reach, lines, columns, dice))
    return samples


def _cut(
    film: Film,
    moment: int,
    tile: int,
    reach: int,
    lines: int,
    columns: int,
    dice: np.random.Generator,
) -> Sample:
    arrays = film.arrays
    at = int(arrays["moments"][moment])
    height, width = arrays["y"].shape[1] // TILES, arrays["y"].shape[2] // TILES
    row, column = divmod(tile, TILES)
    top, left = row * height, column * width
    times = list(range(at - reach, at + reach + 1))
    if dice.integers(2):  # a show backwards is a show
        times.reverse()
    pictures = [_picture(film, t, top, left, height, width) for t in times]
    window = _lit_alike(
        torch.stack(pictures), ["top" if _is_top(film, t) else "bottom" for t in times]
    )
    luma = _scaled(arrays["truth_y"][moment], 4 * top, 2 * left, 4 * height, 2 * width, luma=True)
    chroma = torch.cat(
        [
            _scaled(arrays[name][moment], 2 * top, left, 2 * height, width, luma=False)
            for name in ("truth_u", "truth_v")
        ],
        0,
    )
    chroma = resize(chroma[None], *chroma.shape[-2:], "bicubic", TRUTH_SHIFT)[0]
    if not _is_top(film, at):
        window, luma, chroma = window.flip(-2), luma.flip(-2), chroma.flip(-2)
    lines, columns = min(lines, height), min(columns, width)
    y = int(dice.integers((height - lines) // 2 + 1)) * 2
    x = int(dice.integers((width - columns) // 2 + 1)) * 2
    return Sample(
        window[None, ..., y : y + lines, x : x + columns],
        luma[None, :, 4 * y : 4 * (y + lines), 2 * x : 2 * (x + columns)],
        chroma[None, :, 2 * y : 2 * (y + lines), x : x + columns],
    )


def _same_light(part: Sample) -> bool:
    """Whether the recording is as bright as the truth.

    A shutter that is open into the next moment's flash has light that the truth's moment has not;
    that light belongs to the show, and no network shall learn to take it away.
    """
    centre = part.window[:, part.window.shape[1] // 2, 0]
    return bool((centre.mean() - part.luma.mean()).abs() < _SAME_LIGHT)


def _picture(film: Film, t: int, top: int, left: int, height: int, width: int) -> Tensor:
    """A field's part (3, height, width): Y'CbCr, chroma at luma's places."""
    luma = film.arrays["y"][t, top : top + height, left : left + width]
    chroma = [
        film.arrays[name][t, top // 2 : (top + height) // 2, left // 2 : (left + width) // 2]
        for name in ("u", "v")
    ]
    codes = [torch.from_numpy(np.array(plane))[None, None] for plane in (luma, *chroma)]
    y, u, v = colour.to_unit(codes, SIGNAL)
    field: colour.Field = "top" if _is_top(film, t) else "bottom"
    return torch.cat(
        [y, colour.chroma_up(torch.cat([u, v], 1), SIGNAL, (height, width), field)], 1
    )[0]


def _lit_alike(pictures: Tensor, parities: Sequence[colour.Field]) -> Tensor:
    """Pictures (K, 3, h, w) with the centre's stage light, and trust as a fourth channel."""
    small = [
        light.miniature(one[None], parity) for one, parity in zip(pictures, parities, strict=True)
    ]
    return light.with_trust(pictures[None], _rgb(torch.cat(small))[None], _rgb, _yuv)[0]


def _rgb(frames: Tensor) -> Tensor:
    return colour.yuv_to_rgb(frames[:, :1], frames[:, 1:], SIGNAL.matrix)


def _yuv(frames: Tensor) -> Tensor:
    return torch.cat(colour.rgb_to_yuv(frames, SIGNAL.matrix), 1)


def _scaled(
    plane: np.ndarray[Any, Any], top: int, left: int, height: int, width: int, *, luma: bool
) -> Tensor:
    codes = torch.from_numpy(np.array(plane[top : top + height, left : left + width])).float()
    unit = (codes - 16) / 219 if luma else (codes - 128) / 224
    return unit[None]


def _is_top(film: Film, t: int) -> bool:
    return (t % 2 == 0) == film.top_first


def _joined(parts: Sequence[Sample]) -> Sample:
    return Sample(
        torch.cat([part.window for part in parts]),
        torch.cat([part.luma for part in parts]),
        torch.cat([part.chroma for part in parts]),
    )
