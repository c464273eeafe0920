"""What is told of a running job: a snapshot for who asks, a line for each event, a table to watch.

The snapshot (`state.json`) is replaced once a second, so `encore status` can read it from another
terminal or machine; `events.ndjson` only grows. Neither decides anything: what is finished is in
the ledger.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from encore.chunked.ledger import write_whole
from encore.errors import RequestError
from encore.progress import Board, Reporter, Update, clock, size

__all__ = ["ChunkState", "Diary", "Stand", "State", "Watched", "now_of", "shown", "summary"]

Stand = Literal["waiting", "working", "done", "kept", "failed"]
_SNAPSHOT = "state.json"
_EVENTS = "events.ndjson"
_SNAPSHOT_EVERY_S = 1.0
_MARKS: dict[Stand, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "working": ("▶", "cyan"),
    "done": ("■", "green"),
    "kept": ("■", "blue"),
    "failed": ("✗", "red"),
}
_ROW = 60


@dataclass
class ChunkState:
    """One chunk as it stands. `kept` was finished by an earlier run."""

    number: int
    first: int
    last: int
    stand: Stand = "waiting"
    done: int = 0
    worker: str = ""
    attempts: int = 0
    fps: float | None = None
    said: str = ""
    """Why its last attempt failed."""


@dataclass
class State:
    """A job's picture as it stands."""

    output: str
    rate: str
    frames: int
    chunks: list[ChunkState] = field(default_factory=list)
    stage: str = "picture"
    """What the job does now: the picture's chunks, or what comes before and after them."""
    share: float | None = None
    """Of a stage before or after the chunks: how much is done, 0..1."""
    fps: float | None = None
    """Of all workers together."""
    eta_s: float | None = None
    lanes: int = 0
    bytes_done: int = 0
    bytes_wanted: int | None = None
    """The forecast of the whole picture."""
    disk_free: int | None = None
    paused: str = ""
    """Why nothing is begun at the moment."""
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    at: float = field(default_factory=time.time)

    @property
    def done(self) -> int:
        """Frames that are finished or under way."""
        return sum(
            chunk.last - chunk.first if chunk.stand in ("done", "kept") else chunk.done
            for chunk in self.chunks
        )

    def end(self) -> None:
        """Nobody works on it any more: what was under way is waiting again."""
        self.fps = self.eta_s = None
        self.paused = ""
        for chunk in self.chunks:
            if chunk.stand == "working":
                chunk.stand, chunk.done, chunk.fps = "waiting", 0, None

    def count(self, *stands: Stand) -> int:
        """How many chunks stand so."""
        return sum(chunk.stand in stands for chunk in self.chunks)


class Diary:
    """Writes a job's snapshot and its events into the work folder; a full disk is no fault here."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._written = 0.0

    def event(self, kind: str, **facts: Any) -> dict[str, Any]:
        """Add one event, with the time; gives it back."""
        told = {"event": kind, "at": round(time.time(), 3), **facts}
        with (
            suppress(OSError),
            (self._work / _EVENTS).open("a", encoding="utf-8") as file,
        ):
            file.write(json.dumps(told, ensure_ascii=False) + "\n")
        return told

    def snapshot(self, state: State, *, at_once: bool = False) -> None:
        """Write the state, if the last one is a second old."""
        if not at_once and time.monotonic() - self._written < _SNAPSHOT_EVERY_S:
            return
        self._written = time.monotonic()
        state.at = time.time()
        with suppress(OSError):
            write_whole(self._work / _SNAPSHOT, asdict(state))


class Watched:
    """A reporter whose stages are told in the work folder, too, for who asks from elsewhere."""

    def __init__(self, reporter: Reporter, work: Path, output: Path) -> None:
        self._reporter, self._diary = reporter, Diary(work)
        self._work, self._output = work, output
        self._state = State(str(output), "1", 0)

    @contextmanager
    def stage(self, name: str, *, unit: str = "") -> Iterator[Update]:
        """A stage of the job, on both."""
        self._begun(name)
        state = self._state
        self._diary.snapshot(state, at_once=True)
        with self._reporter.stage(name, unit=unit) as update:

            def both(done: float, total: float | None) -> None:
                update(done, total)
                state.share = done / total if total else None
                self._diary.snapshot(state)

            yield both
        state.share = 1.0
        self._diary.snapshot(state, at_once=True)

    def finished(self) -> None:
        """Tell that all is done."""
        self._begun("done")
        self._state.share = 1.0
        self._diary.snapshot(self._state, at_once=True)

    def _begun(self, stage: str) -> None:
        with suppress(RequestError):
            # The chunks of this very run; an earlier one's may be of another plan.
            known = now_of(self._work)
            if (known.host, known.pid) == (socket.gethostname(), os.getpid()):
                self._state = known
        state = self._state
        state.output, state.host, state.pid = str(self._output), socket.gethostname(), os.getpid()
        state.stage, state.share = stage, None
        state.end()

    def board(self, name: str, *, unit: str = "") -> AbstractContextManager[Board]:
        """The pool tells of its chunks by itself."""
        return self._reporter.board(name, unit=unit)

    def event(self, **facts: object) -> None:
        """As the reporter."""
        self._reporter.event(**facts)

    def say(self, text: str) -> None:
        """As the reporter."""
        self._reporter.say(text)

    def warn(self, text: str) -> None:
        """As the reporter."""
        self._reporter.warn(text)


def now_of(work: Path) -> State:
    """The last snapshot of a work folder. Raises RequestError where there is none."""
    try:
        told = json.loads((work / _SNAPSHOT).read_text(encoding="utf-8"))
        chunks = [ChunkState(**chunk) for chunk in told.pop("chunks")]
        return State(chunks=chunks, **told)
    except OSError as error:
        reason = "is no work folder"
        raise RequestError(f"{work} {reason} (it has no {_SNAPSHOT})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RequestError(f"{work / _SNAPSHOT} cannot be read: {error}") from error


def summary(state: State) -> str:
    """The whole job in one line."""
    if state.stage != "picture":
        share = "begun" if state.share is None else f"{100 * state.share:.0f} %"
        made = f"{state.count('done', 'kept')} of {len(state.chunks)} chunks are made"
        return share + (f"; {made}" if state.chunks else "")
    parts = [f"{100 * state.done / max(1, state.frames):.0f} %"]
    parts.append(f"{state.count('done', 'kept')}/{len(state.chunks)} chunks")
    if failed := state.count("failed"):
        parts.append(f"{failed} failed")
    if state.fps is not None:
        parts.append(f"{state.fps:.1f} fps")
    if state.eta_s is not None:
        parts.append(f"{clock(state.eta_s)} to go")
    if state.bytes_wanted is not None:
        parts.append(f"{size(state.bytes_done)} of about {size(state.bytes_wanted)}")
    if state.paused:
        parts.append(f"paused: {state.paused}")
    return ", ".join(parts)


def shown(state: State) -> RenderableType:
    """The job as a table: a mark for each chunk, a row for each that is being worked on."""
    marks = Text()
    for place, chunk in enumerate(state.chunks):
        if place and place % _ROW == 0:
            marks.append("\n")
        marks.append(*_MARKS[chunk.stand])
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("chunk", "from", "to", "worker", "done", "fps", "try"):
        table.add_column(column, justify="left" if column == "worker" else "right")
    rate = Fraction(state.rate)
    for chunk in state.chunks:
        if chunk.stand in ("working", "failed"):
            table.add_row(
                str(chunk.number),
                clock(float(chunk.first / rate)),
                clock(float(chunk.last / rate)),
                # As text: an encoder's last words have brackets, which rich would take for markup.
                Text(chunk.worker if chunk.stand == "working" else chunk.said),
                f"{100 * chunk.done / (chunk.last - chunk.first):.0f} %",
                "" if chunk.fps is None else f"{chunk.fps:.1f}",
                str(chunk.attempts),
            )
    free = "" if state.disk_free is None else f", {size(state.disk_free)} free"
    parts = [marks, table] if table.row_count else [marks] if state.chunks else []
    return Group(*parts, Text(f"{state.stage}: {summary(state)}{free}"))
