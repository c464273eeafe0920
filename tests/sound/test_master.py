"""The whole chain: levels by outside meters, exact lengths, odd inputs, bounded memory."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pyloudnorm
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio import UNTOUCHED, Mastering, Recipe, SoundError, master

RATE = 48000
# For signals that are damage to a finder: clicks, and noise without music.
LEVEL_ONLY = Recipe(repair=dataclasses.replace(UNTOUCHED, dc=1.0))


@pytest.fixture
def song(music, tmp_path):
    samples, rate = music
    path = tmp_path / "song.wav"
    soundfile.write(path, samples * 0.5, rate, subtype="PCM_24")
    return path


def wav(path, samples, rate=RATE, subtype="PCM_24"):
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def band(seconds, rate=RATE, channels=2, level=0.1):
    """Noise that swells and fades, as music does, with clicks that make it peaky."""
    rng = np.random.default_rng(7)
    at = np.arange(round(seconds * rate))[:, np.newaxis] / rate
    noise = rng.standard_normal((len(at), channels)) * level * (1 + 0.6 * np.sin(0.7 * at))
    noise[:: rate // 3] *= 6
    return np.clip(noise, -0.99, 0.99)


@pytest.mark.parametrize(
    ("preset", "target"), [("streaming", -14), ("apple", -16), ("ebu-r128", -23)]
)
def test_loudness_lands_on_the_target_by_outside_meters(
    song, tmp_path, ffmpeg, true_peak_db, preset, target
):
    out = tmp_path / "out.flac"
    report = master(song, out, preset)
    samples, rate = soundfile.read(out, always_2d=True)
    oracle = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(samples)
    assert oracle == pytest.approx(target, abs=0.1)
    assert report.after.integrated_lufs == pytest.approx(oracle, abs=0.05)
    said = ffmpeg("-i", out, "-af", "ebur128", "-f", "null", "-").rsplit("I:", 1)[1]
    assert float(said.split()[0]) == pytest.approx(target, abs=0.15)
    assert true_peak_db(samples) <= -1 + 0.05


def test_limited_loudness_is_made_up_for(tmp_path, true_peak_db):
    source = wav(tmp_path / "in.wav", band(12, level=0.08))
    loud = dataclasses.replace(LEVEL_ONLY, mastering=Mastering(-12.0, -3.0))
    report = master(source, tmp_path / "out.wav", loud)
    samples, rate = soundfile.read(tmp_path / "out.wav")
    assert report.limiting_max_db > 3
    assert pyloudnorm.Meter(rate).integrated_loudness(samples) == pytest.approx(-12, abs=0.15)
    assert true_peak_db(samples) <= -3 + 0.05
    assert report.renders > 1


def test_the_gain_is_linear_where_nothing_is_limited(tmp_path):
    samples = band(5, level=0.01)
    source = wav(tmp_path / "in.wav", samples, subtype="DOUBLE")
    quiet = Recipe(Mastering(-30.0, -1.0), UNTOUCHED)
    report = master(source, tmp_path / "out.wav", quiet, subtype="FLOAT")
    out, _ = soundfile.read(tmp_path / "out.wav")
    assert report.limited_s == 0
    assert np.allclose(out, samples * 10 ** (report.gain_db / 20), atol=1e-7)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_none_gives_back_the_very_samples(tmp_path, suffix):
    whole = np.random.default_rng(0).integers(-32768, 32768, (70001, 2), dtype=np.int16)
    source = wav(tmp_path / f"in.{suffix}", whole, subtype="PCM_16")
    report = master(source, tmp_path / f"out.{suffix}", "none", subtype="PCM_16")
    out, _ = soundfile.read(tmp_path / f"out.{suffix}", dtype="int16")
    assert np.array_equal(out, whole)
    assert not report.dithered


def test_archive_keeps_the_level_and_only_catches_peaks(tmp_path, true_peak_db):
    samples = band(6) * 0.5
    samples[RATE * 3] = 1.0
    source = wav(tmp_path / "in.wav", samples, subtype="DOUBLE")
    report = master(source, tmp_path / "out.wav", "archive", subtype="FLOAT")
    out, _ = soundfile.read(tmp_path / "out.wav")
    assert report.gain_db == 0
    assert np.array_equal(out[: 2 * RATE], samples[: 2 * RATE].astype(np.float32))
    assert true_peak_db(out) <= -1 + 0.05


@settings(max_examples=10, deadline=None)
@given(
    frames=st.integers(1, 40000),
    channels=st.sampled_from([1, 2, 6]),
    rate=st.sampled_from([8000, 32000, 44100, 48000, 192000]),
)
def test_as_many_samples_come_out_as_go_in(tmp_path_factory, frames, channels, rate):
    folder = tmp_path_factory.mktemp("length")
    samples = np.random.default_rng(frames).uniform(-0.5, 0.5, (frames, channels))
    report = master(wav(folder / "in.wav", samples, rate), folder / "out.flac")
    info = soundfile.info(folder / "out.flac")
    assert (info.frames, info.channels, info.samplerate) == (frames, channels, rate)
    assert (report.samples, report.channels, report.sample_rate_hz) == (frames, channels, rate)


def test_a_click_stays_on_its_sample(tmp_path):
    samples = band(4, level=0.001)
    samples[2 * RATE] = 0.9
    source = wav(tmp_path / "in.wav", samples)
    for rate in (None, 96000):
        master(source, tmp_path / "out.wav", LEVEL_ONLY, sample_rate_hz=rate)
        out, got = soundfile.read(tmp_path / "out.wav")
        assert np.abs(out[:, 0]).argmax() == 2 * got
        assert len(out) == 4 * got


def test_start_and_duration_place_the_master_on_the_clock(tmp_path):
    samples = band(4, level=0.001)
    samples[RATE] = 0.9
    source = wav(tmp_path / "in.wav", samples)
    report = master(
        source,
        tmp_path / "out.wav",
        LEVEL_ONLY,
        start_s=-0.12,
        duration_s=Fraction(5005, 1000),
        subtype="PCM_16",
    )
    out, _ = soundfile.read(tmp_path / "out.wav")
    assert len(out) == report.samples == 240240
    assert np.abs(out[:, 0]).argmax() == RATE + round(0.12 * RATE)
    assert not out[-RATE // 2 :].any()


@pytest.mark.parametrize("seconds", [0, 0.1, 3])
def test_silence_and_short_sounds_get_no_gain(tmp_path, seconds):
    frames = max(1, round(seconds * RATE))
    samples = np.zeros((frames, 2)) if seconds == 3 else np.full((frames, 2), 0.25)
    report = master(wav(tmp_path / "in.wav", samples), tmp_path / "out.wav")
    assert report.gain_db == 0
    assert report.samples == frames
    assert report.after.integrated_lufs is None


def test_a_nearly_silent_recording_is_not_blown_up(tmp_path):
    source = wav(tmp_path / "in.wav", band(3, level=1e-4))
    assert master(source, tmp_path / "out.wav", LEVEL_ONLY).gain_db == 20


def test_numbers_that_are_none_do_not_spread(tmp_path):
    samples = band(3).astype(np.float32)
    samples[1000, 0], samples[2000, 1] = np.nan, np.inf
    source = wav(tmp_path / "in.wav", samples, subtype="FLOAT")
    report = master(source, tmp_path / "out.wav", LEVEL_ONLY)
    out, _ = soundfile.read(tmp_path / "out.wav")
    assert report.invalid_samples == 2
    assert np.isfinite(out).all()
    assert report.after.integrated_lufs == pytest.approx(-14, abs=0.1)


def test_the_same_master_comes_out_twice(song, tmp_path):
    for name in ("a.wav", "b.wav"):
        master(song, tmp_path / name, subtype="PCM_16")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_the_report_is_json_and_progress_only_goes_forward(song, tmp_path):
    told = []
    report = master(
        song, tmp_path / "a.flac", progress=lambda done, total: told.append((done, total))
    )
    assert (
        json.loads(json.dumps(dataclasses.asdict(report)))["recipe"]["mastering"]["target_lufs"]
        == -14
    )
    done = [seconds for seconds, _ in told]
    assert done == sorted(done)
    assert told[-1] == (pytest.approx(12), pytest.approx(12))


def test_a_damaged_broadcast_is_mastered_and_its_losses_told(data, tmp_path):
    source = data("clips/interlaced/newsroom_576i25_h264_damaged.ts")
    report = master(source, tmp_path / "out.flac")
    assert report.lost_s > 0.5
    assert report.damage_count >= len(report.damage) > 10
    assert list(report.damage) == sorted(report.damage)
    assert soundfile.info(tmp_path / "out.flac").frames == report.samples


def test_surround_stays_surround(data, tmp_path):
    report = master(data("clips/cgi_bigbuckbunny_720p.mp4"), tmp_path / "out.flac")
    assert report.channels == 6
    assert soundfile.info(tmp_path / "out.flac").channels == 6


def test_what_cannot_be_written_is_refused_and_leaves_nothing(song, tmp_path):
    cases = {
        tmp_path / "missing" / "a.wav": "does not exist",
        tmp_path / "a.mp3": "cannot tell a sound format",
        song: "is the source itself",
    }
    for target, words in cases.items():
        with pytest.raises(SoundError, match=words):
            master(song, target)
    with pytest.raises(SoundError, match="no sound preset"):
        master(song, tmp_path / "a.wav", "loud")
    with pytest.raises(SoundError, match="flac holds no float"):
        master(song, tmp_path / "a.flac", subtype="FLOAT")
    assert os.listdir(tmp_path) == ["song.wav"]


def test_a_start_behind_the_end_is_refused(song, tmp_path):
    with pytest.raises(SoundError, match="no sound after 100 s"):
        master(song, tmp_path / "a.wav", start_s=100)
    assert os.listdir(tmp_path) == ["song.wav"]


def test_a_target_that_was_there_survives_a_failure(tmp_path):
    target = tmp_path / "out.wav"
    target.write_bytes(b"the last good master")
    (tmp_path / "in.wav").write_bytes(b"not sound")
    with pytest.raises(SoundError):
        master(tmp_path / "in.wav", target)
    assert target.read_bytes() == b"the last good master"


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak from /proc")
def test_memory_does_not_grow_with_length(tmp_path):
    script = """
import sys
import numpy as np, soundfile
from encoreaudio import master
minutes, folder = int(sys.argv[1]), sys.argv[2]
part = np.random.default_rng(0).standard_normal((48000 * 60, 1)).astype(np.float32) * 0.1
with soundfile.SoundFile(folder + "/in.wav", "w", 48000, 1, "PCM_16") as file:
    for _ in range(minutes):
        file.write(part)
master(folder + "/in.wav", folder + "/out.wav", subtype="PCM_16")
# Not getrusage: its peak counts the process that this one was started from.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""

    def peak_mib(minutes):
        done = subprocess.run(
            [sys.executable, "-c", script, str(minutes), str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout) / (1024 * 1024 if sys.platform == "darwin" else 1024)

    short, long = peak_mib(1), peak_mib(6)
    assert long - short < 50
    assert long < 700


@pytest.mark.slow
def test_mastering_is_far_faster_than_the_concert(tmp_path):
    source = wav(tmp_path / "in.wav", band(60))
    began = time.process_time()
    master(source, tmp_path / "out.flac", Mastering(-23.0))
    # Twenty times real time on a machine of its own; half of that where it is shared.
    assert time.process_time() - began < 60 / 10
