"""The meter against EBU Tech 3341 (Table 1), Tech 3342 (Table 1) and pyloudnorm."""

from itertools import pairwise

import numpy as np
import pyloudnorm
import pytest

from encoreaudio import Levels, Meter
from encoreaudio.loudness import Blocks, Loudness, gated

STEREO = ("FL", "FR")


def tone(rate, parts, channels=2):
    """1 kHz in phase on all channels; parts are (seconds, dBFS or None for silence)."""
    level = np.concatenate(
        [np.full(round(s * rate), 0.0 if db is None else 10 ** (db / 20)) for s, db in parts]
    )
    wave = np.sin(2 * np.pi * 1000 * np.arange(len(level)) / rate) * level
    return np.repeat(wave[:, np.newaxis], channels, axis=1)


def read(samples, rate, speakers=STEREO, size=4800) -> Levels:
    meter = Meter(rate, speakers)
    for at in range(0, len(samples), size):
        meter.add(samples[at : at + size])
    return meter.finish()


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        pytest.param([(20, -23)], -23, id="case 1"),
        pytest.param([(20, -33)], -33, id="case 2"),
        pytest.param([(10, -36), (60, -23), (10, -36)], -23, id="case 3"),
        pytest.param([(10, -72), (10, -36), (60, -23), (10, -36), (10, -72)], -23, id="case 4"),
        pytest.param([(20, -26), (20.1, -20), (20, -26)], -23, id="case 5"),
    ],
)
def test_integrated_loudness_is_that_of_tech_3341(rate, parts, wanted):
    levels = read(tone(rate, parts), rate, size=rate)
    assert levels.integrated_lufs == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("level", [-23, -33])
def test_momentary_and_short_term_agree_on_a_steady_tone(rate, level):
    levels = read(tone(rate, [(20, level)]), rate)  # cases 1 and 2
    assert levels.integrated_lufs == pytest.approx(level, abs=0.1)
    assert levels.momentary_max_lufs == pytest.approx(level, abs=0.1)
    assert levels.short_term_max_lufs == pytest.approx(level, abs=0.1)


@pytest.mark.parametrize(
    "speakers",
    [
        ("FL", "FR", "FC", "BL", "BR"),
        ("FL", "FR", "FC", "SL", "SR"),
        ("FL", "FR", "FC", "LFE", "BL", "BR"),
    ],
)
def test_surround_counts_more_and_the_lfe_not_at_all(speakers):
    # Tech 3341 case 6; the LFE, where there is one, is as loud as full scale.
    decibels = {"FL": -28, "FR": -28, "FC": -24, "LFE": 0}
    gains = 10 ** (np.array([decibels.get(name, -30) for name in speakers]) / 20)
    samples = tone(48000, [(20, 0)], len(speakers)) * gains
    assert read(samples, 48000, speakers).integrated_lufs == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_short_term_loudness_of_a_pulsing_tone_is_constant(rate):
    samples = tone(rate, [(1.34, -20), (1.66, -30)] * 5)  # case 9
    meter = Meter(rate, STEREO)
    meter.add(samples)
    assert meter.finish().short_term_max_lufs == pytest.approx(-23, abs=0.1)
    seconds = meter.history()
    assert seconds.step_s == 1
    # A value is for the three seconds before it, so the third is the first whole one.
    assert seconds.values[2:] == pytest.approx([-23] * 13, abs=0.1)


@pytest.mark.parametrize("step", range(20))
def test_short_term_maximum_finds_a_tone_wherever_it_lies(step):
    levels = read(tone(48000, [(0.15 * step, None), (3, -23), (1, None)]), 48000)  # case 10
    assert levels.short_term_max_lufs == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_momentary_loudness_of_a_pulsing_tone_is_constant(rate):
    samples = tone(rate, [(0.18, -20), (0.22, -30)] * 25)  # case 12
    assert read(samples, rate).momentary_max_lufs == pytest.approx(-23, abs=0.1)
    assert Blocks(rate, STEREO).add(samples) == pytest.approx([-23] * 97, abs=0.1)


@pytest.mark.parametrize("step", range(20))
def test_momentary_maximum_finds_a_tone_wherever_it_lies(step):
    levels = read(tone(48000, [(0.02 * step, None), (0.4, -23), (1, None)]), 48000)  # case 13
    assert levels.momentary_max_lufs == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        pytest.param([-20, -30], 10, id="case 1"),
        pytest.param([-20, -15], 5, id="case 2"),
        pytest.param([-40, -20], 20, id="case 3"),
        pytest.param([-50, -35, -20, -35, -50], 15, id="case 4"),
    ],
)
def test_range_is_that_of_tech_3342(parts, wanted):
    samples = tone(48000, [(20, db) for db in parts])
    assert read(samples, 48000, size=48000).range_lu == pytest.approx(wanted, abs=1)


def test_a_full_scale_sine_in_one_channel_reads_minus_3_01():
    # BS.1770-5: 997 Hz at 0 dBFS in the left, right or centre channel.
    wave = np.sin(2 * np.pi * 997 * np.arange(48000 * 5) / 48000)[:, np.newaxis]
    assert read(wave, 48000, ("FC",)).integrated_lufs == pytest.approx(-3.01, abs=0.02)


def test_music_reads_as_pyloudnorm_reads_it(music):
    samples, rate = music
    oracle = pyloudnorm.Meter(rate, filter_class="DeMan")
    levels = read(samples, rate)
    assert levels.integrated_lufs == pytest.approx(oracle.integrated_loudness(samples), abs=0.05)
    alone = Loudness(rate, STEREO)
    alone.add(samples)
    assert alone.finish() == pytest.approx(levels.integrated_lufs, abs=1e-6)


@pytest.mark.parametrize("size", [999, 44100, 10**6])
def test_gated_blocks_are_the_integrated_loudness(music, size):
    samples, rate = music
    samples = samples * np.repeat([0.01, 1, 0.1], len(samples) // 3)[:, np.newaxis]
    blocks = Blocks(rate, STEREO)
    heard = [
        lufs for at in range(0, len(samples), size) for lufs in blocks.add(samples[at : at + size])
    ]
    wanted = read(samples, rate).integrated_lufs
    assert gated(np.array(heard)) == pytest.approx(wanted, abs=1e-3)


def test_readings_do_not_depend_on_the_block_size(music):
    samples, rate = music
    readings = [read(samples[: 5 * rate], rate, size=size) for size in (61, 997, 44100, 10**6)]
    for one, other in pairwise(readings):
        assert vars(one) == pytest.approx(vars(other), abs=1e-9)


def test_silence_and_too_short_a_sound_have_no_loudness():
    silence = read(np.zeros((48000, 2)), 48000)
    assert silence == Levels(None, None, None, None, None)
    short = read(tone(48000, [(0.1, -6)]), 48000)
    assert short.integrated_lufs is None
    assert short.true_peak_dbtp == pytest.approx(-6, abs=0.1)
