"""The tone: how far a curve leads, what it never does, and that a filter is that curve."""

import itertools

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.error import SoundError
from encoreaudio.loudness import Meter
from encoreaudio.spectrum import BANDS_HZ, SpectrumFinder
from encoreaudio.tone import CURVES, Tone, ToneCurve, tone_curve

RATE = 48000
STEREO = ("FL", "FR")
HERTZ = np.array(BANDS_HZ)
FLAT = (0.0,) * len(BANDS_HZ)


def spectrum_of(samples, rate, speakers=STEREO):
    finder = SpectrumFinder(rate, speakers)
    finder.add(samples)
    return finder.finish()


def lufs(samples, rate):
    meter = Meter(rate, STEREO)
    meter.add(samples)
    return meter.finish().integrated_lufs


def shelf(samples, rate, hertz, gain_db):
    """A textbook first-order high shelf, by the bilinear transform."""
    gain, w = 10 ** (gain_db / 20), 2 * np.pi * hertz
    b, a = scipy.signal.bilinear([gain**0.5, w], [gain**-0.5, w], rate)
    return scipy.signal.lfilter(b, a, samples, axis=0)


def hump(top_db=6.0, hertz=1000.0, octaves=1.0):
    gains = top_db * np.exp(-np.square(np.log2(HERTZ / hertz) / octaves))
    return tuple(gains.tolist())


def response_db(stage, rate, channel, hertz, size=None):
    click = np.zeros((rate, 2))
    click[rate // 2, channel] = 1.0
    out = np.concatenate((stage.process(click), stage.flush()))
    spectrum = np.abs(np.fft.rfft(out[:, channel]))
    return 20 * np.log10(np.interp(hertz, np.fft.rfftfreq(rate, 1 / rate), spectrum))


@pytest.mark.parametrize("gain_db", [-4.0, 4.0])
def test_a_known_equaliser_is_found_and_undone(music, chopped, gain_db):
    samples, rate = music
    bent = shelf(samples, rate, 1500, gain_db)
    curve = tone_curve(spectrum_of(bent, rate), spectrum_of(samples, rate), 1.0)
    back = chopped(Tone(rate, STEREO, curve), bent)
    band = (HERTZ > 60) & (HERTZ < 14000)
    was, now = (np.array(spectrum_of(heard, rate).mid_db)[band] for heard in (samples, back))
    error = now - was
    assert np.sqrt(np.mean(np.square(error - error.mean()))) < 0.25
    rest = back * 10 ** ((lufs(samples, rate) - lufs(back, rate)) / 20) - samples
    assert np.abs(rest).max() < 0.15 * np.abs(samples).max()


PAIRS = list(itertools.permutations(("lets_go_fishin", "vibe_ace", "hungarian_dance"), 2))


@pytest.mark.parametrize(("source", "target"), [*PAIRS, ("vibe_ace", "concert")])
def test_matching_keeps_loudness_and_bounds_and_comes_nearer(data, chopped, source, target):
    def read(name):
        return soundfile.read(
            data(f"sound/music/{name}.ogg"), start=20 * 44100, frames=8 * 44100, always_2d=True
        )

    samples, rate = read(source)
    before = spectrum_of(samples, rate)
    wanted = target if target in CURVES else spectrum_of(*read(target))
    curve = tone_curve(before, wanted, 1.0, most_db=5.0)
    assert max(map(abs, curve.mid_db + curve.side_db)) <= 5.0 + 1e-3
    out = chopped(Tone(rate, STEREO, curve), samples)
    assert lufs(out, rate) == pytest.approx(lufs(samples, rate), abs=0.25)
    if target not in CURVES:
        band = (HERTZ > 60) & (HERTZ < 12000)
        errors = [
            np.std((np.array(heard.mid_db) - wanted.mid_db)[band])
            for heard in (before, spectrum_of(out, rate))
        ]
        assert errors[1] < 0.8 * errors[0]


def test_what_one_side_does_not_have_at_all_is_not_matched(music):
    samples, rate = music
    low = scipy.signal.sosfilt(
        scipy.signal.butter(10, 8000, output="sos", fs=rate), samples, axis=0
    )
    whole, dull = spectrum_of(samples, rate), spectrum_of(low, rate)
    for curve in (tone_curve(dull, whole, 1.0), tone_curve(whole, dull, 1.0)):
        assert np.abs(np.array(curve.mid_db))[HERTZ > 13000].max() < 1.0


def test_tilt_is_so_many_decibels_over_three_decades(music):
    samples, rate = music
    curve = tone_curve(spectrum_of(samples, rate), None, tilt_db=3.0)
    assert curve.mid_db == curve.side_db
    steps = np.diff(curve.mid_db)
    assert np.allclose(steps, 3.0 / (len(HERTZ) - 1))


def test_no_amount_and_no_tilt_is_flat_and_passes_every_bit(music, chopped):
    samples, rate = music
    curve = tone_curve(spectrum_of(samples, rate), "concert", 0.0)
    assert curve.flat
    assert np.array_equal(chopped(Tone(rate, STEREO, curve), samples, 7000), samples)


def test_silence_has_no_tone_to_change():
    nothing = spectrum_of(np.zeros((RATE, 2)), RATE)
    assert tone_curve(nothing, "concert", 1.0).flat
    assert tone_curve(nothing, nothing, 1.0).flat


def test_an_unknown_curve_is_an_error_that_names_the_known():
    with pytest.raises(SoundError, match="concert"):
        tone_curve(spectrum_of(np.ones((10, 2)), RATE), "loud", 1.0)


@pytest.mark.parametrize("phase", ["linear", "minimum"])
@pytest.mark.parametrize("rate", [44100, 192000])
def test_the_filter_is_the_curve(rate, phase):
    stage = Tone(rate, STEREO, ToneCurve(hump(), hump()), phase)
    above = (HERTZ > 60) & (HERTZ < 20000)
    got = response_db(stage, rate, 0, HERTZ[above])
    assert np.abs(got - np.array(hump())[above]).max() < 0.1


def test_mid_and_side_are_bent_each_by_its_own(chopped):
    noise = np.random.default_rng(5).standard_normal((4 * RATE, 1))
    lifted = ToneCurve(hump(), FLAT)
    side = np.concatenate((noise, -noise), axis=1)
    assert np.abs(chopped(Tone(RATE, STEREO, lifted), side) - side).max() < 1e-9
    mid = np.concatenate((noise, noise), axis=1)
    assert np.std(chopped(Tone(RATE, STEREO, lifted), mid)) > 1.05 * np.std(mid)


def test_the_low_frequency_channel_stays_bit_for_bit_and_the_centre_follows_mid(chopped):
    speakers = ("FL", "FR", "FC", "LFE", "BL", "BR")
    noise = np.random.default_rng(5).standard_normal((RATE, 1))
    samples = np.repeat(noise, 6, axis=1)
    out = chopped(Tone(RATE, speakers, ToneCurve(hump(), FLAT)), samples)
    assert np.array_equal(out[:, 3], samples[:, 3])
    assert np.allclose(out[:, 0], out[:, 2])
    assert np.allclose(out[:, 4], out[:, 2])


def test_nothing_is_heard_long_before_a_click(chopped):
    steep = tuple(np.where(np.array(hump(12, 1000, 3)) > 6, 6.0, -6.0).tolist())
    smooth = hump(12.0, 200.0, 0.7)
    for curve, limit_db in ((steep, -60), (smooth, -60)):
        click = np.zeros((RATE, 1))
        click[RATE // 2] = 1.0
        out = chopped(Tone(RATE, ("FC",), ToneCurve(curve, curve)), click)[:, 0]
        before = np.abs(out[: RATE // 2 - round(0.02 * RATE)]).max()
        assert 20 * np.log10(before / np.abs(out).max()) < limit_db


def test_minimum_phase_lets_nothing_ring_before(chopped):
    click = np.zeros((RATE, 1))
    click[RATE // 2] = 1.0
    out = chopped(Tone(RATE, ("FC",), ToneCurve(hump(), hump()), "minimum"), click)[:, 0]
    assert np.abs(out[: RATE // 2 - 1]).max() < 1e-4
    assert np.abs(out).argmax() == RATE // 2


@settings(max_examples=10, deadline=None)
@given(
    frames=st.integers(0, 60000),
    size=st.integers(100, 30000),
    phase=st.sampled_from(["linear", "minimum"]),
)
def test_any_block_size_gives_the_same_bits_and_length(frames, size, phase):
    samples = np.random.default_rng(frames).standard_normal((frames, 2))
    outs = []
    for step in (size, max(1, frames)):
        stage = Tone(RATE, STEREO, ToneCurve(hump(), FLAT), phase)
        parts = [stage.process(samples[at : at + step]) for at in range(0, frames, step)]
        outs.append(np.concatenate([*parts, stage.flush()]))
    assert outs[0].shape == samples.shape
    assert np.array_equal(*outs)
