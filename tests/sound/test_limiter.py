"""The limiter: its ceiling by an outside meter, what it leaves alone, and its time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.limiter import Limiter

RATE = 48000
ALLOWED_DB = 0.05


def limited(samples, chopped, ceiling=-1.0, rate=RATE, size=None):
    return chopped(Limiter(rate, samples.shape[1], ceiling), samples, size)


@pytest.mark.parametrize("drive", [6, 12])
def test_limiter_never_exceeds_its_ceiling_on_music(music, chopped, true_peak_db, drive):
    samples, rate = music
    hot = samples / np.abs(samples).max() * 10 ** (drive / 20)
    assert true_peak_db(limited(hot, chopped, rate=rate)) <= -1 + ALLOWED_DB


@pytest.mark.parametrize("degrees", [0, 22.5, 45, 67.5])
@pytest.mark.parametrize("period", [3, 4, 6, 8, 40])
def test_limiter_never_exceeds_its_ceiling_on_bursts(chopped, true_peak_db, period, degrees):
    at = np.arange(RATE)
    burst = 2 * np.sin(2 * np.pi * at / period + np.deg2rad(degrees)) * (at // 4800 % 2)
    assert true_peak_db(limited(burst[:, np.newaxis], chopped)) <= -1 + ALLOWED_DB


@pytest.mark.parametrize("period", [8, 50, 480])
def test_limiter_never_exceeds_its_ceiling_on_square_waves(chopped, true_peak_db, period):
    square = 2.0 * np.sign(np.sin(2 * np.pi * (np.arange(RATE) + 0.5) / period))
    assert true_peak_db(limited(square[:, np.newaxis], chopped)) <= -1 + ALLOWED_DB


@pytest.mark.parametrize("level", [1.0, 30.0])
def test_limiter_never_exceeds_its_ceiling_on_a_single_sample(chopped, true_peak_db, level):
    samples = np.zeros((RATE // 4, 1))
    samples[RATE // 8] = level
    assert true_peak_db(limited(samples, chopped)) <= -1 + ALLOWED_DB


def test_limiter_tells_how_far_it_came_down_in_each_second(chopped):
    samples = np.full((4 * RATE + RATE // 2, 1), 0.1)
    samples[round(2.5 * RATE)] = 2 * 10 ** (-1 / 20)
    limiter = Limiter(RATE, 1, -1.0)
    chopped(limiter, samples, 1000)
    history = limiter.history()
    assert history.step_s == 1
    assert history.values == pytest.approx((0, 0, 6.02, 0, 0), abs=0.1)
    assert limiter.deepest_db == pytest.approx(max(history.values), abs=1e-3)


@pytest.mark.parametrize("rate", [8000, 44100, 96000, 192000])
def test_limiter_holds_at_any_rate(chopped, true_peak_db, rate):
    noise = np.random.default_rng(0).standard_normal((rate // 2, 2)) * 0.7
    smooth = noise[1:-1] + 0.5 * (noise[:-2] + noise[2:])
    assert true_peak_db(limited(smooth, chopped, rate=rate)) <= -1 + ALLOWED_DB


def test_limiter_is_bit_exact_under_its_ceiling(music, chopped):
    samples, rate = music
    quiet = samples * 0.5
    assert np.array_equal(limited(quiet, chopped, rate=rate), quiet)


def test_limiter_lowers_all_channels_alike(chopped):
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((RATE, 6)) * [1.5, 0.1, 0.1, 0.01, 0.2, 0.3]
    gains = limited(samples, chopped) / samples
    assert np.allclose(gains, gains[:, :1], rtol=1e-12)


def test_limiter_comes_down_before_a_peak_and_back_soon_after(chopped):
    samples = np.full((RATE, 1), 0.1)
    samples[RATE // 2] = 2.0
    gains = (limited(samples, chopped) / samples)[:, 0]
    ahead, behind = round(0.01 * RATE), round(0.3 * RATE)
    assert np.all(gains[: RATE // 2 - ahead] == 1)
    assert np.all(gains[RATE // 2 + behind :] == 1)
    steps = np.abs(np.diff(20 * np.log10(gains)))
    assert steps.max() < 0.15  # dB from sample to sample: no click of its own


def test_a_bass_note_keeps_its_shape(chopped):
    wave = 1.78 * np.sin(2 * np.pi * 60 * np.arange(4 * RATE) / RATE)
    out = limited(wave[:, np.newaxis], chopped)[2 * RATE : 3 * RATE, 0]
    power = np.abs(np.fft.rfft(out * np.hanning(RATE))) ** 2
    note = power[57:64].sum()
    assert 10 * np.log10((power.sum() - note) / note) < -45


def test_limiter_tells_how_far_it_came_down(chopped):
    wave = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)[:, np.newaxis] * 2
    limiter = Limiter(RATE, 1, 0.0)
    chopped(limiter, wave)
    assert limiter.deepest_db == pytest.approx(6.02, abs=0.1)
    assert limiter.limited_frames == pytest.approx(RATE, rel=0.01)


@settings(max_examples=12, deadline=None)
@given(
    frames=st.integers(0, 50000),
    size=st.integers(300, 40000),
    channels=st.sampled_from([1, 2, 6]),
)
def test_any_block_size_gives_the_same_bits_and_length(frames, size, channels):
    samples = np.random.default_rng(frames).standard_normal((frames, channels))
    outs = []
    for step in (size, max(1, frames)):
        limiter = Limiter(RATE, channels, -1.0)
        parts = [limiter.process(samples[at : at + step]) for at in range(0, frames, step)]
        outs.append(np.concatenate([*parts, limiter.flush()]))
    assert outs[0].shape == samples.shape
    assert np.array_equal(*outs)
