"""Which repairs a recording gets, by damage that was done to it on purpose."""

import dataclasses

import numpy as np
import pytest

from encoreaudio import UNTOUCHED, Repair, SoundError
from encoreaudio.repair import AMOUNTS, Listening, Repairs

RATE = 44100


def heard(samples, repair=None, rate=RATE):
    listening = Listening(rate, samples.shape[1], repair)
    for at in range(0, len(samples), 30000):
        for listener in listening.listeners:
            listener.add(samples[at : at + 30000])
    return listening.finish()


def repaired(samples, repair, rate=RATE):
    """What comes out, and what is told of it."""
    repairs = Repairs(repair, heard(samples, repair, rate), rate, samples.shape[1])
    out = samples
    for stage in repairs.stages:
        parts = [stage.process(out[at : at + 30000]) for at in range(0, len(out), 30000)]
        out = np.concatenate([*parts, stage.flush()])
    return out, repairs


def only(**amounts):
    return dataclasses.replace(UNTOUCHED, **amounts)


@pytest.fixture
def song(music):
    """Twelve seconds, without an offset, and quieter, so that there is room for damage."""
    samples, _ = music
    return (samples - samples.mean(axis=0)) * 0.5


def hum(frames, level=0.03):
    at = np.arange(frames)[:, np.newaxis] / RATE
    return sum(level / n * np.sin(2 * np.pi * 50 * n * at + n) for n in (1, 2, 3))


@pytest.mark.parametrize("name", AMOUNTS)
@pytest.mark.parametrize("amount", [-0.1, 1.1, float("nan"), "full", None])
def test_an_amount_that_is_none_is_refused_in_one_line(name, amount):
    with pytest.raises(SoundError, match=f"^repair.{name} is .*; it may be 0 to 1, or auto$"):
        Repair(**{name: amount})


@pytest.mark.parametrize("given", [{"rumble_hz": 0.5}, {"rumble_hz": 201}])
def test_a_rumble_that_is_music_is_refused(given):
    with pytest.raises(SoundError, match=r"it may be 0 \(off\) or 1 to 200"):
        Repair(**given)


@pytest.mark.parametrize("given", [(2, 1), (1, 1), (-1, 2)])
def test_a_noise_print_must_go_forward(given):
    with pytest.raises(SoundError, match="it must go forward"):
        Repair(hiss_print_s=given)


def test_auto_is_all_of_what_was_damaged_and_nothing_of_what_would_be_invented():
    repair = Repair(**dict.fromkeys(AMOUNTS, "auto"))
    nothing = {name for name in AMOUNTS if repair.amount(name) == 0}
    assert nothing == {"reverb", "bandwidth"}
    assert {repair.amount(name) for name in set(AMOUNTS) - nothing} == {1.0}
    assert Repair(hum=0.25).amount("hum") == 0.25


def test_untouched_has_no_stage_whatever_was_found(song):
    damaged = song + hum(len(song)) + 0.05
    repairs = Repairs(UNTOUCHED, heard(damaged), RATE, 2)
    assert repairs.stages == []
    assert repairs.done() == ()
    assert repairs.clicks == ()


def test_what_is_not_asked_for_is_not_listened_for(song):
    found = heard(song + hum(len(song)), UNTOUCHED)
    assert (found.hum, found.noise, found.azimuth, found.polarity, found.reverb) == (None,) * 5


def test_the_offset_that_was_put_in_is_told(song):
    assert heard(song + np.array([0.01, -0.03])).rumble.offset == pytest.approx(-0.03, abs=1e-4)


def test_what_was_found_is_repaired_in_the_order_that_undoes_it(song):
    tape = song * [1, -1] + hum(len(song)) + 0.01
    tape[30000:30003] += 0.9
    damaged = np.clip(tape * 2.5, -1, 1)
    out, repairs = repaired(damaged, Repair(clip=1, reverb=0.5))
    names = [done.name for done in repairs.done()]
    order = ["clip", "clicks", "polarity", "azimuth", "dc", "hum", "hiss", "reverb", "bandwidth"]
    assert names == [name for name in order if name in names]
    assert {"clip", "clicks", "polarity", "dc", "hum"} <= set(names)
    assert out.shape == damaged.shape


def test_an_inverted_channel_is_turned_and_told(song):
    out, repairs = repaired(song * [1, -1], only(polarity="auto"))
    assert [done.did for done in repairs.done()] == ["one channel turned over"]
    assert np.allclose(np.abs(out), np.abs(song))
    assert np.corrcoef(out[:, 0], out[:, 1])[0, 1] > 0.3


def test_hum_goes_and_is_told_with_its_pitch(song):
    damaged = song + hum(len(song))
    out, repairs = repaired(damaged, only(hum="auto"))
    (done,) = repairs.done()
    assert (done.name, done.amount) == ("hum", 1.0)
    assert "multiples of 50.0" in done.did
    left = np.square(out - song)[RATE:-RATE].mean() / np.square(damaged - song).mean()
    assert 10 * np.log10(left) < -15


@pytest.mark.parametrize("amount", [0.5, 1.0])
def test_an_amount_takes_out_its_share(song, amount):
    out, _ = repaired(song + 0.04, only(dc=amount))
    assert out[RATE:-RATE].mean() == pytest.approx((1 - amount) * 0.04, abs=2e-4)


def test_a_click_is_listed_where_it_was_put(song):
    at = 2.5
    damaged = song.copy()
    damaged[round(at * RATE) : round(at * RATE) + 3, 1] += [0.7, -0.6, 0.5]
    _, repairs = repaired(damaged, only(clicks="auto"))
    near = [click for click in repairs.clicks if abs(click.at_s - at) < 0.001]
    assert [click.channel for click in near] == [1]


def test_a_given_stretch_alone_is_the_noise(song):
    rng = np.random.default_rng(0)
    hiss = rng.standard_normal((len(song), 2)) * 0.003
    recording = song + hiss
    recording[: 2 * RATE] = hiss[: 2 * RATE]
    found = heard(recording, Repair(hiss_print_s=(0.1, 1.9)))
    assert found.noise is not None
    # Power against a full-scale square: what the generator was told.
    assert max(found.noise.level_dbfs) == pytest.approx(20 * np.log10(0.003), abs=1.5)


def test_clean_music_gets_no_repair_of_what_it_does_not_have(song):
    _, repairs = repaired(song, Repair())
    told = {done.name: done.did for done in repairs.done()}
    assert not told.keys() & {"clip", "polarity", "azimuth", "dc", "hum", "hiss", "reverb"}
    assert len(repairs.clicks) <= 5


def test_one_channel_is_repaired_as_well(song):
    out, repairs = repaired(song[:, :1] + hum(len(song), 0.06), Repair())
    assert "hum" in [done.name for done in repairs.done()]
    assert out.shape == (len(song), 1)
