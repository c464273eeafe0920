"""The delay between a pair: measured, followed, taken back; and none invented."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.azimuth import Azimuth, AzimuthFinder, AzimuthRepair

RATE = 44100


def delayed(wave, late):
    """Late by any number of samples, by the phase of its whole spectrum."""
    spectrum = np.fft.rfft(wave, 2 * len(wave))
    at = np.arange(len(spectrum)) / (2 * len(wave))
    return np.fft.irfft(spectrum * np.exp(-2j * np.pi * at * late))[: len(wave)]


def found(samples, rate=RATE):
    finder = AzimuthFinder(rate, samples.shape[1])
    for at in range(0, len(samples), rate):
        finder.add(samples[at : at + rate])
    return finder.finish()


def pink(seconds, seed=0, rate=RATE):
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(seconds * rate))
    wave = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 50.0))
    return 0.1 * wave / wave.std()


@pytest.mark.parametrize("late", [0.3, 1.7, 4.25, -2.6])
def test_a_delay_in_music_is_measured_and_taken_back(chopped, music, late):
    clean, rate = music
    heard = np.stack((clean[:, 0], delayed(clean[:, 1], late)), axis=1)
    azimuth = found(heard, rate)
    assert azimuth.matters
    assert azimuth.delay_samples == pytest.approx(late, abs=0.02)
    out = chopped(AzimuthRepair(rate, 2, azimuth), heard, rate)
    assert found(out, rate).delay_samples == pytest.approx(0, abs=0.02)
    # Both moved by half of it.
    wanted = np.stack([delayed(channel, late / 2) for channel in clean.T], axis=1)
    middle = slice(rate, -rate)
    assert np.sum((out - wanted)[middle] ** 2) < 1e-5 * np.sum(wanted[middle] ** 2)


def test_a_delay_that_drifts_is_followed(chopped):
    # Of a sum of sinusoids any delay at any time is known exactly.
    at = np.arange(40 * 16000) / 16000
    late = 0.5 + 2 * at / 40
    rng = np.random.default_rng(0)
    tones = [(hertz, rng.uniform(0, 6)) for hertz in rng.uniform(300, 7000, 60)]
    first = sum(np.sin(2 * np.pi * hertz * at + phase) for hertz, phase in tones) * 0.02
    second = (
        sum(np.sin(2 * np.pi * hertz * (at - late / 16000) + phase) for hertz, phase in tones)
        * 0.02
    )
    heard = np.stack((first, second), axis=1)
    azimuth = found(heard, 16000)
    seconds, delays = np.array(azimuth.course).T
    assert delays == pytest.approx(0.5 + 2 * seconds / 40, abs=0.03)
    out = chopped(AzimuthRepair(16000, 2, azimuth), heard, 16000)
    middle = slice(4 * 16000, 36 * 16000)
    assert np.std((out[:, 0] - out[:, 1])[middle]) < 0.03 * np.std((first - second)[middle])


def test_clean_music_passes_bit_for_bit(chopped, music):
    clean, rate = music
    azimuth = found(clean, rate)
    assert not azimuth.matters
    assert np.array_equal(chopped(AzimuthRepair(rate, 2, azimuth), clean, rate), clean)


def test_panned_sources_have_one_delay_and_spaced_microphones_have_many():
    sources = [pink(16, seed) for seed in range(4)]
    at = np.arange(len(sources[0])) / RATE
    # They take turns in being loud, as players do.
    sources = [s * (1.1 + np.sin(2 * np.pi * at / 3 + n)) for n, s in enumerate(sources)]
    panned = np.stack(
        [
            sum(g * s for g, s in zip(gains, sources, strict=True))
            for gains in ((0.9, 0.5, 0.5, 0.2), (0.3, 0.5, 0.4, 0.8))
        ],
        axis=1,
    )
    assert not found(panned).matters
    panned[:, 1] = delayed(panned[:, 1], 1.3)
    assert found(panned).delay_samples == pytest.approx(1.3, abs=0.05)
    spaced = np.stack(
        (sum(sources), sum(delayed(s, d) for s, d in zip(sources, (-12, -3, 4, 11), strict=True))),
        axis=1,
    )
    assert not found(spaced).matters


def test_unlike_channels_silence_mono_and_short_sounds_are_left_alone():
    unlike = np.stack((pink(8, 1), pink(8, 2)), axis=1)
    assert not found(unlike).matters
    assert not found(np.zeros((8 * RATE, 2))).matters
    assert not found(np.zeros((0, 2))).matters
    assert not found(np.ones((1, 2))).matters
    assert found(np.zeros((RATE, 1))) is None


def test_other_channels_and_an_amount_of_nothing_pass_bit_for_bit(chopped):
    samples = np.random.default_rng(0).standard_normal((50000, 6))
    azimuth = Azimuth(1.5, ((0.0, 1.5), (9.0, 1.7)), 0.0, 1.0, certain=True, matters=True)
    assert np.array_equal(chopped(AzimuthRepair(RATE, 6, azimuth, 0.0), samples), samples)
    assert np.array_equal(chopped(AzimuthRepair(RATE, 6, azimuth), samples)[:, 2:], samples[:, 2:])


def test_a_long_show_is_remembered_in_bounded_space():
    finder = AzimuthFinder(8000, 2)
    point = np.array([0.0, 1e-5, 1.0, 1.0, 1.0])
    for second in range(5000):
        finder._point(point + np.array([4.0 * second, 0, 0, 0, 0]))
    azimuth = finder.finish()
    assert len(azimuth.course) <= 2048
    assert azimuth.course[-1][0] == pytest.approx(20000, abs=20)
    assert azimuth.delay_samples == pytest.approx(0.08)


@settings(max_examples=8, deadline=None)
@given(frames=st.integers(0, 100000), size=st.integers(300, 60000))
def test_any_block_size_gives_the_same_bits_and_length(frames, size):
    samples = np.random.default_rng(frames).standard_normal((frames, 2))
    azimuth = Azimuth(1.5, ((0.0, 1.5), (1.0, 1.7)), 0.0, 1.0, certain=True, matters=True)
    outs = []
    for step in (size, max(1, frames)):
        stage = AzimuthRepair(RATE, 2, azimuth)
        parts = [stage.process(samples[at : at + step]) for at in range(0, frames, step)]
        outs.append(np.concatenate([*parts, stage.flush()]))
    assert outs[0].shape == samples.shape
    assert np.array_equal(*outs)
