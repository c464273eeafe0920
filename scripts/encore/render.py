"""Renders a `.vpy` into a picture file: the worker's frames through a pipe into FFmpeg, verified.

An encoder exits 0 on a short input, so the file counts only when both processes returned 0 and it
holds as many frames as the script promised. Both run in sessions of their own: a Ctrl-C reaches
only us, and we end them, whatever they are blocked on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from encore.encode import Clip, check_colour
from encore.errors import JobError
from encore.ffmpeg import last_words, program
from encore.process import spawned, stop
from encore.progress import Update

__all__ = [
    "CalledOffError",
    "ChangedError",
    "Limits",
    "OutOfMemoryError",
    "Rendered",
    "StalledError",
    "clip_of",
    "count_frames",
    "event_of",
    "render",
    "run",
]

_SILENCE_ENDS_S = 10.0
_LOOKS_EVERY_S = 0.25
_KILLED = "was killed, as happens where memory runs out"
_WORKER_STREAMS: dict[str, Any] = {
    # Held by us and never written to: the worker ends when it closes, however we end.
    "stdin": subprocess.PIPE,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
}


class OutOfMemoryError(JobError):
    """The picture's process was killed, or said itself that memory ran out."""


class ChangedError(JobError):
    """The script gives another clip than when it was planned; no chunk can be made of it."""


class StalledError(JobError):
    """Nothing moved for too long; the processes were ended."""


class CalledOffError(Exception):
    """The work was called off; its processes were ended."""


@dataclass(frozen=True)
class Limits:
    """What one rendering may use, and when it is called off."""

    threads: int | None = None
    """Of the filters; None is as many as there are."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of its processes."""
    stall_s: float | None = None
    """It ends after so long without a new frame; None is never."""
    stopped: threading.Event | None = None
    """Set by another thread to call it off."""


@dataclass(frozen=True)
class Rendered:
    """What a rendering tells of itself."""

    clip: Clip
    """The whole clip, also where only a span of it was taken."""
    arithmetic: str
    """What calculated it: processor and, where torch was used, how and on what."""
    strays: list[list[int]] = field(default_factory=list)
    """Where a model of faces was not used since it strayed: the face, and its first and last
    frame."""


def render(
    script: Path,
    target: Path,
    arguments: Callable[[Clip], Sequence[str]],
    update: Update,
    *,
    log: Path,
    span: tuple[int, int] | None = None,
    limits: Limits | None = None,
) -> Rendered:
    """Render output 0 of a script into `target`.

    `arguments` gives FFmpeg's output arguments for the clip; `span` is the frames to take, first
    and last, the last one not taken. What the processes said goes to `log`. Raises JobError with
    the first thing that went wrong, CalledOffError where it was called off; `target` is then not
    to be used.
    """
    limits = limits or Limits()
    ffmpeg = [program(), "-hide_banner", "-nostdin", "-v", "warning", "-xerror", "-y"]
    ffmpeg += ["-f", "yuv4mpegpipe", "-i", "pipe:0"]
    streams = _WORKER_STREAMS | {"env": os.environ | dict(limits.environment)}
    command = _worker(script, span=span, threads=limits.threads)
    with log.open("wb") as said, spawned(command, **streams) as worker:
        story = _Story(worker, said, update)
        clip = story.clip(limits)
        check_colour(clip)
        with spawned(
            [*ffmpeg, *arguments(clip), str(target)],
            stdin=worker.stdout,
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as encoder:
            assert worker.stdout is not None
            worker.stdout.close()
            story.watch(encoder, limits)
            encoded = encoder.returncode
            # Frames that cease fail the encoder as well: what the worker died of comes first.
            by_itself = encoded == 0 or worker.poll() is not None
            if not by_itself:
                stop(worker)
            story.watch(worker, limits)
            rendered = worker.returncode
            story.join()
    if story.error is not None and not story.pipe_broke:
        kind = OutOfMemoryError if story.out_of_memory else JobError
        raise kind(f"the picture failed at {story.error}" if story.begun else story.error)
    if by_itself and rendered == -signal.SIGKILL:
        raise OutOfMemoryError(f"the picture's process {_KILLED}")
    if encoded == -signal.SIGKILL:
        raise OutOfMemoryError(f"the encoder {_KILLED}")
    if encoded != 0 and (rendered >= 0 or not by_itself):
        raise JobError(f"the encoder failed (exit {encoded}): {last_words(log)}")
    if rendered != 0:
        raise JobError(f"the picture's process died (exit {rendered}): {last_words(log)}")
    found = count_frames(target)
    wanted = clip.frames if span is None else span[1] - span[0]
    if found != wanted:
        raise JobError(f"the picture has {found} frames and should have {wanted}")
    return Rendered(clip, story.arithmetic, story.strays)


def clip_of(script: Path, *, log: Path, stall_s: float | None = None) -> Clip:
    """What output 0 of a script is, from its first frame. Raises JobError where it fails.

    So it does where nothing comes for `stall_s`.
    """
    streams = _WORKER_STREAMS | {"stdout": subprocess.DEVNULL}
    with (
        log.open("wb") as said,
        spawned([*_worker(script), "--facts"], **streams) as worker,
    ):
        return _Story(worker, said, lambda done, total: None).clip(Limits(stall_s=stall_s))


def run(
    arguments: Sequence[str],
    log: Path,
    *,
    update: Update | None = None,
    folder: Path | None = None,
) -> None:
    """Run FFmpeg to its end. Raises JobError with its last words when it fails.

    `update` is given the seconds written so far; `folder` is where relative names are looked up.
    """
    command = [program(), "-hide_banner", "-nostdin", "-v", "warning", "-y"]
    command += ["-progress", "pipe:1", "-nostats", *arguments]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
    with log.open("wb") as said, spawned(command, stderr=said, cwd=folder, **streams) as process:
        assert process.stdout is not None
        for line in process.stdout:
            key, _, value = line.decode("ascii", "replace").strip().partition("=")
            if update is not None and key == "out_time_us" and value.isdigit():
                update(int(value) / 1e6, None)
        code = process.wait()
    if code != 0:
        words = last_words(log)
        if words == "the disk is full":
            raise JobError(f"{words}; make room, and the same command goes on from there")
        raise JobError(f"ffmpeg failed (exit {code}): {words}")


def count_frames(path: Path) -> int:
    """How many pictures the first video stream of a file holds, by its packets."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return sum(1 for packet in container.demux(stream) if packet.size)
    except (av.FFmpegError, IndexError, OSError) as error:
        raise JobError(f"{path.name} cannot be read back: {error}") from error


def _worker(
    script: Path,
    *,
    span: tuple[int, int] | None = None,
    threads: int | None = None,
) -> list[str]:
    command = [sys.executable, "-m", "encore.worker", str(script), "--leash"]
    if span is not None:
        command += ["--first", str(span[0]), "--last", str(span[1])]
    return command + (["--threads", str(threads)] if threads is not None else [])


class _Story:
    """What the worker tells on its stderr, followed by a thread; other lines go to the log."""

    def __init__(self, worker: subprocess.Popen[bytes], log: Any, update: Update) -> None:
        self.error: str | None = None
        self.pipe_broke = self.out_of_memory = False
        self.begun = False
        self._moved = time.monotonic()
        self._worker, self._log, self._update = worker, log, update
        self.arithmetic = ""
        self.strays: list[list[int]] = []
        self._clip: Clip | None = None
        self._failure: Exception | None = None
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def clip(self, limits: Limits) -> Clip:
        """Wait for the first frame; raises JobError where the script fails before it."""
        while not self._told.wait(_LOOKS_EVERY_S):
            self._check(limits)
        if self._failure is not None:
            raise self._failure
        if self._clip is None:
            self._worker.wait()
            self._thread.join(_SILENCE_ENDS_S)
            if self._worker.returncode == -signal.SIGKILL:
                raise OutOfMemoryError(f"the picture's process {_KILLED}")
            raise JobError(self.error or f"the picture script ended with {self._worker.returncode}")
        return self._clip

    def watch(self, process: subprocess.Popen[bytes], limits: Limits) -> None:
        """Wait until a process has ended. Raises StalledError or CalledOffError."""
        while True:
            try:
                process.wait(_LOOKS_EVERY_S)
                return
            except subprocess.TimeoutExpired:
                self._check(limits)

    def _check(self, limits: Limits) -> None:
        if limits.stopped is not None and limits.stopped.is_set():
            raise CalledOffError
        if limits.stall_s is not None and time.monotonic() - self._moved > limits.stall_s:
            raise StalledError(f"nothing moved for {limits.stall_s:g} s; its processes were ended")

    def join(self) -> None:
        """Wait until all that was said is heard; raises what went wrong in telling it on."""
        self._thread.join(_SILENCE_ENDS_S)
        if self._failure is not None:
            raise self._failure

    def _follow(self) -> None:
        """Hear all to the end, whatever happens to those who are told: the pipe must not fill."""
        assert self._worker.stderr is not None
        for raw in self._worker.stderr:
            try:
                self._take(raw)
            except Exception as error:
                self._failure = self._failure or error
                self._told.set()
        self._told.set()

    def _take(self, raw: bytes) -> None:
        event = event_of(raw)
        if event is not None:
            self._moved = time.monotonic()
        if event is None:
            self._log.write(raw)
            self._log.flush()
        elif event["event"] == "clip":
            del event["event"]
            rate, aspect = Fraction(event.pop("rate")), Fraction(event.pop("sample_aspect"))
            self._clip = Clip(rate=rate, sample_aspect=aspect, **event)
            self.begun = True
            self._told.set()
            self._update(0, self._clip.frames)
        elif event["event"] == "arithmetic":
            self.arithmetic = event["text"]
        elif event["event"] == "strays":
            self.strays = event["spans"]
        elif event["event"] == "frames" and self._clip is not None:
            self._update(event["done"], self._clip.frames)
        elif event["event"] == "error":
            self.error = event["text"]
            self.pipe_broke = bool(event.get("pipe"))
            self.out_of_memory = bool(event.get("memory"))


def event_of(raw: bytes) -> dict[str, Any] | None:
    """A line of a worker as the event that it tells; None where it is something else."""
    if not raw.startswith(b'{"event"'):
        return None
    try:
        event = json.loads(raw)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
