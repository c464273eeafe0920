"""Odd inputs: a right result, or one clear line; never a trace, never a hang."""

import os
import struct

import numpy as np
import pytest
import soundfile

from encoreaudio import SoundError, master, measure
from encoreaudio.stream import Reader, Writer

RATE = 48000


def noise(frames, channels=2):
    return np.random.default_rng(1).uniform(-0.3, 0.3, (frames, channels))


def wav(path, samples, rate=RATE, subtype="PCM_16"):
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def read(path, **where):
    with Reader(path, **where) as reader:
        blocks = list(reader.blocks())
    return np.concatenate(blocks) if blocks else np.zeros((0, reader.channels)), reader


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        (np.zeros((RATE, 2)), RATE),
        (noise(4800), RATE),
        (noise(1), RATE),
        (np.full((RATE, 2), np.nan), RATE),
        (np.full((100, 1), np.inf), RATE),
        (noise(8000, 1), 8000),
        (noise(96000), 192000),
        *((noise(12000, channels), RATE) for channels in (3, 5, 6, 7, 8, 32)),
    ],
)
def test_a_strange_sound_is_measured_and_mastered_at_its_length(tmp_path, samples, rate):
    source = wav(tmp_path / "in.wav", samples, rate, "FLOAT")
    measure(source)
    report = master(source, tmp_path / "out.wav")
    out, got = soundfile.read(tmp_path / "out.wav", always_2d=True)
    assert (out.shape, got) == (samples.shape, rate)
    assert np.isfinite(out).all()
    assert report.invalid_samples == np.count_nonzero(~np.isfinite(samples))


@pytest.fixture
def plain(tmp_path):
    return wav(tmp_path / "plain.wav", noise(3 * RATE)).read_bytes()


def patched(plain, at, form, value):
    size = struct.calcsize(form)
    return plain[:at] + struct.pack(form, value) + plain[at + size :]


@pytest.mark.parametrize(
    "make",
    [
        lambda b: b"hello, this is text\n" * 300,
        lambda b: b"RIFF",
        lambda b: b[:44],
        lambda b: patched(b, 22, "<H", 0),
        lambda b: patched(b, 22, "<H", 255),
        lambda b: patched(b, 22, "<H", 65535),
        lambda b: patched(b, 24, "<I", 1),
        lambda b: patched(b, 24, "<I", 2**32 - 1),
        lambda b: patched(b, 34, "<H", 0),
        lambda b: patched(b, 20, "<H", 9999),
    ],
)
def test_what_cannot_be_sound_is_one_line(tmp_path, plain, make):
    path = tmp_path / "bad.wav"
    path.write_bytes(make(plain))
    for work in (measure, lambda source: master(source, tmp_path / "out.wav")):
        with pytest.raises(SoundError) as caught:
            work(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize("suffix", ["wav", "aiff", "flac", "caf"])
def test_a_file_without_a_sample_is_one_line(tmp_path, suffix):
    soundfile.write(tmp_path / f"a.{suffix}", np.zeros((0, 2)), RATE)
    with pytest.raises(SoundError, match=r"no sound could be decoded|is empty"):
        measure(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_cut_off_gives_what_there_is_and_tells_the_rest(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    wav(path, noise(3 * RATE))
    whole = read(path)[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 1])
    part, reader = read(path)
    assert RATE < len(part) < 2 * RATE
    assert np.array_equal(part, whole[: len(part)])
    told = [d.what for d in reader.damage if "before its header says" in d.what]
    assert told == [f"the file ends {(3 * RATE - len(part)) / RATE:.3f} s before its header says"]


@pytest.mark.parametrize("told", [0, 2**32 - 1])
def test_a_recorder_that_was_switched_off_leaves_all_its_sound(tmp_path, plain, told):
    path = tmp_path / "a.wav"
    path.write_bytes(patched(plain, 40, "<I", told))
    samples, reader = read(path)
    assert len(samples) == 3 * RATE
    assert not reader.damage


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(SoundError, match="is a pipe"):
        measure(tmp_path / "pipe.wav")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_one_line(tmp_path):
    source = wav(tmp_path / "a.wav", noise(100))
    source.chmod(0)
    with pytest.raises(SoundError, match="permission denied"):
        measure(source)


def sparse(path, magic, told):
    """4.5 GiB of silence that takes no room, a sample of one half at its end; its frames."""
    step, rate = 6, RATE
    frames = int(4.5 * 2**30) // step
    length = frames * step
    head = magic + struct.pack("<I", (length + 80) % 2**32 if magic == b"RIFF" else 2**32 - 1)
    head += b"WAVE"
    if magic == b"RF64":
        head += b"ds64" + struct.pack("<IQQQI", 28, length + 72, length, frames, 0)
    head += b"fmt " + struct.pack("<IHHIIHH", 16, 1, 2, rate, rate * step, step, 24)
    head += b"data" + struct.pack("<I", told(length))
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + length)
        file.seek(len(head) + length - step)
        file.write(b"\0\0\x40" * 2)
    return frames


def test_the_end_of_4_and_a_half_gib_of_rf64_is_where_it_should_be(tmp_path):
    frames = sparse(tmp_path / "a.rf64", b"RF64", lambda length: 2**32 - 1)
    samples, reader = read(tmp_path / "a.rf64", start_s=frames / RATE - 3, within=True)
    with Reader(tmp_path / "a.rf64") as whole:
        assert whole.length_s == pytest.approx(frames / RATE)
    assert not reader.damage
    assert len(samples) == 3 * RATE
    assert samples[-1].tolist() == [0.5, 0.5]
    assert not samples[:-1].any()
    assert soundfile.info(tmp_path / "a.rf64").frames == frames


@pytest.mark.slow
def test_a_wav_whose_length_ran_over_is_read_to_its_true_end(tmp_path):
    frames = sparse(tmp_path / "a.wav", b"RIFF", lambda length: length % 2**32)
    with Reader(tmp_path / "a.wav") as reader:
        count, last = 0, None
        for block in reader.blocks():
            count, last = count + len(block), block[-1]
    assert count == frames
    assert last.tolist() == [0.5, 0.5]
    assert "4 GiB" in reader.damage[0].what


def test_an_aiff_over_4_gib_is_refused_at_once(tmp_path):
    with pytest.raises(SoundError, match=r"aiff cannot; use \.caf"):
        Writer(tmp_path / "a.aiff", RATE, 2, "PCM_24", 10**9)


@pytest.mark.parametrize("suffix", ["wav", "w64", "aiff", "caf", "flac"])
@pytest.mark.parametrize(
    ("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24), ("PCM_32", 32), ("DOUBLE", 53)]
)
def test_every_bit_of_the_source_comes_in(tmp_path, suffix, subtype, bits):
    if suffix == "flac" and bits > 24:
        pytest.skip("flac holds 24 bits here")
    whole = np.random.default_rng(0).integers(-(2**31), 2**31, (5001, 2)) >> max(0, 32 - bits)
    whole <<= max(0, 32 - bits)
    samples = whole / 2**31
    if subtype == "DOUBLE":
        samples = np.random.default_rng(0).uniform(-1, 1, (5001, 2))
        soundfile.write(tmp_path / f"a.{suffix}", samples, RATE, subtype=subtype)
    else:
        soundfile.write(tmp_path / f"a.{suffix}", whole.astype(np.int32), RATE, subtype=subtype)
    assert np.array_equal(read(tmp_path / f"a.{suffix}")[0], samples)


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT"])
def test_nothing_asked_for_is_nothing_done(tmp_path, subtype):
    whole = np.random.default_rng(0).integers(-(2**23), 2**23, (70001, 2)) / 2**23
    source = wav(tmp_path / "in.wav", whole, subtype=subtype)
    report = master(source, tmp_path / "out.wav", "none", subtype=subtype)
    assert np.array_equal(soundfile.read(tmp_path / "out.wav")[0], soundfile.read(source)[0])
    assert not report.dithered
