"""One chunk: the frames of a straight run, counted and committed; and every way it can go wrong."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from tasks import lossless_task

from encore import encode, ffmpeg
from encore.chunked.ledger import Ledger
from encore.chunked.piece import ChunkError, input_digest, make, misfit, packets_of
from encore.errors import JobError
from encore.preset import Encode
from encore.render import CalledOffError, clip_of

RATE = Fraction(30000, 1001)
FRAMES = 24
# Every frame another grey: frame n has luma 64 + 16 n.
SCRIPT = f"""
import vapoursynth as vs
grey = [
    vs.core.std.BlankClip(
        width=64, height=48, format=vs.YUV420P10, length=1, color=[64 + 16 * n, 512, 512],
        fpsnum={RATE.numerator}, fpsden={RATE.denominator},
    )
    for n in range({FRAMES})
]
clip = vs.core.std.Splice(grey).std.SetFrameProps(_Matrix=1, _Transfer=1, _Primaries=1)
"""
WHOLE = SCRIPT + "clip.set_output(0)\n"


def scripted(folder, end):
    """The script with something done to it at the end."""
    path = folder / "show.vpy"
    path.write_text(SCRIPT + end, encoding="utf-8")
    return path


def at_frame(n, action):
    """A script's end that does something when frame n is asked for."""
    return f"""
def look(n, f):
    if n == {n}:
        {action}
    return f
clip.std.ModifyFrame(clip, look).set_output(0)
"""


@pytest.fixture(scope="module")
def show(tmp_path_factory):
    """A script and what its clip is."""
    folder = tmp_path_factory.mktemp("show")
    path = scripted(folder, "clip.set_output(0)\n")
    return path, clip_of(path, log=folder / "log")


@pytest.fixture
def task_of(show, tmp_path):
    """A task on the show; other frames, or another script, where asked."""
    path, clip = show

    def task(first=0, last=FRAMES, **other):
        return replace(lossless_task(path, clip, tmp_path / "chunks", first, last), **other)

    return task


@pytest.fixture
def encoder(monkeypatch, tmp_path):
    """Puts a shell script in the encoder's place; $REAL is the encoder."""
    real = ffmpeg.program()

    def place(text):
        path = tmp_path / "ffmpeg-of-the-test"
        path.write_text(f"#!/bin/sh\nREAL={real}\n{text}\n")
        path.chmod(0o755)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))
        ffmpeg.program.cache_clear()

    yield place
    monkeypatch.undo()
    ffmpeg.program.cache_clear()


def nothing(done, total):
    pass


def greys(path):
    """The luma of each frame's first pixel."""
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [int(np.frombuffer(frame.planes[0], np.uint16)[0]) for frame in frames]


def pictures(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def left_in(task):
    return sorted(path.suffix for path in Path(task.folder).iterdir())


def failure_of(task):
    """How making it fails; nothing may be called finished, and only its log may stay."""
    with pytest.raises(ChunkError) as caught:
        make(task, nothing)
    assert Ledger(Path(task.folder), ".mkv").finished(task.key) is None
    assert left_in(task) in ([], [".log"])
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_chunk_is_made_verified_and_committed(task_of):
    task, moved = task_of(5, 12), []
    record = make(task, lambda done, total: moved.append(done), maker="here/1")
    ledger = Ledger(Path(task.folder), ".mkv")
    assert ledger.finished(task.key) == record
    assert (record.frames, record.made_by) == (7, "here/1")
    assert record.packets == packets_of(ledger.path(task.key), 7, RATE)
    assert greys(ledger.path(task.key)) == [64 + 16 * n for n in range(5, 12)]
    assert moved[-1] == 7
    assert left_in(task) == [".json", ".mkv"]


def test_the_same_task_a_second_time_does_nothing(task_of, encoder):
    task = task_of(0, 3)
    record = make(task, nothing)
    before = Ledger(Path(task.folder), ".mkv").path(task.key).stat()
    encoder("exit 1")
    assert make(task, nothing) == record
    after = Ledger(Path(task.folder), ".mkv").path(task.key).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_frames_of_two_chunks_are_those_of_the_whole(task_of):
    tasks = [task_of(), task_of(0, 11), task_of(11, FRAMES)]
    for task in tasks:
        make(task, nothing)
    whole, one, other = (pictures(Path(task.folder) / f"{task.key}.mkv") for task in tasks)
    assert len(whole) == FRAMES
    assert all(np.array_equal(a, b) for a, b in zip(whole, one + other, strict=True))


@pytest.mark.parametrize(("codec", "suffix"), [("x264", ".mp4"), ("x265", ".mp4")])
def test_chapters_inside_a_chunk_are_key_frames(task_of, show, codec, suffix):
    settings = Encode(codec=codec, preset="ultrafast")
    arguments = tuple(encode.video_arguments(settings, show[1]))
    task = task_of(4, 20, keys=(5, 11), codec=codec, arguments=arguments, suffix=suffix)
    make(task, nothing, threads=1)
    with av.open(str(Path(task.folder) / f"{task.key}{suffix}")) as container:
        stream = container.streams.video[0]
        times = {
            packet.pts * stream.time_base * RATE
            for packet in container.demux(stream)
            if packet.size and packet.is_keyframe
        }
    assert {0, 5, 11} <= times


def test_an_encoder_that_writes_too_few_frames_and_exits_0_is_noticed(task_of, encoder):
    header = b"YUV4MPEG2 C420p10 W64 H48 F30000:1001 Ip A0:0\n"
    three = len(header) + 3 * (len(b"FRAME\n") + 64 * 48 * 3)
    encoder(f'{{ head -c {three}; cat >/dev/null; }} | "$REAL" "$@"; exit 0')
    failure = failure_of(task_of())
    assert failure.kind == "other"
    assert failure.text == "the picture has 3 frames and should have 24"


def test_an_encoder_that_writes_nothing_and_exits_0_is_noticed(task_of, encoder):
    encoder("cat >/dev/null; exit 0")
    assert "cannot be read back" in failure_of(task_of()).text


def test_an_encoder_that_fails_is_told_with_its_last_words(task_of, encoder):
    encoder('echo "x265 [error]: no such profile" >&2; exit 187')
    failure = failure_of(task_of())
    assert "exit 187" in failure.text
    assert "no such profile" in failure.text


def test_an_encoder_on_a_full_disk_is_a_failure_of_the_disk(task_of, encoder):
    encoder('echo "av_interleaved_write_frame(): No space left on device" >&2; exit 228')
    assert failure_of(task_of()).kind == "disk"


def test_an_encoder_that_hangs_is_ended(task_of, encoder, tmp_path):
    encoder(f'echo $$ >"{tmp_path}/pid"; exec sleep 600')
    began = time.monotonic()
    # Longer than a script takes to its first frame, which is waited for in the same way.
    failure = failure_of(task_of(stall_s=5.0))
    assert failure.kind == "stall"
    assert "5 s" in failure.text
    assert time.monotonic() - began < 60
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_what_is_called_off_is_ended_and_leaves_no_part(task_of, encoder):
    encoder("exec sleep 600")
    stopped, task = threading.Event(), task_of()
    threading.Timer(1.0, stopped.set).start()
    with pytest.raises(CalledOffError):
        make(task, nothing, stopped=stopped)
    assert not list(Path(task.folder).glob("*.part*"))


def test_a_script_that_raises_at_a_frame_names_the_frame_of_the_show(task_of, tmp_path):
    script = scripted(tmp_path, at_frame(9, 'raise ValueError("the tape is torn")'))
    failure = failure_of(task_of(4, 20, script=str(script)))
    assert failure.kind == "other"
    assert "frame 9" in failure.text
    assert "the tape is torn" in failure.text


def test_a_script_that_lacks_memory_is_a_failure_of_memory(task_of, tmp_path):
    script = scripted(tmp_path, at_frame(9, 'raise RuntimeError("CUDA out of memory")'))
    assert failure_of(task_of(script=str(script))).kind == "memory"


def test_a_worker_that_is_killed_lacked_memory(task_of, tmp_path):
    script = scripted(tmp_path, at_frame(9, "import os; os.kill(os.getpid(), 9)"))
    failure = failure_of(task_of(script=str(script)))
    assert failure.kind == "memory"
    assert "was killed" in failure.text


def test_a_worker_that_is_killed_before_its_first_frame_is_told(task_of, tmp_path):
    script = scripted(tmp_path, "import os; os.kill(os.getpid(), 9)\n")
    assert failure_of(task_of(script=str(script))).kind == "memory"


def test_a_worker_that_crashes_is_told_with_its_signal(task_of, tmp_path):
    script = scripted(tmp_path, at_frame(9, "import os, signal; os.kill(os.getpid(), 11)"))
    failure = failure_of(task_of(script=str(script)))
    assert failure.kind == "other"
    assert "11" in failure.text


def test_a_script_that_has_become_another_is_not_put_beside_the_rest(task_of, tmp_path):
    script = scripted(tmp_path, "clip.std.CropRel(right=2).set_output(0)\n")
    assert "width is 62 here, and was 64 when planned" in failure_of(
        task_of(script=str(script))
    ).text  # fmt: skip


def test_a_machine_with_other_programs_or_models_does_not_fit(task_of):
    failure = failure_of(task_of(versions={"torch": "0.0.1"}))
    assert failure.kind == "unfit"
    assert "the job wants 0.0.1" in failure.text
    assert "not at all" in misfit(task_of(versions={"no-such-program": "1"}))
    assert "the model mine" in misfit(task_of(weights={"mine": "00ff"}))
    assert misfit(task_of()) == ""


def test_smaller_tiles_reach_the_networks(task_of, tmp_path):
    script = scripted(
        tmp_path, "import os\nassert os.environ['VSENCORE_TILE_PX'] == '128'\nclip.set_output(0)\n"
    )
    make(task_of(0, 2, script=str(script), tile_px=128), nothing)


def test_packets_of_notices_what_is_missing_damaged_or_off_its_time(task_of, tmp_path):
    task = task_of()
    make(task, nothing)
    path = Path(task.folder) / f"{task.key}.mkv"
    with pytest.raises(JobError, match="24 frames and should have 25"):
        packets_of(path, 25, RATE)
    with pytest.raises(JobError, match="off its time"):
        packets_of(path, 24, Fraction(25))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(JobError, match=r"frames and should have|does not read back|decode"):
        packets_of(path, 24, RATE, decode=True)
    path.write_bytes(b"no film")
    with pytest.raises(JobError, match="does not read back"):
        packets_of(path, 24, RATE)


def test_packets_of_decodes_where_asked(task_of, show):
    settings = Encode(codec="x264", preset="ultrafast")
    arguments = tuple(encode.video_arguments(settings, show[1]))
    task = task_of(codec="x264", arguments=arguments, suffix=".mp4")
    make(task, nothing)
    path = Path(task.folder) / f"{task.key}.mp4"
    scarred = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    place, size = places[12]
    for at in range(place + size // 3, place + size // 3 + 6):
        scarred[at] ^= 0x55
    path.write_bytes(scarred)
    packets_of(path, 24, RATE)
    with pytest.raises(JobError):
        packets_of(path, 24, RATE, decode=True)


def test_a_worker_ends_when_whoever_started_it_is_gone(tmp_path):
    script = scripted(tmp_path, at_frame(3, "import time; time.sleep(600)"))
    command = [sys.executable, "-m", "encore.worker", str(script), "--leash"]
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert b'"clip"' in worker.stderr.readline()
    assert worker.poll() is None
    worker.stdin.close()
    assert worker.wait(20) != 0
    worker.stdout.close()
    worker.stderr.close()


def test_a_worker_without_a_leash_does_its_work_with_stdin_closed(show):
    command = [sys.executable, "-m", "encore.worker", str(show[0]), "--first", "2", "--last", "4"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert done.stdout.startswith(b"YUV4MPEG2 C420p10 W64 H48 F30000:1001 ")
    assert done.stdout.count(b"FRAME\n") == 2


def test_nothing_outlives_a_killed_parent(show, tmp_path, encoder):
    encoder(f'echo $$ >>"{tmp_path}/pids"; exec "$REAL" "$@"')
    script = scripted(tmp_path, at_frame(3, "import time; time.sleep(600)"))
    text = (
        "import pathlib, sys; from encore.render import render\n"
        f"render(pathlib.Path({str(script)!r}), pathlib.Path({str(tmp_path / 'o.mkv')!r}), "
        f"lambda clip: ['-c:v', 'ffv1'], print, log=pathlib.Path({str(tmp_path / 'log')!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.DEVNULL)
    pids, deadline = tmp_path / "pids", time.monotonic() + 30
    while not (pids.exists() and pids.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) == 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def test_a_script_that_is_changed_under_way_makes_no_chunk(task_of, tmp_path):
    path = scripted(tmp_path, "clip.set_output(0)\n")
    inputs = {str(path): input_digest(path)}
    assert make(task_of(0, 5, script=str(path), inputs=inputs), lambda *a: None).frames == 5
    path.write_text(path.read_text() + "# changed\n", encoding="utf-8")
    with pytest.raises(ChunkError, match="was changed while the job ran") as caught:
        make(task_of(5, 10, script=str(path), inputs=inputs), lambda *a: None)
    assert caught.value.kind == "changed"
