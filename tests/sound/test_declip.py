"""Clipped tops: where they are found, and how they come back."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.clipping import ClipFinder
from encoreaudio.declip import ClipRepair

RATE = 48000


def chord(seconds=1.0, rate=RATE):
    at = np.arange(round(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * hertz * at + hertz) for hertz in (110, 277, 440, 1320))
    return (tones / np.abs(tones).max())[:, np.newaxis]


def found(samples, size=7777):
    finder = ClipFinder(samples.shape[1])
    for at in range(0, len(samples), size):
        finder.add(samples[at : at + size])
    return finder.finish()


def repaired(samples, chopped, rate=RATE, amount=1.0, size=None):
    return chopped(ClipRepair(rate, samples.shape[1], found(samples), amount), samples, size)


def snr(clean, heard):
    return 10 * np.log10(np.sum(clean**2) / (np.sum((heard - clean) ** 2) + 1e-30))


def test_each_side_of_each_channel_has_its_own_level():
    samples = np.concatenate((np.clip(chord(), -0.6, 0.8), 0.5 * chord()), axis=1)
    clipping = found(samples)
    assert clipping.levels == ((0.6, 0.8), (None, None))
    assert clipping.samples == np.count_nonzero((samples[:, 0] == 0.8) | (samples[:, 0] == -0.6))


def test_a_recording_that_was_turned_down_after_clipping_is_found():
    assert found(0.1 * np.clip(chord(), -0.7, 0.7)).levels[0] == pytest.approx((0.07, 0.07))


def test_a_square_wave_and_silence_are_not_clipped():
    assert found(np.sign(chord()) * 0.5).levels == ((None, None),)
    assert found(np.zeros((100, 1))).levels == ((None, None),)


@pytest.mark.parametrize("over_db", [1, 3, 6])
def test_tops_of_a_chord_come_back(chopped, over_db):
    clean = chord()
    level = 10 ** (-over_db / 20)
    damaged = np.clip(clean, -level, level)
    assert snr(clean, repaired(damaged, chopped)) > snr(clean, damaged) + 10


def test_good_samples_pass_bit_for_bit_and_the_others_lie_at_the_level_or_beyond(chopped):
    damaged = np.clip(chord(), -0.5, 0.6)
    out = repaired(damaged, chopped)
    good = (damaged > -0.5) & (damaged < 0.6)
    assert np.array_equal(out[good], damaged[good])
    assert out[damaged == 0.6].min() >= 0.6
    assert out[damaged == -0.5].max() <= -0.5
    assert np.abs(out).max() > 0.7


def test_nothing_is_done_where_nothing_is_clipped_or_nothing_is_asked(chopped):
    clean = chord()
    assert np.array_equal(repaired(clean, chopped), clean)
    damaged = np.clip(clean, -0.5, 0.5)
    assert np.array_equal(repaired(damaged, chopped, amount=0.0), damaged)
    half, whole = (repaired(damaged, chopped, amount=amount) for amount in (0.5, 1.0))
    assert np.allclose(half, (damaged + whole) / 2, atol=1e-12)


def voiced(seconds=3, rate=RATE):
    """Pulses of a glide through three formants, in syllables: like a voice."""
    noise = np.random.default_rng(0).standard_normal(seconds * rate)
    at = np.arange(seconds * rate) / rate
    hertz = 140 * (1 + 0.03 * np.sin(2 * np.pi * 5 * at) + 0.1 * np.sin(2 * np.pi * 0.7 * at))
    wave = np.diff(np.floor(np.cumsum(hertz) / rate), prepend=0)
    for formant, width in ((600, 80), (1100, 100), (2600, 150)):
        decay = np.exp(-np.pi * width / rate)
        turn = 2 * decay * np.cos(2 * np.pi * formant / rate)
        wave = scipy.signal.lfilter([1], [1, -turn, decay**2], wave)
    wave += 0.002 * np.abs(wave).max() * noise
    wave *= 0.25 + 0.75 * np.abs(np.sin(2 * np.pi * 1.3 * at))
    return (wave / np.abs(wave).max())[:, np.newaxis]


def clipped(clean, over_db):
    clean = clean / np.abs(clean).max()
    level = 10 ** (-over_db / 20)
    return clean, np.clip(clean, -level, level)


@pytest.mark.parametrize("over_db", [0.5, 1, 3])
def test_a_voice_is_trusted_and_comes_back(chopped, over_db):
    clean, damaged = clipped(voiced(), over_db)
    assert ClipRepair(RATE, 1, found(damaged)).trust > 0.9
    assert snr(clean, repaired(damaged, chopped)) > snr(clean, damaged) + 10


@pytest.mark.parametrize("drive", [4, 5])
def test_a_voice_that_was_limited_before_is_not_made_worse(chopped, drive):
    clean, damaged = clipped(np.tanh(drive * voiced()), 0.5)
    untested = replace(found(damaged), passages=())
    harmed = chopped(ClipRepair(RATE, 1, untested), damaged)
    assert snr(clean, harmed) < snr(clean, damaged)
    assert snr(clean, repaired(damaged, chopped)) >= snr(clean, damaged)


@pytest.mark.parametrize("over_db", [3, 6])
def test_music_gains_six_decibels(music, chopped, over_db):
    samples, rate = music
    at = int(np.abs(samples).max(axis=1).argmax())
    clean = samples[max(0, at - rate) : at + rate]
    clean = clean / np.abs(clean).max()
    level = 10 ** (-over_db / 20)
    damaged = np.clip(clean, -level, level)
    assert snr(clean, repaired(damaged, chopped, rate)) > snr(clean, damaged) + 6


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
@pytest.mark.parametrize("channels", [1, 6])
def test_any_rate_and_channels_and_scraps_are_in_order(chopped, rate, channels):
    clean = np.repeat(chord(0.2, rate), channels, axis=1)
    damaged = np.clip(clean, -0.7, 0.7)
    assert snr(clean, repaired(damaged, chopped, rate)) > snr(clean, damaged) + 6
    for frames in (0, 1, 3, 50):
        out = repaired(np.full((frames, channels), 0.5), chopped, rate)
        assert out.shape == (frames, channels)


@settings(max_examples=8, deadline=None)
@given(frames=st.integers(0, 40000), size=st.integers(100, 30000))
def test_any_block_size_gives_the_same_bits_and_length(frames, size):
    samples = np.clip(np.repeat(chord(), 2, axis=1)[:frames], -0.9, 0.8)
    clipping = found(samples)
    outs = []
    for step in (size, max(1, frames)):
        stage = ClipRepair(RATE, 2, clipping)
        parts = [stage.process(samples[at : at + step]) for at in range(0, frames, step)]
        outs.append(np.concatenate([*parts, stage.flush()]))
    assert outs[0].shape == samples.shape
    assert np.array_equal(*outs)
