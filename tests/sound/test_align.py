"""The map from one clock to another against maps that are known: music warped, and filmed."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import soundfile
import soxr
from scipy import signal

from encoreaudio.align import align
from encoreaudio.error import SoundError

MUSIC_HZ, CAMERA_HZ = 44100, 48000


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("align")


@pytest.fixture
def song(data):
    """Forty seconds of a song, stereo."""
    return soundfile.read(
        data("sound/music/lets_go_fishin.ogg"),
        start=20 * MUSIC_HZ,
        frames=40 * MUSIC_HZ,
        always_2d=True,
    )[0]


@pytest.fixture
def filmed(data):
    """What a camera in the hall makes of music: mono, far, dull, with a crowd, at its own rate."""

    def film(music, source_s, seconds, seed=0):
        at = source_s(np.arange(round(seconds * CAMERA_HZ)) / CAMERA_HZ) * MUSIC_HZ * 4
        fine = soxr.resample(music.mean(axis=1), MUSIC_HZ, MUSIC_HZ * 4, "HQ")
        sound = np.interp(at, np.arange(len(fine)), fine, left=0, right=0)
        hall, rate = soundfile.read(data("sound/rooms/diffusor3.wav"), always_2d=True)
        hall = soxr.resample(hall[:, 0], rate, CAMERA_HZ)
        direct = int(np.abs(hall).argmax())
        # The room as it was recorded rings for 5 s; a filled hall does for 2.
        hall *= 10 ** (-0.9 * np.maximum(0, np.arange(len(hall)) - direct) / CAMERA_HZ)
        sound = signal.oaconvolve(sound, hall)[direct:][: len(sound)]
        crowd, rate = soundfile.read(data("sound/noise/concert-crowd.ogg"), always_2d=True)
        crowd = soxr.resample(crowd.mean(axis=1), rate, CAMERA_HZ)
        start = np.random.default_rng(seed).integers(len(crowd))
        crowd = np.resize(np.roll(crowd, start), len(sound))
        sound = sound / sound.std() + 0.5 * crowd / crowd.std()
        dull = signal.butter(4, 10000, fs=CAMERA_HZ, output="sos")
        return 0.03 * signal.sosfilt(dull, sound)[:, np.newaxis]

    return film


def aligned(folder, source, reference):
    soundfile.write(folder / "source.wav", source, MUSIC_HZ, "FLOAT")
    soundfile.write(folder / "reference.wav", reference, CAMERA_HZ, "FLOAT")
    return align(folder / "source.wav", folder / "reference.wav")


def worst_ms(found, *truths, away_s=0.0):
    """How far the map is from the nearest truth, up to `away_s` from each segment's ends."""
    worst = 0.0
    for part in found.segments:
        at = np.linspace(part.reference_from_s + away_s, part.reference_to_s - away_s, 500)
        off = np.min([np.abs(part.source_s(at) - truth(at)) for truth in truths], axis=0)
        worst = max(worst, float(off.max()) * 1e3)
    return worst


@pytest.mark.parametrize(
    ("offset_s", "ppm"), [(7.123, 0), (-7.123, 50), (17.123, -300), (-17.123, 1000)]
)
def test_offset_and_drift_are_found_to_half_a_millisecond(folder, song, filmed, offset_s, ppm):
    def truth(at):
        return offset_s + at * (1 + ppm * 1e-6)

    found = aligned(folder, song, filmed(song, truth, 36))
    assert worst_ms(found, truth) < 0.5
    assert found.drift_ppm == pytest.approx(ppm, abs=15)
    assert found.confidence > 0.8
    assert not found.edits
    heard_s = sum(part.reference_to_s - part.reference_from_s for part in found.segments)
    assert heard_s == pytest.approx(min(36, 40 - offset_s) - max(0, -offset_s), abs=0.05)


def test_an_offset_of_most_of_the_show_is_found(folder, data, filmed):
    song = soundfile.read(data("sound/music/lets_go_fishin.ogg"), frames=70 * MUSIC_HZ)[0]
    song = song.reshape(len(song), -1)

    def truth(at):
        return 37.123 + at * (1 - 300e-6)

    found = aligned(folder, song, filmed(song, truth, 30))
    assert worst_ms(found, truth) < 0.5
    assert found.offset_s == pytest.approx(37.123, abs=5e-4)


def test_what_the_source_lacks_is_a_gap(folder, song, filmed):
    def before(at):
        return 0.5 + at * (1 + 200e-6)

    lost = before(14.0), before(22.0)
    source = np.delete(song, slice(*(round(at * MUSIC_HZ) for at in lost)), axis=0)

    def after(at):
        return before(at) - (lost[1] - lost[0])

    found = aligned(folder, source, filmed(song, before, 38))
    (gap,) = (gap for gap in found.gaps if gap.reference_to_s - gap.reference_from_s > 1)
    assert gap.reference_from_s == pytest.approx(14, abs=0.2)
    assert gap.reference_to_s == pytest.approx(22, abs=0.2)
    (edit,) = found.edits
    assert edit.missing_s == pytest.approx(8, abs=0.01)
    assert edit.skipped_s == pytest.approx(0, abs=0.01)
    assert worst_ms(found, before, after, away_s=0.2) < 0.5


def test_what_only_the_source_has_is_skipped(folder, song, filmed):
    def before(at):
        return 0.5 + at * (1 - 100e-6)

    def after(at):
        return before(at) + 9

    cut = round(before(18.0) * MUSIC_HZ)
    source = np.concatenate([song[:cut], song[: 9 * MUSIC_HZ] * 0.7, song[cut:]])
    found = aligned(folder, source, filmed(song, before, 38))
    (edit,) = found.edits
    assert edit.reference_s == pytest.approx(18, abs=0.2)
    assert edit.missing_s == 0
    assert edit.skipped_s == pytest.approx(9, abs=0.001)
    assert worst_ms(found, before, after, away_s=0.2) < 0.5


def test_a_frame_that_the_camera_dropped_is_an_edit(folder, song, filmed):
    film = filmed(song, lambda at: at, 38)
    film = np.delete(film, slice(18 * CAMERA_HZ, 18 * CAMERA_HZ + 1920), axis=0)
    found = aligned(folder, song, film)
    (edit,) = found.edits
    assert edit.reference_s == pytest.approx(18, abs=0.2)
    assert edit.skipped_s == pytest.approx(0.040, abs=0.0005)


def test_a_clock_that_wanders_is_followed(folder, song, filmed):
    def truth(at):
        return 1 + at + 0.003 * np.sin(2 * np.pi * at / 60)

    found = aligned(folder, song, filmed(song, truth, 36))
    assert worst_ms(found, truth) < 0.5


def test_turned_polarity_and_another_mix_are_no_hindrance(folder, song, filmed):
    found = aligned(folder, -song[:, :1] * 0.2, filmed(song, lambda at: at + 2.5, 30))
    assert worst_ms(found, lambda at: at + 2.5) < 0.5


def test_a_recording_is_aligned_to_itself_everywhere(folder, song):
    soundfile.write(folder / "same.wav", song, MUSIC_HZ)
    found = align(folder / "same.wav", folder / "same.wav")
    assert worst_ms(found, lambda at: at) < 0.01
    assert found.segments[0].reference_from_s == pytest.approx(0, abs=1e-5)
    assert found.segments[0].reference_to_s == pytest.approx(40, abs=1e-5)
    assert found.reference_frames == len(song)
    assert json.loads(json.dumps(asdict(found)))["confidence"] > 0.8


def test_other_music_is_refused_in_one_line(folder, song, data):
    soundfile.write(folder / "song.wav", song, MUSIC_HZ)
    with pytest.raises(SoundError, match=r"^cannot align .* same performance") as refused:
        align(data("sound/music/vibe_ace.ogg"), folder / "song.wav")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("frames", [1, 4410, 10 * MUSIC_HZ])
def test_silence_and_very_short_sound_are_refused_in_one_line(folder, frames):
    soundfile.write(folder / "silence.wav", np.zeros((frames, 1)), MUSIC_HZ)
    with pytest.raises(SoundError, match="cannot align"):
        align(folder / "silence.wav", folder / "silence.wav")
