"""The second opinion: as pyloudnorm reads the whole at once, and as libebur128 reads it."""

import numpy as np
import pyloudnorm
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.loudness import Loudness
from encoreaudio.opinion import Opinion, SecondOpinion
from encoreaudio.songs import Song

STEREO = ("FL", "FR")


def opinion(samples, rate, speakers=STEREO, size=48000, songs=()):
    second = SecondOpinion(rate, speakers)
    for at in range(0, len(samples), size):
        second.add(samples[at : at + size])
    return second.finish(songs)


def first(samples, rate, speakers=STEREO):
    meter = Loudness(rate, speakers)
    meter.add(samples)
    return meter.finish()


@pytest.mark.parametrize("piece", ["lets_go_fishin", "sugar_plum", "vibe_ace"])
def test_real_music_reads_as_the_meter_and_as_pyloudnorm_at_once_read_it(data, piece):
    samples, rate = soundfile.read(data(f"sound/music/{piece}.ogg"), frames=50 * 44100)
    samples = samples if samples.ndim == 2 else np.repeat(samples[:, np.newaxis], 2, axis=1)
    samples = samples * np.linspace(0.05, 1, len(samples))[:, np.newaxis]  # work for the gate
    heard = opinion(samples, rate).integrated_lufs
    assert heard == pytest.approx(first(samples, rate), abs=0.05)
    whole = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(samples)
    assert heard == pytest.approx(whole, abs=0.01)


def test_each_song_is_read_by_itself(data):
    samples, rate = soundfile.read(data("sound/music/lets_go_fishin.ogg"), frames=60 * 44100)
    samples = np.concatenate((samples[: 30 * rate] * 0.1, samples[30 * rate :]))
    songs = (Song(0, 30, 0.0), Song(30, 60, 0.0))
    heard = opinion(samples, rate, songs=songs).songs_lufs
    alone = [first(part, rate) for part in (samples[: 30 * rate], samples[30 * rate :])]
    assert heard == pytest.approx(alone, abs=0.05)


@settings(max_examples=10, deadline=None)
@given(seconds=st.floats(0, 45), size=st.integers(100, 400000))
def test_any_block_size_gives_the_same_reading(seconds, size):
    rate = 8000
    samples = np.random.default_rng(1).standard_normal((round(seconds * rate), 2)) * 0.1
    assert opinion(samples, rate, size=size) == opinion(samples, rate, size=10**6)


def test_an_lfe_is_left_out_and_surrounds_count_more():
    rate = 48000
    speakers = ("FL", "FR", "FC", "LFE", "BL", "BR")
    samples = np.random.default_rng(2).standard_normal((5 * rate, 6)) * 0.1
    samples[:, 3] *= 9
    heard = opinion(samples, rate, speakers).integrated_lufs
    assert heard == pytest.approx(first(samples, rate, speakers), abs=0.05)


@pytest.mark.parametrize("speakers", [("FC",), STEREO, ("FL", "FR", "FC", "LFE", "BL", "BR")])
@pytest.mark.parametrize("rate", [8000, 44100, 192000])
@pytest.mark.parametrize("frames", [0, 1, 1000])
def test_what_is_too_short_has_no_loudness(rate, speakers, frames):
    samples = np.full((frames, len(speakers)), 0.5)
    assert opinion(samples, rate, speakers) == Opinion(None, ())


def test_silence_has_no_loudness_and_a_strange_layout_no_opinion():
    assert opinion(np.zeros((48000, 2)), 48000) == Opinion(None, ())
    eight = ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")
    assert opinion(np.zeros((48000, 8)), 48000, eight) is None
