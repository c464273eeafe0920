"""The job's own loop: hands chunks out, counts them in, tries again, waits for disk, ends in order.

It holds nothing that could be lost: who begins it again with the same tasks finds what is finished
in the ledger. The first Ctrl-C lets the chunks under way come to their end, the second ends them; a
SIGTERM does not wait.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import FrameType
from typing import Any

from encore.chunked.disk import Forecast
from encore.chunked.lanes import Crew, Done, Event, Failed, Hands, Lost, Moved
from encore.chunked.ledger import Ledger, Record
from encore.chunked.piece import Task
from encore.chunked.state import ChunkState, Diary, State, shown, summary
from encore.errors import JobError
from encore.progress import Board, Reporter, StageMeter, clock, size

__all__ = ["Interrupted", "work_off"]

_TICK_S = 0.5
_NOBODY = "waiting for a worker"
_FIRST_TILE_PX, _LAST_TILE_PX = 256, 64
_ENDS = {"disk": "the disk is full; make room", "changed": ""}
"""Failures that every other chunk would meet as well, and what is said; else their own text."""
_GIVES_UP_AFTER = 3
"""Chunks that fail for good, and one for each hand, before anything succeeded."""
_FORECAST_AFTER = 2
"""Chunks: the first is often a dark stage before the show."""


class Interrupted(KeyboardInterrupt):
    """The user ended the job; what is finished is kept."""


@dataclass
class _Work:
    """The loop's memory."""

    tasks: dict[str, Task]
    crew: Crew
    ledger: Ledger
    forecast: Forecast
    state: State
    reporter: Reporter
    diary: Diary
    retries: int
    waiting: list[str] = field(default_factory=list)
    under_way: dict[str, float] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    meter: StageMeter = field(default_factory=StageMeter)
    presses: int = 0
    ending: str = ""
    """Why no more is begun."""
    told_forecast: bool = False

    def chunk(self, key: str) -> ChunkState:
        return self.state.chunks[self.tasks[key].number]


def work_off(
    tasks: Sequence[Task],
    crew: Crew,
    ledger: Ledger,
    *,
    forecast: Forecast,
    state: State,
    reporter: Reporter,
    diary: Diary,
    retries: int,
) -> dict[str, Record]:
    """Make every task that is not finished; all records, by key.

    A chunk that fails is tried `retries` times more.

    Raises JobError that names what failed, once the rest is done, or that says why nothing more
    can be done; Interrupted after a Ctrl-C. The crew is closed in any case.
    """
    work = _Work(
        {task.key: task for task in tasks}, crew, ledger, forecast, state, reporter, diary, retries
    )
    state.chunks = [ChunkState(task.number, task.first, task.last) for task in tasks]
    for task in tasks:
        _find(work, task)
    state.lanes = crew.hands
    state.disk_free = forecast.free
    work.meter.done = float(state.done)
    try:
        with reporter.board("picture", unit="frames") as board, _signals(work):
            diary.snapshot(state, at_once=True)
            _loop(work, board)
    finally:
        crew.close()
        diary.snapshot(state, at_once=True)
    return _outcome(work)


def _find(work: _Work, task: Task) -> None:
    record = work.ledger.finished(task.key)
    if record is None:
        work.waiting.append(task.key)
        return
    work.records[task.key] = record
    work.forecast.add(record.frames, record.bytes)
    work.chunk(task.key).stand = "kept"
    work.chunk(task.key).worker = record.made_by


def _loop(work: _Work, board: Board) -> None:
    while (work.waiting and not work.ending) or work.under_way:
        if work.presses > 1:
            return
        if work.presses and not work.ending:
            _end_in_order(work)
        _begin(work)
        for event in _heard(work.crew.events):
            _take(work, event)
        _tell(work, board)


def _heard(events: queue.SimpleQueue[Event]) -> Iterator[Event]:
    """What has happened: waits for the first, takes what lies there."""
    try:
        yield events.get(timeout=_TICK_S)
        while True:
            yield events.get_nowait()
    except queue.Empty:
        return


def _begin(work: _Work) -> None:
    while work.waiting and len(work.under_way) < work.crew.hands:
        if work.ending or work.presses:
            return
        task = work.tasks[work.waiting[0]]
        left = sum(work.tasks[key].frames - work.chunk(key).done for key in work.under_way)
        why = work.forecast.must_wait(task.frames, left)
        if why:
            if not work.state.paused:
                work.reporter.warn(f"paused: {why}; it goes on by itself when there is room")
                work.reporter.event(**work.diary.event("paused", why=why))
            work.state.paused = why
            return
        if work.state.paused:
            work.state.paused = ""
            work.reporter.event(**work.diary.event("resumed"))
        work.waiting.pop(0)
        work.under_way[task.key] = time.monotonic()
        chunk = work.chunk(task.key)
        chunk.stand, chunk.done = "working", 0
        chunk.attempts += 1
        work.crew.start(task)
        _say(work, "started", chunk)


def _take(work: _Work, event: Event) -> None:
    if isinstance(event, Lost):
        work.ending = event.why
        work.under_way.clear()
    elif isinstance(event, Hands):
        work.state.lanes = event.count
        if event.said:
            work.reporter.say(event.said)
    elif event.key not in work.under_way:
        return
    elif isinstance(event, Moved):
        chunk = work.chunk(event.key)
        chunk.worker, chunk.done = event.worker, event.done
        elapsed = time.monotonic() - work.under_way[event.key]
        chunk.fps = round(event.done / elapsed, 2) if event.done and elapsed > 0 else None
    elif isinstance(event, Done):
        _count_in(work, event)
    else:
        _try_again(work, event)


def _count_in(work: _Work, event: Done) -> None:
    del work.under_way[event.key]
    record = event.record
    work.records[event.key] = record
    work.forecast.add(record.frames, record.bytes)
    chunk = work.chunk(event.key)
    chunk.stand, chunk.done, chunk.worker = "done", record.frames, record.made_by
    chunk.fps = round(record.frames / record.took_s, 2) if record.took_s else None
    chunk.said = ""
    _say(work, "done", chunk, bytes=record.bytes, took_s=record.took_s)


def _try_again(work: _Work, event: Failed) -> None:
    del work.under_way[event.key]
    failure, chunk = event.failure, work.chunk(event.key)
    chunk.said, chunk.done, chunk.stand = failure.text, 0, "waiting"
    _say(work, "failed", chunk, why=failure.kind, text=failure.text)
    if failure.kind in _ENDS:
        work.ending = work.ending or _ENDS[failure.kind] or failure.text
        return
    if failure.kind == "unfit":
        # Said once by the crew, which gives it to another; no fault of the chunk.
        chunk.attempts -= 1
        work.waiting.insert(0, event.key)
        return
    if chunk.attempts > work.retries:
        chunk.stand = "failed"
        work.failed[event.key] = failure.text
        made = work.state.count("done", "kept")
        if not made and len(work.failed) >= _GIVES_UP_AFTER + work.crew.hands:
            work.ending = work.ending or "no chunk succeeds"
        return
    work.waiting.insert(0, event.key)
    if work.ending or work.presses:
        return
    if failure.kind == "memory":
        _take_less(work, event.key)
    work.reporter.warn(f"chunk {chunk.number} is tried again: {failure.text}")


def _take_less(work: _Work, key: str) -> None:
    """After memory ran out: smaller tiles for this chunk, and one chunk less at a time."""
    task = work.tasks[key]
    tile = _FIRST_TILE_PX if task.tile_px is None else max(_LAST_TILE_PX, task.tile_px // 2)
    work.tasks[key] = replace(task, tile_px=tile)
    fewer = work.crew.fewer()
    work.state.lanes = work.crew.hands
    also = f", and {work.crew.hands} at a time" if fewer else ""
    work.reporter.warn(f"memory ran out: tiles of {tile} pixels for chunk {task.number}{also}")


def _end_in_order(work: _Work) -> None:
    left = [
        (work.tasks[key].frames - work.chunk(key).done) / fps
        for key in work.under_way
        if (fps := work.chunk(key).fps)
    ]
    work.ending = "interrupted"
    long = f", about {clock(max(left))}" if left else ""
    work.reporter.warn(
        f"ending after what is under way ({_chunks(len(work.under_way))}{long}); Ctrl-C again ends "
        "at once"
    )


def _tell(work: _Work, board: Board) -> None:
    state = work.state
    done = state.done
    work.meter.update(float(done), float(state.frames))
    state.fps = None if work.meter.rate is None else round(work.meter.rate, 3)
    state.eta_s = None if work.meter.eta_s is None else round(work.meter.eta_s, 1)
    if not work.crew.hands:
        state.fps = state.eta_s = None
        state.paused = _NOBODY
    elif state.paused == _NOBODY:
        state.paused = ""
    state.bytes_done, state.bytes_wanted = work.forecast.taken, work.forecast.whole
    state.disk_free = work.forecast.free
    board.show(float(done), float(state.frames), summary(state), lambda: shown(state))
    work.diary.snapshot(state)
    made = state.count("done")
    if made >= min(_FORECAST_AFTER, len(work.tasks)) and not work.told_forecast:
        work.told_forecast = True
        _tell_forecast(work)


def _tell_forecast(work: _Work) -> None:
    state, forecast = work.state, work.forecast
    assert forecast.whole is not None
    if len(work.tasks) <= _FORECAST_AFTER:
        return
    left = "" if state.eta_s is None else f" and {clock(state.eta_s)} more"
    work.reporter.say(f"forecast: about {size(forecast.whole)} of picture{left}")
    facts = {"bytes": forecast.whole, "eta_s": state.eta_s}
    work.reporter.event(**work.diary.event("forecast", **facts))
    if missing := forecast.short():
        work.reporter.warn(f"the disk will not do: {missing}")


def _say(work: _Work, kind: str, chunk: ChunkState, **facts: Any) -> None:
    told = {"chunk": chunk.number, "first": chunk.first, "last": chunk.last, "state": kind}
    told |= {"worker": chunk.worker, "attempt": chunk.attempts} | facts
    work.reporter.event(**work.diary.event("chunk", **told))


def _outcome(work: _Work) -> dict[str, Record]:
    state = work.state
    kept = f"{len(work.records)} of {len(work.tasks)} chunks are finished and kept"
    if work.presses:
        work.reporter.warn(f"{kept}; the same command goes on from there")
        raise Interrupted
    if work.ending:
        why = f" ({next(iter(work.failed.values()))})" if work.failed else ""
        raise JobError(f"{work.ending}{why}; {kept}, and the same command goes on from there")
    if work.failed:
        key, text = next(iter(work.failed.items()))
        chunk, task = work.chunk(key), work.tasks[key]
        rate = Fraction(state.rate)
        at = f"{clock(float(task.first / rate))} to {clock(float(task.last / rate))}"
        more = f", and {len(work.failed) - 1} more" if len(work.failed) > 1 else ""
        raise JobError(
            f"chunk {chunk.number} ({at}){more} failed {_times(chunk.attempts)}: "
            f"{text.rstrip('.')}; {kept}, and the same command goes on from there"
        )
    return work.records


def _chunks(count: int) -> str:
    return f"{count} chunk" if count == 1 else f"{count} chunks"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


@contextmanager
def _signals(work: _Work) -> Iterator[None]:
    """Count Ctrl-C instead of raising in the midst of things; the loop looks at the count."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def press(number: int, frame: FrameType | None) -> None:
        work.presses += 1 if number == signal.SIGINT else 2

    before: dict[int, Callable[..., Any] | int | None] = {}
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(kind) is not signal.SIG_IGN:
            before[kind] = signal.signal(kind, press)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
