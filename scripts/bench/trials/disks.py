"""Disks that are full: in a chunk, in its record, in the sound, in the joined file; and the pause.

A tmpfs of just the size that fails stands where the bytes go; then it is made larger, and the same
command has to finish. For the record it is as large as the first chunk's file and a page for its
log (x265 has a line to say): the file gets its name, and the record beside it finds no room.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trials.film import fingerprint
from trials.jobs import Run, begun, command, redone, running
from trials.row import Row
from trials.sources import QUICK, concert

__all__ = ["rows"]

_SETTINGS = (*QUICK, "picture.upscale.height=144", "job.chunk_s=2", "job.disk_reserve_mib=0")
_PAGE = 4096
_ROOM = 256 << 20
_RESERVE_MIB = 8


@dataclass(frozen=True)
class _Straight:
    film: tuple[str, str]
    first_bytes: int
    """Of the first chunk."""
    whole_bytes: int


def rows(folder: Path) -> Iterator[Row]:
    """Every place that can be full."""
    if os.geteuid() != 0 or not _can_mount(folder):
        yield Row("disks", "a small tmpfs", "mounted", "it cannot be mounted here", None)
        return
    source = concert(folder / "concert.mkv", seconds=10)
    straight = _straight(folder, source)
    half = straight.first_bytes // 2
    exact = (-(-straight.first_bytes // _PAGE) + 1) * _PAGE
    yield from _full(folder, source, straight, "a chunk", "work/chunks", half)
    yield from _full(folder, source, straight, "a chunk's record", "work/chunks", exact)
    yield from _full(folder, source, straight, "the sound", "work/sound", 1 << 18)
    size = straight.whole_bytes // 2
    yield from _full(folder, source, straight, "the joined file", "out", size)
    yield from _paused(folder, source, straight)


def _straight(folder: Path, source: Path) -> _Straight:
    output = folder / "straight.mkv"
    run = begun(command(source, output, *_SETTINGS))
    if run.process.returncode:
        raise RuntimeError(run.said)
    report = json.loads(output.with_name(output.name + ".report.json").read_text(encoding="utf-8"))
    chunks = report["done"]["picture"]["chunks"]
    return _Straight(fingerprint(output), chunks[0]["bytes"], output.stat().st_size)


def _full(
    folder: Path, source: Path, straight: _Straight, what: str, where: str, size: int
) -> Iterator[Row]:
    place = folder / what.replace(" ", "-").replace("'", "")
    (place / "out").mkdir(parents=True)
    words = _words(source, place)
    with _small(place / where, size):
        run = begun(words)
        got = run.told
        about_it = "disk" in run.said and "full" in run.said
        noticed = run.process.returncode == 1 and run.one_line and about_it
        if what == "a chunk's record":
            unnamed = [
                p for p in (place / where).glob("*.mp4") if not p.with_suffix(".json").exists()
            ]
            noticed = noticed and len(unnamed) == 1
        yield Row("disks", f"no room for {what}", "1, and one line", got, noticed)
        _mount(place / where, _ROOM, again=True)
        yield _finished(f"the same command, with room for {what}", begun(words), place, straight)


def _paused(folder: Path, source: Path, straight: _Straight) -> Iterator[Row]:
    place = folder / "pause"
    (place / "out").mkdir(parents=True)
    with _small(place / "work", 4 * _RESERVE_MIB << 20):
        filler = place / "work" / "filler"
        words = _words(source, place, f"job.disk_reserve_mib={_RESERVE_MIB}")
        with running(words) as run:
            run.wait_for(lambda event: event.get("state") == "done")
            with filler.open("wb") as file, suppress(OSError):
                file.write(bytes(int(3.5 * _RESERVE_MIB) << 20))
            paused = run.wait_for(lambda event: event["event"] == "paused", 60)
            filler.unlink()
            run.end()
        got = next((text for text in run.texts("warning") if "paused" in text), "not said")
        yield Row("disks", "little room left", "pauses, and says so", got, paused)
        yield _finished("room again: it goes on by itself", run, place, straight)


def _words(source: Path, place: Path, *more: str) -> list[str]:
    output, work = place / "out" / "show.mkv", str(place / "work")
    return command(source, output, *_SETTINGS, *more, more=("--work", work, "--workers", "1"))


def _finished(what: str, run: Run, place: Path, straight: _Straight) -> Row:
    if run.process.returncode:
        return Row("disks", what, "finishes, equal", run.said, False)
    equal = fingerprint(place / "out" / "show.mkv") == straight.film
    lost, _ = redone(place / "work")
    got = f"{'equal' if equal else 'different'}, {lost} made again"
    return Row("disks", what, "finishes, equal", got, equal and not lost)


def _can_mount(folder: Path) -> bool:
    probe = folder / "probe"
    try:
        with _small(probe, 1 << 20):
            return os.path.ismount(probe)
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def _small(place: Path, size: int) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    _mount(place, size)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def _mount(place: Path, size: int, *, again: bool = False) -> None:
    options = f"{'remount,' if again else ''}size={size}"
    words = ["mount", "-t", "tmpfs", "-o", options, "encore-endurance", str(place)]
    subprocess.run(words, check=True, capture_output=True)
