"""Mastering targets: the published numbers, the gain they ask for, and ceilings before codecs."""

import numpy as np
import pytest
import soxr

from encoreaudio import PRESETS, Levels, Mastering, SoundError
from encoreaudio.limiter import Limiter
from encoreaudio.targets import ceiling_for, mastering, wanted_gain_db

HEARD = Levels(-20.0, 8.0, -12.0, -15.0, -3.0)


@pytest.mark.parametrize(
    ("preset", "target", "ceiling"),
    [
        ("streaming", -14, -1),
        ("apple", -16, -1),
        ("ebu-r128", -23, -1),
        ("netflix", -24, -2),
        ("aes-album", -14, -1),
        ("cd", None, -0.3),
        ("archive", None, -1),
        ("none", None, None),
    ],
)
def test_presets_have_the_published_targets(preset, target, ceiling):
    assert mastering(preset).target_lufs == target
    assert mastering(preset).ceiling_dbtp == ceiling
    assert mastering(preset).mode == "album"


@pytest.mark.parametrize(
    ("preset", "gain"),
    [("streaming", 6), ("ebu-r128", -3), ("aes-album", 4), ("cd", 2.7), ("archive", 0)],
)
def test_gain_leads_what_the_preset_means_to_its_target(preset, gain):
    assert wanted_gain_db(PRESETS[preset], HEARD, loudest_song_lufs=-18.0) == pytest.approx(gain)


def test_an_album_without_songs_is_one_song():
    assert wanted_gain_db(PRESETS["aes-album"], HEARD) == 6


def test_gain_is_bounded_and_silence_gets_none():
    quiet = Levels(-50.0, 0.0, -50.0, -50.0, -40.0)
    assert wanted_gain_db(Mastering(-14.0), quiet) == 20
    assert wanted_gain_db(Mastering(-14.0), Levels(None, None, None, None, None)) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "songs"},
        {"song_range_db": -1},
        {"anchor": "peaks"},
        {"anchor": "peak"},
        {"anchor": "peak", "target_lufs": None, "ceiling_dbtp": None},
        {"target_lufs": 3},
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(SoundError):
        Mastering(**wrong)


def test_a_codec_lowers_the_ceiling_the_more_the_fewer_bits_it_has():
    assert ceiling_for("flac", 0, -1.0) == -1
    assert ceiling_for("pcm", 0, -0.3) == -0.3
    for codec in ("aac", "opus"):
        ceilings = [ceiling_for(codec, kbps, -0.3) for kbps in (320, 256, 192, 128, 64)]
        assert ceilings == sorted(ceilings, reverse=True)
        assert ceiling_for(codec, 64, -6.0) == -6
    # Six channels share the bits.
    assert ceiling_for("aac", 576, -1.0, channels=6) == ceiling_for("aac", 192, -1.0)


@pytest.mark.parametrize(
    ("codec", "encoder", "kbps"),
    [("aac", "aac", 320), ("aac", "aac", 192), ("opus", "libopus", 256), ("opus", "libopus", 160)],
)
def test_decoded_music_stays_under_full_scale(
    music, chopped, ffmpeg, tmp_path, codec, encoder, kbps
):
    samples, rate = music
    fade = np.minimum(1, np.minimum(np.arange(len(samples)), np.arange(len(samples))[::-1]) / rate)
    hot = samples * fade[:, np.newaxis] * (2 / np.abs(samples).max())
    limited = chopped(Limiter(rate, 2, ceiling_for(codec, kbps, -1.0)), hot)
    raw, coded, decoded = (tmp_path / name for name in ("in.raw", "coded.mka", "out.raw"))
    raw.write_bytes(limited.tobytes())
    ffmpeg(
        "-f", "f64le", "-ar", rate, "-ac", 2, "-i", raw, "-c:a", encoder, "-b:a", f"{kbps}k", coded
    )
    ffmpeg("-i", coded, "-f", "f64le", decoded)
    heard = np.frombuffer(decoded.read_bytes()).reshape(-1, 2)
    peak = np.abs(soxr.resample(np.pad(heard, ((999, 999), (0, 0))), 1, 8, quality="VHQ")).max()
    assert peak < 1
