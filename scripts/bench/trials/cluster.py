"""A job on Dask's workers, of which one is killed; and one whose scheduler is killed.

A scheduler and two workers of this machine, begun as `encore workers start` does. The worker dies
with its nanny while it makes a chunk, so that nothing of Dask's can restart it; a new one joins.
With the scheduler the job ends; a new scheduler, new workers and the same command finish it.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil

from trials.film import fingerprint
from trials.jobs import aside, begun, command, gone_after, redone, running, tree
from trials.row import Row
from trials.sources import QUICK, concert

__all__ = ["scheduler_killed", "worker_killed"]

_SETTINGS = (*QUICK, "picture.upscale.height=144", "job.chunk_s=2")
_SOON_S = 10.0


def worker_killed(folder: Path) -> Iterator[Row]:
    """A worker is killed, and another joins."""
    source, wanted = _straight(folder)
    output = folder / "worker.mkv"
    with _scheduler(_free_port()) as (address, _), _workers(address, 2) as crew:
        words = command(source, output, *_SETTINGS, more=("--cluster", address))
        with running(words) as run:
            _after_chunks(run, 3)
            killed, left = _kill_one(crew)
            slowest = gone_after(left)
            with _workers(address, 1, wait_for=2):
                code = run.end()
                made_by = {e["worker"] for e in run.events if e.get("state") == "done"}
    what = "one of two workers killed in a chunk"
    yield Row("dask-worker", what, "the job ends with 0", run.told, code == 0)
    if code:
        return
    what = f"{killed} killed; made by {len(made_by)} workers"
    yield from _compared("dask-worker", output, wanted, what)
    got = f"{slowest:.1f} s"
    what = "processes that outlive the worker"
    yield Row("dask-worker", what, f"{_SOON_S:g} s", got, slowest <= _SOON_S)


def scheduler_killed(folder: Path) -> Iterator[Row]:
    """The scheduler is killed; another, other workers and the same command."""
    source, wanted = _straight(folder)
    output, port = folder / "scheduler.mkv", _free_port()
    what = "the scheduler killed"
    with _scheduler(port) as (address, scheduler), _workers(address, 2):
        words = command(source, output, *_SETTINGS, more=("--cluster", address))
        with running(words) as run:
            _after_chunks(run, 5)
            scheduler.kill()
            died = time.monotonic()
            code = run.end()
    got = f"{run.told} ({time.monotonic() - died:.0f} s later)"
    yield Row("dask-scheduler", what, "1, and one line", got, code == 1 and run.one_line)
    with _scheduler(port) as (address, _), _workers(address, 2), running(words) as run:
        code = run.end()
    what = "the same command with a new scheduler and new workers"
    yield Row("dask-scheduler", what, "the job ends with 0", run.told, code == 0)
    if code == 0:
        yield from _compared("dask-scheduler", output, wanted, "scheduler killed")


def _straight(folder: Path) -> tuple[Path, tuple[str, str]]:
    """The source, and its film as an undisturbed job without a cluster makes it."""
    source, output = concert(folder / "concert.mkv", seconds=40), folder / "straight.mkv"
    run = begun(command(source, output, *_SETTINGS))
    if run.process.returncode:
        raise RuntimeError(run.said)
    return source, fingerprint(output)


def _compared(case: str, output: Path, wanted: tuple[str, str], what: str) -> Iterator[Row]:
    equal = fingerprint(output) == wanted
    got = "equal" if equal else "different"
    yield Row(case, f"the film as undisturbed ({what})", "equal", got, equal)
    lost, cost = redone(output.with_name(output.name + ".encore"))
    got = f"{lost} (and {cost} that were under way)"
    yield Row(case, "finished chunks that were made again", "0", got, lost == 0)


def _after_chunks(run: Any, count: int) -> None:
    """Wait until so many chunks are done, and others under way."""
    done = 0

    def seen(event: dict[str, Any]) -> bool:
        nonlocal done
        done += event.get("state") == "done"
        return done >= count

    if not run.wait_for(seen):
        raise RuntimeError(f"the job ended before {count} chunks: {run.said}")


def _kill_one(crew: Popen[bytes], patience_s: float = 30.0) -> tuple[str, list[psutil.Process]]:
    """`kill -9` of a worker that makes a chunk, and of its nanny; what those had started."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        for nanny in psutil.Process(crew.pid).children():
            family = tree(nanny.pid)
            makers = [one for one in family if _makes_a_chunk(one)]
            if makers:
                dask = [one for one in family if one not in makers]
                for one in dask:
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
                return f"{len(dask)} of its processes", makers
        time.sleep(0.05)
    raise RuntimeError("no worker makes a chunk")


def _makes_a_chunk(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        words = " ".join(process.cmdline())
        return "encore.worker" in words or "pipe:0" in words
    return False


@contextmanager
def _scheduler(port: int) -> Iterator[tuple[str, Popen[bytes]]]:
    words = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    with aside([*words, "--port", str(port), "--no-dashboard"]) as process:
        yield f"tcp://127.0.0.1:{port}", process


@contextmanager
def _workers(address: str, count: int, wait_for: int | None = None) -> Iterator[Popen[bytes]]:
    from distributed import Client

    words = [sys.executable, "-m", "encore.cli", "workers", "start", address]
    with aside([*words, "--count", str(count)]) as process:
        with Client(address, timeout=60, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(wait_for or count, timeout=120)
        yield process


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
