"""The long-term spectrum: levels by closed forms, what counts, and what may be compared."""

import dataclasses
import json

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.spectrum import BANDS_HZ, SpectrumFinder

RATE = 48000
STEREO = ("FL", "FR")


def found(samples, rate=RATE, speakers=STEREO, size=48000):
    finder = SpectrumFinder(rate, speakers)
    for at in range(0, len(samples), size):
        finder.add(samples[at : at + size])
    return finder.finish()


def noise(seconds, rate=RATE, channels=2, seed=1):
    return 0.1 * np.random.default_rng(seed).standard_normal((seconds * rate, channels))


def test_white_noise_rises_by_its_bands_width_and_sums_to_its_power():
    one = np.repeat(noise(20)[:, :1], 2, axis=1)
    spectrum = found(one)
    middles = np.array(BANDS_HZ)
    width = middles * (2 ** (1 / 12) - 2 ** (-1 / 12))
    expected = 10 * np.log10(0.01 * width / (RATE / 2))
    upper = middles > 200
    assert np.abs(np.array(spectrum.mid_db) - expected)[upper].max() < 0.5
    assert max(spectrum.side_db) == -200


def test_a_tone_has_its_level_in_its_own_band():
    tone = np.sin(2 * np.pi * 1000 * np.arange(5 * RATE) / RATE)
    spectrum = found(np.stack((tone, -tone), axis=1))
    at = BANDS_HZ.index(1000.0)
    assert spectrum.side_db[at] == pytest.approx(-3.01, abs=0.02)
    assert max(spectrum.mid_db) == -200


def test_silence_and_what_lies_ten_below_the_music_do_not_count():
    loud = noise(10)
    tone = 0.02 * np.sin(2 * np.pi * 3000 * np.arange(20 * RATE) / RATE)
    quiet = np.stack((tone, tone), axis=1)
    alone, among = found(loud), found(np.concatenate((quiet, loud, np.zeros((RATE, 2)))))
    assert np.abs(np.array(alone.mid_db) - among.mid_db).max() < 0.3
    assert alone.seconds == pytest.approx(among.seconds, abs=0.3)


def test_rates_compare(music):
    samples, rate = music
    there = found(samples, rate)
    again = found(soxr.resample(samples, rate, RATE, quality="VHQ"))
    upto = np.array(BANDS_HZ) < 15000
    assert np.abs(np.array(there.mid_db) - again.mid_db)[upto].max() < 0.2
    assert np.abs(np.array(there.side_db) - again.side_db)[upto].max() < 0.2


def test_the_centre_belongs_to_mid_and_the_low_frequency_channel_to_nothing():
    surround = np.zeros((5 * RATE, 6))
    surround[:, 2] = noise(5, channels=1)[:, 0]
    surround[:, 3] = noise(5, channels=1, seed=2)[:, 0]
    mono = surround[:, [2, 2]] * np.sqrt(0.5)
    spectrum = found(surround, speakers=("FL", "FR", "FC", "LFE", "BL", "BR"))
    assert np.allclose(spectrum.mid_db, found(mono).mid_db)


@pytest.mark.parametrize("frames", [0, 1, 4000])
def test_too_little_or_nothing_to_hear_counts_no_seconds(frames):
    assert found(np.ones((frames, 2))).seconds == 0
    assert found(np.zeros((RATE, 2))).seconds == 0


@pytest.mark.parametrize("rate", [8000, 192000])
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_any_rate_and_layout_can_be_written_down(rate, channels):
    speakers = ("FC",) if channels == 1 else tuple(f"C{n}" for n in range(channels))
    spectrum = found(noise(1, rate, channels), rate, speakers)
    assert json.loads(json.dumps(dataclasses.asdict(spectrum)))["seconds"] > 0.5


@settings(max_examples=8, deadline=None)
@given(frames=st.integers(0, 60000), size=st.integers(100, 30000))
def test_any_block_size_gives_the_same_numbers(frames, size):
    samples = np.random.default_rng(frames).standard_normal((frames, 2))
    assert found(samples, size=size) == found(samples, size=max(1, frames))
