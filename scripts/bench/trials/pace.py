"""What the machinery costs, and what a second worker brings: two pairs of runs of the same frames.

`overhead` holds `encore encode` with one lane and several chunks, from its start to the verified
file, against one process that renders the whole clip into one encoder with the same arguments.
`workers` holds two lanes on two cores against one lane on one core; only the time in which chunks
are made counts. The runs of a pair alternate, and each shows its best, since what else a machine
does only makes it slower; processor time is told beside, which hardly knows of the others.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from encore.encode import video_arguments
from encore.preset import Preset, with_settings
from encore.render import render
from trials.film import fingerprint
from trials.jobs import running
from trials.row import Row
from trials.sources import concert

__all__ = ["overhead", "workers"]

_CHUNKS = 3
_AT_MOST, _AT_LEAST = 0.03, 1.6
_SMALL = ("picture.upscale.height=576",)
"""Over what a concert gets by default: fewer lines, where only a ratio is wanted."""


def overhead(folder: Path, *, rounds: int, seconds: float) -> Iterator[Row]:
    """The machinery's share, of wall clock and of processor time."""
    script = _script(folder, seconds, settings=() if seconds > _CHUNKS else _SMALL)
    settings = (f"job.chunk_s={seconds / _CHUNKS:g}",)
    chunked: list[tuple[float, float]] = []
    straight: list[tuple[float, float]] = []
    for number in range(rounds):
        with _timed(chunked):
            _encode(script, folder / f"chunked{number}.mkv", 1, settings)
        with _timed(straight):
            _straight(script, folder / f"straight{number}.mp4")
    (wall, processor), (own_wall, own_processor) = _best(chunked), _best(straight)
    more, more_processor = wall / own_wall - 1, processor / own_processor - 1
    longer = Preset().job.chunk_s / seconds
    costs = [
        (
            f"{(took - own) / _CHUNKS:.1f} s",
            100 * (took - own) / _CHUNKS / (own * longer),
        )
        for took, own in ((wall, own_wall), (processor, own_processor))
    ]
    got = f"{100 * more:+.1f} % of {own_wall:.0f} s, processor {100 * more_processor:+.1f} %"
    what = f"encore encode in {_CHUNKS} chunks over one straight process"
    yield Row("overhead", what, "under 3 %", got, more < _AT_MOST)
    (each, share), (each_processor, share_processor) = costs
    got = f"{each}, {share:.2f} %; of processor {each_processor}, {share_processor:.2f} %"
    what = "what a chunk costs so, and of a chunk of the default length"
    yield Row("overhead", what, "under 3 %", got, max(share, share_processor) < 100 * _AT_MOST)


def workers(folder: Path, *, rounds: int, seconds: float) -> Iterator[Row]:
    """How much faster two lanes are."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    what = "two workers on two cores over one on one core"
    if len(cores) < 2:
        yield Row("workers", what, "1.6x", "there is one core", None)
        return
    script = _script(folder, seconds, settings=_SMALL)
    settings = (f"job.chunk_s={max(1.0, seconds / 4):g}",)
    took: dict[int, list[float]] = {1: [], 2: []}
    films = set()
    for number in range(rounds):
        for lanes in (1, 2):
            output = folder / f"lanes{lanes}-{number}.mkv"
            on = set(cores[:lanes])
            took[lanes].append(_encode(script, output, lanes, settings, on))
            films.add(fingerprint(output))
    one, two = min(took[1]), min(took[2])
    got = f"{one / two:.2f}x ({one:.0f} s, {two:.0f} s)"
    yield Row("workers", what, f"{_AT_LEAST:g}x", got, one / two >= _AT_LEAST)
    got = "equal" if len(films) == 1 else "different"
    yield Row("workers", "their films, decoded", "equal", got, len(films) == 1)


def _script(folder: Path, seconds: float, *, settings: Sequence[str]) -> Path:
    source = concert(folder / "concert.mkv", seconds=seconds, size="352x288")
    script = folder / "chain.vpy"
    words = [sys.executable, "-m", "encore.cli", "script", str(source), "-o", str(script)]
    words += ["--work", str(folder), "--preset", "concert-dvd-pal", "--progress", "none"]
    words += [word for setting in settings for word in ("--set", setting)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return script


def _encode(
    script: Path, output: Path, lanes: int, settings: Sequence[str], cores: set[int] | None = None
) -> float:
    """Seconds from the first chunk's start to the last one's end."""
    words = [sys.executable, "-m", "encore.cli", "encode", str(script), str(output)]
    words += ["--progress", "json", "--workers", str(lanes), "--overwrite"]
    words += [word for setting in settings for word in ("--set", setting)]
    before = os.sched_getaffinity(0)
    try:
        # What is started inherits it.
        os.sched_setaffinity(0, cores or before)
        with running(words) as run:
            os.sched_setaffinity(0, before)
            if run.end() != 0:
                raise RuntimeError(run.said)
    finally:
        os.sched_setaffinity(0, before)
    at = [event["at"] for event in run.events if event["event"] == "chunk"]
    return float(at[-1] - at[0])


def _straight(script: Path, target: Path) -> None:
    settings = with_settings(Preset(), ()).encode
    render(
        script,
        target,
        lambda clip: video_arguments(settings, clip),
        lambda done, total: None,
        log=target.with_suffix(".log"),
    )


@contextmanager
def _timed(took: list[tuple[float, float]]) -> Iterator[None]:
    """Note the wall clock and processor seconds of what is run, with all that it starts."""
    began, used = time.monotonic(), _processor()
    yield
    took.append((time.monotonic() - began, _processor() - used))


def _best(took: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(wall for wall, _ in took), min(processor for _, processor in took)


def _processor() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
