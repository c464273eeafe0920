"""The whole job on small made recordings: facts of the source carried to the end, and bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest

from encore.errors import JobError, RequestError
from encore.ffmpeg import program
from encore.job import Request, remaster
from encore.progress import reporter

QUICK = (
    "picture.deinterlace.method=bwdif",
    "picture.restore.strength=0",
    "picture.upscale.method=lanczos",
    "picture.faces.strength=0",
    "picture.light.lock=0",
    "picture.relight.shadows=0",
    "picture.relight.highlights=0",
    "picture.upscale.height=288",
    "encode.preset=ultrafast",
    "encode.crf=30",
)


def record(path: Path, *, seconds=1.0, size="352x288", sound=True, extra=(), rate=50, tags=True):
    """A small interlaced recording with chapters, a subtitle, a title and languages."""
    notes = path.parent / "notes.ffmeta"
    notes.write_text(
        ";FFMETADATA1\ntitle=Der Abend; 演唱会\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=Opening = one\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=Zwei\n",
        encoding="utf-8",
    )
    words = path.parent / "words.srt"
    words.write_text("1\n00:00:00,200 --> 00:00:00,700\nla la la\n", encoding="utf-8")
    command = [program(), "-v", "error", "-y", "-f", "lavfi", "-i"]
    command += [f"testsrc2=size={size}:rate={rate}:duration={seconds}"]
    if sound:
        command += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"]
    if tags:
        command += ["-i", str(words), "-i", str(notes)]
        where = 2 if sound else 1
        command += ["-map", f"{where}:s", "-map_metadata", str(where + 1)]
        command += ["-map_chapters", str(where + 1), "-metadata:s:s:0", "language=eng"]
    command += ["-map", "0:v", *(["-map", "1:a", "-ac", "2", "-c:a", "mp2"] if sound else [])]
    command += ["-metadata:s:a:0", "language=deu"] if sound else []
    command += ["-vf", "tinterlace=interleave_top,setfield=tff,setsar=16/11"]
    command += ["-c:v", "mpeg2video", "-b:v", "3M", "-flags", "+ildct+ilme"]
    command += ["-color_primaries", "bt470bg", "-colorspace", "bt470bg", "-color_trc", "bt470bg"]
    command += ["-c:s", "srt", *extra, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def do(source: Path, output: Path, *settings: str, **request):
    return remaster(
        Request(source, output, settings=(*QUICK, *settings), **request), reporter("none")
    )


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return record(tmp_path_factory.mktemp("made") / "show.mkv")


@pytest.fixture(scope="module")
def finished(recording, tmp_path_factory):
    output = tmp_path_factory.mktemp("done") / "it's “the” 演唱会 show.mkv"
    return do(recording, output), output


def test_the_picture_is_double_rate_square_and_tagged(finished):
    _, output = finished
    with av.open(str(output)) as container:
        video = container.streams.video[0]
        frames = [frame.pts * video.time_base for frame in container.decode(video)]
        context = video.codec_context
        assert len(frames) == 50
        assert context.height == 288
        assert context.width == 512
        assert video.sample_aspect_ratio in (None, 1)
        assert (int(context.color_primaries), int(context.colorspace)) == (5, 5)
    assert all(abs(at - Fraction(n, 50)) <= Fraction(1, 1000) for n, at in enumerate(frames))


def test_mastered_sound_is_the_default_and_the_original_is_untouched(finished, recording):
    _, output = finished
    with av.open(str(output)) as container:
        mastered, original = container.streams.audio
        assert mastered.codec_context.name == "flac"
        assert mastered.metadata["language"] in ("deu", "ger")
        assert int(mastered.disposition) & 1
        assert not int(original.disposition) & 1
        assert sum(frame.samples for frame in container.decode(mastered)) == 48000
    # The first packet begins before the picture does, so it is the one that is left out.
    assert _packets(output, 1) == _packets(recording, 0)[1:]


def test_chapters_subtitles_and_title_are_kept(finished):
    _, output = finished
    with av.open(str(output)) as container:
        titles = [chapter["metadata"]["title"] for chapter in container.chapters()]
        assert titles == ["Opening = one", "Zwei"]
        assert container.metadata["title"] == "Der Abend; 演唱会"
        assert container.streams.subtitles[0].metadata["language"] == "eng"


def test_the_report_tells_what_was_found_done_and_verified(finished):
    result, _ = finished
    report = json.loads(result.report.read_text(encoding="utf-8"))
    assert report["found"]["picture"]["structure"] == "interlaced"
    assert report["found"]["picture"]["field_order"] == "top"
    assert report["done"]["picture"]["frames"] == 50
    assert report["verified"]["frames"] == 50
    assert {"scan", "sound", "picture", "mux", "verify", "whole"} <= set(report["took_s"])
    assert report["settings"]["picture"]["deinterlace"]["method"] == "bwdif"


def test_only_the_output_and_its_report_and_small_work_files_stay(finished):
    _, output = finished
    names = {path.name for path in output.parent.iterdir()}
    sides = {output.name + end for end in (".report.json", ".sound.html", ".encore")}
    assert names == {output.name} | sides
    work = output.with_name(output.name + ".encore")
    assert not list(work.glob("picture.mp4"))
    assert not list(work.glob("sound.*"))


@pytest.mark.parametrize(
    ("suffix", "settings"),
    [
        (".mp4", ()),
        (".mov", ("encode.codec=prores",)),
        (".mkv", ("encode.codec=ffv1", "encode.audio_codec=pcm")),
        (".mp4", ("encode.codec=x264",)),
        (".mkv", ("encode.codec=svtav1", "encode.preset=12", "encode.audio_codec=opus")),
    ],
)
def test_every_codec_and_container_is_made_and_verified(recording, tmp_path, suffix, settings):
    quick = [s for s in QUICK if not s.startswith("encode.")] if settings else QUICK
    result = remaster(
        Request(recording, tmp_path / f"show{suffix}", settings=(*quick, *settings)),
        reporter("none"),
    )
    assert result.verified.frames == 50


def test_a_range_takes_just_that_part(recording, tmp_path):
    result = do(recording, tmp_path / "part.mkv", range_s=(0.2, 0.6))
    assert result.verified.frames == 20
    assert result.verified.samples == 19200


def test_ntsc_rates_stay_exact(tmp_path):
    source = record(tmp_path / "ntsc.mkv", rate="60000/1001", size="352x240", seconds=1.001)
    result = do(source, tmp_path / "out.mp4")
    with av.open(str(result.output)) as container:
        video = container.streams.video[0]
        times = [packet.pts * video.time_base for packet in container.demux(video) if packet.size]
    assert sorted(times) == [Fraction(1001 * n, 60000) for n in range(60)]


def test_a_picture_without_sound_is_remastered(tmp_path):
    source = record(tmp_path / "silent.mkv", sound=False, tags=False)
    result = do(source, tmp_path / "out.mkv")
    assert result.verified.frames == 50
    assert result.verified.samples is None


def test_sound_alone_is_remastered_to_the_sample(tmp_path):
    source = tmp_path / "tune.wav"
    command = [program(), "-v", "error", "-f", "lavfi", "-i", "sine=duration=1.2345", str(source)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    with av.open(str(source)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    result = remaster(Request(source, tmp_path / "tune.flac"), reporter("none"))
    assert result.verified.samples == samples


@pytest.mark.parametrize("size", ["350x286", "98x66"])
def test_odd_sizes_go_through(tmp_path, size):
    source = record(tmp_path / "odd.mkv", size=size, tags=False)
    assert do(source, tmp_path / "out.mkv").verified.frames == 50


@pytest.mark.parametrize("pixels", ["gray", "gray10le", "bgr0", "yuv410p", "yuv444p12le"])
def test_rare_pixel_formats_go_through(tmp_path, pixels):
    source = tmp_path / "rare.mkv"
    command = [program(), "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=96x64:duration=0.2"]
    command += ["-c:v", "ffv1", "-pix_fmt", pixels, str(source)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    assert do(source, tmp_path / "out.mkv", "picture.upscale.height=64").verified.frames == 5


def test_one_picture_goes_through(tmp_path):
    source = record(tmp_path / "one.mkv", seconds=0.04, tags=False, sound=False)
    assert do(source, tmp_path / "out.mkv").verified.frames == 2


def test_5_1_sound_stays_5_1(tmp_path):
    source = record(
        tmp_path / "six.mkv", tags=False, extra=("-af", "pan=5.1|c0=c0|c1=c0|c2=c0", "-ac", "6",
                                                 "-c:a", "ac3"),
    )  # fmt: skip
    result = do(source, tmp_path / "out.mkv")
    with av.open(str(result.output)) as container:
        assert [stream.channels for stream in container.streams.audio] == [6, 6]


def test_an_existing_output_is_kept_unless_told(recording, tmp_path):
    output = tmp_path / "out.mkv"
    output.write_bytes(b"precious")
    with pytest.raises(RequestError, match="--overwrite"):
        do(recording, output)
    assert output.read_bytes() == b"precious"
    assert do(recording, output, overwrite=True).verified.frames == 50


def test_a_missing_folder_is_named_before_anything_is_done(recording, tmp_path):
    with pytest.raises(RequestError, match="there is no folder"):
        do(recording, tmp_path / "nowhere" / "out.mkv")


def test_the_source_is_never_overwritten(tmp_path):
    source = record(tmp_path / "show.mkv", seconds=0.2, tags=False)
    with pytest.raises(RequestError, match="the source itself"):
        do(source, source, overwrite=True)


@pytest.mark.parametrize(
    ("content", "hint"),
    [(b"", "empty"), (b"this is no film\n" * 400, "no media|cannot be read|not a media")],
)
def test_what_is_no_recording_is_refused_in_one_line(tmp_path, content, hint):
    source = tmp_path / "thing.mkv"
    source.write_bytes(content)
    with pytest.raises(RequestError, match=hint) as caught:
        do(source, tmp_path / "out.mkv")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thing.mkv"]


def test_a_codec_that_does_not_fit_the_container_is_refused(recording, tmp_path):
    with pytest.raises(RequestError, match=r"name the output \.mkv"):
        do(recording, tmp_path / "out.mp4", "encode.codec=ffv1")
    assert not list(tmp_path.iterdir())


def test_a_truncated_source_finishes_with_what_decodes(recording, tmp_path):
    source = tmp_path / "cut.mkv"
    whole = recording.read_bytes()
    source.write_bytes(whole[: len(whole) * 6 // 10])
    result = do(source, tmp_path / "out.mkv")
    assert 10 <= (result.verified.frames or 0) < 50


def test_damage_inside_a_stream_is_told_with_its_time(recording, tmp_path):
    source = tmp_path / "scarred.mkv"
    scarred = bytearray(recording.read_bytes())
    middle = len(scarred) // 2
    for at in range(middle, middle + 20_000, 1000):
        scarred[at : at + 30] = bytes(30)
    source.write_bytes(scarred)
    result = do(source, tmp_path / "out.mkv")
    report = json.loads(result.report.read_text(encoding="utf-8"))
    assert any("complaints of the decoder" in note for note in report["notes"])


def test_a_whole_source_is_not_called_damaged(finished):
    result, _ = finished
    report = json.loads(result.report.read_text(encoding="utf-8"))
    assert report["found"]["damage"] == []
    assert not any("damaged" in note for note in report["notes"])


def test_a_range_beyond_the_sound_is_refused(tmp_path):
    source = tmp_path / "tune.wav"
    command = [program(), "-v", "error", "-f", "lavfi", "-i", "sine=duration=2", str(source)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    with pytest.raises(RequestError, match="the sound lasts 2"):
        remaster(Request(source, tmp_path / "o.flac", range_s=(10, 20)), reporter("none"))
    result = remaster(Request(source, tmp_path / "o.flac", range_s=(0.5, 9)), reporter("none"))
    assert result.verified.sound_s == pytest.approx(1.5)


def test_a_range_of_no_frame_is_refused(recording, tmp_path):
    with pytest.raises(RequestError, match="holds no frame"):
        do(recording, tmp_path / "o.mkv", range_s=(0.0, 0.001))


def test_endings_in_capitals_are_the_same_endings(recording, tmp_path):
    assert do(recording, tmp_path / "SHOW.MKV").verified.frames == 50


def test_two_jobs_never_share_a_folder(recording, tmp_path):
    import fcntl

    work = tmp_path / "o.mkv.encore"
    work.mkdir()
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RequestError, match="another Encore"):
            do(recording, tmp_path / "o.mkv")


def test_wrong_settings_are_refused_before_the_recording_is_read(tmp_path):
    with pytest.raises(RequestError, match="did you mean"):
        do(tmp_path / "not-there.mkv", tmp_path / "o.mkv", "encode.codec=x256")


def test_the_network_makes_the_frames_of_a_recording_with_fields(recording, tmp_path):
    output = tmp_path / "o.mkv"
    do(
        recording,
        output,
        "picture.restore.model=base",
        "picture.restore.strength=auto",
        "picture.restore.grain=0.3",
    )
    script = (tmp_path / "o.mkv.encore" / "picture.vpy").read_text()
    assert "vsencore.remaster(clip, height=288, model='base', grain=0.3" in script
    assert "vsencore.deinterlace" not in script
    assert "vsencore.upscale" not in script
    with av.open(str(output)) as container:
        frames = list(container.decode(video=0))
    assert (len(frames), frames[0].width, frames[0].height) == (50, 512, 288)


@pytest.mark.parametrize("model", ["bass", "nowhere.safetensors"])
def test_a_network_that_is_none_is_refused_before_the_recording_is_read(tmp_path, model):
    with pytest.raises(RequestError, match=r"picture\.restore\.model"):
        do(tmp_path / "not-there.mkv", tmp_path / "o.mkv", f"picture.restore.model={model}")


def progressive(tmp_path):
    source = tmp_path / "progressive.mkv"
    command = [program(), "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:duration=0.4"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", str(source)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return source


def test_the_network_restores_the_frames_of_a_progressive_recording(tmp_path):
    output = tmp_path / "o.mkv"
    source = progressive(tmp_path)
    do(source, output, "picture.restore.model=base", "picture.restore.strength=auto")
    script = (tmp_path / "o.mkv.encore" / "picture.vpy").read_text()
    assert "vsencore.remaster(clip, height=288, model='base', format=" in script
    with av.open(str(output)) as container:
        frames = list(container.decode(video=0))
    assert (len(frames), frames[0].width, frames[0].height) == (10, 384, 288)


def test_a_network_at_strength_0_is_left_out_and_that_is_told(tmp_path):
    result = do(
        progressive(tmp_path),
        tmp_path / "o.mkv",
        "picture.restore.model=base",
        "picture.restore.strength=0",
    )
    notes = json.loads(result.report.read_text())["notes"]
    assert any("the network base is not used" in note for note in notes)


def test_large_pictures_are_not_made_smaller_by_auto(tmp_path):
    source = tmp_path / "uhd.mkv"
    command = [
        program(),
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=2560x1440:duration=0.08",
    ]
    command += ["-c:v", "libx264", "-preset", "ultrafast", str(source)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    quick = ("encode.preset=ultrafast", "picture.upscale.method=lanczos")
    result = remaster(Request(source, tmp_path / "o.mkv", settings=quick), reporter("none"))
    with av.open(str(result.output)) as container:
        assert container.streams.video[0].codec_context.height == 1440


@pytest.mark.parametrize(
    "colour",
    [("bt2020nc", "smpte2084", "bt2020"), ("smpte240m", "smpte240m", "smpte240m"),
     ("bt709", "bt709", "smpte432")],
)  # fmt: skip
def test_rare_colours_are_carried_and_verified(tmp_path, colour):
    matrix, transfer, primaries = colour
    source = tmp_path / "rare.mkv"
    command = [program(), "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x720:duration=0.08"]
    command += ["-vf", f"setparams=colorspace={matrix}:color_trc={transfer}"]
    command[-1] += f":color_primaries={primaries}:range=tv"
    command += ["-c:v", "ffv1", "-pix_fmt", "yuv420p10le", str(source)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    quick = ("encode.preset=ultrafast", "picture.upscale.method=lanczos",
             "picture.restore.strength=0", "picture.upscale.height=720")  # fmt: skip
    result = remaster(Request(source, tmp_path / "o.mkv", settings=quick), reporter("none"))
    assert result.verified.frames == 2


def test_a_full_disk_is_one_line_and_no_file(recording, tmp_path, monkeypatch):
    from encore import job

    def full(*arguments, **settings):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(job, "mux", full)
    with pytest.raises(JobError, match="the disk is full"):
        do(recording, tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()


def test_an_encoder_on_a_full_device_is_noticed(recording, tmp_path):
    from encore.render import run

    with pytest.raises(JobError, match=r"disk is full|No space|failed"):
        run(["-i", str(recording), "-c", "copy", "-f", "matroska", "/dev/full"], tmp_path / "log")


def test_a_second_ctrl_c_ends_at_once_leaves_no_file_and_says_130(tmp_path):
    source = record(tmp_path / "long.mkv", seconds=4, tags=False)
    command = [sys.executable, "-m", "encore.cli", "remaster", str(source), str(tmp_path / "o.mkv")]
    command += ["--set", "picture.deinterlace.method=qtgmc", "--progress", "plain"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Shells let what they start in the background ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    part = tmp_path / "o.mkv.encore"
    deadline = time.monotonic() + 300
    while not list(part.glob("chunks/*.part*")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert any("Ctrl-C again ends at once" in line for line in process.stderr)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted" in said.splitlines()[-1]
    assert not list(part.glob("chunks/*.part*"))
    assert {p.name for p in tmp_path.iterdir() if p.suffix != ".ffmeta"} <= {
        "long.mkv", "words.srt", "o.mkv.encore"
    }  # fmt: skip
    assert not _descendants_hold(part)


def _packets(path, track):
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def _descendants_hold(folder):
    """Whether some process still has a file of this folder open."""
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(folder) in os.readlink(entry):
                return True
        except OSError:
            continue
    return False
