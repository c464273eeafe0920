"""The noise print: hiss is found under music, and music is not taken for hiss."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.noise import NoiseFinder, print_of

RATE = 48000


def found(samples, rate=RATE, size=48000):
    finder = NoiseFinder(rate, samples.shape[1])
    for at in range(0, len(samples), size):
        finder.add(samples[at : at + size])
    return finder.finish()


def white(seconds, channels=2, rate=RATE, level=0.01):
    shape = (round(seconds * rate), channels)
    return np.random.default_rng(3).standard_normal(shape) * level


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_the_level_of_white_noise_is_its_variance(rate):
    print_ = found(white(12, 1, rate), rate)
    assert print_.level_dbfs[0] == pytest.approx(-40, abs=0.3)
    assert np.allclose(print_.density_db[0], -40 - 10 * math.log10(rate / 2), atol=2)
    assert print_.sureness == 1


def test_hiss_under_music_is_found_within_two_decibels_above_five_kilohertz(music):
    samples, rate = music
    level = np.sqrt(np.mean(samples**2)) / 10
    noisy = samples + white(12, rate=rate, level=level)[: len(samples)]
    print_ = found(noisy, rate)
    high = np.array(print_.frequencies_hz) > 5000
    truth = 20 * math.log10(level) - 10 * math.log10(rate / 2)
    assert np.allclose(np.array(print_.density_db)[:, high], truth, atol=2)


def test_clean_music_has_no_print(music):
    samples, rate = music
    print_ = found(samples, rate)
    assert print_.sureness == 0
    assert set(print_.level_dbfs) == {-math.inf}


def test_silence_between_the_songs_and_a_steady_tone_do_not_move_the_print():
    noise = white(12)
    noise[RATE : 4 * RATE] = 0
    tone = 0.2 * np.sin(2 * np.pi * 3000 * np.arange(len(noise)) / RATE)
    tone[RATE : 4 * RATE] = 0
    print_ = found(noise + tone[:, np.newaxis])
    assert print_.level_dbfs[0] == pytest.approx(-40, abs=0.5)


def test_a_short_stretch_given_by_the_user_is_believed():
    print_ = print_of(white(0.5), RATE)
    assert print_.sureness == 1
    assert print_.level_dbfs[0] == pytest.approx(-40, abs=0.7)


@pytest.mark.parametrize("frames", [0, 1, 3000, 100000])
def test_silence_and_next_to_nothing_have_no_print(frames):
    print_ = found(np.zeros((frames, 3)))
    assert print_.sureness == 0
    assert len(print_.density_db) == 3
    assert json.dumps(dataclasses.asdict(print_))


@settings(max_examples=5, deadline=None)
@given(size=st.integers(500, 70000))
def test_any_block_size_gives_the_same_print(size):
    samples = white(3, 1)
    assert found(samples, size=size) == found(samples)
