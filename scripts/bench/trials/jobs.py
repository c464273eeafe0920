"""Runs `encore` as a user does, follows what it tells, kills it, and looks for what it left behind.

Every run is a session of its own, told to speak JSON. The events carry the stage, so that a kill
can be aimed; `events.ndjson` in the work folder says afterwards what was begun and what was done.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

__all__ = ["Run", "aside", "begun", "command", "gone_after", "holders", "redone", "running"]

_ENCORE = (sys.executable, "-m", "encore.cli")


class Run:
    """One `encore` command under way, and all that it has told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.began = time.monotonic()
        self.events: list[dict[str, Any]] = []
        self.lines: list[str] = []
        """What was said that is no event: at the end, the one line of an error."""
        self.stage = "start"
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def wait_for(self, seen: Callable[[dict[str, Any]], bool], timeout_s: float = 600) -> bool:
        """Wait until an event is as wanted; False where the run ended before."""
        deadline, looked = time.monotonic() + timeout_s, 0
        while time.monotonic() < deadline:
            with self._news:
                while looked < len(self.events):
                    looked += 1
                    if seen(self.events[looked - 1]):
                        return True
                if not self._thread.is_alive():
                    return False
                self._news.wait(0.2)
        return False

    def end(self, timeout_s: float = 1800) -> int:
        """Wait until it has ended; its exit code."""
        code = self.process.wait(timeout_s)
        self._thread.join(10)
        return code

    def kill(self) -> list[psutil.Process]:
        """`kill -9` of its process group; what it had started, to see whether that ends too."""
        offspring: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            offspring = psutil.Process(self.process.pid).children(recursive=True)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.end()
        return offspring

    @property
    def said(self) -> str:
        """The last line."""
        return self.lines[-1] if self.lines else ""

    @property
    def told(self) -> str:
        """Its exit code, and the last line without what every such line has."""
        said = self.said.removeprefix("encore: ").partition(" (logs are in")[0]
        return f"{self.process.returncode}{': ' if said else ''}{said}"

    @property
    def one_line(self) -> bool:
        """Whether it ended with exactly one line of an error, and no trace."""
        errors = [line for line in self.lines if line.startswith("encore: ")]
        return len(errors) == 1 and self.said == errors[0] and len(self.lines) == 1

    def texts(self, kind: str) -> list[str]:
        """All messages, or all warnings."""
        return [event["text"] for event in self.events if event["event"] == kind]

    def _follow(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            event = _event(line)
            with self._news:
                if event is None:
                    self.lines.append(line.rstrip())
                else:
                    self.events.append(event)
                    self.stage = event.get("stage") or (
                        "picture" if event["event"] == "chunk" else self.stage
                    )
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


def command(source: Path, output: Path, *settings: str, more: Sequence[str] = ()) -> list[str]:
    """The command line of a remaster."""
    sets = [word for setting in settings for word in ("--set", setting)]
    return [*_ENCORE, "remaster", str(source), str(output), "--progress", "json", *sets, *more]


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Run]:
    """A run that is killed where the trial leaves it."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | dict(environment or {}),
    )
    run = Run(process)
    try:
        yield run
    finally:
        if process.poll() is None:
            run.kill()


def begun(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """A run that has come to its end."""
    with running(command, environment) as run:
        run.end()
        return run


@contextmanager
def aside(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process beside the job, in a session of its own, killed on the way out with its tree."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **quiet)
    try:
        yield process
    finally:
        for one in tree(process.pid):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def gone_after(processes: Sequence[psutil.Process], patience_s: float = 15.0) -> float:
    """Seconds until all have ended; infinity where they outlive the patience, and are ended."""
    began = time.monotonic()
    _, alive = psutil.wait_procs(processes, timeout=patience_s)
    for one in alive:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    return float("inf") if alive else time.monotonic() - began


def holders(folder: Path) -> list[psutil.Process]:
    """Processes whose command line names something in a folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and str(folder) in " ".join(process.cmdline()):
                found.append(process)
    return found


def redone(work: Path) -> tuple[int, int]:
    """How many chunks were begun again after they were done, and how many that were under way.

    From a work folder's events. The first is work that was lost, the second what a kill may cost.
    """
    done: set[int] = set()
    started: set[int] = set()
    lost = cost = 0
    for line in (work / "events.ndjson").read_text(encoding="utf-8").splitlines():
        event = _event(line)  # a kill may cut a line
        if event is None or event["event"] != "chunk":
            continue
        number = event["chunk"]
        if event["state"] == "started":
            lost += number in done
            cost += number in started and number not in done
            started.add(number)
        elif event["state"] == "done":
            done.add(number)
    return lost, cost


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
