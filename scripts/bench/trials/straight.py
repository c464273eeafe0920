"""The frames of chunks beside those of the whole script, before any encoder saw them.

`encore.worker` writes the frames of a script as y4m: once of the whole, on all cores, then of each
chunk as a lane of one core makes it. Each frame's bytes have to be the same, for a chain with the
bundled network and for the classical one. Lossy codecs then see the same frames, but a chunk
begins with a key frame of its own; so the films are compared before them.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from trials.row import Row
from trials.sources import concert

__all__ = ["rows"]

_CHAINS = {
    "the bundled network": ("picture.restore.model=base",),
    "QTGMC, degrain and nnedi3": ("picture.deinterlace.method=qtgmc", "picture.upscale.height=96"),
}
_ONE_CORE = {"OMP_NUM_THREADS": "1"}
"""As `lanes` has it."""


def rows(folder: Path, *, frames: int) -> Iterator[Row]:
    """Both chains."""
    source = concert(folder / "concert.mkv", seconds=frames / 50, size="96x80")
    for number, (name, settings) in enumerate(_CHAINS.items()):
        script = folder / f"chain{number}.vpy"
        sets = [word for setting in settings for word in ("--set", setting)]
        words = [sys.executable, "-m", "encore.cli", "script", str(source), "-o", str(script)]
        words += ["--work", str(folder), "--preset", "concert-dvd-pal", "--progress", "none"]
        subprocess.run([*words, *sets], check=True, stdin=subprocess.DEVNULL)
        whole = _frames(script)
        for kind, threads, more in (("one core", 1, _ONE_CORE), ("all cores", None, {})):
            made: list[str] = []
            borders = _borders(len(whole))
            for first, last in itertools.pairwise(borders):
                made += _frames(script, (first, last), threads, more)
            same = sum(a == b for a, b in zip(whole, made, strict=False))
            what = f"{name}: {len(borders) - 1} chunks on {kind} each"
            got = f"{same} of {len(whole)} frames equal"
            equal = made == whole
            yield Row("straight", what, "every frame bit for bit", got, equal)


def _borders(frames: int) -> list[int]:
    """Chunks of uneven lengths, one of them a single frame."""
    at = [0, 1, frames // 5, frames // 2 + 1, frames - 3, frames]
    return sorted(set(at))


def _frames(
    script: Path,
    span: tuple[int, int] | None = None,
    threads: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """The MD5 of each frame that a worker writes."""
    words = [sys.executable, "-m", "encore.worker", str(script)]
    words += ["--first", str(span[0]), "--last", str(span[1])] if span else []
    words += ["--threads", str(threads)] if threads else []
    environment = os.environ | dict(environment or {})
    done = subprocess.run(
        words, check=True, stdin=subprocess.DEVNULL, capture_output=True, env=environment
    )
    head, _, body = done.stdout.partition(b"\n")
    size = _frame_bytes(head.decode("ascii"))
    step = size + len(b"FRAME\n")
    assert len(body) % step == 0
    return [hashlib.md5(body[at : at + step]).hexdigest() for at in range(0, len(body), step)]


def _frame_bytes(header: str) -> int:
    """How many bytes a frame of this y4m header has."""
    facts = {word[0]: word[1:] for word in header.split()[1:]}
    luma = int(facts["W"]) * int(facts["H"])
    name, _, depth = facts["C"].partition("p")
    parts = {"420": 1.5, "422": 2.0, "444": 3.0}[name]
    return round(luma * parts) * (2 if depth else 1)
