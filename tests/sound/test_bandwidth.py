"""The bandwidth: cut-offs that are known, and what may be added above one."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.bandwidth import Bandwidth, BandwidthFinder, BandwidthRepair

RATE = 48000
CUT = Bandwidth(10000.0, -12.0, 60.0)


def found(samples, rate=RATE, size=48000):
    finder = BandwidthFinder(rate, samples.shape[1])
    for at in range(0, len(samples), size):
        finder.add(samples[at : at + size])
    return finder.finish()


def cut(samples, rate, hertz):
    sections = scipy.signal.ellip(8, 0.1, 60, hertz, output="sos", fs=rate)
    return scipy.signal.sosfiltfilt(sections, samples, axis=0)


def slow_fall(seconds, rate=RATE):
    """Noise that falls gently, 12 dB per octave, as a whole recording does."""
    noise = np.random.default_rng(4).standard_normal((seconds * rate, 2)) * 0.1
    return scipy.signal.lfilter(*scipy.signal.butter(2, 1000, fs=rate), noise, axis=0)


def power_db(samples, rate, low_hz, high_hz):
    spectrum = np.abs(np.fft.rfft(samples, axis=0)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / rate)
    return 10 * np.log10(spectrum[(hertz >= low_hz) & (hertz < high_hz)].sum() + 1e-30)


@pytest.mark.parametrize("hertz", [8000, 10000, 12000])
def test_a_cut_off_is_found(music, hertz):
    samples, rate = music
    assert found(cut(samples, rate, hertz), rate).cutoff_hz == pytest.approx(hertz, rel=0.06)


def test_a_cut_off_is_found_behind_hiss_and_clicks(music):
    samples, rate = music
    worn = cut(samples, rate, 10000)
    worn += 1e-4 * np.random.default_rng(1).standard_normal(worn.shape)
    worn[:: rate // 2] += 0.5
    assert found(worn, rate).cutoff_hz == pytest.approx(10000, rel=0.06)


def test_a_gentle_fall_is_no_cut_off_and_its_slope_is_read():
    bandwidth = found(slow_fall(6))
    assert bandwidth.cutoff_hz is None
    dull = found(cut(slow_fall(6), RATE, 10000))
    assert dull.cutoff_hz == pytest.approx(10000, rel=0.04)
    # The bilinear transform pulls a little towards half the rate.
    assert dull.slope_db_octave == pytest.approx(-13, abs=1.5)


def test_the_missing_band_comes_nearer_and_what_is_below_stays(music, chopped):
    samples, rate = music
    dull = cut(samples, rate, 10000)
    bandwidth = found(dull, rate)
    out = chopped(BandwidthRepair(rate, 2, bandwidth, 0.5), dull)

    def levels(heard):
        hertz, _, frames = scipy.signal.stft(heard[:, 0], rate, nperseg=2048)
        band = (hertz > 1.05 * bandwidth.cutoff_hz) & (hertz < 15500)
        return 20 * np.log10(np.abs(frames[band]) + 1e-6)

    apart = [np.abs(levels(heard) - levels(samples)).mean() for heard in (dull, out)]
    assert apart[1] < 0.8 * apart[0]
    changed = power_db(out - dull, rate, 0, 10000)
    assert changed < power_db(dull, rate, 0, 10000) - 80


def test_what_is_added_lies_so_far_under_the_extrapolated_envelope(chopped):
    whole = slow_fall(6)
    dull = cut(whole, RATE, 10000)
    for amount, under_db in ((0.5, 12.0), (1.0, 6.0)):
        added = chopped(BandwidthRepair(RATE, 2, found(dull), amount), dull) - dull
        # Real noise that was never cut is the envelope.
        gap = power_db(whole, RATE, 11000, 19000) - power_db(added, RATE, 11000, 19000)
        assert gap == pytest.approx(under_db, abs=2.0)


def test_partials_of_a_note_bring_partials_of_that_note(chopped):
    at = np.arange(4 * RATE) / RATE
    note = sum(np.sin(2 * np.pi * 700 * n * at) / n for n in range(1, 15))[:, np.newaxis] * 0.1
    added = (chopped(BandwidthRepair(RATE, 1, CUT, 1.0), note) - note)[RATE : 3 * RATE, 0]
    spectrum = np.abs(np.fft.rfft(added * np.hanning(len(added)))) ** 2
    hertz = np.fft.rfftfreq(len(added), 1 / RATE)
    off = np.abs((hertz + 350) % 700 - 350)
    assert spectrum[off < 10].sum() > 100 * spectrum[off >= 10].sum()


def test_nothing_is_added_without_a_cut_off_or_an_amount(music, chopped):
    samples, rate = music
    for stage in (
        BandwidthRepair(rate, 2, CUT, 0.0),
        BandwidthRepair(rate, 2, Bandwidth(None, -12.0, 5.0), 1.0),
    ):
        assert np.array_equal(chopped(stage, samples, 5000), samples)


@pytest.mark.parametrize("rate", [8000, 22050, 192000])
@pytest.mark.parametrize("frames", [0, 1, 30000])
def test_any_rate_and_length_is_heard_and_comes_back_whole(chopped, rate, frames):
    samples = np.zeros((frames, 3))
    bandwidth = found(samples, rate)
    assert bandwidth.cutoff_hz is None
    assert json.dumps(dataclasses.asdict(bandwidth))
    cutoff = Bandwidth(0.3 * rate / 2, -12.0, 40.0)
    out = chopped(BandwidthRepair(rate, 3, cutoff, 1.0), samples)
    assert np.array_equal(out, samples)


@settings(max_examples=8, deadline=None)
@given(frames=st.integers(0, 40000), size=st.integers(100, 30000))
def test_any_block_size_gives_the_same_bits_and_length(frames, size):
    samples = np.random.default_rng(frames).standard_normal((frames, 2))
    outs = []
    for step in (size, max(1, frames)):
        stage = BandwidthRepair(RATE, 2, CUT, 0.7)
        parts = [stage.process(samples[at : at + step]) for at in range(0, frames, step)]
        outs.append(np.concatenate([*parts, stage.flush()]))
    assert outs[0].shape == samples.shape
    assert np.array_equal(*outs)
    assert found(samples, size=size) == found(samples, size=max(1, frames))
