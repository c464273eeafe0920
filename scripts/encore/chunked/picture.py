"""A script's picture as a job: planned once, worked off in chunks, told and resumed.

The plan stands in `plan.json`: what decides the pixels, and every chunk with its key. A later run
compares its own plan with it and says what changed; what did not change is found finished.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from encore import encode
from encore.chunked.disk import Forecast
from encore.chunked.identity import digest
from encore.chunked.lanes import Crew
from encore.chunked.ledger import Ledger, Record, write_whole
from encore.chunked.piece import Task, input_digest, packets_of
from encore.chunked.plan import Chunk, borders_wanted, chunks_of
from encore.chunked.pool import work_off
from encore.chunked.state import Diary, State
from encore.encode import Clip
from encore.errors import JobError
from encore.preset import Encode, Job
from encore.progress import Reporter, size

__all__ = [
    "Finished",
    "Plan",
    "check",
    "chunk_length",
    "plan",
    "tell_changes",
    "wanted_borders",
    "work",
]

_FOLDER = "chunks"
_PLAN = "plan.json"
_CHANGES_TOLD = 6
_MIB = 1 << 20


@dataclass(frozen=True)
class Plan:
    """A picture, planned."""

    clip: Clip
    decides: Mapping[str, Any]
    """What decides the pixels, as plain data."""
    tasks: tuple[Task, ...]
    ledger: Ledger

    @property
    def finished(self) -> int:
        """How many chunks are there already."""
        return sum(self.ledger.finished(task.key) is not None for task in self.tasks)


@dataclass(frozen=True)
class Finished:
    """A planned picture of which every chunk is made."""

    plan: Plan
    records: list[Record]
    """Of all chunks, in their order."""

    @property
    def files(self) -> list[tuple[Path, int]]:
        """The chunks' files, each with its frames."""
        return [(self.plan.ledger.path(record.key), record.frames) for record in self.records]

    @property
    def pieces(self) -> tuple[tuple[int, str], ...]:
        """What the joined file must hold: frames, and the digest of their packets."""
        return tuple((record.frames, record.packets) for record in self.records)

    def recheck(self) -> None:
        """Raise JobError where a disk damaged a chunk since it was made; see `check`."""
        check(self.plan, self.records)


def chunk_length(job: Job, rate: Fraction) -> int:
    """The frames of a chunk."""
    return max(1, round(job.chunk_s * rate))


def wanted_borders(clip: Clip, job: Job, chapters: Iterable[int]) -> list[int]:
    """Where chunks would begin if no cut were near: where to look for one."""
    return borders_wanted(clip.frames, chunk_length(job, clip.rate), chapters)


def plan(
    script: Path,
    clip: Clip,
    settings: Encode,
    job: Job,
    *,
    work: Path,
    decides: Mapping[str, Any],
    cuts: Iterable[int] = (),
    chapters: Iterable[int] = (),
    device: str = "auto",
    inputs: Iterable[Path] = (),
) -> Plan:
    """Cut a script's picture into chunks, and name each by all that decides it.

    `cuts` and `chapters` are frames of the clip; `decides` is what its pixels come from. Its
    "versions" and "weights" are what a machine that makes chunks must have. The script and `inputs`
    are files that must not change while the job runs.
    """
    arguments = encode.video_arguments(settings, clip)
    whole = {**decides, "encoder": [settings.codec, *arguments], "clip": _plain(clip)}
    name = digest(whole)
    suffix = encode.intermediate_suffix(settings.codec)
    ledger = Ledger(work / _FOLDER, suffix)
    held = {str(path): input_digest(path) for path in (script.absolute(), *inputs)}
    length = chunk_length(job, clip.rate)

    def task(chunk: Chunk) -> Task:
        return Task(
            key=digest([name, chunk.first, chunk.last, chunk.keys]),
            number=chunk.number,
            script=str(script.absolute()),
            first=chunk.first,
            last=chunk.last,
            keys=chunk.keys,
            clip=_plain(clip),
            codec=settings.codec,
            arguments=tuple(arguments),
            folder=str(ledger.folder.absolute()),
            suffix=suffix,
            stall_s=job.stall_s,
            device=device,
            versions=decides["versions"],
            weights=decides["weights"],
            inputs=held,
        )

    chunks = chunks_of(clip.frames, length, cuts=cuts, chapters=chapters)
    return Plan(clip, whole, tuple(task(chunk) for chunk in chunks), ledger)


def tell_changes(
    planned: Plan,
    work: Path,
    settings: Mapping[str, object],
    reporter: Reporter,
    *,
    keep: bool = False,
) -> None:
    """Say what is kept of an earlier run, and what changed since; then write this plan."""
    before = _before(work / _PLAN)
    found, count = planned.finished, len(planned.tasks)
    if before is not None:
        changed = _changes(before, planned, settings)
        if changed:
            more = f" and {len(changed) - _CHANGES_TOLD} more" if changed[_CHANGES_TOLD:] else ""
            reporter.say(f"changed since the last run: {', '.join(changed[:_CHANGES_TOLD])}{more}")
        if found:
            reporter.say(f"{found} of {count} chunks are finished and kept")
        others = planned.ledger.others(task.key for task in planned.tasks)
        taken = sum(path.stat().st_size for path in others)
        if taken > _MIB:
            reporter.say(
                f"{size(taken)} of chunks of other settings lie in {planned.ledger.folder}; "
                + ("they stay, as job.keep_chunks asks" if keep else "they go when all is done")
            )
    write_whole(
        work / _PLAN,
        {
            "version": 1,
            "settings": dict(settings),
            "decides": planned.decides,
            "chunks": [
                {"number": t.number, "first": t.first, "last": t.last, "keys": t.keys, "key": t.key}
                for t in planned.tasks
            ],
        },
    )


def work(
    planned: Plan,
    crew: Crew,
    job: Job,
    *,
    output: Path,
    folder: Path,
    beside_bytes: int,
    reporter: Reporter,
) -> Finished:
    """Make what is not finished. Raises as `work_off`.

    `folder` is the work folder, `beside_bytes` what the finished file holds beside the picture.
    """
    planned.ledger.sweep()
    clip = planned.clip
    forecast = Forecast(
        folder, output.parent, clip.frames, job.disk_reserve_mib * _MIB, beside_bytes
    )
    rate = f"{clip.rate.numerator}/{clip.rate.denominator}"
    records = work_off(
        planned.tasks,
        crew,
        planned.ledger,
        forecast=forecast,
        state=State(str(output), rate, clip.frames),
        reporter=reporter,
        diary=Diary(folder),
        retries=job.retries,
    )
    _tell_arithmetic(list(records.values()), reporter)
    return Finished(planned, [records[task.key] for task in planned.tasks])


def check(planned: Plan, records: Sequence[Record]) -> None:
    """Read every chunk again. Raises JobError that names those which a disk damaged.

    They are forgotten, so the next run makes them anew.
    """
    damaged = []
    for task, record in zip(planned.tasks, records, strict=True):
        try:
            found = packets_of(planned.ledger.path(task.key), task.frames, planned.clip.rate)
        except JobError:
            found = ""
        if found != record.packets:
            planned.ledger.forget(task.key)
            damaged.append(str(task.number))
    if damaged:
        raise JobError(
            f"on the disk are damaged: chunk {', '.join(damaged)}; the same command makes them anew"
        )


def _tell_arithmetic(records: Sequence[Record], reporter: Reporter) -> None:
    kinds = sorted({record.arithmetic for record in records})
    if len(kinds) > 1:
        reporter.warn(
            f"chunks were calculated by {' and by '.join(kinds)}: their frames may differ in the "
            "last rounding"
        )


def _before(path: Path) -> dict[str, Any] | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) and "chunks" in told else None


def _changes(before: dict[str, Any], planned: Plan, settings: Mapping[str, object]) -> list[str]:
    """What is not as it was, as "key old -> new" for settings and by name for the rest."""
    then = before.get("settings") or {}
    now = json.loads(json.dumps(dict(settings), default=str))
    changed = [
        f"{key} {then.get(key)} -> {now.get(key)}"
        for key in sorted({*then, *now})
        if then.get(key) != now.get(key)
    ]
    old = before.get("decides") or {}
    new = json.loads(json.dumps(planned.decides, default=str))
    told = {"source": "the source", "weights": "a model's weights", "versions": "the programs"}
    told |= {"looks": "what was found of light and faces"}
    told |= {"script": "the script", "files": "a file that the script names"}
    explained = bool(changed)
    for key, name in told.items():
        if old.get(key) != new.get(key) and not (key == "script" and explained):
            changed.append(name)
    return changed


def _plain(clip: Clip) -> dict[str, Any]:
    facts = asdict(clip)
    for name in ("rate", "sample_aspect"):
        value: Fraction = facts[name]
        facts[name] = f"{value.numerator}/{value.denominator}"
    return facts
