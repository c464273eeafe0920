"""Encoders that fail: one writes too few frames and says all is well, one hangs, one dies.

A wrapper stands in FFmpeg's place and misbehaves only where it is given pictures through a pipe.
Always: the job ends with one line, and the same command without the fault finishes. Once: the job
tries the chunk again and needs no one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from encore.ffmpeg import program
from trials.film import fingerprint
from trials.jobs import Run, begun, command
from trials.row import Row
from trials.sources import QUICK, concert

__all__ = ["rows"]

_STALL_S = 10
_SETTINGS = (*QUICK, "picture.upscale.height=144", "job.chunk_s=2", "job.retries=1")
_SETTINGS += (f"job.stall_s={_STALL_S}",)
_FAULTS = {
    "writes fewer frames and exits 0": (
        'for last; do :; done; set -- "$@"; n=$#; i=0\n'
        'for word; do shift; i=$((i + 1)); [ $i = $n ] && set -- "$@" -frames:v 7\n'
        '  set -- "$@" "$word"; done\n'
        '"$real" "$@"; cat >/dev/null; exit 0'
    ),
    "hangs": "head -c 300000 >/dev/null; exec sleep 600",
    "dies": "head -c 300000 >/dev/null; echo 'Illegal instruction' >&2; exit 132",
}
_WRAPPER = """#!/bin/sh
# FFmpeg, but for the fault that is asked for.
real={real}
case " $* " in
*" pipe:0 "*)
    if [ -n "$ENCORE_FAULT_ALWAYS" ] || mkdir "$ENCORE_FAULT_ONCE" 2>/dev/null; then
{fault}
    fi ;;
esac
exec "$real" "$@"
"""


def rows(folder: Path) -> Iterator[Row]:
    """Each fault, always and once."""
    source = concert(folder / "concert.mkv", seconds=8)
    straight = folder / "straight.mkv"
    if (run := begun(command(source, straight, *_SETTINGS))).process.returncode:
        raise RuntimeError(run.said)
    wanted = fingerprint(straight)
    for number, (name, fault) in enumerate(_FAULTS.items()):
        wrapper = folder / f"ffmpeg{number}"
        wrapper.write_text(_WRAPPER.format(real=program(), fault=fault), encoding="utf-8")
        wrapper.chmod(0o755)
        environment = {"IMAGEIO_FFMPEG_EXE": str(wrapper), "ENCORE_FAULT_ALWAYS": "1"}
        output = folder / f"always{number}.mkv"
        words = command(source, output, *_SETTINGS)
        began = time.monotonic()
        run = begun(words, environment)
        said = f"{run.told} ({time.monotonic() - began:.0f} s)"
        noticed = run.process.returncode == 1 and run.one_line
        yield Row("encoders", f"an encoder {name}, always", "1, and one line", said, noticed)
        yield _finished("the same command, when none does", begun(words), output, wanted)
        output = folder / f"once{number}.mkv"
        environment = {"IMAGEIO_FFMPEG_EXE": str(wrapper), "ENCORE_FAULT_ALWAYS": ""}
        environment["ENCORE_FAULT_ONCE"] = str(folder / f"fault{number}")
        run = begun(command(source, output, *_SETTINGS), environment)
        again = [text for text in run.texts("warning") if "tried again" in text]
        told = f", {again[0]}" if again else ", and nothing was said"
        yield _finished(f"an encoder {name}, once", run, output, wanted, told, bool(again))


def _finished(
    what: str, run: Run, output: Path, wanted: tuple[str, str], told: str = "", said: bool = True
) -> Row:
    code = run.process.returncode
    if code:
        return Row("encoders", what, "finishes, equal", run.told, False)
    equal = fingerprint(output) == wanted
    got = f"{'equal' if equal else 'different'}{told}"
    return Row("encoders", what, "finishes, equal", got, equal and said)
