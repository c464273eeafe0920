"""Counting flat tops."""

import numpy as np
import pytest

from encoreaudio.clipping import ClipFinder

WAVE = np.sin(2 * np.pi * 100 * np.arange(48000) / 48000)[:, np.newaxis]


def count(samples, size=10**9):
    runs = ClipFinder(samples.shape[1])
    for at in range(0, len(samples), size):
        runs.add(samples[at : at + size])
    return runs.finish().samples


@pytest.mark.parametrize("level", [1.0, 0.8])
def test_flat_tops_are_counted_also_when_turned_down(level):
    hot = np.clip(1.01 * WAVE, -1, 1)
    assert count(hot * level) == np.count_nonzero(np.abs(hot) == 1)


def test_single_samples_at_full_scale_are_not_clipping():
    loud = np.round(WAVE * 0.999 * 32768) / 32768
    loud[100], loud[500], loud[501] = 1.0, 1.0, 1.0
    assert count(loud) == 0


def test_a_quiet_square_wave_is_not_clipping():
    assert count(np.sign(WAVE) * 0.3) == 0


def test_the_count_does_not_depend_on_the_block_size():
    hot = np.clip(np.concatenate((1.2 * WAVE, -1.5 * WAVE), axis=1) * [0.9, 1.0], -0.95, 0.9)
    assert len({count(hot, size) for size in (3, 7, 101, 4800, 10**9)}) == 1
