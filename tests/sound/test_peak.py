"""True peaks against EBU Tech 3341 cases 15-23 and soxr at sixteen times the rate."""

import numpy as np
import pytest
import scipy.signal
import soxr

from encoreaudio.peak import TruePeak

RATE = 48000


def peak_db(samples, size=10**9):
    meter = TruePeak(samples.shape[1])
    for at in range(0, len(samples), size):
        meter.add(samples[at : at + size])
    return 20 * np.log10(meter.finish())


def faded(wave, rate=RATE):
    fade = np.ones(len(wave))
    length = round(0.01 * rate)
    fade[:length] = np.linspace(0, 1, length)
    fade[-length:] = fade[:length][::-1]
    return (wave * fade)[:, np.newaxis]


@pytest.mark.parametrize(
    ("period", "level", "degrees", "wanted"),
    [
        pytest.param(4, 0.50, 0, -6, id="case 15"),
        pytest.param(4, 0.50, 45, -6, id="case 16"),
        pytest.param(6, 0.50, 60, -6, id="case 17"),
        pytest.param(8, 0.50, 67.5, -6, id="case 18"),
        pytest.param(4, 1.41, 45, 3, id="case 19"),
    ],
)
@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_peaks_between_samples_are_those_of_tech_3341(rate, period, level, degrees, wanted):
    wave = level * np.sin(2 * np.pi * np.arange(rate) / period + np.deg2rad(degrees))
    assert wanted - 0.4 <= peak_db(faded(wave, rate)) <= wanted + 0.2


@pytest.mark.parametrize("offset", range(4))
def test_a_burst_at_another_phase_still_peaks_at_full_scale(offset):
    # Cases 20-23: fs/6 at half scale with one period of fs/4 at full scale, made at 4 fs.
    before = np.sin(2 * np.pi * np.arange(24 * 500) / 24) * 0.5
    burst = np.sin(2 * np.pi * np.arange(16) / 16)
    wave = faded(np.concatenate((before, burst, before)), 4 * RATE)[:, 0]
    low = scipy.signal.resample_poly(wave[offset:], 1, 4, window=("kaiser", 12.0))
    assert -0.4 <= peak_db(low[:, np.newaxis]) <= 0.2


@pytest.mark.parametrize("hertz", [997, 6000, 12000, 18500, 20000])
def test_a_tone_reads_its_amplitude_at_any_phase(hertz):
    for degrees in (0, 17, 45, 80):
        wave = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE + np.deg2rad(degrees))
        assert peak_db(faded(wave)) == pytest.approx(0, abs=0.01)


def test_music_reads_as_soxr_does(music, true_peak_db):
    samples, _ = music
    assert peak_db(samples) == pytest.approx(true_peak_db(samples), abs=0.02)


def test_noise_of_full_scale_steps_is_not_skipped():
    # Random signs rise far over their samples, and seldom.
    wave = np.random.default_rng(1).choice([-1.0, 1.0], (60000, 1))
    fine = np.abs(soxr.resample(np.pad(wave, ((999, 999), (0, 0))), 1, 16, quality="VHQ")).max()
    assert peak_db(wave) >= 20 * np.log10(fine) - 0.3


def test_the_peak_does_not_depend_on_the_block_size(music):
    samples, _ = music
    assert {peak_db(samples[:90000], size) for size in (1009, 20000, 90000)} == {
        peak_db(samples[:90000])
    }


def test_one_sample_peaks_at_itself():
    assert peak_db(np.array([[0.5, -0.25]])) == pytest.approx(20 * np.log10(0.5), abs=1e-5)
    assert TruePeak(2).finish() == 0
