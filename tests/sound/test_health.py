"""What `measure` tells of a recording."""

import dataclasses
import json

import numpy as np
import pyloudnorm
import pytest
import soundfile

from encoreaudio import measure

RATE = 48000


def noise(seconds, level=0.1):
    return np.random.default_rng(3).standard_normal((round(seconds * RATE), 2)) * level


def test_a_recordings_facts_are_told(tmp_path):
    samples = np.clip(noise(12, 0.3), -0.9, 0.9)
    samples[:, 1] *= 0.5
    samples[3 * RATE : 3 * RATE + 10, 0] = 0.9
    samples += np.array([0.0, 0.01])
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    health = measure(path)
    assert (health.sample_rate_hz, health.channels, health.speakers) == (RATE, 2, ("FL", "FR"))
    assert health.seconds == 12
    assert health.findings.rumble.offset == pytest.approx(0.01, abs=0.001)
    assert health.findings.clipping.samples >= 10
    assert health.true_peak_dbtp is not None
    assert health.true_peak_dbtp > -1
    assert health.findings.hum is None
    json.dumps(dataclasses.asdict(health))


def test_segments_are_measured_as_one_recording(data):
    path = data("sound/music/lets_go_fishin.ogg")
    music, rate = soundfile.read(path, always_2d=True)
    segments = [(10.0, 4.0), (60.0, 4.0), (100.0, 4.0)]
    parts = [music[round(at * rate) : round((at + length) * rate)] for at, length in segments]
    health = measure(path, segments=segments)
    assert health.seconds == pytest.approx(12, abs=1e-3)
    oracle = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(np.concatenate(parts))
    assert health.loudness_lufs == pytest.approx(oracle, abs=0.05)
    assert health.damage_count == 0


def test_segments_of_a_broadcast_lie_on_its_own_clock(data):
    path = data("clips/interlaced/woman_576i25_mpeg2.ts")
    whole = measure(path)
    assert whole.start_s == pytest.approx(19207.6545, abs=1e-3)
    part = measure(path, segments=[(whole.start_s + 1, 1.0), (whole.start_s + 500, 1.0)])
    assert part.seconds == pytest.approx(1.0, abs=1e-3)


def test_silence_has_no_loudness_and_no_peak(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((5 * RATE, 1)), RATE)
    health = measure(tmp_path / "a.wav")
    assert health.loudness_lufs is None
    assert health.true_peak_dbtp is None
    assert health.findings.clipping.samples == 0


def test_a_broken_broadcast_tells_what_it_lost(data):
    health = measure(data("clips/interlaced/newsroom_576i25_h264_damaged.ts"))
    assert health.lost_s > 0.5
    assert health.damage_count > 10
