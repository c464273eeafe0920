"""Hum goes, at its own lines and nowhere else; what is no hum stays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.dehum import HumRepair
from encoreaudio.hum import Hum, HumFinder

RATE = 16000


def hum(hertz, frames, rate, level_db=-30, lines=8, drift_hz=0.0, channels=2):
    at = np.arange(frames) / rate
    turn = 2 * np.pi * np.cumsum(hertz + drift_hz * np.sin(2 * np.pi * at / 60)) / rate
    wave = np.stack(
        [
            sum(np.sin(k * turn + 1.3 * k + c) / np.sqrt(k) for k in range(1, lines + 1))
            for c in range(channels)
        ],
        axis=1,
    )
    return wave * 10 ** (level_db / 20) / np.sqrt(np.mean(wave**2))


def found(samples, rate):
    finder = HumFinder(rate, samples.shape[1])
    for at in range(0, len(samples), rate):
        finder.add(samples[at : at + rate])
    return finder.finish()


def lines_db(wave, left, hertz, rate, lines=8):
    """How far the energy within 1 Hz of the lines came down."""
    at = np.fft.rfftfreq(len(wave), 1 / rate)
    near = np.abs(at - np.clip(np.round(at / hertz), 1, lines) * hertz) <= 1
    window = np.hanning(len(wave))[:, np.newaxis]
    before, after = (
        np.square(np.abs(np.fft.rfft(x * window, axis=0)))[near].sum() for x in (wave, left)
    )
    return 10 * np.log10(before / after)


@pytest.mark.parametrize(("hertz", "drift"), [(50.02, 0.0), (59.9, 0.0), (50.0, 0.1)])
def test_hum_under_music_comes_down_by_22_db_at_its_lines(chopped, music, hertz, drift):
    clean, rate = music
    wave = hum(hertz, len(clean), rate, -25, drift_hz=drift)
    heard = clean + wave
    told = found(heard, rate)
    assert told is not None
    out = chopped(HumRepair(rate, 2, told), heard, rate)
    assert len(out) == len(clean)
    assert lines_db(wave, out - clean, hertz, rate) > 22


def test_a_third_of_an_octave_away_nothing_changes(chopped):
    at = np.arange(30 * RATE) / RATE
    tones = [hertz * 2 ** (step / 3) for hertz in (50, 100, 200) for step in (-1, 1)]
    clean = sum(0.03 * np.sin(2 * np.pi * tone * at + tone) for tone in tones)[:, np.newaxis]
    wave = hum(50.02, len(at), RATE, -40, channels=1)
    told = Hum(50.0, -37.0, tuple(range(1, 9)))
    out = chopped(HumRepair(RATE, 1, told), clean + wave)
    middle = slice(5 * RATE, 25 * RATE)
    for tone in tones:
        carrier = np.exp(-2j * np.pi * tone * at[middle])
        window = np.hanning(20 * RATE)
        gain = abs(out[middle, 0] @ (carrier * window)) / abs(clean[middle, 0] @ (carrier * window))
        assert abs(20 * np.log10(gain)) < 0.1


def test_bass_notes_on_the_lines_themselves_stay(chopped):
    at = np.arange(40 * RATE) / RATE
    beat = (at * 1.5).astype(int) % 4
    turn = np.cumsum(np.choose(beat, [50.0, 75.0, 100.0, 66.7])) / RATE
    bass = 0.3 * np.sin(2 * np.pi * turn) * np.exp(-2 * (at * 1.5 % 1))
    clean = (bass + 1e-4 * np.random.default_rng(0).standard_normal(len(at)))[:, np.newaxis]
    wave = hum(50.02, len(at), RATE, -50, channels=1)
    out = chopped(HumRepair(RATE, 1, Hum(50.0, -47.0, tuple(range(1, 9)))), clean + wave)
    assert np.sum((out - clean) ** 2) < 0.05 * np.sum(wave**2)


def test_hum_that_is_dimmed_is_followed(chopped):
    noise = 1e-3 * np.random.default_rng(0).standard_normal((40 * RATE, 1))
    wave = hum(50.0, len(noise), RATE, -40, channels=1)
    wave[20 * RATE :] *= 0.5
    out = chopped(HumRepair(RATE, 1, Hum(50.0, -37.0, tuple(range(1, 9)))), noise + wave)
    left = out - noise
    for part in (slice(0, 18 * RATE), slice(22 * RATE, 40 * RATE)):
        assert np.sum(left[part] ** 2) < 0.01 * np.sum(wave[part] ** 2)


def test_dimmer_buzz_up_to_3_khz_goes(chopped):
    noise = 1e-3 * np.random.default_rng(0).standard_normal((24 * RATE, 1))
    wave = hum(50.01, len(noise), RATE, -35, lines=60, channels=1)
    told = found(noise + wave, RATE)
    assert told is not None
    assert max(told.harmonics) >= 58
    out = chopped(HumRepair(RATE, 1, told), noise + wave)
    assert lines_db(wave, out - noise, 50.01, RATE, 60) > 22


def test_no_line_is_taken_out_much_louder_than_it_was_in_the_quiet(chopped):
    at = np.arange(40 * RATE) / RATE
    drone = 0.2 * np.sin(2 * np.pi * 100 * at)[:, np.newaxis]
    told = Hum(50.0, -50.0, (1, 2, 3), (-55.0, -55.0, -55.0))
    out = chopped(HumRepair(RATE, 1, told), drone)
    assert np.abs(out - drone).max() < 10 ** (-48 / 20)


def test_digital_silence_stays_silent(chopped):
    wave = hum(50.0, 40 * RATE, RATE, -30)
    wave[18 * RATE : 22 * RATE] = 0
    wave[:, 1] = 0
    out = chopped(HumRepair(RATE, 2, Hum(50.0, -30.0, tuple(range(1, 9)))), wave)
    # But for a fortieth of a second of fading out at its ends.
    assert np.abs(out[round(18.04 * RATE) : round(21.96 * RATE)]).max() < 1e-12
    assert np.abs(out[18 * RATE : 22 * RATE]).max() < 0.1 * np.abs(wave).max()
    assert not out[:, 1].any()
    assert np.sum(out[: 17 * RATE] ** 2) < 0.01 * np.sum(wave[: 17 * RATE] ** 2)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 6), (192000, 2)])
@pytest.mark.parametrize("frames", [0, 1, 3000])
def test_short_streams_keep_their_length_at_any_rate(chopped, rate, channels, frames):
    samples = np.random.default_rng(0).standard_normal((frames, channels))
    out = chopped(HumRepair(rate, channels, Hum(60.0, -40.0, (1, 2, 3))), samples)
    assert out.shape == samples.shape


def test_an_amount_of_nothing_is_the_input(chopped):
    samples = hum(50.0, 3 * RATE, RATE)
    assert np.array_equal(
        chopped(HumRepair(RATE, 2, Hum(50.0, -30.0, (1, 2)), 0.0), samples), samples
    )


@settings(max_examples=5, deadline=None)
@given(frames=st.integers(0, 60 * 8000), size=st.integers(3000, 200000))
def test_any_block_size_gives_the_same_bits(frames, size):
    samples = np.random.default_rng(frames).standard_normal((frames, 1)) * 0.01
    samples += hum(50.0, frames + 1, 8000, channels=1)[:frames]
    outs = []
    for step in (size, max(1, frames)):
        stage = HumRepair(8000, 1, Hum(50.0, -30.0, (1, 2, 3)))
        parts = [stage.process(samples[at : at + step]) for at in range(0, frames, step)]
        outs.append(np.concatenate([*parts, stage.flush()]))
    assert outs[0].shape == samples.shape
    assert np.array_equal(*outs)
