"""Writes one audio output of a `.vpy` to a file, in a process of its own.

    python -m encore.soundworker SCRIPT FILE [--output N]

Tells its parent as `encore.worker` does: first `{"event": "sound", ...}`, or `{"event": "none"}`
where the script sets no such output, then `{"event": "samples", "done": n}`, and at a failure
`{"event": "error", "text": ...}`. The file is FLAC or W64, by its ending; whole samples go in as
they are, floating ones as 24 bits into FLAC.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
import vapoursynth as vs
from numpy.typing import NDArray

from encore.leash import hold
from encore.worker import last_line, run_script, tell

__all__ = ["main"]

_TELL_EVERY_S = 0.25


def main() -> int:
    """Run the script and write its sound; the exit code."""
    parser = argparse.ArgumentParser(prog="encore.soundworker")
    parser.add_argument("script")
    parser.add_argument("file")
    parser.add_argument("--output", type=int, default=1)
    arguments = parser.parse_args()
    hold()
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        node = run_script(arguments.script).get(arguments.output)
        if node is None:
            tell({"event": "none"})
            return 0
        if not isinstance(node, vs.AudioNode):
            raise vs.Error(f"output {arguments.output} of the script is no sound")
        _write(node, arguments.file)
    except (vs.Error, Exception) as error:
        sys.stderr.write(f"{error}\n")
        tell({"event": "error", "text": last_line(error)})
        os._exit(1)
    return 0


def _write(node: Any, target: str) -> None:
    floating = node.sample_type == vs.FLOAT
    bits = node.bits_per_sample
    tell(
        {
            "event": "sound",
            "samples": node.num_samples,
            "sample_rate_hz": node.sample_rate,
            "channels": node.num_channels,
            "bits": bits,
            "floating": floating,
        }
    )
    flac = target.endswith(".flac")
    subtype = "PCM_16" if bits <= 16 else "PCM_24"
    if not flac and (floating or bits > 24):
        subtype = "FLOAT" if floating else "PCM_32"
    done, told = 0, 0.0
    with soundfile.SoundFile(
        target,
        "w",
        samplerate=node.sample_rate,
        channels=node.num_channels,
        format="FLAC" if flac else "W64",
        subtype=subtype,
    ) as file:
        for block in _blocks(node):
            file.write(block)
            done += len(block)
            if time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                tell({"event": "samples", "done": done})
    tell({"event": "samples", "done": done})


def _blocks(node: Any) -> Iterator[NDArray[Any]]:
    """The samples as (frames, channels), in the type that their file wants."""
    floating, bits = node.sample_type == vs.FLOAT, node.bits_per_sample
    for frame in node.frames(close=True):
        block = np.stack([np.asarray(frame[n]) for n in range(node.num_channels)], axis=1)
        if not floating:
            # Whole samples fill their type from its top; numpy is told that they have no sign.
            block = block.view(np.int16 if bits <= 16 else np.int32)
        yield np.ascontiguousarray(block)


if __name__ == "__main__":
    sys.exit(main())
