"""Songs found between applause, and a gain that moves in the gaps alone."""

import numpy as np
import pyloudnorm
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.songs import Song, SongFinder, SongGain, song_offsets

RATE = 44100
STEREO = ("FL", "FR")


def find(samples, rate=RATE, speakers=STEREO, size=48000):
    finder = SongFinder(rate, speakers)
    for at in range(0, len(samples), size):
        finder.add(samples[at : at + size])
    return finder.finish()


@pytest.fixture
def show(data):
    """Makes a show of songs (file, from, seconds, gain in dB) with the crowd between them.

    Gives the samples and where each song really lies.
    """
    crowd, crowd_rate = soundfile.read(data("sound/noise/concert-crowd.ogg"), always_2d=True)
    crowd = soxr.resample(crowd, crowd_rate, RATE)

    def make(songs, crowd_db=0.0, gap_s=9.0):
        applause = crowd[: round(gap_s * RATE)] * 10 ** (crowd_db / 20)
        parts, places, at = [applause], [], len(applause)
        for name, from_s, seconds, gain in songs:
            samples, _ = soundfile.read(
                data(f"sound/music/{name}.ogg"), start=from_s * RATE, frames=seconds * RATE
            )
            samples = samples if samples.ndim == 2 else np.repeat(samples[:, np.newaxis], 2, axis=1)
            parts += [samples * 10 ** (gain / 20), applause]
            places.append((at / RATE, (at + len(samples)) / RATE))
            at += len(samples) + len(applause)
        return np.concatenate(parts), places

    return make


SETLIST = [
    ("lets_go_fishin", 20, 45, 0),
    ("sugar_plum", 10, 40, 0),
    ("vibe_ace", 5, 40, -4),
    ("hungarian_dance", 5, 32, 3),
]


@pytest.mark.parametrize("crowd_db", [-30, -12, 0, 6])
def test_songs_are_found_between_applause_at_any_level(show, crowd_db):
    samples, places = show(SETLIST, crowd_db)
    songs = find(samples).songs
    assert len(songs) == len(places)
    for song, (from_s, to_s) in zip(songs, places, strict=True):
        assert song.from_s == pytest.approx(from_s, abs=2)
        assert song.to_s == pytest.approx(to_s, abs=2)


def test_songs_are_found_between_silence(show):
    samples, places = show(SETLIST[:2], crowd_db=-200)
    songs = find(samples).songs
    assert [(song.from_s, song.to_s) for song in songs] == [
        (pytest.approx(from_s, abs=2), pytest.approx(to_s, abs=2)) for from_s, to_s in places
    ]


def test_songs_under_hiss_are_found_all_the_same(show):
    samples, places = show(SETLIST[:2])
    hiss = np.random.default_rng(0).standard_normal(samples.shape) * 0.1 * samples.std()
    assert len(find(samples + hiss).songs) == len(places)


def test_a_song_reads_as_pyloudnorm_reads_it(show):
    samples, _ = show(SETLIST[:2])
    for song in find(samples).songs:
        part = samples[round(song.from_s * RATE) : round(song.to_s * RATE)]
        meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
        assert song.lufs == pytest.approx(meter.integrated_loudness(part), abs=0.1)


def test_music_without_a_gap_is_one_song(data):
    samples, rate = soundfile.read(data("sound/music/lets_go_fishin.ogg"), frames=100 * 44100)
    found = find(samples, rate)
    assert len(found.songs) == 1
    assert song_offsets(found.songs) == (0.0,)


def test_the_found_songs_do_not_depend_on_the_block_size(show):
    samples, _ = show(SETLIST[1:3])
    assert find(samples, size=3001) == find(samples, size=10**7)


@pytest.mark.parametrize("rate", [8000, 48000, 192000])
@pytest.mark.parametrize("frames", [0, 1, 30000])
@pytest.mark.parametrize("speakers", [("FC",), STEREO, ("FL", "FR", "FC", "LFE", "BL", "BR")])
def test_what_is_no_song_gives_none(rate, frames, speakers):
    assert find(np.zeros((frames, len(speakers))), rate, speakers).songs == ()
    noise = np.random.default_rng(0).standard_normal((frames, len(speakers))) * 0.1
    found = find(noise, rate, speakers)
    assert found.songs == ()
    assert found.loudest_lufs == found.programme_lufs


SONGS = (Song(2, 40, -20.0), Song(50, 90, -14.0), Song(98, 140, -16.5))


def test_gain_stands_still_while_music_sounds():
    gains = chop(SongGain(1000, SONGS, (2.0, -2.0, 0.5)), np.ones((150000, 1)))[:, 0]
    decibels = 20 * np.log10(gains)
    assert np.allclose(decibels[:42500], 2)
    assert np.allclose(decibels[47500:92000], -2)
    assert np.allclose(decibels[96000:], 0.5)
    # And moves without a step: 4 dB over five seconds.
    assert np.abs(np.diff(decibels)).max() * 1000 < 2


def chop(stage, samples, size=7001):
    parts = [stage.process(samples[at : at + size]) for at in range(0, len(samples), size)]
    return np.concatenate([part for part in [*parts, stage.flush()] if len(part)] or [samples[:0]])


def test_no_offset_and_no_songs_leave_the_samples_as_they_are():
    samples = np.random.default_rng(0).standard_normal((5000, 2))
    assert np.array_equal(chop(SongGain(1000, SONGS, (0.0, 0.0, 0.0)), samples), samples)
    assert np.array_equal(chop(SongGain(1000, (), ()), samples), samples)


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 60000), frames=st.integers(0, 150000))
def test_any_block_size_gives_the_same_bits(size, frames):
    samples = np.ones((frames, 2))
    gains = [
        chop(SongGain(1000, SONGS, (2.0, -2.0, 0.5)), samples, max(step, frames // 50 + 1))
        for step in (size, 150000)
    ]
    assert len(gains[0]) == frames
    assert np.array_equal(*gains)


@given(
    lufs=st.lists(st.floats(-40, -6), min_size=2, max_size=20),
    bound=st.floats(0, 6),
)
def test_offsets_are_bounded_and_keep_the_loudness_and_the_order(lufs, bound):
    songs = [Song(60.0 * n, 60.0 * n + 50, level) for n, level in enumerate(lufs)]
    offsets = np.array(song_offsets(songs, bound))
    assert np.all(np.abs(offsets) <= bound + 0.005)
    energy = np.sum(10 ** (np.array(lufs) / 10))
    moved = np.sum(10 ** ((np.array(lufs) + offsets) / 10))
    assert 10 * np.log10(moved / energy) == pytest.approx(0, abs=0.02)
    order = np.argsort(lufs, kind="stable")
    assert np.all(np.diff((np.array(lufs) + offsets)[order]) > -0.011)
