"""Dither: a fixed pattern of blue noise that turns rounding's steps into fine, even grain.

The pattern is a 64x64 tile of ranks by the void-and-cluster method (R. Ulichney, "The
void-and-cluster method for dither array generation", Proc. SPIE 1913, 1993): at every level its
dots are spread as evenly as they can be, without the lattice of a Bayer matrix. A sample's offset
depends on its place and its plane and on nothing else. The same frame is so the same whenever it is
asked for, and a still picture is still: a pattern that changed with the frame would be noise that
the encoder pays for and that crawls on dark walls.
"""

import random
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

__all__ = ["TILE", "ordered"]

type Grid = np.ndarray[tuple[int, int], np.dtype[np.int64]]
type Dots = np.ndarray[tuple[int, int], np.dtype[np.bool_]]
type Place = tuple[int, int]

TILE = 64
# The offsets span a little less than one code value, so that a sample within 1/64 of a whole code
# stays there: float32's rounding (1/128 at 16 bit) never turns into a wrong code.
SPAN = 31 / 32
# Planes read the tile from different places: errors of luma and chroma do not add up.
PLANE_STARTS = ((0, 0), (21, 43), (43, 21))


def ordered(
    height: int, width: int, plane: int, device: torch.device, top: int = 0, left: int = 0
) -> Tensor:
    """Give the offsets (height, width), in code values within ±31/64, to add before rounding.

    `top` and `left` are where the samples begin in their plane.
    """
    down, right = top % TILE, left % TILE
    wide = _tiles(-(-(right + width) // TILE), plane, device)
    if down + height > TILE:
        wide = wide.repeat(-(-(down + height) // TILE), 1)
    return wide[down : down + height, right : right + width]


@lru_cache(maxsize=64)
def _tiles(count: int, plane: int, device: torch.device) -> Tensor:
    """Tiles side by side: a strip of lines takes its offsets from them as they lie."""
    levels = (void_and_cluster() + 0.5) / TILE**2 - 0.5
    rolled = np.roll(levels * SPAN, PLANE_STARTS[plane], (0, 1))
    with torch.inference_mode(False):
        return torch.from_numpy(np.tile(rolled.astype(np.float32), (1, count))).to(device)


@cache
def void_and_cluster() -> Grid:
    """Rank the places of the tile, 0 to 4095, by Ulichney's three phases; the tile wraps round.

    How crowded a place is, is counted in integers, so every machine makes the same tile.
    """
    spread = _spread()
    dots = _even_start(spread)
    crowd = _crowd(dots, spread)
    start = int(dots.sum())
    ranks = np.zeros((TILE, TILE), np.int64)

    # Phase 1: the start's dots, the most crowded first, get the ranks below theirs.
    left, pressed = dots.copy(), crowd.copy()
    for rank in range(start - 1, -1, -1):
        place = _tightest(left, pressed)
        left[place] = False
        pressed -= _centred(spread, place)
        ranks[place] = rank
    # Phases 2 and 3: every next dot goes to the largest void. (With a symmetric spread the tightest
    # cluster of gaps is the largest void of dots, so the two phases are one loop.)
    for rank in range(start, TILE**2):
        place = _emptiest(dots, crowd)
        dots[place] = True
        crowd += _centred(spread, place)
        ranks[place] = rank
    return ranks


def _spread() -> Grid:
    """A Gaussian of 1.5 samples (Ulichney's choice) about (0, 0) of the wrapped tile."""
    away = np.minimum(np.arange(TILE), TILE - np.arange(TILE))
    squared = away[:, None] ** 2 + away**2
    gaussian: Grid = np.rint(np.exp(-squared / (2 * 1.5**2)) * 2**40).astype(np.int64)
    return gaussian


def _even_start(spread: Grid) -> Dots:
    """A tenth of the places, thrown at random, then moved from clusters to voids till they rest."""
    dice = random.Random(1)
    order = sorted((dice.random(), place) for place in range(TILE**2))
    dots = np.zeros((TILE, TILE), np.bool_)
    dots.flat[[place for _, place in order[: TILE**2 // 10]]] = True
    crowd = _crowd(dots, spread)
    while True:
        cluster = _tightest(dots, crowd)
        dots[cluster] = False
        crowd -= _centred(spread, cluster)
        void = _emptiest(dots, crowd)
        dots[void] = True
        crowd += _centred(spread, void)
        if void == cluster:
            return dots


def _crowd(dots: Dots, spread: Grid) -> Grid:
    crowd = np.zeros((TILE, TILE), np.int64)
    for row, column in np.argwhere(dots):
        crowd += _centred(spread, (int(row), int(column)))
    return crowd


def _tightest(dots: Dots, crowd: Grid) -> Place:
    return divmod(int(np.where(dots, crowd, -1).argmax()), TILE)


def _emptiest(dots: Dots, crowd: Grid) -> Place:
    return divmod(int(np.where(dots, np.iinfo(np.int64).max, crowd).argmin()), TILE)


def _centred(spread: Grid, place: Place) -> Grid:
    return np.roll(spread, place, (0, 1))
