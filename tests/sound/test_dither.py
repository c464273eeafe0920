"""Rounding to the target's bits."""

import numpy as np
import pytest

from encoreaudio.dither import Quantiser


def test_dithered_noise_is_that_of_tpdf():
    # A step's error of a twelfth, plus two uniform noises of a twelfth each: a quarter of a step.
    ramp = np.linspace(-0.5, 0.5, 400_000)[:, np.newaxis]
    error = Quantiser("PCM_16").process(ramp) - ramp * 32768
    assert np.var(error) == pytest.approx(0.25, rel=0.02)
    assert abs(np.mean(error)) < 0.005


def test_a_tone_below_one_step_survives_dither():
    at = np.arange(480_000)
    wave = 0.4 / 32768 * np.sin(2 * np.pi * 1000 * at / 48000)
    out = Quantiser("PCM_16").process(wave[:, np.newaxis])[:, 0]
    found = 2 * np.abs(np.mean(out * np.exp(-2j * np.pi * 1000 * at / 48000)))
    assert found == pytest.approx(0.4, rel=0.05)


def test_samples_on_the_grid_pass_untouched_and_silence_stays_silent():
    whole = np.random.default_rng(0).integers(-32768, 32768, (5000, 2))
    quantiser = Quantiser("PCM_16")
    assert np.array_equal(quantiser.process(whole / 32768), whole)
    assert not quantiser.process(np.zeros((100, 2))).any()
    assert not quantiser.dithered


def test_the_noise_repeats_and_does_not_depend_on_the_block_size():
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (9000, 2))
    whole = Quantiser("PCM_16").process(samples)
    chopping = Quantiser("PCM_16")
    parts = [chopping.process(samples[at : at + 701]) for at in range(0, 9000, 701)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_24_bits_are_rounded_into_the_upper_bytes_without_noise():
    whole = np.random.default_rng(0).integers(-(2**23), 2**23, (5000, 2))
    quantiser = Quantiser("PCM_24")
    assert np.array_equal(quantiser.process((whole + 0.3) / 2**23) >> 8, whole)
    assert not quantiser.dithered


@pytest.mark.parametrize(("subtype", "top"), [("PCM_16", 32767), ("PCM_24", 2**31 - 256)])
def test_samples_beyond_full_scale_are_clipped_and_counted(subtype, top):
    quantiser = Quantiser(subtype)
    out = quantiser.process(np.array([[1.5], [-1.5], [-1.0], [0.25]]))
    assert out[0, 0] == top
    assert out[1, 0] == np.iinfo(out.dtype).min
    assert quantiser.clipped_samples == 2
