"""The lanes of this machine: each makes one chunk after another, on its share of the cores.

A lane is a thread that only waits for processes. It keeps itself to its cores, and what it starts
inherits them, so lanes do not push each other about. With several GPUs each lane sees one.
"""

from __future__ import annotations

import itertools
import os
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import psutil

from encore.chunked.ledger import Record, machine
from encore.chunked.piece import ChunkError, Task, make
from encore.render import CalledOffError

__all__ = [
    "Crew",
    "Done",
    "Event",
    "Failed",
    "Hands",
    "Lanes",
    "Lost",
    "Moved",
    "kept_to",
    "lanes_for",
    "shares",
]

_CORES_A_LANE = 2
_MEMORY_A_LANE = 3 << 30


@dataclass(frozen=True)
class Moved:
    """A chunk has so many frames; `worker` makes it."""

    key: str
    done: int
    worker: str


@dataclass(frozen=True)
class Done:
    """A chunk is finished and committed."""

    key: str
    record: Record


@dataclass(frozen=True)
class Failed:
    """An attempt at a chunk failed."""

    key: str
    failure: ChunkError
    worker: str


@dataclass(frozen=True)
class Hands:
    """How many chunks can be made at once from now on."""

    count: int
    said: str = ""


@dataclass(frozen=True)
class Lost:
    """Nothing can be made any more."""

    why: str


Event = Moved | Done | Failed | Hands | Lost


class Crew(Protocol):
    """Who makes chunks. `events` is read by the job's loop alone."""

    events: queue.SimpleQueue[Event]
    hands: int

    def start(self, task: Task) -> None:
        """Have a chunk made, now or when a hand is free."""

    def fewer(self) -> bool:
        """Work with one hand less from now on; False where that cannot be."""

    def close(self) -> None:
        """End what is under way, at once."""


class Lanes:
    """So many lanes of this machine, as a `Crew`."""

    def __init__(self, count: int, *, gpus: Sequence[int] = ()) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.hands = count
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        own = shares(count)
        self._threads = [
            threading.Thread(
                target=self._lane,
                args=(n, own[n], {"CUDA_VISIBLE_DEVICES": str(gpus[n % len(gpus)])}
                      if len(gpus) > 1 else {}),
                daemon=True,
            )
            for n in range(count)
        ]  # fmt: skip
        for thread in self._threads:
            thread.start()

    def start(self, task: Task) -> None:
        """Have a chunk made by the next lane that is free."""
        self._tasks.put(task)

    def fewer(self) -> bool:
        """Let one lane end after its chunk."""
        if self.hands <= 1:
            return False
        self.hands -= 1
        self._tasks.put(None)
        return True

    def close(self) -> None:
        """End every lane and what it started."""
        self._stopped.set()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _lane(self, number: int, cores: Sequence[int], environment: dict[str, str]) -> None:
        name = f"{machine()}/{number + 1}"
        threads, bounds = kept_to(cores)
        environment = environment | bounds
        while (task := self._tasks.get()) is not None and not self._stopped.is_set():
            self._work(task, name, threads, environment)

    def _work(
        self, task: Task, name: str, threads: int | None, environment: dict[str, str]
    ) -> None:
        def moved(done: float, total: float | None) -> None:
            self.events.put(Moved(task.key, int(done), name))

        moved(0, None)
        try:
            record = make(
                task,
                moved,
                maker=name,
                threads=threads,
                environment=environment,
                stopped=self._stopped,
            )
        except CalledOffError:
            return
        except ChunkError as failure:
            self.events.put(Failed(task.key, failure, name))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            self.events.put(Failed(task.key, ChunkError("other", text), name))
        else:
            self.events.put(Done(task.key, record))


def lanes_for(wanted: int | None, gpus: int) -> int:
    """How many lanes: those asked for, else one for each GPU, or for every two cores and 3 GiB."""
    if wanted is not None:
        return wanted
    if gpus:
        return gpus
    by_memory = psutil.virtual_memory().available // _MEMORY_A_LANE
    return max(1, min(len(_cores()) // _CORES_A_LANE, by_memory))


def kept_to(cores: Sequence[int]) -> tuple[int | None, dict[str, str]]:
    """Keep this thread, and the processes that it starts, to some cores; none is no bound.

    Gives how many threads they are for, and what their environment wants.
    """
    if not cores:
        return None, {}
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, cores)
    return len(cores), {"OMP_NUM_THREADS": str(len(cores))}


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def shares(count: int) -> list[list[int]]:
    """Each lane's cores, neighbours together; empty lists where one lane may have them all."""
    cores = _cores()
    if count == 1 or not hasattr(os, "sched_setaffinity"):
        return [[] for _ in range(count)]
    if count >= len(cores):
        return [[cores[n % len(cores)]] for n in range(count)]
    edges = [len(cores) * n // count for n in range(count + 1)]
    return [cores[first:last] for first, last in itertools.pairwise(edges)]
