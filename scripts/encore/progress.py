"""Progress for people and programs: a live bar, plain lines, NDJSON or silence; always on stderr.

`--progress json` writes one object a line:
`{"event": "progress", "stage": ..., "done": n, "total": n, "fps": x, "eta_s": x}`.
The rate is an exponentially weighted mean with a 10 s time constant, so that one slow frame does
not send the ETA to years.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import IO, Literal, Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn

__all__ = ["Board", "Mode", "Reporter", "StageMeter", "Update", "clock", "reporter", "size"]

Mode = Literal["auto", "plain", "json", "none"]
Update = Callable[[float, float | None], None]
"""`update(done, total)`: how much of a stage is done; total is None where it is not known."""
Stage = AbstractContextManager[Update]
"""A running stage, as a context manager that gives `update`."""

_TIME_CONSTANT_S = 10.0
_PLAIN_EVERY_S = 10.0
_JSON_EVERY_S = 0.5


class Board(Protocol):
    """What is shown of work in many pieces."""

    def show(
        self, done: float, total: float, line: str, table: Callable[[], RenderableType]
    ) -> None:
        """Show how it stands: one line for who reads lines, a table for who watches."""


class Reporter(Protocol):
    """What a job tells while it runs."""

    def board(self, name: str, *, unit: str = "") -> AbstractContextManager[Board]:
        """Begin a stage of many pieces; use as `with reporter.board("picture") as board:`."""

    def event(self, **facts: object) -> None:
        """Tell programs of one event, as JSON; people are told by the board."""

    def stage(self, name: str, *, unit: str = "") -> Stage:
        """Begin a stage; use as `with reporter.stage("picture", unit="frames") as update:`."""

    def say(self, text: str) -> None:
        """Tell one line of what was decided or found."""

    def warn(self, text: str) -> None:
        """Tell one line of something the user should know."""


@dataclass
class StageMeter:
    """Turns (done, total) into a rate and an ETA."""

    now: Callable[[], float] = time.monotonic
    done: float = 0.0
    total: float | None = None
    rate: float | None = None
    started: float = field(init=False)
    _last: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self._last = self.now()

    def update(self, done: float, total: float | None) -> None:
        """Take a new count; counts that do not grow leave the rate as it was."""
        at = self.now()
        step, elapsed = done - self.done, at - self._last
        self.total = total
        if step <= 0 or elapsed <= 0:
            return
        weight = 1.0 - math.exp(-elapsed / _TIME_CONSTANT_S)
        fresh = step / elapsed
        self.rate = fresh if self.rate is None else self.rate + weight * (fresh - self.rate)
        self.done, self._last = done, at

    @property
    def eta_s(self) -> float | None:
        """Seconds to go, or None while that is not known."""
        if not self.rate or self.total is None:
            return None
        return max(0.0, self.total - self.done) / self.rate


def reporter(mode: Mode = "auto", stream: IO[str] | None = None) -> Reporter:
    """The reporter for a mode; "auto" is a live bar on a terminal and plain lines elsewhere."""
    out = stream if stream is not None else sys.stderr
    if mode == "auto":
        return _Live(out) if out.isatty() else _Lines(_plain_writer(out))
    if mode == "plain":
        return _Lines(_plain_writer(out))
    if mode == "json":
        return _Lines(_json_writer(out))
    return _Lines(_silent_writer(out))


def clock(seconds: float) -> str:
    """Seconds as [h:]mm:ss."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def size(count: float) -> str:
    """Bytes as people read them: "431 MB", "6.1 GB"."""
    for unit, one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= one:
            figure = f"{count / one:.1f}" if count < 100 * one else f"{count / one:.0f}"
            return f"{figure} {unit}"
    return f"{count / 1e3:.0f} kB"


@dataclass
class _Writer:
    progress: Callable[[str, StageMeter, bool, str], None]
    line: Callable[[str, str], None]
    every_s: float
    board: Callable[[str, StageMeter, str, str], None]
    event: Callable[[dict[str, object]], None]


class _Lines:
    """Progress as separate lines, no more often than the writer wants them."""

    def __init__(self, writer: _Writer) -> None:
        self._writer = writer

    @contextmanager
    def stage(self, name: str, *, unit: str = "") -> Iterator[Update]:
        meter, shown = StageMeter(), -math.inf

        def update(done: float, total: float | None) -> None:
            nonlocal shown
            meter.update(done, total)
            if meter.now() - max(shown, meter.started) >= self._writer.every_s:
                shown = meter.now()
                self._writer.progress(name, meter, False, unit)

        yield update
        self._writer.progress(name, meter, True, unit)

    @contextmanager
    def board(self, name: str, *, unit: str = "") -> Iterator[Board]:
        yield _LinesBoard(self._writer, name, unit)

    def event(self, **facts: object) -> None:
        self._writer.event(facts)

    def say(self, text: str) -> None:
        self._writer.line("say", text)

    def warn(self, text: str) -> None:
        self._writer.line("warn", text)


class _LinesBoard:
    """How work in many pieces stands, as separate lines."""

    def __init__(self, writer: _Writer, name: str, unit: str) -> None:
        self._writer, self._name, self._unit = writer, name, unit
        self._meter, self._shown = StageMeter(), -math.inf
        self._begun = self._ended = False

    def show(
        self, done: float, total: float, line: str, table: Callable[[], RenderableType]
    ) -> None:
        """Take the figures; tell them when it is time to."""
        meter = self._meter
        if not self._begun:
            # What an earlier run finished says nothing of this one's speed.
            self._begun, meter.done = True, done
        meter.update(done, total)
        ended = done >= total and not self._ended
        self._ended = done >= total
        if meter.now() - max(self._shown, meter.started) >= self._writer.every_s or ended:
            if self._writer.every_s is not math.inf:
                self._writer.board(self._name, meter, line, self._unit)
            self._shown = meter.now()


class _Live:
    """A live bar on a terminal."""

    def __init__(self, out: IO[str]) -> None:
        self._console = Console(file=out, highlight=False)

    @contextmanager
    def stage(self, name: str, *, unit: str = "") -> Iterator[Update]:
        meter = StageMeter()
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        with Progress(*columns, console=self._console, transient=True) as bar:
            task: TaskID = bar.add_task(name, total=None, figures="")

            def update(done: float, total: float | None) -> None:
                meter.update(done, total)
                bar.update(task, completed=done, total=total, figures=_figures(meter, unit))

            yield update
        self._console.print(
            f"{name:<10} done in {clock(meter.now() - meter.started)}", markup=False
        )

    @contextmanager
    def board(self, name: str, *, unit: str = "") -> Iterator[Board]:
        with Live(console=self._console, transient=True, refresh_per_second=2) as live:
            yield _LiveBoard(live)

    def event(self, **facts: object) -> None:
        """People are told by the board."""

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        self._console.print(f"note: {text}", markup=False, style="yellow", soft_wrap=True)


@dataclass
class _LiveBoard:
    """How work in many pieces stands, as a table that is drawn again."""

    live: Live

    def show(
        self, done: float, total: float, line: str, table: Callable[[], RenderableType]
    ) -> None:
        """Draw the table."""
        self.live.update(table())


def _nothing(*what: object) -> None:
    pass


def _plain_writer(out: IO[str]) -> _Writer:
    def progress(name: str, meter: StageMeter, finished: bool, unit: str) -> None:
        if finished:
            took = clock(meter.now() - meter.started)
            print(f"{name}: done in {took}", file=out, flush=True)
        else:
            print(f"{name}: {_figures(meter, unit)}", file=out, flush=True)

    def line(kind: str, text: str) -> None:
        print(f"note: {text}" if kind == "warn" else text, file=out, flush=True)

    def board(name: str, meter: StageMeter, line: str, unit: str) -> None:
        print(f"{name}: {line}", file=out, flush=True)

    return _Writer(progress, line, _PLAIN_EVERY_S, board, _nothing)


def _json_writer(out: IO[str]) -> _Writer:
    def write(event: dict[str, object]) -> None:
        print(json.dumps(event, ensure_ascii=False), file=out, flush=True)

    def progress(name: str, meter: StageMeter, finished: bool, unit: str) -> None:
        total = meter.done if finished and meter.total is None else meter.total
        write(
            {
                "event": "progress",
                "stage": name,
                "done": round(meter.done, 3),
                "total": None if total is None else round(total, 3),
                "fps": None if meter.rate is None else round(meter.rate, 3),
                "eta_s": 0.0 if finished else _rounded(meter.eta_s),
            }
        )

    def line(kind: str, text: str) -> None:
        write({"event": "warning" if kind == "warn" else "message", "text": text})

    def board(name: str, meter: StageMeter, line: str, unit: str) -> None:
        progress(name, meter, meter.total is not None and meter.done >= meter.total, unit)

    return _Writer(progress, line, _JSON_EVERY_S, board, write)


def _silent_writer(out: IO[str]) -> _Writer:
    def line(kind: str, text: str) -> None:
        if kind == "warn":
            print(f"note: {text}", file=out, flush=True)

    return _Writer(_nothing, line, math.inf, _nothing, _nothing)


def _figures(meter: StageMeter, unit: str) -> str:
    parts = []
    if meter.total:
        parts.append(f"{100 * meter.done / meter.total:3.0f} %")
        parts.append(f"{meter.done:.0f}/{meter.total:.0f} {unit}".rstrip())
    else:
        parts.append(f"{meter.done:.0f} {unit}".rstrip())
    if meter.rate is not None:
        parts.append(f"{meter.rate:.1f} fps" if unit == "frames" else f"{meter.rate:.1f}/s")
    if meter.eta_s is not None:
        parts.append(f"{clock(meter.eta_s)} to go")
    return ", ".join(parts)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
