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


def test_the_passages_kept_reach_the_levels_and_do_not_depend_on_the_block_size():
    swelling = np.linspace(0.2, 1.4, 48000 * 20)[:, np.newaxis] * np.tile(WAVE, (20, 1))
    hot = np.clip(np.concatenate((swelling, swelling[::-1]), axis=1), -0.9, 0.8)
    kept = []
    for size in (7777, 48000, 10**9):
        finder = ClipFinder(2)
        for at in range(0, len(hot), size):
            finder.add(hot[at : at + size])
        kept.append(finder.finish().passages)
    for channel in range(2):
        assert 8 <= len(kept[0][channel]) <= 16
        for passages in kept:
            assert np.array_equal(passages[channel], kept[0][channel])
        assert all(one.max() == 0.8 or one.min() == -0.9 for one in kept[0][channel])


def test_a_recording_that_is_not_clipped_keeps_no_passages():
    finder = ClipFinder(1)
    finder.add(0.5 * WAVE)
    assert finder.finish().passages == ((),)
