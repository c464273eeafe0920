"""Looks at a film's frames, a run here and a run there, or all of them, and says what they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from encore.borders import BorderSearch
from encore.cuts import Sketch, cuts_in, sketch
from encore.facts import Borders, FieldOrder
from encore.fields import SMALLEST, PairDistances, distances
from encore.frames import Frames
from encore.progress import Reporter, Update
from encore.structure import RUN, Finding, Kind, Run, judge, judge_run, places

__all__ = ["Survey", "survey"]

_RUNS, _MORE_RUNS = 20, 48
_ENOUGH_SURE = 8
_FEWEST_FIELDED_LINES = 240
"""No system has fewer lines in a frame of two fields: Video CD's 240 and 288 are whole pictures."""
Flagged = Literal["interlaced", "progressive", "mixed", "unknown"]


@dataclass
class Survey:
    """What was found by looking."""

    finding: Finding
    flagged: Flagged
    borders: Borders
    cuts: list[int]
    examined: int


@dataclass
class _Gathered:
    borders: BorderSearch
    runs: list[Run] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    flags: Counter[int] = field(default_factory=Counter)
    examined: int = 0


def survey(frames: Frames, *, black: float, full: bool, reporter: Reporter) -> Survey:
    """Look at runs of frames spread over the film, or with `full` at every frame."""
    gathered = _Gathered(BorderSearch(black))
    with reporter.stage("look", unit="frames") as update:
        if full:
            _look_at_all(frames, gathered, update)
        else:
            _look_at_runs(frames, gathered, update)
    flagged, order = _flags(gathered.flags)
    kinds: dict[Flagged, Kind] = {"interlaced": "interlaced", "progressive": "progressive"}
    finding = judge(gathered.runs, kinds.get(flagged), order)
    if flagged == "progressive" and frames.clip.height < _FEWEST_FIELDED_LINES:
        # Blocks of so small a picture hold edges as sharp as fields; fields it cannot hold.
        why = f"flagged progressive, and {frames.clip.height} lines are too few for fields"
        finding = Finding("progressive", None, why, 1.0)
    borders = gathered.borders.found(interlaced=finding.structure != "progressive")
    return Survey(finding, flagged, borders, sorted(set(gathered.cuts)), gathered.examined)


def _look_at_runs(frames: Frames, gathered: _Gathered, update: Update) -> None:
    """Runs spread evenly; where too few of them move, more in between."""
    seen: set[int] = set()
    for count in (_RUNS, _MORE_RUNS):
        for start in places(len(frames), count):
            if any(abs(start - before) < RUN for before in seen):
                continue
            seen.add(start)
            _look(frames, range(start, min(start + RUN, len(frames))), gathered)
            update(gathered.examined, None)
        if sum(run.kind is not None for run in gathered.runs) >= _ENOUGH_SURE:
            return


def _look_at_all(frames: Frames, gathered: _Gathered, update: Update) -> None:
    tail: list[Sketch] = []
    for start in range(0, len(frames), RUN - 1):
        tail = _look(frames, range(start, min(start + RUN, len(frames))), gathered, tail)
        update(gathered.examined, len(frames))


def _look(
    frames: Frames, numbers: range, gathered: _Gathered, tail: list[Sketch] | None = None
) -> list[Sketch]:
    """Look at one run; `tail` are the sketches of the frames just before it, if any."""
    pairs: list[PairDistances] = []
    sketches: list[Sketch] = []
    before = None
    for number in numbers:
        luma = frames.luma(number)
        if number == numbers[0] or number == numbers[len(numbers) // 2]:
            gathered.borders.look(luma)
            gathered.flags[_field_flag(frames, number)] += 1
        if before is not None and luma.shape[0] >= SMALLEST[0] and luma.shape[1] >= SMALLEST[1]:
            pairs.append(distances(before, luma))
        sketches.append(sketch(luma))
        before = luma
    gathered.runs.append(judge_run(numbers[0], pairs))
    known = (tail or []) + sketches[1:] if tail else sketches
    first = numbers[0] - (len(tail) - 1 if tail else 0)
    gathered.cuts += cuts_in(first, known)
    gathered.examined += len(numbers)
    return sketches[-7:]


def _field_flag(frames: Frames, number: int) -> int:
    """0 progressive, 1 bottom first, 2 top first, -1 not told."""
    return int(frames.properties(number).get("_FieldBased", -1))


def _flags(flags: Counter[int]) -> tuple[Flagged, FieldOrder | None]:
    told = {flag: count for flag, count in flags.items() if flag >= 0}
    if not told:
        return "unknown", None
    if set(told) == {0}:
        return "progressive", None
    order: FieldOrder = "top" if told.get(2, 0) >= told.get(1, 0) else "bottom"
    return ("mixed" if 0 in told else "interlaced"), order
