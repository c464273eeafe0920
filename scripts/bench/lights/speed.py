"""What it costs to look at a whole show's light: processor time and memory a frame.

`decode` is BestSource alone; `look` adds the miniatures and the levels; `timeline` is all of it. On
one thread, in processor time, so that a busy machine tells the same; the machine's load is printed
above. `bytes` is what Python and NumPy hold more for each frame of a show that is longer.
"""

import itertools
import time
import tracemalloc
from fractions import Fraction
from pathlib import Path

import torch
import vapoursynth as vs
from judged import data_folder

from encore.glances import Glance, glances
from encore.lights import timeline
from encore.progress import reporter
from encore.scan import scan, source_arguments

__all__ = ["HEAD", "rows"]

HEAD = (
    f"{'clip':<32}{'size':>11}{'decode':>9}{'look':>9}{'timeline':>10}{'bytes':>8}"
    "   frames a second"
)
_CLIPS = (
    "interlaced/woman_576i25_mpeg2.ts",
    "stage_hamilton_whitehouse_640x360.mp4",
    "room_people_1080p.mp4",
)
_FRAMES = 250


def rows(quick: bool) -> list[str]:
    """Time each clip, or with `quick` only the SD one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    lines = [_row(data_folder() / "clips" / name) for name in _CLIPS[: 1 if quick else None]]
    torch.set_num_threads(threads)
    return lines


def _row(path: Path) -> str:
    quiet = reporter("none")
    told = scan(path, reporter=quiet)
    picture = told.picture
    assert picture is not None

    def opened() -> vs.VideoNode:
        clip = vs.core.bs.VideoSource(**source_arguments(told), showprogress=0)
        return clip[: min(_FRAMES, len(clip))]

    clip = opened()
    began = time.process_time()
    for frame in clip.frames(close=True):
        frame.props.get("_Matrix")
    decoded = time.process_time()
    with torch.inference_mode():
        seen = list(glances(opened(), picture, quiet))
    looked = time.process_time()
    timeline(seen, Fraction(25))
    done = time.process_time()
    speeds = [len(seen) / took for took in (decoded - began, looked - decoded)]
    speeds.append(len(seen) / (done - decoded))
    size = f"{picture.width}x{picture.height}"
    return (
        f"{path.name[:30]:<32}{size:>11}{speeds[0]:>9.0f}{speeds[1]:>9.0f}{speeds[2]:>10.0f}"
        f"{_bytes(seen):>8.0f}"
    )


def _bytes(seen: list[Glance]) -> float:
    """What a frame more takes of memory, at the most."""

    def peak(count: int) -> int:
        tracemalloc.start()
        timeline(itertools.islice(itertools.cycle(seen), count), Fraction(25))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    return (peak(6000) - peak(2000)) / 4000
