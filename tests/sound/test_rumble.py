"""The high-pass: what it takes, what it leaves, and where in time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.rumble import HighPass

RATE = 48000


def passed(samples, chopped, rate=RATE, cutoff=16.0, size=None):
    return chopped(HighPass(rate, samples.shape[1], cutoff), samples, size)


def test_an_offset_is_gone_from_the_first_sample_to_the_last(chopped):
    out = passed(np.full((5 * RATE, 2), 0.25), chopped)
    assert np.abs(out).max() < 1e-9


@pytest.mark.parametrize(
    ("hertz", "low_db", "high_db"),
    [(5, -200, -55), (9, -200, -50), (16, -6.5, -5.5), (25, -0.05, 0.05), (41.2, -0.01, 0.01)],
)
def test_response_falls_below_the_cut_off_and_is_flat_above(chopped, hertz, low_db, high_db):
    wave = np.sin(2 * np.pi * hertz * np.arange(10 * RATE) / RATE)[:, np.newaxis]
    middle = slice(4 * RATE, 6 * RATE)
    out = passed(wave, chopped)[middle]
    gain = 20 * np.log10(np.sqrt(np.mean(out**2)) / np.sqrt(np.mean(wave[middle] ** 2)) + 1e-12)
    assert low_db <= gain <= high_db


def test_music_above_the_cut_off_is_not_moved_or_bent(chopped):
    at = np.arange(6 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * hertz * at) for hertz in (41.2, 110, 987))[:, np.newaxis] * 0.2
    out = passed(chord, chopped)
    middle = slice(RATE, 5 * RATE)
    assert np.sqrt(np.mean((out - chord)[middle] ** 2)) < 1e-3 * np.sqrt(np.mean(chord**2))


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_a_click_stays_on_its_sample_at_any_rate(chopped, rate):
    click = np.zeros((rate, 1))
    click[rate // 3] = 1.0
    out = passed(click, chopped, rate)
    assert len(out) == rate
    assert np.abs(out).argmax() == rate // 3
    assert out.max() == pytest.approx(1, abs=0.01)


@settings(max_examples=12, deadline=None)
@given(frames=st.integers(0, 150000), size=st.integers(300, 60000))
def test_any_block_size_gives_the_same_bits_and_length(frames, size):
    samples = np.random.default_rng(frames).standard_normal((frames, 2))
    outs = []
    for step in (size, max(1, frames)):
        stage = HighPass(RATE, 2, 16.0)
        parts = [stage.process(samples[at : at + step]) for at in range(0, frames, step)]
        outs.append(np.concatenate([*parts, stage.flush()]))
    assert outs[0].shape == samples.shape
    assert np.array_equal(*outs)
