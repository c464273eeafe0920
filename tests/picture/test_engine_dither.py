"""The dither's pattern: even, without coarse grain, and the same wherever and whenever asked."""

import numpy as np
import pytest
import torch

from vsencore.engine.colour import Signal, to_code
from vsencore.engine.dither import TILE, ordered, void_and_cluster

CPU = torch.device("cpu")
GREY = Signal("GRAY", 8, full_range=True)


def power_by_frequency() -> tuple[np.ndarray, np.ndarray]:
    """Give each frequency of the tile in cycles a sample, and its power; white noise has 1."""
    levels = (void_and_cluster() + 0.5) / TILE**2 - 0.5
    power = np.abs(np.fft.fft2(levels)) ** 2 / TILE**2 * 12
    axis = np.fft.fftfreq(TILE)
    return np.hypot(axis[:, None], axis), power


def test_every_level_stands_in_the_tile_once():
    assert np.array_equal(np.sort(void_and_cluster(), axis=None), np.arange(TILE**2))


def test_the_pattern_has_no_coarse_grain():
    frequency, power = power_by_frequency()
    assert power[(frequency > 0) & (frequency < 0.1)].max() < 0.01
    assert power[(frequency > 0) & (frequency < 0.2)].max() < 0.05


def test_the_pattern_has_no_lattice():
    # A 16x16 Bayer matrix, tiled to this size, has three quarters of its power in one frequency.
    _, power = power_by_frequency()
    assert power.max() / power.sum() < 0.01


@pytest.mark.parametrize("level", [0.02, 0.25, 0.5, 0.6, 0.75, 0.98])
def test_the_mean_of_a_flat_grey_is_kept(level):
    flat = torch.full((1, 1, TILE, TILE), (100 + level) / 255)
    (codes,) = to_code([flat], GREY)
    assert codes.to(torch.float64).mean().item() == pytest.approx(100 + level, abs=1 / 60)


def test_a_sample_is_never_further_than_one_code_from_its_value():
    x = torch.rand(1, 1, 200, 200) * 255
    (codes,) = to_code([x / 255], GREY)
    assert (codes.float() - x).abs().max() < 1


def test_a_still_picture_is_still():
    frames = torch.rand(1, 1, 90, 70).expand(5, 1, 90, 70)
    (together,) = to_code([frames], GREY)
    (alone,) = to_code([frames[:1]], GREY)
    assert all(torch.equal(frame, alone[0]) for frame in together)


def test_the_pattern_of_a_small_picture_is_the_corner_of_a_large_ones():
    assert torch.equal(ordered(30, 100, 1, CPU), ordered(300, 200, 1, CPU)[:30, :100])


def test_planes_are_given_different_places_of_the_pattern():
    first, second, third = (ordered(TILE, TILE, plane, CPU).flatten() for plane in range(3))
    pairs = [(first, second), (first, third), (second, third)]
    for one, other in pairs:
        assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1].item()) < 0.1
