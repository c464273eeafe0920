"""Borders are found where lines stay black beside lit ones, and nowhere else."""

from __future__ import annotations

import made
import numpy as np
import pytest

from encore.borders import BorderSearch
from encore.facts import Borders


def found(frames: list[made.Picture], *, interlaced: bool = False) -> Borders:
    search = BorderSearch(black=16.0)
    for frame in frames:
        search.look(frame)
    return search.found(interlaced=interlaced)


@pytest.mark.parametrize("sigma", [0.0, 4.0])
def test_letterbox_and_blanking_are_found_through_noise(sigma: float) -> None:
    frames = made.letterboxed(made.progressive(made.pan(), 12), 30)
    for frame in frames:
        frame[:, :9] = 16
        frame[:, -6:] = 16
    assert found(made.noisy(frames, sigma)) == Borders(left=8, right=6, top=30, bottom=30)


def test_borders_of_fields_keep_whole_chroma_lines_of_both_fields() -> None:
    frames = made.letterboxed(made.progressive(made.pan(), 12), 30)
    borders = found(frames, interlaced=True)
    assert (borders.top, borders.bottom) == (28, 28)


def test_dark_stage_around_one_lit_figure_is_no_border() -> None:
    frames = []
    for n in range(12):
        frame = np.full((240, 320), 17, np.float32)
        frame[80:200, 100 + 4 * n : 160 + 4 * n] = 150
        frames.append(frame)
    assert found(made.noisy(frames, 2.0)) == Borders()


def test_film_that_is_black_has_no_borders() -> None:
    assert found([np.full((240, 320), 16, np.float32)] * 5) == Borders()


def test_picture_without_borders_has_none() -> None:
    assert found(made.progressive(made.pan(), 8)) == Borders()


def test_tiny_picture_is_left_alone() -> None:
    assert found([np.full((16, 16), 16, np.float32)]) == Borders()
