"""The hall: how long it rings by known halls, and less of it without harm to what is played."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.reverb import Reverb, ReverbFinder, ReverbRepair

RATE = 48000
HALL = Reverb(1.5, 100)


def found(samples, rate=RATE, size=48000):
    finder = ReverbFinder(rate, samples.shape[1])
    for at in range(0, len(samples), size):
        finder.add(samples[at : at + size])
    return finder.finish()


def hall(t60_s, direct_db, rate=RATE):
    """Polack's hall: direct sound, and noise that decays; direct_db over all the rest."""
    count = round(1.3 * t60_s * rate)
    late = np.random.default_rng(3).standard_normal(count)
    late *= 10 ** (-3 * np.arange(count) / (t60_s * rate))
    late *= 10 ** (-direct_db / 20) / np.sqrt(np.square(late).sum())
    late[: round(0.003 * rate)] = 0
    late[0] = 1.0
    return late


def early(response, rate=RATE):
    kept = response.copy()
    kept[np.abs(response).argmax() + round(0.05 * rate) :] = 0
    return kept


def in_hall(dry, response):
    return scipy.signal.fftconvolve(dry, response[:, np.newaxis], axes=0)[: len(dry)]


def si_sdr_db(wanted, heard):
    part = np.vdot(wanted, heard) / np.vdot(wanted, wanted) * wanted
    return 10 * np.log10(np.square(part).sum() / np.square(heard - part).sum())


@pytest.fixture
def voice(data):
    samples, rate = soundfile.read(
        data("sound/stems_rock/Vocals30.mp3"), start=4 * RATE, frames=10 * RATE, always_2d=True
    )
    assert rate == RATE
    return samples


def bursts(seconds=20):
    rng = np.random.default_rng(2)
    on = np.repeat(rng.random(seconds * 2) < 0.3, RATE // 2)
    return (0.2 * rng.standard_normal(seconds * RATE) * on)[:, np.newaxis]


@pytest.mark.parametrize("t60_s", [0.8, 1.5, 3.0])
def test_a_known_halls_time_is_heard(t60_s):
    wet = in_hall(bursts(), hall(t60_s, 0.0))
    assert found(wet).t60_s == pytest.approx(t60_s, rel=0.25)


def test_silence_and_steady_sound_tell_of_no_hall():
    assert found(np.zeros((5 * RATE, 2))).t60_s is None
    assert found(np.random.default_rng(1).standard_normal((5 * RATE, 2))).t60_s is None


@pytest.mark.parametrize(("t60_s", "direct_db"), [(1.0, 0.0), (2.0, 3.0), (2.0, -3.0)])
def test_a_voice_in_a_hall_comes_nearer_to_the_voice(voice, chopped, t60_s, direct_db):
    response = hall(t60_s, direct_db)
    wet, wanted = in_hall(voice, response), in_hall(voice, early(response))
    out = chopped(ReverbRepair(RATE, 2, found(wet), 0.5), wet)
    assert si_sdr_db(wanted, out) > si_sdr_db(wanted, wet) + 0.2


def test_a_voice_in_a_real_room_comes_nearer_to_the_voice(voice, data, chopped):
    response, rate = soundfile.read(data("sound/rooms/tim-warehouse-stretch1.wav"), always_2d=True)
    left = scipy.signal.resample_poly(response[:, 0], RATE // 300, rate // 300)
    wet, wanted = in_hall(voice, left), in_hall(voice, early(left))
    out = chopped(ReverbRepair(RATE, 2, found(wet), 0.5), wet)
    assert si_sdr_db(wanted, out) > si_sdr_db(wanted, wet) + 0.4


def test_the_tail_after_the_last_note_is_lowered_and_never_below_the_floor(chopped):
    dry = np.zeros((4 * RATE, 1))
    dry[: 2 * RATE] = 0.2 * np.random.default_rng(2).standard_normal((2 * RATE, 1))
    wet = in_hall(dry, hall(1.5, 0.0))
    out = chopped(ReverbRepair(RATE, 1, HALL, 1.0), wet)
    tail = slice(round(2.3 * RATE), 3 * RATE)
    lower = 20 * np.log10(np.std(out[tail]) / np.std(wet[tail]))
    assert -12.5 < lower < -4


def test_an_attack_keeps_its_level_and_place(chopped):
    burst = np.zeros((2 * RATE, 1))
    decay = np.exp(-np.arange(RATE // 5) / (0.03 * RATE))
    strike = np.random.default_rng(8).standard_normal(RATE // 5) * decay
    for at in (RATE // 2, RATE, 3 * RATE // 2):
        burst[at : at + len(strike), 0] += strike
    out = chopped(ReverbRepair(RATE, 1, HALL, 1.0), burst)
    for at in (RATE // 2, RATE, 3 * RATE // 2):
        attack = slice(at, at + RATE // 50)
        level = 20 * np.log10(np.std(out[attack]) / np.std(burst[attack]))
        assert abs(level) < 1.0
    assert np.abs(out).max() <= 1.02 * np.abs(burst).max()


def test_no_amount_or_no_hall_passes_every_bit(music, chopped):
    samples, rate = music
    for stage in (
        ReverbRepair(rate, 2, HALL, 0.0),
        ReverbRepair(rate, 2, Reverb(None, 0), 1.0),
    ):
        assert np.array_equal(chopped(stage, samples, 5000), samples)


def test_a_little_amount_is_that_part_of_the_whole_change(music, chopped):
    samples, rate = music
    whole, some = (
        chopped(ReverbRepair(rate, 2, HALL, amount), samples) - samples for amount in (1.0, 0.25)
    )
    assert np.allclose(some, 0.25 * whole, atol=1e-12)


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
@pytest.mark.parametrize("frames", [0, 1, 20000])
def test_any_rate_and_length_is_heard_and_comes_back_whole(chopped, rate, frames):
    samples = np.zeros((frames, 6))
    assert json.dumps(dataclasses.asdict(found(samples, rate)))
    out = chopped(ReverbRepair(rate, 6, HALL, 1.0), samples)
    assert np.array_equal(out, samples)


@settings(max_examples=8, deadline=None)
@given(frames=st.integers(0, 60000), size=st.integers(100, 30000))
def test_any_block_size_gives_the_same_bits_and_length(frames, size):
    samples = np.random.default_rng(frames).standard_normal((frames, 2))
    outs = []
    for step in (size, max(1, frames)):
        stage = ReverbRepair(RATE, 2, HALL, 0.7)
        parts = [stage.process(samples[at : at + step]) for at in range(0, frames, step)]
        outs.append(np.concatenate([*parts, stage.flush()]))
    assert outs[0].shape == samples.shape
    assert np.array_equal(*outs)
    assert found(samples, size=size) == found(samples, size=max(1, frames))
