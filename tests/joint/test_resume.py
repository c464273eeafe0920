"""A job that is killed, interrupted or changed goes on from what is finished, to the same film."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from types import SimpleNamespace

import av
import pytest
from rich.console import Console
from test_remaster import QUICK, record

from encore import cli
from encore.chunked.piece import packets_of
from encore.chunked.state import now_of, shown
from encore.job import Request, remaster
from encore.progress import reporter
from encore.workfolder import is_held

# A chapter at 0.4 s begins a chunk, and three of nearly a second follow.
SECONDS, CHUNKS, FRAMES = 3, 4, 150
SETTINGS = (*QUICK, "picture.upscale.height=144", "job.chunk_s=1", "job.keep_chunks=true")


def command(source, output, work, *settings):
    """The job as a command line; one chunk at a time."""
    line = [sys.executable, "-m", "encore.cli", "remaster", str(source), str(output)]
    line += ["--work", str(work), "--workers", "1", "--progress", "plain"]
    for setting in (*SETTINGS, *settings):
        line += ["--set", setting]
    return line


def begun(*arguments):
    return subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Shells let what they start in the background ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def when(process, there):
    """Wait until something is there; the job must not end before."""
    deadline = time.monotonic() + 300
    while not there():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def finished(work):
    """What tells a finished chunk from one made anew: by name its inode and its time."""
    records = {path.stem for path in (work / "chunks").glob("*.json")}
    films = [path for path in (work / "chunks").glob("*.mp4") if path.stem in records]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in films}


def parts(work):
    return list((work / "chunks").glob("*.part*"))


def go_on(source, output, work, *settings):
    """The same job in this process; what it said, and its result."""
    out = io.StringIO()
    request = Request(source, output, settings=(*SETTINGS, *settings), work=work, workers=1)
    result = remaster(request, reporter("plain", out))
    return SimpleNamespace(said=out.getvalue(), result=result)


def sound_of(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A small recording of three seconds with a chapter in it."""
    return record(tmp_path_factory.mktemp("made") / "show.mkv", seconds=SECONDS, size="96x80")


@pytest.fixture(scope="module")
def killed(source, tmp_path_factory):
    """The work folder of a job whose process group was killed while it made its second chunk."""
    folder = tmp_path_factory.mktemp("killed")
    work = folder / "work"
    process = begun(source, folder / "o.mkv", work)
    when(process, lambda: finished(work) and parts(work))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (folder / "o.mkv").exists()
    deadline = time.monotonic() + 20
    while _held(work) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _held(work)
    assert 1 <= len(finished(work)) < CHUNKS
    return work


@pytest.fixture
def work(killed, tmp_path):
    """A copy of what the killed job left."""
    return shutil.copytree(killed, tmp_path / "work")


@pytest.fixture(scope="module")
def straight(source, tmp_path_factory):
    """The same job undisturbed, with its work folder."""
    folder = tmp_path_factory.mktemp("straight")
    request = Request(source, folder / "o.mkv", settings=SETTINGS, workers=1)
    return remaster(request, reporter("none")), folder / "o.mkv.encore"


def test_a_killed_job_goes_on_and_its_film_is_that_of_an_undisturbed_one(
    source, work, straight, tmp_path
):
    before = finished(work)
    again = go_on(source, tmp_path / "o.mkv", work)
    assert again.result.verified.frames == FRAMES
    assert f"{len(before)} of {CHUNKS} chunks are finished and kept" in again.said
    assert "the sound is finished and kept" in again.said
    assert "changed since" not in again.said
    after = finished(work)
    assert len(after) == CHUNKS
    assert {name: after[name] for name in before} == before
    assert parts(work) == []
    films = [again.result.output, straight[0].output]
    assert len({packets_of(film, FRAMES, Fraction(50)) for film in films}) == 1
    assert sound_of(films[0]) == sound_of(films[1])


def test_a_finished_job_that_is_run_again_makes_nothing_anew(source, straight, tmp_path):
    work = shutil.copytree(straight[1], tmp_path / "work")
    before = finished(work)
    again = go_on(source, tmp_path / "o.mkv", work)
    assert finished(work) == before
    assert f"{CHUNKS} of {CHUNKS} chunks are finished and kept" in again.said
    assert again.result.verified.frames == FRAMES


def test_another_quality_is_told_and_makes_the_picture_anew_but_not_the_sound(
    source, straight, tmp_path
):
    work = shutil.copytree(straight[1], tmp_path / "work")
    before = finished(work)
    again = go_on(source, tmp_path / "o.mkv", work, "encode.crf=36")
    assert "changed since the last run: encode.crf 30.0 -> 36.0" in again.said
    assert "the sound is finished and kept" in again.said
    assert "chunks are finished and kept" not in again.said
    assert not before.keys() - finished(work).keys()  # nothing is lost, for going back
    assert len(finished(work)) == 2 * CHUNKS
    assert again.result.verified.frames == FRAMES


def test_another_sound_keeps_every_chunk_and_makes_the_sound_anew(source, straight, tmp_path):
    work = shutil.copytree(straight[1], tmp_path / "work")
    before = finished(work)
    again = go_on(source, tmp_path / "o.mkv", work, "sound.loudness.target_lufs=-20")
    assert "sound.loudness.target_lufs" in again.said
    assert f"{CHUNKS} of {CHUNKS} chunks are finished and kept" in again.said
    assert "the sound is finished and kept" not in again.said
    assert finished(work) == before
    assert sound_of(again.result.output) != sound_of(straight[0].output)


def test_one_ctrl_c_ends_after_the_chunk_under_way_and_the_job_can_go_on(source, work, tmp_path):
    kept = finished(work)
    for path in parts(work):
        path.unlink()
    process = begun(source, tmp_path / "o.mkv", work)
    when(process, lambda: parts(work))
    under_way = {path.name.partition(".")[0] for path in parts(work)}
    held = is_held(work)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=180)
    assert process.returncode == 130, said
    assert held
    assert not is_held(work)
    assert "Ctrl-C again ends at once" in said
    assert "the same command goes on" in said.splitlines()[-1].lower()
    assert not (tmp_path / "o.mkv").exists()
    assert parts(work) == []
    stands = finished(work)
    assert under_way <= {name.partition(".")[0] for name in stands}
    assert len(kept) < len(stands)
    assert {name: stands[name] for name in kept} == kept
    assert now_of(work).count("done", "kept") == len(stands)
    again = go_on(source, tmp_path / "o.mkv", work)
    assert again.result.verified.frames == FRAMES
    after = finished(work)
    assert {name: after[name] for name in stands} == stands


def test_status_tells_how_a_killed_job_stands(killed):
    told = json.loads(_status(killed, "--json"))
    assert told["running"] is False
    assert told["frames"] == FRAMES
    assert told["chunks"][0]["first"] == 0
    assert told["chunks"][-1]["last"] == FRAMES
    text = _status(killed)
    assert "chunks" in text
    assert "nobody works on it now" in text


def test_status_draws_every_chunk(killed):
    out = io.StringIO()
    Console(file=out, width=100).print(shown(now_of(killed)))
    marks = out.getvalue().splitlines()[0].strip()
    assert len(marks) == CHUNKS
    assert set(marks) <= set("·▶■")


def test_the_events_are_lines_of_json_to_the_last(killed):
    events = [json.loads(line) for line in (killed / "events.ndjson").read_text().splitlines()]
    done = [event for event in events if event.get("state") == "done"]
    assert len(done) >= 1
    assert all(event["took_s"] > 0 and event["bytes"] > 0 for event in done)


def _status(work, *options):
    """What `encore status` prints."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        cli.app(["status", str(work), *options], standalone_mode=False)
    return out.getvalue()


def _held(folder):
    """Whether some process still has a file of this folder open."""
    for process in os.listdir("/proc"):
        try:
            for entry in os.scandir(f"/proc/{process}/fd") if process.isdigit() else ():
                if os.readlink(entry.path).startswith(str(folder)):
                    return True
        except OSError:
            continue
    return False
