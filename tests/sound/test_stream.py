"""Reading any container to the sample, and writing whole files only."""

import os
import resource
import signal
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from encoreaudio import SoundError
from encoreaudio.stream import Reader, Writer

RATE = 48000


def read(path, track=0, **where):
    with Reader(path, track, **where) as reader:
        blocks = list(reader.blocks())
    return np.concatenate(blocks) if blocks else np.zeros((0, reader.channels)), reader


@pytest.fixture
def click(tmp_path):
    """Three seconds of faint noise with one click at 1 s exactly."""
    samples = np.random.default_rng(0).standard_normal((3 * RATE, 2)) * 1e-3
    samples[RATE] = 0.9
    path = tmp_path / "click.wav"
    soundfile.write(path, samples, RATE, subtype="PCM_24")
    return path


def place(samples):
    return int(np.abs(samples[:, 0]).argmax())


@pytest.mark.parametrize(
    ("codec", "suffix", "late"),
    [
        ("pcm_s24le", "mov", 0),
        ("pcm_s16le", "mkv", 0),
        ("flac", "flac", 0),
        ("flac", "mkv", 0),
        ("flac", "mp4", 0),
        ("aac", "m4a", 0),
        ("aac", "mkv", 0),
        ("libopus", "mkv", 0),
        ("libopus", "mp4", 0),
        ("libmp3lame", "mkv", 0),
        ("libvorbis", "ogg", 0),
        ("ac3", "mkv", 0),
        # A transport stream has nowhere to say how much a decoder runs in: that stays.
        ("aac", "ts", 1024),
        ("mp2", "ts", 481),
        ("ac3", "ts", 256),
    ],
)
def test_a_click_is_where_it_was(click, tmp_path, ffmpeg, codec, suffix, late):
    path = tmp_path / f"click.{codec}.{suffix}"
    ffmpeg("-i", click, "-c:a", codec, path)
    samples, reader = read(path)
    assert abs(place(samples) - RATE - late) <= 1
    assert not reader.damage
    # The same by the clock: one second of silence before the track, or half a second dropped.
    for shift in (-1, 0.5):
        moved, _ = read(path, start_s=reader.start_s + Fraction(shift))
        assert place(moved) == place(samples) - shift * RATE


@pytest.mark.parametrize("suffix", ["wav", "w64", "flac", "aiff", "caf", "rf64"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_what_is_written_is_read_back(tmp_path, suffix, subtype):
    if (suffix, subtype) == ("flac", "FLOAT"):
        pytest.skip("flac holds no float")
    path = tmp_path / f"a.{suffix}"
    whole = np.random.default_rng(0).integers(-32768, 32768, (12345, 2))
    written = {
        "PCM_16": whole.astype(np.int16),
        "PCM_24": (whole << 16).astype(np.int32),
        "FLOAT": (whole / 32768).astype(np.float32),
    }[subtype]
    with Writer(path, 44100, 2, subtype, len(whole)) as writer:
        writer.write(written[:5000])
        writer.write(written[5000:])
        assert not path.exists()
        writer.commit()
    samples, reader = read(path)
    assert np.array_equal(samples, whole / 32768)
    assert reader.sample_rate_hz == 44100
    assert os.listdir(tmp_path) == [path.name]


def test_real_music_is_read_as_ffmpeg_reads_it(data, tmp_path, ffmpeg):
    # Ogg stamps pages oddly, MP3 and AAC have run-in: none of it may add or take a sample.
    for name in (
        "sound/music/vibe_ace.ogg",
        "sound/stems_rock/Vocals30.mp3",
        "clips/sam2_dog_720p.mp4",
    ):
        path = tmp_path / "oracle.wav"
        ffmpeg("-i", data(name), "-vn", "-c:a", "pcm_f32le", path)
        wanted, _ = soundfile.read(path, always_2d=True)
        samples, reader = read(data(name))
        assert samples.shape == wanted.shape, name
        assert np.abs(samples - wanted).max() < 1e-6
        assert reader.damage_count == 0


@pytest.fixture
def broken_stream(tmp_path, ffmpeg):
    """Twelve seconds of MP2 with clicks each second, of which half a second was cut out."""
    samples = np.random.default_rng(0).standard_normal((12 * RATE, 2)) * 1e-3
    samples[RATE::RATE] = 0.9
    plain = tmp_path / "clicks.wav"
    soundfile.write(plain, samples, RATE)
    stream = tmp_path / "clicks.ts"
    ffmpeg("-i", plain, "-c:a", "mp2", stream)
    with av.open(str(stream)) as source, av.open(str(tmp_path / "cut.ts"), "w") as target:
        out = target.add_stream_from_template(source.streams.audio[0])
        first = None
        for packet in source.demux(source.streams.audio[0]):
            if packet.pts is None:
                continue
            first = packet.pts if first is None else first
            if not 4.2 <= (packet.pts - first) / 90000 < 4.7:
                packet.stream = out
                target.mux(packet)
    return tmp_path / "cut.ts"


def test_a_gap_becomes_silence_and_what_follows_stays_in_sync(broken_stream):
    path = broken_stream
    samples, reader = read(path)
    late = place(samples[: 3 * RATE // 2]) - RATE  # the decoder's own run-in
    for second in range(1, 12):
        here = second * RATE + late
        near = samples[here - 500 : here + 500]
        assert place(near) == 500, second
    assert reader.lost_s == pytest.approx(0.5, abs=0.03)
    (damage,) = reader.damage
    assert damage.at_s == pytest.approx(4.2, abs=0.03)
    assert "missing" in damage.what
    middle = round(4.45 * RATE)
    assert not samples[middle : middle + 100].any()


def test_bytes_torn_from_a_stream_cost_only_their_own_time(broken_stream, tmp_path):
    path = broken_stream
    bytes_ = bytearray(path.read_bytes())
    size = len(bytes_)
    for at in (size // 3, size // 2, 3 * size // 4):
        bytes_[at : at + 3000] = os.urandom(3000)
    torn = tmp_path / "torn.ts"
    torn.write_bytes(bytes_)
    samples, reader = read(torn)
    whole, _ = read(path)
    assert abs(len(samples) - len(whole)) <= 1152
    assert place(samples[-2 * RATE :]) == place(whole[-2 * RATE :])
    assert reader.damage_count >= 2


def test_the_damaged_newsroom_keeps_its_length_and_tells_its_losses(data):
    samples, reader = read(data("clips/interlaced/newsroom_576i25_h264_damaged.ts"))
    # Last stamp plus its packet, less the first stamp, as ffprobe shows them.
    assert len(samples) / RATE == pytest.approx(6.56, abs=0.001)
    assert reader.lost_s > 0.5
    assert any("does not decode" in damage.what for damage in reader.damage)


def test_start_and_duration_are_exact_to_the_sample(click):
    assert len(read(click, duration_s=Fraction(1001, 1000))[0]) == 48048
    early, _ = read(click, start_s=-0.25, duration_s=5)
    assert len(early) == 5 * RATE
    assert not early[: RATE // 4].any()
    assert place(early) == RATE + RATE // 4
    late, reader = read(click, start_s=0.999)
    assert place(late) == RATE - round(0.999 * RATE)
    assert not reader.damage
    assert "early" in read(click, duration_s=5)[1].damage[0].what


def test_a_segment_reached_by_seeking_is_that_part_of_the_whole(data):
    path = data("sound/music/vibe_ace.ogg")
    whole, reader = read(path)
    part, _ = read(path, start_s=20, duration_s=3, within=True)
    start = 20 * reader.sample_rate_hz
    assert np.abs(part - whole[start : start + len(part)]).max() < 1e-6
    assert len(part) == 3 * reader.sample_rate_hz
    assert len(read(path, start_s=60, duration_s=30, within=True)[0]) < 2 * reader.sample_rate_hz


def test_a_format_that_changes_in_the_middle_is_converted(tmp_path, ffmpeg):
    parts = []
    for name, layout, rate in (
        ("a", "stereo", 48000),
        ("b", "mono", 44100),
        ("c", "stereo", 48000),
    ):
        part = tmp_path / f"{name}.mp2"
        source = f"sine=1000:r={rate}:d=2"
        ffmpeg("-f", "lavfi", "-i", source, "-ac", 1 + (layout == "stereo"), "-c:a", "mp2", part)
        parts.append(part.read_bytes())
    joined = tmp_path / "joined.mp2"
    joined.write_bytes(b"".join(parts))
    samples, reader = read(joined)
    assert samples.shape[1] == 2
    assert len(samples) == pytest.approx(6 * RATE, rel=0.02)
    assert any("changes to 1 channels at 44100 Hz" in damage.what for damage in reader.damage)


def test_samples_that_are_no_numbers_become_silence_and_are_counted(tmp_path):
    samples = np.full((5000, 2), 0.5, dtype=np.float32)
    samples[100, 0], samples[200, 1], samples[300, 0], samples[301, 0] = (
        np.nan,
        np.inf,
        -np.inf,
        1e30,
    )
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    out, reader = read(path)
    assert reader.invalid_samples == 4
    assert np.count_nonzero(out == 0) == 4
    assert np.isfinite(out).all()


def test_surround_keeps_its_six_channels_in_order(tmp_path):
    samples = np.arange(6) / 10 * np.ones((4800, 1))
    path = tmp_path / "a.wav"
    with Writer(path, RATE, 6, "FLOAT", 4800) as writer:
        writer.write(samples.astype(np.float32))
        writer.commit()
    out, reader = read(path)
    assert np.allclose(out, samples)
    assert reader.speakers[:4] == ("FL", "FR", "FC", "LFE")


def test_a_wav_over_4_gib_becomes_rf64(tmp_path):
    with Writer(tmp_path / "a.wav", RATE, 2, "PCM_24", 10**9) as writer:
        writer.write(np.zeros((1, 2), dtype=np.int32))
        writer.commit()
    assert (tmp_path / "a.wav").read_bytes()[:4] in (b"RF64", b"RIFF")
    assert soundfile.info(tmp_path / "a.wav").format == "RF64"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: p.write_bytes(b"no sound at all\n" * 500), "not a readable media file"),
    ],
)
def test_what_is_no_sound_is_refused_in_one_line(tmp_path, make, words):
    path = tmp_path / "it's 一 file.wav"
    make(path)
    with pytest.raises(SoundError, match=words) as caught:
        Reader(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_film_without_sound_and_a_track_out_of_range_are_told_apart(data, click):
    with pytest.raises(SoundError, match="has no sound"):
        Reader(data("clips/bikes_640x272.mp4"))
    with pytest.raises(SoundError, match=r"no sound track 3 .* 1 sound track"):
        Reader(click, 3)


def test_an_odd_name_is_only_a_name(click, tmp_path):
    path = tmp_path / 'live: 100% "it\'s" 一二 #1.wav'
    path.write_bytes(click.read_bytes())
    assert place(read(path)[0]) == RATE


@pytest.mark.parametrize("name", ["a.mp3", "a", "a.xyz"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(SoundError, match=r"use \.wav, .*\.flac"):
        Writer(tmp_path / name, RATE, 2, "PCM_16", 1)


def test_a_writer_that_is_left_early_leaves_nothing(tmp_path):
    def interrupted():
        with Writer(tmp_path / "a.wav", RATE, 2, "PCM_16", 10) as writer:
            writer.write(np.zeros((10, 2), dtype=np.int16))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_ends_in_one_line_and_no_file(tmp_path):
    script = f"""
import numpy as np, sys
from encoreaudio import SoundError
from encoreaudio.stream import Writer
try:
    with Writer({str(tmp_path / "a.wav")!r}, 48000, 2, "PCM_16", 10**6) as writer:
        for _ in range(100):
            writer.write(np.ones((10**4, 2), dtype=np.int16))
        writer.commit()
except SoundError as error:
    print(error)
"""

    def small_disk():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))

    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        preexec_fn=small_disk,
        check=False,
    )
    assert "could not be written to its end" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == []
