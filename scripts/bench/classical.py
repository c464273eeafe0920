"""How fast the classical picture filters run here: frames a second, 720x576 in.

    sh scripts/run python scripts/bench/classical.py [--seconds 40] [--threads N] [--json FILE]

The source is drawn once and held in memory: a drifting texture with grain, interlaced 4:2:0 at
8 bit. Each row gets the same share of the time and counts the frames that came out of it; the core
time a frame took tells the same on a machine that others use.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import vapoursynth as vs

import vsencore

WIDTH, HEIGHT = 720, 576
FRAMES = 16


def interlaced_source() -> vs.VideoNode:
    """Draw 16 frames of fields; their picture moves two samples a field, and grain is 2 steps."""
    core = vs.core
    dice = np.random.default_rng(1)
    large = dice.uniform(40, 200, (HEIGHT // 8, (WIDTH + 64) // 8 + 8))
    texture = np.kron(large, np.ones((8, 8)))
    for axis in (0, 1):
        texture = sum(np.roll(texture, shift, axis) for shift in range(-3, 4)) / 7
    drawn = []
    for frame in range(FRAMES):
        luma = np.empty((HEIGHT, WIDTH))
        for field in (0, 1):
            left = 2 * (2 * frame + field)
            luma[field::2] = texture[field::2, left : left + WIDTH]
        drawn.append(np.clip(np.rint(luma + dice.normal(0, 2, luma.shape)), 16, 235))
    clip = core.std.BlankClip(
        format=vs.YUV420P8, width=WIDTH, height=HEIGHT, length=FRAMES, fpsnum=25, fpsden=1
    )
    clip = clip.std.BlankClip(color=[16, 118, 138], keep=True)

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.copy()
        np.asarray(frame[0])[:] = drawn[n]
        return frame

    held = [frame.copy() for frame in clip.std.ModifyFrame(clip, draw).frames()]
    source = clip.std.ModifyFrame(clip, lambda n, f: held[n])
    # Looped here and not at the end of a chain, where the cache would answer for the filters.
    return source.std.SetFrameProps(_FieldBased=2, _SARNum=64, _SARDen=45).std.Loop(10000)


def chains(fields: vs.VideoNode) -> dict[str, Callable[[], vs.VideoNode]]:
    """Name the chains to be timed; each is built when its turn comes."""
    whole = fields.std.SetFieldBased(0)
    return {
        "deinterlace qtgmc, double rate": lambda: vsencore.deinterlace(fields, "qtgmc"),
        "deinterlace bwdif, double rate": lambda: vsencore.deinterlace(fields, "bwdif"),
        "restore degrain": lambda: vsencore.restore(whole),
        "upscale nnedi3 to 1080": lambda: vsencore.upscale(whole, 1080, "nnedi3"),
        "upscale lanczos to 1080": lambda: vsencore.upscale(whole, 1080, "lanczos"),
        "qtgmc, degrain, nnedi3 to 1080": lambda: vsencore.upscale(
            vsencore.restore(vsencore.deinterlace(fields, "qtgmc")), 1080, "nnedi3"
        ),
        "bwdif, lanczos to 1080": lambda: vsencore.upscale(
            vsencore.deinterlace(fields, "bwdif"), 1080, "lanczos"
        ),
    }


def pace(clip: vs.VideoNode, seconds: float) -> tuple[float, float]:
    """Render for `seconds` after a first frame; give frames a second, and core seconds a frame."""
    # Frames that are asked for ahead are work done: a short queue keeps the count honest.
    frames = clip.frames(prefetch=vs.core.num_threads, backlog=2 * vs.core.num_threads)
    next(frames).close()
    count, started, worked = 0, time.perf_counter(), time.process_time()
    while (taken := time.perf_counter() - started) < seconds:
        next(frames).close()
        count += 1
    cores = time.process_time() - worked
    frames.close()
    return count / taken, cores / max(count, 1)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=40, help="for all rows together")
    parser.add_argument("--threads", type=int, help="of VapourSynth; default one a core")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()

    if options.threads:
        vs.core.num_threads = options.threads
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"{vs.core.num_threads} threads, VapourSynth {vs.core.core_version.release_major}\n")
    rows = chains(interlaced_source())
    figures = {}
    for name, build in rows.items():
        fps, core_s = pace(build(), options.seconds / len(rows))
        figures[name] = {"fps": fps, "core_s_per_frame": core_s}
        print(f"{name:34} {fps:7.1f} fps {core_s * 1000:8.1f} core ms a frame", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
