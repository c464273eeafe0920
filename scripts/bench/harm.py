"""A clean progressive clip through a preset's own picture chain: what a remaster must not lose.

    python scripts/bench/harm.py CLIP FOLDER [--preset gentle] [--first 24] [--frames 12]

The clip is scanned, and the script that a job would run is run. `input.yuv` and `output.yuv` are
written, both raw 4:2:0 of 10 bit; the last line of output says their size and the calls, as JSON.
"""

import argparse
import json
import sys
from pathlib import Path

import vapoursynth as vs
from methods import write

from encore import preset
from encore.progress import reporter
from encore.scan import scan, source_arguments
from encore.script import FrameRange, picture_script

__all__: list[str] = []


def main() -> int:
    """Write both sides; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", default="gentle")
    parser.add_argument("--first", type=int, default=24)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()

    found = scan(given.clip, work=given.folder, reporter=reporter("none"))
    span = FrameRange(given.first, given.first + given.frames)
    script = picture_script(found, preset.load(given.preset), span, given.device)
    exec(compile(script, "script.vpy", "exec"), {"__name__": "__vapoursynth__"})
    output = vs.get_output(0)
    assert isinstance(output, vs.VideoOutputTuple)
    arguments = source_arguments(found)
    source = vs.core.bs.VideoSource(arguments.pop("source"), **arguments)
    before = source[span.first : span.last].resize.Point(format=vs.YUV420P10)
    if (before.width, before.height) != (output.clip.width, output.clip.height):
        raise SystemExit(f"{given.preset} changes the size of {given.clip.name}")
    write(before, given.folder / "input.yuv")
    write(output.clip, given.folder / "output.yuv")
    calls = [line for line in script.splitlines() if line.startswith("clip = vsencore.")]
    told = {"width": before.width, "height": before.height, "calls": calls[1:]}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
