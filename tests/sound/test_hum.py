"""Finding mains hum, and not finding it in a bass."""

import numpy as np
import pytest
import soundfile

from encoreaudio.hum import HumFinder

RATE = 48000


def find(samples, rate=RATE):
    finder = HumFinder(rate, samples.shape[1])
    for at in range(0, len(samples), rate):
        finder.add(samples[at : at + rate])
    return finder.finish()


def hum(hertz, seconds, level_db=-50, rate=RATE):
    """Odd and even multiples, falling by 4 dB each; level_db is that of all together."""
    at = np.arange(round(seconds * rate)) / rate
    gains = 10 ** (-4 * np.arange(8) / 20)
    gains *= 10 ** (level_db / 20) / np.sqrt(np.sum(gains**2))
    wave = sum(g * np.sin(2 * np.pi * (n + 1) * hertz * at + n) for n, g in enumerate(gains))
    return np.repeat(wave[:, np.newaxis], 2, axis=1)


@pytest.mark.parametrize("hertz", [50.0, 49.93, 60.0, 59.52, 50.8])
def test_hum_in_noise_is_found_with_its_frequency_and_level(hertz):
    noise = np.random.default_rng(0).standard_normal((20 * RATE, 2)) * 10 ** (-55 / 20)
    found = find(noise + hum(hertz, 20))
    assert found is not None
    assert found.frequency_hz == pytest.approx(hertz, abs=0.05)
    assert found.level_dbfs == pytest.approx(-50, abs=1.0)
    assert {1, 2, 3} <= set(found.harmonics)


def test_hum_under_music_is_found(data):
    music, rate = soundfile.read(data("sound/music/sugar_plum.ogg"), always_2d=True)
    found = find(music[: 60 * rate] + hum(50.1, 60, -45, rate)[: 60 * rate], rate)
    assert found is not None
    assert found.frequency_hz == pytest.approx(50.1, abs=0.05)


@pytest.mark.parametrize(
    "name",
    [
        "sound/music/sugar_plum.ogg",
        "sound/music/lets_go_fishin.ogg",
        "sound/music/hungarian_dance.ogg",
        "sound/music/vibe_ace.ogg",
        "sound/stems_funk/bassguitar.mp3",
        "sound/noise/concert-crowd.ogg",
    ],
)
def test_no_hum_is_found_in_music_and_crowd_without_any(data, name):
    samples, rate = soundfile.read(data(name), always_2d=True)
    assert find(samples[: 90 * rate], rate) is None


def test_a_bass_line_through_50_hz_is_not_hum():
    # A sawtooth bass: G1 at 49 Hz in every second beat, as steady as an instrument can be.
    at = np.arange(30 * RATE) / RATE
    beat = (at * 2).astype(int) % 4
    hertz = np.choose(beat, [49.0, 65.4, 50.0, 73.4])
    phase = np.cumsum(hertz) / RATE
    bass = 0.3 * (2 * (phase % 1) - 1) * np.exp(-3 * (at * 2 % 1))
    noise = np.random.default_rng(0).standard_normal((len(at), 1)) * 1e-4
    assert find(bass[:, np.newaxis] + noise) is None


def test_noise_silence_a_lone_tone_and_a_short_sound_have_no_hum():
    noise = np.random.default_rng(0).standard_normal((15 * RATE, 2)) * 0.01
    assert find(noise) is None
    assert find(np.zeros((15 * RATE, 2))) is None
    tone = 0.1 * np.sin(2 * np.pi * 50 * np.arange(15 * RATE) / RATE)[:, np.newaxis]
    assert find(noise[:, :1] + tone) is None
    assert find(hum(50, 3)) is None
