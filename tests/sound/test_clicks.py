"""Clicks: which are taken out, what is left alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from encoreaudio.clicks import ClickFinder, ClickRepair

RATE = 48000


def sea(seconds=2.0, rate=RATE, seed=0):
    """Tones that come and go over a little noise: nothing in it is sudden."""
    at = np.arange(round(seconds * rate)) / rate
    rng = np.random.default_rng(seed)
    tones = sum(
        0.05 * np.sin(2 * np.pi * hertz * at + phase) * (1 + 0.3 * np.sin(2 * np.pi * at))
        for hertz, phase in zip((110, 277, 440, 1320, 2900), rng.uniform(0, 6, 5), strict=True)
    )
    return (tones + 1e-3 * rng.standard_normal(len(at)))[:, np.newaxis]


def snr(clean, heard):
    return 10 * np.log10(np.sum(clean**2) / (np.sum((heard - clean) ** 2) + 1e-30))


def test_single_false_samples_are_put_right_and_no_other_is_touched(chopped):
    clean = sea()
    damaged = clean.copy()
    places = np.arange(5000, 90000, 3777)
    damaged[places] += 0.2
    stage = ClickRepair(RATE, 1)
    out = chopped(stage, damaged, 4800)
    assert stage.repaired == len(places)
    assert snr(clean, out) > snr(clean, damaged) + 30
    far = np.abs(np.arange(len(clean))[:, np.newaxis] - places).min(axis=1) > 16
    assert np.array_equal(out[far], damaged[far])


def test_a_tick_of_a_millisecond_is_taken_out_whole(chopped):
    clean = sea()
    damaged = clean.copy()
    tick = 0.3 * np.exp(-np.arange(48) / 12) * np.random.default_rng(1).standard_normal(48)
    damaged[40000:40048, 0] += tick
    out = chopped(ClickRepair(RATE, 1), damaged)
    assert snr(clean, out) > snr(clean, damaged) + 15


def test_a_click_in_one_channel_leaves_the_other_bit_for_bit(chopped):
    damaged = np.repeat(sea(), 2, axis=1)
    damaged[30000, 1] += 0.3
    out = chopped(ClickRepair(RATE, 2), damaged)
    assert np.array_equal(out[:, 0], damaged[:, 0])
    assert abs(out[30000, 1] - damaged[30000, 0]) < 0.01


@pytest.mark.parametrize("seed", range(4))
def test_a_plucked_string_is_not_a_click(chopped, seed):
    rng = np.random.default_rng(seed)
    at = np.arange(RATE) / RATE
    pluck = sum(np.exp(-at * (3 + k)) * np.sin(2 * np.pi * 196 * k * at) / k for k in range(1, 30))
    samples = 1e-4 * rng.standard_normal((2 * RATE, 1))
    samples[RATE // 2 : RATE // 2 + RATE, 0] += 0.3 * pluck
    assert np.array_equal(chopped(ClickRepair(RATE, 1), samples), samples)


@pytest.mark.parametrize("seed", range(4))
def test_a_drum_is_not_a_click(chopped, seed):
    rng = np.random.default_rng(seed)
    samples = sea()
    at = np.arange(RATE // 4) / RATE
    samples[RATE : RATE + RATE // 4, 0] += 0.3 * np.exp(-at * 40) * rng.standard_normal(
        len(at)
    ) + 0.5 * np.exp(-at * 20) * np.cos(2 * np.pi * 60 * at)
    assert np.array_equal(chopped(ClickRepair(RATE, 1), samples), samples)


def test_the_pulses_of_a_voice_are_not_clicks(chopped):
    pulses = np.zeros(2 * RATE)
    pulses[:: RATE // 120] = 1.0

    for hertz, width in ((500, 80), (1500, 120), (2500, 160)):
        radius = np.exp(-np.pi * width / RATE)
        pulses = lfilter(
            [1.0], [1.0, -2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2], pulses
        )
    samples = (0.3 * pulses / np.abs(pulses).max())[:, np.newaxis]
    samples += 1e-4 * np.random.default_rng(0).standard_normal(samples.shape)
    out = chopped(ClickRepair(RATE, 1), samples)
    assert snr(samples, out) > 50


def test_clean_music_is_left_as_it_is(music, chopped):
    samples, rate = music
    samples = samples[: 6 * rate]
    assert snr(samples, chopped(ClickRepair(rate, 2), samples)) > 50


def test_clicks_in_music_are_taken_out(music, chopped):
    samples, rate = music
    samples = samples[: 4 * rate]
    damaged = samples.copy()
    rng = np.random.default_rng(3)
    for at in rng.integers(rate // 10, 3.9 * rate, 30):
        length = int(rng.integers(1, 40))
        damaged[at : at + length, rng.integers(2)] += (
            0.3 * np.exp(-4 * np.arange(length) / length) * rng.standard_normal(length)
        )
    out = chopped(ClickRepair(rate, 2), damaged)
    assert snr(samples, out) > snr(samples, damaged) + 8


def test_a_share_of_a_click_is_taken_out_and_none_at_zero(chopped):
    damaged = sea()
    damaged[30000] += 0.3
    whole, half = (chopped(ClickRepair(RATE, 1, amount), damaged) for amount in (1.0, 0.5))
    assert np.allclose(half, (damaged + whole) / 2, atol=1e-12)
    assert np.array_equal(chopped(ClickRepair(RATE, 1, 0.0), damaged), damaged)


def test_the_finder_counts_by_the_minute_and_tells_the_places():
    samples = np.repeat(sea(4.0), 2, axis=1)
    samples[[30000, 90000, 150000], 1] += 0.3
    finder = ClickFinder(RATE, 2)
    for at in range(0, len(samples), 5000):
        finder.add(samples[at : at + 5000])
    found = finder.finish()
    assert found.count == 3
    assert found.per_minute == pytest.approx(45)
    assert [click.channel for click in found.places] == [1, 1, 1]
    assert found.places[0].at_s == pytest.approx(30000 / RATE, abs=1e-3)


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
@pytest.mark.parametrize("channels", [1, 6])
def test_any_rate_and_channels_silence_and_scraps_are_in_order(chopped, rate, channels):
    for frames in (0, 1, 50, rate // 2):
        silent = np.zeros((frames, channels))
        assert np.array_equal(chopped(ClickRepair(rate, channels), silent, 999), silent)
    damaged = sea(1.0, rate)
    damaged[rate // 2] += 0.4
    out = chopped(ClickRepair(rate, 1), damaged)
    assert len(out) == rate
    assert abs(out[rate // 2] - sea(1.0, rate)[rate // 2]) < 0.05


@settings(max_examples=8, deadline=None)
@given(frames=st.integers(0, 40000), size=st.integers(100, 30000))
def test_any_block_size_gives_the_same_bits_and_length(frames, size):
    samples = np.repeat(sea(1.0), 2, axis=1)[:frames]
    samples[3000::4999, 1] += 0.3
    outs = []
    for step in (size, max(1, frames)):
        stage = ClickRepair(RATE, 2)
        parts = [stage.process(samples[at : at + step]) for at in range(0, frames, step)]
        outs.append(np.concatenate([*parts, stage.flush()]))
    assert outs[0].shape == samples.shape
    assert np.array_equal(*outs)
