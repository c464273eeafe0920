"""Changing the sample rate."""

import numpy as np
import pytest

from encoreaudio.rate import Resampler


@pytest.mark.parametrize(("rate", "other"), [(48000, 44100), (44100, 48000), (8000, 192000)])
@pytest.mark.parametrize("frames", [1, 100, 31234])
def test_length_is_exact_and_does_not_depend_on_the_block_size(chopped, rate, other, frames):
    samples = np.random.default_rng(0).standard_normal((frames, 2)) * 0.1
    outs = [chopped(Resampler(rate, other, 2), samples, size) for size in (None, 997)]
    assert len(outs[0]) == round(frames * other / rate)
    assert np.allclose(*outs, atol=1e-12)


def test_a_tone_comes_through_unmoved(chopped):
    def tone(rate):
        return np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)[:, np.newaxis]

    out = chopped(Resampler(48000, 44100, 1), tone(48000))
    assert np.abs(out - tone(44100))[2000:-2000].max() < 1e-6
