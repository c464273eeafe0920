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
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from encore.encode import Clip
from encore.errors import JobError
from encore.ffmpeg import last_words, program
from encore.progress import Update

__all__ = ["clip_of", "count_frames", "render", "run", "stop"]

_SILENCE_ENDS_S = 10.0


def render(
    script: Path,
    target: Path,
    arguments: Callable[[Clip], Sequence[str]],
    update: Update,
    *,
    log: Path,
) -> Clip:
    """Render output 0 of a script into `target`, and return what its clip was.

    `arguments` gives FFmpeg's output arguments for the clip. What the processes said goes to
    `log`. Raises JobError with the first thing that went wrong; `target` is then not to be used.
    """
    with log.open("wb") as said:
        worker = subprocess.Popen(
            [sys.executable, "-m", "encore.worker", str(script)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        encoder: subprocess.Popen[bytes] | None = None
        try:
            story = _Story(worker, said, update)
            clip = story.clip()
            encoder = subprocess.Popen(
                [program(), "-hide_banner", "-nostdin", "-v", "warning", "-xerror", "-y",
                 "-f", "yuv4mpegpipe", "-i", "pipe:0", *arguments(clip), str(target)],
                stdin=worker.stdout,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )  # fmt: skip
            assert worker.stdout is not None
            worker.stdout.close()
            encoded = encoder.wait()
            if encoded != 0:
                stop(worker)
            rendered = worker.wait()
            story.join()
        finally:
            stop(worker)
            if encoder is not None:
                stop(encoder)
    if story.error is not None and not story.pipe_broke:
        raise JobError(f"the picture failed at {story.error}" if story.begun else story.error)
    if encoded != 0:
        raise JobError(f"the encoder failed (exit {encoded}): {last_words(log)}")
    if rendered != 0:
        raise JobError(f"the picture's process died (exit {rendered}): {last_words(log)}")
    found = count_frames(target)
    if found != clip.frames:
        raise JobError(f"the picture has {found} frames and should have {clip.frames}")
    return clip


def clip_of(script: Path, *, log: Path) -> Clip:
    """What output 0 of a script is, from its first frame. Raises JobError where it fails."""
    with log.open("wb") as said:
        worker = subprocess.Popen(
            [sys.executable, "-m", "encore.worker", str(script), "--facts"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            return _Story(worker, said, lambda done, total: None).clip()
        finally:
            stop(worker)


def run(arguments: Sequence[str], log: Path, *, update: Update | None = None) -> None:
    """Run FFmpeg to its end. Raises JobError with its last words when it fails.

    `update` is given the seconds written so far.
    """
    command = [program(), "-hide_banner", "-nostdin", "-v", "warning", "-y"]
    command += ["-progress", "pipe:1", "-nostats", *arguments]
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                key, _, value = line.decode("ascii", "replace").strip().partition("=")
                if update is not None and key == "out_time_us" and value.isdigit():
                    update(int(value) / 1e6, None)
            code = process.wait()
        finally:
            stop(process)
    if code != 0:
        raise JobError(f"ffmpeg failed (exit {code}): {last_words(log)}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, at once; nothing where it has ended."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def count_frames(path: Path) -> int:
    """How many pictures the first video stream of a file holds, by its packets."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return sum(1 for packet in container.demux(stream) if packet.size)
    except (av.FFmpegError, IndexError, OSError) as error:
        raise JobError(f"{path.name} cannot be read back: {error}") from error


class _Story:
    """What the worker tells on its stderr, followed by a thread; other lines go to the log."""

    def __init__(self, worker: subprocess.Popen[bytes], log: Any, update: Update) -> None:
        self.error: str | None = None
        self.pipe_broke = False
        self.begun = False
        self._worker, self._log, self._update = worker, log, update
        self._clip: Clip | None = None
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def clip(self) -> Clip:
        """Wait for the first frame; raises JobError where the script fails before it."""
        self._told.wait()
        if self._clip is None:
            self._worker.wait()
            self._thread.join(_SILENCE_ENDS_S)
            raise JobError(self.error or f"the picture script ended with {self._worker.returncode}")
        return self._clip

    def join(self) -> None:
        """Wait until all that was said is heard."""
        self._thread.join(_SILENCE_ENDS_S)

    def _follow(self) -> None:
        assert self._worker.stderr is not None
        for raw in self._worker.stderr:
            event = _event(raw)
            if event is None:
                self._log.write(raw)
                self._log.flush()
            elif event["event"] == "clip":
                del event["event"]
                rate, aspect = Fraction(event.pop("rate")), Fraction(event.pop("sample_aspect"))
                self._clip = Clip(rate=rate, sample_aspect=aspect, **event)
                self.begun = True
                self._update(0, self._clip.frames)
                self._told.set()
            elif event["event"] == "frames" and self._clip is not None:
                self._update(event["done"], self._clip.frames)
            elif event["event"] == "error":
                self.error = event["text"]
                self.pipe_broke = bool(event.get("pipe"))
        self._told.set()


def _event(raw: bytes) -> dict[str, Any] | None:
    if not raw.startswith(b'{"event"'):
        return None
    try:
        event = json.loads(raw)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
