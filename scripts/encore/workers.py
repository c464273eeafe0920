"""`encore workers start`: this machine as workers of a Dask cluster, each with its share.

For whoever has no cluster yet: without an address a scheduler is started too. Slurm, Kubernetes and
SSH have Dask's own tools; `docs/cluster.md` tells how they start the same workers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from encore.chunked.cluster import RESOURCE
from encore.chunked.lanes import lanes_for, shares
from encore.chunked.ledger import machine
from encore.errors import FAILED, JobError, RequestError
from encore.ffmpeg import last_words
from encore.process import spawned
from encore.progress import Reporter

__all__ = ["start"]

_STARTS_WITHIN_S = 30.0


def start(
    address: str | None,
    *,
    host: str,
    port: int,
    count: int | None,
    gpus: int,
    scratch: Path,
    reporter: Reporter,
) -> int:
    """Run workers until they end or are interrupted; the exit code.

    Raises RequestError where Dask is not installed, JobError where a scheduler does not start.
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise RequestError("workers want Dask: pip install 'encore-remaster[cluster]'") from error
    with ExitStack() as running:
        if address is None:
            address = running.enter_context(_scheduler(host, port, scratch, reporter))
        lanes = lanes_for(count, gpus)
        processes = []
        for number, cores in enumerate(shares(lanes)):
            own = {"ENCORE_CORES": ",".join(map(str, cores))}
            if gpus > 1:
                own["CUDA_VISIBLE_DEVICES"] = str(number % gpus)
            command = [*_dask("worker"), address, "--nthreads", "1", "--nworkers", "1"]
            command += ["--resources", f"{RESOURCE}=1", "--memory-limit", "0", "--no-dashboard"]
            command += ["--local-directory", str(scratch)]
            command += ["--name", f"{machine()}-{os.getpid()}-{number}"]
            processes.append(
                running.enter_context(
                    spawned(command, env=os.environ | own, stdin=subprocess.PIPE,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                )
            )  # fmt: skip
        reporter.say(f"{lanes} workers for {address}; encore remaster ... --cluster {address}")
        reporter.say("Ctrl-C ends them; what they are making is begun again by others")
        while True:
            ended = [process for process in processes if process.poll() is not None]
            if len(ended) == len(processes):
                reporter.warn(f"all workers have ended: does a scheduler answer at {address}?")
                return FAILED
            time.sleep(1.0)


@contextmanager
def _scheduler(host: str, port: int, scratch: Path, reporter: Reporter) -> Iterator[str]:
    target = scratch / f"scheduler-{os.getpid()}.json"
    command = [*_dask("scheduler"), "--host", host, "--port", str(port), "--no-dashboard"]
    command += ["--scheduler-file", str(target)]
    log = scratch / f"scheduler-{os.getpid()}.log"
    try:
        with (
            log.open("wb") as said,
            spawned(command, stdin=subprocess.PIPE, stdout=said, stderr=said) as process,
        ):
            deadline = time.monotonic() + _STARTS_WITHIN_S
            while (known := _told(target)) is None:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise JobError(f"the scheduler did not start: {last_words(log)}")
                time.sleep(0.1)
            yield known
    finally:
        target.unlink(missing_ok=True)


def _told(target: Path) -> str | None:
    """The address in a scheduler's file; None while it is not written, or only half."""
    try:
        return str(json.loads(target.read_text(encoding="utf-8"))["address"])
    except (OSError, ValueError, KeyError):
        return None


def _dask(what: str) -> list[str]:
    return [sys.executable, "-m", "encore.leash", f"distributed.cli.dask_{what}"]
