"""What comes in fails: a filter raises at a frame, and a source ends early.

The filter is in a script for `encore encode`. The source ends early in two ways: it was cut before
the job began, which the scan has to say; or it is cut while the job runs, as when a disk or a share
goes: then nothing shorter than planned may pass.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from trials.film import fingerprint
from trials.jobs import Run, begun, command, redone, running
from trials.row import Row
from trials.sources import QUICK, concert

__all__ = ["rows"]

_SETTINGS = (*QUICK, "picture.upscale.height=144", "job.chunk_s=2", "job.retries=1")
_LEFT = 0.6
"""How much of a source is left when it is cut."""
_SCRIPT = '''"""A clip whose filter raises at frame 250 while ENCORE_FAULT is set."""
import os

import vapoursynth as vs

blank = vs.core.std.BlankClip(width=192, height=144, format=vs.YUV420P10, length=400, fpsnum=50)


def shade(n):
    if n == 250 and os.environ.get("ENCORE_FAULT"):
        raise ValueError("the filter has no frame 250")
    return blank.std.BlankClip(color=[64 + 2 * n, 512, 512])


blank.std.FrameEval(shade).set_output()
'''


def rows(folder: Path) -> Iterator[Row]:
    """The filter, then the sources."""
    yield from _filter(folder)
    source = concert(folder / "concert.mkv", seconds=20)
    yield from _cut_while_it_runs(folder, source)
    yield from _cut_before(folder, source)


def _filter(folder: Path) -> Iterator[Row]:
    script = folder / "raises.vpy"
    script.write_text(_SCRIPT, encoding="utf-8")

    def words(output: Path) -> list[str]:
        sets = ["encode.preset=ultrafast", "job.chunk_s=1", "job.retries=1"]
        given = [word for one in sets for word in ("--set", one)]
        encode = [sys.executable, "-m", "encore.cli", "encode", str(script), str(output)]
        return [*encode, "--progress", "json", *given]

    straight = folder / "filter-straight.mkv"
    if (run := begun(words(straight))).process.returncode:
        raise RuntimeError(run.said)
    output = folder / "filter.mkv"
    run = begun(words(output), {"ENCORE_FAULT": "1"})
    yield _noticed("a filter raises at frame 250 (encore encode)", run)
    yield from _resumed(words(output), output, fingerprint(straight), "the filter")


def _cut_while_it_runs(folder: Path, source: Path) -> Iterator[Row]:
    straight = folder / "source-straight.mkv"
    if (run := begun(command(source, straight, *_SETTINGS))).process.returncode:
        raise RuntimeError(run.said)
    shrinking, output = folder / "shrinking.mkv", folder / "shrunk.mkv"
    shutil.copy(source, shrinking)
    words = command(shrinking, output, *_SETTINGS)
    with running(words) as run:
        if not run.wait_for(lambda event: event.get("state") == "done"):
            raise RuntimeError(f"no chunk was done: {run.said}")
        with shrinking.open("r+b") as file:
            file.truncate(round(_LEFT * source.stat().st_size))
        run.end()
    yield _noticed(f"a source that loses its last {100 * (1 - _LEFT):.0f} % under way", run)
    shutil.copy(source, shrinking)
    yield from _resumed(words, output, fingerprint(straight), "the source whole again")


def _cut_before(folder: Path, source: Path) -> Iterator[Row]:
    cut, output = folder / "cut.mkv", folder / "of-cut.mkv"
    whole = source.read_bytes()
    cut.write_bytes(whole[: round(_LEFT * len(whole))])
    run = begun(command(cut, output, *_SETTINGS))
    told = [*run.texts("warning"), *run.lines]
    about = [text for text in told if any(word in text for word in ("damage", "cut", "ends"))]
    got = f"{run.process.returncode}: {about[0] if about else 'nothing was said'}"
    what = "a source that was cut before"
    yield Row("inputs", what, "said; what is there is made", got, bool(about))


def _noticed(what: str, run: Run) -> Row:
    got = run.told
    reached = run.process.returncode == 1 and run.one_line
    return Row("inputs", what, "1, and one line", got, reached)


def _resumed(words: list[str], output: Path, wanted: tuple[str, str], what: str) -> Iterator[Row]:
    run = begun(words)
    if run.process.returncode:
        yield Row("inputs", f"resumed: {what}", "finishes, equal", run.said, False)
        return
    equal = fingerprint(output) == wanted
    lost, _ = redone(output.with_name(output.name + ".encore"))
    got = f"{'equal' if equal else 'different'}, {lost} made again"
    yield Row("inputs", f"resumed: {what}", "finishes, equal", got, equal and not lost)
