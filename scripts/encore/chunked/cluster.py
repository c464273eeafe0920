"""The workers of a Dask cluster as a crew: the same function as in a lane, run where Dask puts it.

Files lie on storage that every machine sees under the same path; frames never pass the scheduler,
only a chunk's plain facts do. Dask gives each worker as many chunks as it has of the resource
`encore`, and moves a chunk whose worker died to another. Whoever makes a chunk commits it, so a
scheduler or a client that is lost loses nothing that is finished.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from encore.chunked.lanes import Done, Event, Failed, Hands, Lost, Moved, kept_to
from encore.chunked.ledger import Record
from encore.chunked.piece import ChunkError, Task, make, misfit
from encore.errors import RequestError
from encore.render import CalledOffError

__all__ = ["RESOURCE", "Cluster", "probe"]

RESOURCE = "encore"
_TOPIC = "encore-chunks"
_CONNECT_S = 10
_PROBE_S = 5
_ENDS_WITHIN_S = 3.0
_LOOKS_EVERY_S = 2.0
_SILENT_FOR_S = 15.0
"""A scheduler that answers nothing for so long is gone."""
_TELLS_EVERY_S = 0.5


@dataclass(frozen=True)
class _UnderWay:
    """A chunk that was handed out, and the workers that it may go to."""

    task: Task
    future: Any
    workers: frozenset[str]


class Cluster:
    """The workers that a scheduler has, now and later, as a `Crew`.

    Raises RequestError where the scheduler does not answer, or where none of its workers fits the
    job: other versions, other weights, or no sight of the work folder.
    """

    def __init__(self, address: str, folder: Path, fits: Task) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.hands = 0
        self._address, self._fits = address, fits
        self._flag = folder / f"stop-{uuid.uuid4().hex[:12]}"
        self._known: dict[str, str] = {}
        """Workers that were asked, and why each does not fit; "" where it does."""
        self._under_way: dict[str, _UnderWay] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._client = _connected(address)
        try:
            self._client.subscribe_topic(_TOPIC, self._hear)
            self._greet(folder, first=True)
        except BaseException:
            self._client.close()
            raise
        self._watch = threading.Thread(target=self._look, args=(folder,), daemon=True)
        self._watch.start()

    def start(self, task: Task) -> None:
        """Have a chunk made by a worker that fits."""
        fit = [worker for worker, why in list(self._known.items()) if not why]
        future = self._client.submit(
            _work,
            asdict(task),
            str(self._flag),
            key=f"encore-{task.key}-{uuid.uuid4().hex[:8]}",
            resources={RESOURCE: 1},
            workers=fit,
            allow_other_workers=False,
            pure=False,
        )
        with self._lock:
            self._under_way[task.key] = _UnderWay(task, future, frozenset(fit))
        future.add_done_callback(lambda done: self._finish(task.key, done))

    def fewer(self) -> bool:
        """A cluster is not made smaller from here: the chunk's own tiles have to do."""
        return False

    def close(self) -> None:
        """End what is under way: workers look for a flag in the work folder."""
        self._closing.set()
        # On a full disk the chunks under way end by themselves.
        with suppress(OSError):
            self._flag.touch()
        self._watch.join(_ENDS_WITHIN_S)
        running = [one.future for one in self._under_way.values() if not one.future.done()]
        deadline = time.monotonic() + _ENDS_WITHIN_S
        while any(not future.done() for future in running) and time.monotonic() < deadline:
            if self._client.status != "running":
                break
            time.sleep(0.1)
        with suppress(Exception):
            self._client.cancel(running, force=True)
        with suppress(Exception):
            self._client.close(timeout=2)
        if all(future.done() for future in running):
            with suppress(OSError):
                self._flag.unlink(missing_ok=True)

    def _finish(self, key: str, future: Any) -> None:
        with self._lock:
            current = self._under_way.get(key)
        if self._closing.is_set() or current is None or current.future is not future:
            return
        if future.status == "finished":
            told = future.result()
            if "record" in told:
                self.events.put(Done(key, Record(**told["record"])))
            elif "failure" in told:
                kind, text = told["failure"]
                if kind == "unfit":
                    self._leave_out(told["address"], text)
                self.events.put(Failed(key, ChunkError(kind, text), told["worker"]))
            return
        if self._client.status != "running":
            return  # the watch tells of it
        text = "it was cancelled"
        if future.status == "error":
            text = f"{future.exception()}".strip().split("\n")[0]
        self.events.put(Failed(key, ChunkError("other", text), ""))

    def _hand_over(self, fit: set[str]) -> None:
        """Give chunks whose workers are all gone to those that are there now."""
        with self._lock:
            orphans = [
                one
                for one in self._under_way.values()
                if fit and not one.workers & fit and not one.future.done()
            ]
        for one in orphans:
            with self._lock:
                del self._under_way[one.task.key]
            self._client.cancel([one.future], force=True)
            self.start(one.task)

    def _leave_out(self, worker: str, why: str) -> None:
        """A worker that did not fit after all: a model that went, for instance."""
        if not self._known.get(worker):
            self._known[worker] = why
            self.hands = max(0, self.hands - 1)
            self.events.put(Hands(self.hands, f"the worker at {worker} is left out: {why}"))

    def _hear(self, event: Any) -> None:
        _, told = event
        if told.get("flag") == str(self._flag):
            self.events.put(Moved(told["key"], told["done"], told["worker"]))

    def _look(self, folder: Path) -> None:
        """Follow workers that come and go, and notice a scheduler that is gone."""
        answered = time.monotonic()
        while not self._closing.wait(_LOOKS_EVERY_S):
            try:
                self._greet(folder)
                answered = time.monotonic()
            except Exception:
                silent = time.monotonic() - answered
                if silent > _SILENT_FOR_S or self._client.status in ("closed", "closing"):
                    self.events.put(Lost(f"the scheduler at {self._address} does not answer"))
                    return

    def _greet(self, folder: Path, *, first: bool = False) -> None:
        """Ask workers that are new whether they fit, and count the hands of those that do."""
        info = self._client.sync(
            self._client.scheduler.identity, n_workers=-1, callback_timeout=_CONNECT_S
        )
        workers: Mapping[str, Mapping[str, Any]] = info["workers"]
        fresh = [worker for worker in workers if worker not in self._known]
        told: list[str] = []
        if fresh:
            answers = self._client.run(
                _fit, asdict(self._fits), str(folder), workers=fresh, on_error="return"
            )
            for worker, answer in answers.items():
                if isinstance(answer, OSError):
                    continue  # it went while it was asked
                why = answer if isinstance(answer, str) else f"Encore does not run there ({answer})"
                if not workers[worker]["resources"].get(RESOURCE):
                    why = f"it has no resource {RESOURCE}: start it with --resources {RESOURCE}=1"
                self._known[worker] = why
                if why:
                    told.append(f"the worker {workers[worker]['name']} is left out: {why}")
        for gone in [worker for worker in self._known if worker not in workers]:
            del self._known[gone]
        hands = sum(
            int(workers[worker]["resources"][RESOURCE])
            for worker, why in self._known.items()
            if not why
        )
        self._hand_over({worker for worker, why in self._known.items() if not why})
        if first and not hands:
            told.sort(key=lambda text: f"no resource {RESOURCE}" in text)
            what = told[0] if told else "it has no workers: encore workers start"
            raise RequestError(f"--cluster {self._address}: {what}")
        if hands != self.hands or told:
            if hands != self.hands:
                many = f"{hands} chunk" if hands == 1 else f"{hands} chunks"
                told.append(f"{many} at once on the workers of {self._address}")
            self.hands = hands
            self.events.put(Hands(hands, "; ".join(told)))


def probe(address: str) -> None:
    """Raise RequestError where no scheduler answers at an address; takes a few seconds at most."""
    distributed = _dask()
    try:
        scheme, place = distributed.comm.parse_address(address)
        if scheme in ("tcp", "tls"):
            host, port = distributed.comm.parse_host_port(place)
            socket.create_connection((host, port), timeout=_PROBE_S).close()
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise RequestError(f"--cluster {address}: no scheduler answers there ({reason})") from error


def _dask() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise RequestError(
            "--cluster wants Dask: pip install 'encore-remaster[cluster]'"
        ) from error
    return distributed


def _connected(address: str) -> Any:
    distributed = _dask()
    # A client that fails while it is made can hang the next one, when it is collected meanwhile.
    probe(address)
    # What it logs of lost connections is told in our own words.
    for name in ("distributed", "distributed.client", "distributed.comm", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return cast(Any, distributed.Client)(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError, ImportError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise RequestError(f"--cluster {address}: no scheduler answers there ({reason})") from error


def _fit(task: dict[str, Any], folder: str) -> str:
    """On a worker: why it does not fit the job; "" where it does."""
    if not Path(folder).is_dir() or not os.access(folder, os.W_OK):
        return f"it cannot write into {folder}: the work folder must be on shared storage"
    if not Path(task["script"]).is_file():
        return f"it does not see {task['script']}"
    return misfit(Task(**task))


def _work(facts: dict[str, Any], flag: str) -> dict[str, Any]:
    """On a worker: make one chunk, and say how it went as plain data."""
    from distributed import get_worker

    task, worker = Task(**facts), get_worker()
    name, told = str(worker.name), 0.0
    stopped = threading.Event()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(1.0):
            if os.path.exists(flag):
                stopped.set()

    def moved(done: float, total: float | None) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELLS_EVERY_S:
            told = time.monotonic()
            facts = {"key": task.key, "done": int(done), "worker": name, "flag": flag}
            worker.log_event(_TOPIC, facts)

    threading.Thread(target=look, daemon=True).start()
    # What `encore workers start` gave this worker.
    given = os.environ.get("ENCORE_CORES", "")
    threads, environment = kept_to([int(core) for core in given.split(",") if core])
    try:
        record = make(
            replace(task, keys=tuple(task.keys), arguments=tuple(task.arguments)),
            moved,
            maker=name,
            threads=threads,
            environment=environment,
            stopped=stopped,
        )
    except CalledOffError:
        return {"called_off": True}
    except ChunkError as failure:
        told_of = {"worker": name, "address": worker.address}
        return {"failure": [failure.kind, failure.text], **told_of}
    finally:
        ended.set()
    return {"record": asdict(record)}
