"""Crops side by side, to be looked at: figures do not say whether skin looks like skin."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from metrics import Film
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Spot", "crop", "find", "sheet"]

_WIDE, _TALL = 480, 360
_LABEL_PX = 24
_COLUMNS = 4
_STEP = 8


@dataclass(frozen=True)
class Spot:
    """Where and when to look; even, so that chroma's samples are whole."""

    moment: int
    left: int
    top: int


def find(truth: Film, moment: int) -> Spot:
    """The place with the most texture and motion at this moment."""
    luma = truth.planes()[0]
    now, before = (luma[n].astype(np.float32) for n in (moment, max(moment - 1, 0)))
    texture = np.zeros_like(now)
    texture[:, 1:] += np.abs(np.diff(now, axis=1))
    texture[1:] += np.abs(np.diff(now, axis=0))
    motion = np.abs(now - before)
    # Motion alone would find a lamp on a wall: what is wanted is detail that moves.
    score = _summed(np.sqrt(texture * motion))
    wide, tall = min(_WIDE, truth.width) // _STEP, min(_TALL, truth.height) // _STEP
    boxes = (
        score[tall:, wide:] - score[:-tall, wide:] - score[tall:, :-wide] + score[:-tall, :-wide]
    )
    row, column = np.unravel_index(int(boxes.argmax()), boxes.shape)
    return Spot(moment, int(column) * _STEP, int(row) * _STEP)


def crop(film: Film, spot: Spot) -> Image.Image:
    """The spot's part of a film, R'G'B' by BT.601."""
    y, u, v = (plane[spot.moment] for plane in film.planes())
    luma = _cut(y, spot.top, spot.left, _TALL, _WIDE)
    half = (spot.top // 2, spot.left // 2, _TALL // 2, _WIDE // 2)
    size = luma.shape[1], luma.shape[0]
    cb, cr = (
        np.asarray(Image.fromarray(_cut(plane, *half)).resize(size, Image.Resampling.BICUBIC))
        for plane in (u, v)
    )
    luma, cb, cr = (luma - 64) / 876, (cb - 512) / 896, (cr - 512) / 896
    red, blue = luma + 1.402 * cr, luma + 1.772 * cb
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    codes = np.clip(np.stack([red, green, blue], -1) * 255 + 0.5, 0, 255)
    return Image.fromarray(codes.astype(np.uint8))


def sheet(pictures: Sequence[tuple[str, Image.Image]], title: str) -> Image.Image:
    """Labelled pictures in rows of four, under a title."""
    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    tall = _TALL + _LABEL_PX
    whole = Image.new("RGB", (columns * _WIDE, rows * tall + _LABEL_PX), "black")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(15)
    pen.text((6, 3), title, fill="white", font=font)
    for number, (label, picture) in enumerate(pictures):
        row, column = divmod(number, columns)
        left, top = column * _WIDE, row * tall + _LABEL_PX
        pen.text((left + 6, top + 3), label, fill="white", font=font)
        whole.paste(picture, (left, top + _LABEL_PX))
    return whole


def _summed(score: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sums of all cells above and left of a corner, cells of eight pixels."""
    height, width = (size // _STEP * _STEP for size in score.shape)
    cells = score[:height, :width].reshape(height // _STEP, _STEP, width // _STEP, _STEP)
    table = cells.sum((1, 3), dtype=np.float64).cumsum(0).cumsum(1)
    return np.pad(table, ((1, 0), (1, 0)))


def _cut(
    plane: NDArray[np.uint16], top: int, left: int, tall: int, wide: int
) -> NDArray[np.float32]:
    return plane[top : top + tall, left : left + wide].astype(np.float32)
