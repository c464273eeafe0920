"""`kill -9` of a whole job at random moments, again and again, until it has finished all the same.

Half of the moments lie anywhere in the time that an undisturbed job takes; the other half are aimed
at what would else be hit too rarely: the short time after the last chunk, in which the file is
joined, verified and named. A job that has had its share is let come to its end and is compared;
then another is begun, until all kills are spent.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trials.film import fingerprint
from trials.jobs import Run, command, gone_after, holders, redone, running
from trials.row import Row
from trials.sources import QUICK, concert

__all__ = ["rows"]

_SECONDS = 40
_SETTINGS = (*QUICK, "picture.upscale.height=96", "job.chunk_s=4")
_A_JOB = ("any", "any", "any", "late", "late", "late")
"""The kills of one job."""
_SOON_S = 5.0


@dataclass
class _Count:
    """What came of all kills so far."""

    spent: int = 0
    equal: int = 0
    lost: int = 0
    cost: int = 0
    slowest_s: float = 0.0
    hit: Counter[str] = field(default_factory=Counter)
    left: set[str] = field(default_factory=set)
    named: list[str] = field(default_factory=list)
    """What the same command said where the kill came after the file had its name.

    Where all was done before it, that the file exists is as good as 0.
    """


def rows(folder: Path, *, kills: int, within_s: float, seed: int = 6) -> Iterator[Row]:
    """Spend the kills; what came of it. No job is begun after `within_s`."""
    source = concert(folder / "concert.mkv", seconds=_SECONDS, size="128x96")
    straight = folder / "straight.mkv"
    with running(command(source, straight, *_SETTINGS)) as run:
        windows = _lasted(run)
    wanted, began = fingerprint(straight), time.monotonic()
    moments, count, jobs = random.Random(seed), _Count(), 0
    while count.spent < kills and time.monotonic() - began < within_s:
        jobs += 1
        place = folder / f"job{jobs}"
        place.mkdir()
        output = place / "show.mkv"
        words = command(source, output, *_SETTINGS)
        _killed(words, output, kills, windows, moments, count)
        if not output.exists():
            with running(words) as run:
                if run.end() != 0:
                    yield Row("kill", "resumed", "it finishes", run.told, False)
                    return
        count.equal += fingerprint(output) == wanted
        again, unfinished = redone(place / "show.mkv.encore")
        count.lost, count.cost = count.lost + again, count.cost + unfinished
        count.slowest_s = max(count.slowest_s, gone_after(holders(place)))
        count.left |= _left_over(place)
    yield from _told(count, jobs, kills)


def _told(count: _Count, jobs: int, kills: int) -> Iterator[Row]:
    stages = ", ".join(f"{times} in {stage}" for stage, times in count.hit.most_common())
    what = f"kill -9 at random moments ({stages})"
    yield Row("kill", what, f"{kills}", f"{count.spent}", count.spent == kills)
    what = f"decoded pictures and sound of {jobs} jobs as undisturbed"
    yield Row("kill", what, f"{jobs} equal", f"{count.equal} equal", count.equal == jobs > 0)
    got = f"{count.lost} (and {count.cost} that were under way)"
    yield Row("kill", "finished chunks that were made again", "0", got, count.lost == 0)
    soon = count.slowest_s <= _SOON_S
    got = f"at most {count.slowest_s:.1f} s"
    yield Row("kill", "processes that outlive the job", f"{_SOON_S:g} s", got, soon)
    got = ", ".join(sorted(count.left)) or "none"
    yield Row("kill", "files left beside the finished one", "none", got, not count.left)
    if count.named:
        what = f"{len(count.named)} kills after the file had its name: the same command"
        well = all(said == "0" for said in count.named)
        yield Row("kill", what, "0", "; ".join(sorted(set(count.named))), well)


def _killed(
    words: Sequence[str],
    output: Path,
    kills: int,
    windows: list[float],
    moments: random.Random,
    count: _Count,
) -> None:
    """Give a job its share of kills, or fewer where it is quicker."""
    for number, kind in enumerate(_A_JOB[: kills - count.spent]):
        with running(words) as run:
            if not _until(run, kind, moments.uniform(0, windows[kind == "late"])):
                if number == 0:  # undisturbed, and quicker: the machine has less else to do
                    windows[0] = min(windows[0], time.monotonic() - run.began)
                return
            stage, offspring = run.stage, run.kill()
            # Where all chunks were kept, no stage has begun yet that could be told.
            stage = "joining" if kind == "late" and stage == "start" else stage
        count.hit["report" if output.exists() else stage] += 1
        count.spent += 1
        print(f"kill {count.spent}: {kind}, {stage}", flush=True)
        if count.spent % 2:  # every other time the command is given again at once
            count.slowest_s = max(count.slowest_s, gone_after(offspring))
        if output.exists():
            unfinished = (output.parent / "show.mkv.encore/report.pending.json").exists()
            with running(words) as run:
                run.end()
            done = not unfinished and "exists; give --overwrite" in run.told
            count.named.append("0" if done else run.told)
            return


def _lasted(run: Run) -> list[float]:
    """Seconds of an undisturbed run, and of what comes after its last chunk."""
    run.wait_for(_after_the_chunks)
    late = time.monotonic()
    run.wait_for(lambda event: "done and verified" in str(event.get("text")))
    named = time.monotonic()
    if run.end() != 0:
        raise RuntimeError(f"the undisturbed job failed: {run.said}")
    return [named - run.began, named - late]


def _until(run: Run, kind: str, after_s: float) -> bool:
    """Wait for the moment of a kill; False where the run ended before."""
    if kind == "late" and not run.wait_for(_after_the_chunks):
        return False
    try:
        run.process.wait(after_s)
    except subprocess.TimeoutExpired:
        return True
    return False


def _after_the_chunks(event: dict[str, Any]) -> bool:
    if event["event"] == "progress":
        done = event["stage"] == "picture" and event["done"] == event["total"]
        return bool(done) or event["stage"] in ("mux", "verify")
    words = str(event.get("text", "")).split()
    return "chunks are finished and kept" in " ".join(words) and words[0] == words[2]


def _left_over(place: Path) -> set[str]:
    """What does not belong beside a finished file, nor in its work folder."""
    sides = {
        f"show.mkv{end}" for end in ("", ".report.json", ".sound.html", ".light.svg", ".encore")
    }
    beside = {path.name for path in place.iterdir()} - sides
    inside = {path.name for path in (place / "show.mkv.encore").iterdir() if path.name[0] == "."}
    kinds = {"a partial film" if "partial" in name else name for name in beside}
    return kinds | {f"work: {name.split('.')[1]} part" for name in inside}
