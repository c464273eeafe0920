"""Inverted, dead and dropping channels: found where they are, and only there."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.polarity import Dropout, Polarity, PolarityFinder, PolarityRepair

RATE = 44100


def found(samples, rate=RATE, block=None):
    finder = PolarityFinder(rate, samples.shape[1])
    for at in range(0, len(samples), block or rate):
        finder.add(samples[at : at + (block or rate)])
    return finder.finish()


def pair(seconds, likeness=0.9, seed=0):
    """Two channels of low-passed noise with a given correlation, over a floor of hiss."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * RATE)
    shared, first, second = np.cumsum(rng.standard_normal((3, frames)), axis=1)
    shared, first, second = (x[32:] - x[:-32] for x in (shared, first, second))
    own = np.sqrt(1 - likeness)
    both = np.stack(
        (shared * np.sqrt(likeness) + own * first, shared * np.sqrt(likeness) + own * second), 1
    )
    return both * 0.1 / both.std() + 1e-5 * rng.standard_normal(both.shape)


def test_an_inverted_channel_is_found_and_turned_back(chopped, music):
    clean, rate = music
    heard = clean * [1, -1]
    told = found(heard, rate)
    assert told.inverted
    assert told.correlation < -0.4
    assert np.array_equal(chopped(PolarityRepair(rate, 2, told), heard, rate), clean)


@pytest.mark.parametrize("likeness", [1.0, 0.5, 0.0])
def test_no_fault_is_found_in_narrow_or_wide_sound(chopped, likeness):
    samples = pair(6, likeness)
    told = found(samples)
    assert not told.matters
    assert np.array_equal(chopped(PolarityRepair(RATE, 2, told), samples), samples)
    json.dumps(dataclasses.asdict(told))


@pytest.mark.parametrize("dead", [0, 1])
def test_a_dead_channel_with_hiss_is_filled_from_the_other(chopped, dead):
    samples = pair(4)
    samples[:, dead] = 1e-4 * np.random.default_rng(1).standard_normal(len(samples))
    told = found(samples)
    assert told.dead == dead
    out = chopped(PolarityRepair(RATE, 2, told), samples, 5000)
    assert out[:, 0] == pytest.approx(out[:, 1], abs=1e-12)
    assert np.array_equal(out[:, 1 - dead], samples[:, 1 - dead])


def test_dropouts_are_found_and_bridged_and_all_else_is_untouched(chopped):
    clean = pair(14, likeness=0.95)
    heard = clean.copy()
    holes = [(0, 2.0, 2.04), (1, 4.5, 4.75), (0, 7.0, 10.0)]
    rng = np.random.default_rng(2)
    for channel, start, end in holes:
        here = slice(round(start * RATE), round(end * RATE))
        heard[here, channel] = 1e-5 * rng.standard_normal(here.stop - here.start)
    told = found(heard)
    assert told.dropout_count == 3
    for run, (channel, start, end) in zip(told.dropouts, holes, strict=True):
        assert run.channel == channel
        assert run.start_s == pytest.approx(start, abs=0.006)
        assert run.end_s == pytest.approx(end, abs=0.006)
        assert run.gain == pytest.approx(1, abs=0.2)
    out = chopped(PolarityRepair(RATE, 2, told), heard, 7000)
    assert np.sum((out - clean) ** 2) < 0.15 * np.sum((heard - clean) ** 2)
    touched = np.flatnonzero((out != heard).any(axis=1)) / RATE
    assert all(any(s - 0.03 < at < e + 0.03 for _, s, e in holes) for at in touched)


def test_an_instrument_on_one_side_that_stops_is_no_dropout():
    samples = pair(8, likeness=0.0)
    rng = np.random.default_rng(3)
    for start in (1.0, 3.0, 5.0):
        here = slice(round(start * RATE), round((start + 0.7) * RATE))
        samples[here, 0] = 1e-5 * rng.standard_normal(here.stop - here.start)
    assert not found(samples).matters


def test_a_pause_of_both_channels_is_no_dropout():
    samples = pair(8)
    samples[3 * RATE : 5 * RATE] *= 1e-4
    assert not found(samples).matters


def test_what_is_found_is_the_same_for_every_block_size():
    samples = pair(5)
    samples[RATE : 2 * RATE, 1] = 0
    assert found(samples, block=1000) == found(samples, block=len(samples))


def test_nothing_is_found_in_silence_a_sample_or_mono():
    assert not found(np.zeros((3 * RATE, 2))).matters
    assert not found(np.ones((1, 2))).matters
    assert not found(np.zeros((0, 2))).matters
    assert found(np.zeros((RATE, 1))) is None


def test_an_amount_of_nothing_is_the_input(chopped):
    samples = pair(1)
    told = Polarity(-0.9, True, 0, 0.0, (Dropout(1, 0.2, 0.4, 1.0),), 1, 0.2)
    assert np.array_equal(chopped(PolarityRepair(RATE, 2, told, 0.0), samples), samples)


@settings(max_examples=15, deadline=None)
@given(frames=st.integers(0, 30000), size=st.integers(1, 30000))
def test_any_block_size_gives_the_same_bits(frames, size):
    size = max(size, frames // 50 + 1)
    samples = np.random.default_rng(frames).standard_normal((frames, 3))
    runs = (Dropout(0, 0.01, 0.05, 0.8), Dropout(1, 0.1, 0.3, -1.1), Dropout(0, 0.4, 9.0, 1.0))
    told = Polarity(-0.9, True, None, 0.0, runs, 3, 9.0)
    outs = []
    for step in (size, max(1, frames)):
        stage = PolarityRepair(RATE, 3, told)
        parts = [stage.process(samples[at : at + step]) for at in range(0, frames, step)]
        outs.append(np.concatenate([*parts, stage.flush()]))
    assert outs[0].shape == samples.shape
    assert np.array_equal(*outs)
