"""The folder in which a job keeps what it has made so far, and how its output gets its name."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil

from encore.chunked.ledger import synced, write_whole
from encore.errors import DISK_FULL, JobError, RequestError
from encore.progress import Reporter

__all__ = [
    "LIGHT_PAGE",
    "PAGE",
    "alone",
    "checked_output",
    "commit",
    "finish",
    "finished_before",
    "holder",
    "is_held",
    "opened",
    "partial_of",
    "settle",
    "settled",
    "sweep_partials",
]

_LOCK = "lock"
_PENDING = "report.pending.json"
PAGE = "report.sound.html"
"""The page of the sound, until it stands beside the output."""
LIGHT_PAGE = "report.light.svg"
"""The drawing of the light, likewise."""


def checked_output(output: Path, suffixes: tuple[str, ...], *, overwrite: bool) -> Path:
    """The output's whole path. Raises RequestError where it cannot become a file."""
    output = Path(os.path.abspath(output))
    if output.suffix.lower() not in suffixes:
        raise RequestError(f"the output {output.name!r} must end in one of {', '.join(suffixes)}")
    if output.is_dir():
        raise RequestError(f"{output} is a folder; name a file")
    if output.exists() and not overwrite:
        raise RequestError(f"{output} exists; give --overwrite, or another name")
    if not output.parent.is_dir():
        raise RequestError(f"there is no folder {output.parent}")
    probe = output.with_name(f".{output.stem}.encore-probe-{os.getpid()}")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RequestError(f"cannot write into {output.parent}: {error.strerror}") from error
    return output


@contextmanager
def opened(work: Path, *, ours: bool) -> Iterator[None]:
    """The work folder, removed again where a wrong request made it; else it stays, to go on from.

    `ours` is False where the user named it: then its parents are made too.
    """
    try:
        if not ours:
            work.parent.mkdir(parents=True, exist_ok=True)
        try:
            work.mkdir()
            fresh = True
        except FileExistsError:
            work.mkdir(exist_ok=True)  # raises where it is a file
            fresh = False
    except OSError as error:
        raise RequestError(f"cannot make the work folder {work}: {error.strerror}") from error
    try:
        yield
    except RequestError:
        # Not what another process began to use, nor what is finished already.
        if fresh and not is_held(work) and not any(work.glob("*/*.json")):
            shutil.rmtree(work, ignore_errors=True)
        raise
    except JobError as error:
        raise JobError(f"{error} (logs are in {work})") from error
    except OSError as error:
        full = "the disk is full; make room, and the same command goes on from there"
        reason = full if error.errno in DISK_FULL else str(error)
        raise JobError(f"{reason} (logs are in {work})") from error


@contextmanager
def alone(work: Path, output: Path) -> Iterator[None]:
    """Hold the work folder for this process; the lock goes with the process, however it ends."""
    lock = (work / _LOCK).open("a+")
    try:
        try:
            _locked(lock)
        except OSError as error:
            lock.seek(0)
            by = lock.read().strip()
            who = f"another Encore ({by})" if by else "another Encore"
            raise RequestError(f"{who} is making {output} now") from error
        lock.seek(0)
        lock.truncate()
        lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
        sweep_partials(output)
        # Nobody writes into the folder itself but who holds the lock.
        for left in work.glob(".*.part"):
            left.unlink(missing_ok=True)
        yield
    finally:
        lock.close()


def _locked(lock: IO[str]) -> None:
    """Take the lock; who only asks whether it is held has it for a moment."""
    for last in (False, False, False, True):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if last:
                raise
            time.sleep(0.1)


def is_held(work: Path) -> bool:
    """Whether some process works in the folder now, as far as this machine can tell."""
    try:
        with (work / _LOCK).open("r") as lock:
            # Shared, so that two who only ask do not take each other for a job.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def holder(work: Path) -> str:
    """Who works in the folder, or did last: "process 12 on host"; empty where nobody told."""
    try:
        return (work / _LOCK).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def commit(partial: Path, output: Path, *, overwrite: bool) -> None:
    """Give the file its name, so that after a power cut it is there whole or not at all."""
    synced(partial)
    if output.exists() and not overwrite:
        raise JobError(f"{output} appeared while the job ran; give --overwrite, or another name")
    os.replace(partial, output)
    synced(output.parent)


def partial_of(output: Path) -> Path:
    """Where the output is written until it is verified: beside it, so that a rename is all."""
    return output.with_name(f".{output.stem}.encore-partial-{os.getpid()}{output.suffix}")


def sweep_partials(output: Path) -> None:
    """Remove what a killed run left beside the output; only of processes that are gone."""
    for left in output.parent.glob(f"{glob.escape(f'.{output.stem}.encore-partial-')}*"):
        number = left.stem.rpartition("-")[2]
        if left.suffix == output.suffix and number.isdigit() and not psutil.pid_exists(int(number)):
            left.unlink(missing_ok=True)


def finish(
    partial: Path, output: Path, work: Path, report: dict[str, Any], *, overwrite: bool, keep: bool
) -> Path:
    """Give a verified file its name, and its report beside it; give the report's path.

    `report["verified"]["size_bytes"]` is the file's size; `keep` leaves the chunks in the work
    folder. Killed in between, the next run finds what is left to do by `finished_before`.
    """
    write_whole(work / _PENDING, {"keep": keep, "report": report})
    commit(partial, output, overwrite=overwrite)
    return settle(output, work)


def finished_before(output: Path, work: Path) -> bool:
    """Whether a run was ended after it had given the output its name, and before all was done."""
    try:
        pending = json.loads((work / _PENDING).read_text(encoding="utf-8"))
        return bool(pending["report"]["verified"]["size_bytes"] == output.stat().st_size)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def settled(output: Path, work: Path, reporter: Reporter) -> tuple[Path, dict[str, Any]] | None:
    """Do what a run left that was ended just after it had given the output its name.

    Gives the report's path and the report; None where no run was ended there.
    """
    if not finished_before(output, work):
        return None
    with alone(work, output):
        report = settle(output, work)
    reporter.say(f"{output}: the last run had finished it; see {report}")
    told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return report, told


def settle(output: Path, work: Path) -> Path:
    """What is left once the output has its name: its report, its pages, and what can go."""
    pending = json.loads((work / _PENDING).read_text(encoding="utf-8"))
    report = output.with_name(output.name + ".report.json")
    write_whole(report, pending["report"])
    for name, suffix in ((PAGE, ".sound.html"), (LIGHT_PAGE, ".light.svg")):
        if (page := work / name).exists():
            shutil.move(page, output.with_name(output.name + suffix))
        elif name == LIGHT_PAGE:
            # An earlier output's; a sound's page is kept with the sound.
            output.with_name(output.name + suffix).unlink(missing_ok=True)
    for name in ("chapters.ffmeta", "picture.ffconcat"):
        (work / name).unlink(missing_ok=True)
    if not pending["keep"]:
        for name in ("chunks", "sound"):
            shutil.rmtree(work / name, ignore_errors=True)
    (work / _PENDING).unlink()
    return report
