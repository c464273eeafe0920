"""`encore encode`, whole: the script's own frames and samples come out, or one line says why."""

import json
import os
import re
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from encore.encoding import Request, encode_script
from encore.errors import JobError, RequestError
from encore.progress import reporter

FPS, RATE_HZ = 10, 8000
# Every frame other colours: frame n has luma 64 + 16 n, and chroma that moves against it.
SCRIPT = """
import vapoursynth as vs
core = vs.core
clip = core.std.Splice([
    core.std.BlankClip(
        width=64, height=48, format=vs.YUV420P10, length=1, fpsnum=10, fpsden=1,
        color=[64 + 16 * n, 512 - 8 * n, 400 + 8 * n],
    )
    for n in range({frames})
]).std.SetFrameProps(_Matrix=1, _Transfer=1, _Primaries=1)
"""
PICTURE = "clip.set_output(0)\n"


@pytest.fixture
def place(tmp_path):
    """Writes a script of so many frames with an end of its own."""

    def script(end=PICTURE, frames=4, name="show.vpy"):
        path = tmp_path / name
        path.write_text(SCRIPT.format(frames=frames) + end, encoding="utf-8")
        return path

    return script


def encode(script, output, *settings, **other):
    """One lane, FFV1, chunks of a second."""
    set_ = ["encode.codec=ffv1", "job.chunk_s=1", "job.retries=0", *settings]
    request = Request(script, output, settings=set_, workers=1, **other)
    return encode_script(request, reporter("none"))


def colours(path):
    """The first sample of each plane of each frame; every plane must be all of that sample."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            planes = [np.frombuffer(plane, np.uint16) for plane in frame.planes]
            wide = [plane.line_size // 2 for plane in frame.planes]
            seen = [
                samples.reshape(-1, line)[:, : plane.width]
                for samples, line, plane in zip(planes, wide, frame.planes, strict=True)
            ]
            assert all((plane == plane[0, 0]).all() for plane in seen)
            found.append(tuple(int(plane[0, 0]) for plane in seen))
    return found


def wanted(frames):
    return [(64 + 16 * n, 512 - 8 * n, 400 + 8 * n) for n in range(frames)]


def noise(path, subtype, channels=2, seconds=0.4):
    """A file of noise that uses all of its bits."""
    shape = (round(seconds * RATE_HZ), channels)
    bits = {"PCM_16": 16, "PCM_24": 24}.get(subtype)
    random = np.random.default_rng(7)
    if bits is None:
        samples = random.uniform(-0.9, 0.9, shape).astype(np.float32)
    else:
        samples = (
            random.integers(-(1 << 31), 1 << 31, shape, np.int64) >> (32 - bits) << (32 - bits)
        )
        samples = samples.astype(np.int32)
    soundfile.write(path, samples, RATE_HZ, subtype=subtype)
    return path


def with_sound(path):
    return f"{PICTURE}core.bs.AudioSource({str(path)!r}, cachemode=0).set_output(1)\n"


def heard(path):
    """The samples of a film's sound as (samples, channels), in the decoder's own type."""
    with av.open(str(path)) as container:
        blocks = []
        for frame in container.decode(audio=0):
            block = frame.to_ndarray()
            channels = frame.layout.nb_channels
            blocks.append(block.T if frame.format.is_planar else block.reshape(-1, channels))
        return np.concatenate(blocks)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(script, output, *settings, **other):
    """What a wrong request is told; nothing may be left but what was there."""
    before = left_in(output.parent)
    with pytest.raises(RequestError) as caught:
        encode(script, output, *settings, **other)
    assert left_in(output.parent) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_frames_are_those_of_the_script(place, tmp_path):
    output = tmp_path / "film.mkv"
    verified = encode(place(frames=24), output)
    assert colours(output) == wanted(24)
    assert verified.frames == 24
    assert verified.streams == {"video": 1, "audio": 0, "subtitle": 0, "attachment": 0}
    told = json.loads((tmp_path / "film.mkv.report.json").read_text(encoding="utf-8"))
    assert [chunk["frames"] for chunk in told["chunks"]] == [8, 8, 8]
    assert told["verified"] == verified.as_json()


def test_a_script_without_output_1_gives_a_film_without_sound(place, tmp_path):
    verified = encode(place(), tmp_path / "film.mkv")
    assert (verified.samples, verified.streams["audio"]) == (None, 0)


@pytest.mark.parametrize(("subtype", "type_"), [("PCM_16", "int16"), ("PCM_24", "int32")])
def test_whole_samples_come_out_bit_for_bit(place, tmp_path, subtype, type_):
    sound = noise(tmp_path / "sound.wav", subtype)
    verified = encode(place(with_sound(sound)), tmp_path / "film.mkv")
    before, rate = soundfile.read(sound, dtype=type_)
    after = heard(tmp_path / "film.mkv")
    assert after.dtype == before.dtype
    assert np.array_equal(after, before)
    assert (verified.samples, rate) == (len(before), RATE_HZ)


@pytest.mark.parametrize("channels", [1, 6])
def test_the_order_of_channels_stays(place, tmp_path, channels):
    sound = noise(tmp_path / "sound.wav", "PCM_16", channels)
    encode(place(with_sound(sound)), tmp_path / "film.mkv")
    before, _ = soundfile.read(sound, dtype="int16", always_2d=True)
    assert np.array_equal(heard(tmp_path / "film.mkv"), before)


def test_floating_samples_go_into_flac_as_24_bits(place, tmp_path):
    sound = noise(tmp_path / "sound.wav", "FLOAT")
    encode(place(with_sound(sound)), tmp_path / "film.mkv")
    before, _ = soundfile.read(sound, dtype="float64")
    after = heard(tmp_path / "film.mkv")
    assert after.dtype == np.int32
    assert not (after & 0xFF).any()
    assert np.abs(after / 2**31 - before).max() < 0.51 / 2**23


def test_floating_samples_beyond_full_scale_are_clipped(place, tmp_path):
    samples = np.float32([0.5, 1.5, -1.5, 0.25] * 800)
    soundfile.write(tmp_path / "sound.wav", samples, RATE_HZ, subtype="FLOAT")
    encode(place(with_sound(tmp_path / "sound.wav")), tmp_path / "film.mkv")
    after = heard(tmp_path / "film.mkv")[:, 0] / 2**31
    assert np.abs(after - np.clip(samples, -1, 1)).max() <= 1 / 2**23


def test_a_sound_longer_than_the_picture_stays_whole(place, tmp_path):
    sound = noise(tmp_path / "sound.wav", "PCM_16", seconds=1.3)
    encode(place(with_sound(sound)), tmp_path / "film.mkv")
    before, _ = soundfile.read(sound, dtype="int16")
    assert np.array_equal(heard(tmp_path / "film.mkv"), before)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("", "sets no output 0"),
        ("clip.resize.Bilinear(format=vs.RGB24).set_output(0)\n", "output 0 is RGB24"),
        ("raise ValueError('the tape is\\ntorn')\n", "the tape is torn"),
        ("import no_such_filter\n", "no_such_filter"),
        ("this is no Python\n", "line"),
        ("core.std.BlankAudio(length=8).set_output(0)\n", "is no video"),
    ],
    ids=["no output 0", "RGB", "raises", "import", "syntax", "sound as output 0"],
)
def test_a_script_that_gives_no_picture_is_refused(place, tmp_path, end, said):
    told = refused(place(end), tmp_path / "film.mkv")
    assert said in told
    assert "show.vpy" in told


def test_a_script_that_is_not_there_or_is_no_text_is_refused(tmp_path):
    assert "none.vpy" in refused(tmp_path / "none.vpy", tmp_path / "film.mkv")
    (tmp_path / "film.vpy").write_bytes(b"\xff\xd8\xff\xe0")
    assert "not text" in refused(tmp_path / "film.vpy", tmp_path / "film.mkv")


def test_an_existing_output_is_refused_and_stays(place, tmp_path):
    (tmp_path / "film.mkv").write_bytes(b"another film")
    assert "--overwrite" in refused(place(), tmp_path / "film.mkv")
    assert (tmp_path / "film.mkv").read_bytes() == b"another film"


def test_overwrite_puts_the_film_in_the_place_of_another(place, tmp_path):
    (tmp_path / "film.mkv").write_bytes(b"another film")
    encode(place(), tmp_path / "film.mkv", overwrite=True)
    assert colours(tmp_path / "film.mkv") == wanted(4)


def test_a_script_that_raises_at_a_frame_names_chunk_and_frame(place, tmp_path):
    end = """
def look(n, f):
    if n == 13:
        raise ValueError("the tape is torn")
    return f
clip.std.ModifyFrame(clip, look).set_output(0)
"""
    with pytest.raises(JobError) as caught:
        encode(place(end, frames=24), tmp_path / "film.mkv")
    told = str(caught.value)
    assert "\n" not in told
    assert re.search(r"\bchunk 1 \(0:01 to 0:02\)", told)
    assert "frame 13: " in told
    assert "the tape is torn" in told
    assert "2 of 3 chunks are finished and kept" in told
    assert not (tmp_path / "film.mkv").exists()
    assert (tmp_path / "film.mkv.encore").is_dir()


def test_a_script_whose_sound_fails_is_told_in_one_line(place, tmp_path):
    end = f"{PICTURE}clip.set_output(1)\n"
    with pytest.raises(JobError, match="output 1 of the script is no sound") as caught:
        encode(place(end), tmp_path / "film.mkv")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "film.mkv").exists()


def test_a_second_run_with_kept_chunks_makes_nothing_anew(place, tmp_path):
    sound = noise(tmp_path / "sound.wav", "PCM_16")
    script, output = place(with_sound(sound), frames=14), tmp_path / "film.mkv"
    kept = tmp_path / "film.mkv.encore"

    def made():
        return {
            str(path.relative_to(kept)): (path.stat().st_ino, path.stat().st_mtime_ns)
            for name in ("chunks", "sound")
            for path in (kept / name).iterdir()
        }

    encode(script, output, "job.keep_chunks=true")
    before, film = made(), output.read_bytes()
    assert len(before) == 6
    encode(script, output, "job.keep_chunks=true", overwrite=True)
    assert made() == before
    assert colours(output) == wanted(14)
    assert len(output.read_bytes()) == len(film)


def test_a_changed_script_makes_its_chunks_anew(place, tmp_path):
    output = tmp_path / "film.mkv"
    encode(place(), output, "job.keep_chunks=true")
    encode(place("clip[1:].set_output(0)\n"), output, overwrite=True)
    assert colours(output) == wanted(4)[1:]


def test_without_keep_chunks_only_film_report_and_logs_stay(place, tmp_path):
    encode(place(), tmp_path / "film.mkv")
    names = ["film.mkv", "film.mkv.encore", "film.mkv.report.json", "show.vpy"]
    assert left_in(tmp_path) == names
    assert not {"chunks", "sound"} & set(os.listdir(tmp_path / "film.mkv.encore"))


@pytest.mark.parametrize(
    "name",
    ["Björk – 夜 #1", "who? #2", 'it\'s 50% "live"', "back\\slash & a:b [1]", "-v"],
)
def test_any_name_of_folder_and_film_will_do(place, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    sound = noise(folder / f"{name}.wav", "PCM_16")
    script = place(with_sound(sound), frames=12, name=f"{name}/{name}.vpy")
    output = folder / f"{name}.mkv"
    encode(script, output)
    assert colours(output) == wanted(12)
    assert np.array_equal(heard(output), soundfile.read(sound, dtype="int16")[0])
    assert left_in(folder) == sorted(
        f"{name}{end}" for end in (".mkv", ".mkv.encore", ".mkv.report.json", ".vpy", ".wav")
    )


def test_a_name_relative_to_the_folder_one_is_in_will_do(place, tmp_path, monkeypatch):
    place(frames=12)
    monkeypatch.chdir(tmp_path)
    encode(Path("show.vpy"), Path("film.mkv"), work=Path("work of it"))
    assert colours(tmp_path / "film.mkv") == wanted(12)
