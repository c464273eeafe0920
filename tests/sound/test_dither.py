"""Rounding to the target's bits."""

import numpy as np
import pytest
import scipy.signal

from encoreaudio.dither import Quantiser, noise_filter


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


def shaped(samples, rate, size=None):
    quantiser = Quantiser("PCM_16", shaped_hz=rate)
    size = size or max(1, len(samples))
    parts = [quantiser.process(samples[at : at + size]) for at in range(0, len(samples), size)]
    return np.concatenate([*parts, quantiser.flush()]), quantiser


def band_db(error, rate, low_hz, high_hz):
    hertz, power = scipy.signal.welch(error, rate, nperseg=4096)
    return 10 * np.log10(power[(hertz >= low_hz) & (hertz <= high_hz)].mean())


@pytest.mark.parametrize(("rate", "lower_db"), [(44100, 16), (48000, 16.5), (96000, 21)])
def test_shaped_noise_is_far_lower_where_the_ear_is_keenest(rate, lower_db):
    samples = 0.3 * np.sin(2 * np.pi * 997 / rate * np.arange(12 * rate))[:, np.newaxis]
    error = (shaped(samples, rate)[0] - samples * 32768)[:, 0]
    flat = (Quantiser("PCM_16").process(samples) - samples * 32768)[:, 0]
    assert band_db(flat, rate, 2000, 5000) - band_db(error, rate, 2000, 5000) > lower_db
    assert 10 * np.log10(np.var(error) / np.var(flat)) < 8.2
    # No distortion: the error holds nothing of the tone or its harmonics.
    for hertz in (997, 2991, 4985):
        wave = np.exp(-2j * np.pi * hertz / rate * np.arange(len(error)))
        assert abs(np.mean(error * wave)) < 0.01


def test_stretches_side_by_side_give_what_one_long_loop_gives():
    # Taken back through the filter, the error is that of each rounding: 1.5 steps at most.
    samples = np.random.default_rng(0).standard_normal((400_000, 2)) * 0.1
    error = shaped(samples, 48000)[0] - samples * 32768
    single = scipy.signal.lfilter([1.0], noise_filter(48000), error, axis=0)
    assert np.count_nonzero(np.abs(single) > 1.5) < 40
    assert np.var(single) == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 192000])
def test_the_noise_filter_is_stable_both_ways(rate):
    taps = noise_filter(rate)
    assert taps[0] == 1
    assert np.abs(np.roots(taps)).max() < 0.97


def test_shaped_noise_does_not_depend_on_the_block_size_or_touch_what_needs_none():
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (30000, 2))
    samples[10000:20000] = np.rint(samples[10000:20000] * 32768) / 32768
    outs = [shaped(samples, 48000, size)[0] for size in (None, 701)]
    assert np.array_equal(*outs)
    assert np.array_equal(outs[0][10000:20000], samples[10000:20000] * 32768)
    silence, quantiser = shaped(np.zeros((5000, 1)), 48000)
    assert silence.shape == (5000, 1)
    assert not silence.any()
    assert not quantiser.dithered
    assert len(shaped(samples[:1], 48000)[0]) == 1
