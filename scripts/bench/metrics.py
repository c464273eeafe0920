"""How near a picture is to its truth: both are raw 4:2:0 of 10 bit, limited range, one size.

PSNR is of the mean square over all the judged moments, its peak 1023 as FFmpeg has it. Temporal
PSNR compares what changes from one moment to the next, so that flicker and jerks show which no
single frame has. SSIM (luma) and VMAF 0.6.1 are FFmpeg's, means over the same moments; VMAF-NEG
gives no credit for sharpening (Li et al., "VMAF NEG", 2020).
"""

import json
import math
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encore.ffmpeg import last_words, program

__all__ = [
    "CAP_DB",
    "Figures",
    "Film",
    "compare",
    "decibels",
    "flashes",
    "phases",
    "squared",
    "temporal",
]

Plane = NDArray[np.uint16]

PEAK = 1023
CAP_DB = 100.0
_AFTER = 2


@dataclass(frozen=True)
class Film:
    """A raw file of planar 4:2:0 frames of 10 bit, mapped and not read."""

    path: Path
    width: int
    height: int

    def planes(self) -> tuple[Plane, Plane, Plane]:
        """(frames, height, width) of luma, and half of that of the two chroma planes."""
        luma, small = self.width * self.height, (self.height // 2, self.width // 2)
        codes = np.memmap(self.path, np.uint16, "r").reshape(-1, luma * 3 // 2)
        y, u, v = np.split(codes, (luma, luma * 5 // 4), axis=1)
        return y.reshape(-1, self.height, self.width), u.reshape(-1, *small), v.reshape(-1, *small)


@dataclass(frozen=True)
class Figures:
    """What was measured over the judged moments. `errors` is the square of luma's, a moment."""

    psnr_y: float
    psnr_uv: float
    ssim: float
    vmaf: float
    vmaf_neg: float
    temporal: float
    errors: list[float]


def compare(result: Film, truth: Film, drop: int) -> Figures:
    """Measure all moments but the first and the last `drop`.

    Raises ValueError where the two are not of one size and length, RuntimeError where FFmpeg fails.
    """
    ours, theirs = result.planes(), truth.planes()
    if ours[0].shape != theirs[0].shape:
        raise ValueError(f"the result is {ours[0].shape}, and the truth {theirs[0].shape}")
    inner = slice(drop, len(ours[0]) - drop)
    errors = [squared(a, b) for a, b in zip(ours[0][inner], theirs[0][inner], strict=True)]
    colour = [squared(a[inner], b[inner]) for a, b in zip(ours[1:], theirs[1:], strict=True)]
    seen = _ffmpeg(result, truth)
    return Figures(
        psnr_y=decibels(_mean(errors)),
        psnr_uv=decibels(_mean(colour)),
        ssim=_mean(seen["ssim"][inner]),
        vmaf=_mean(seen["vmaf"][inner]),
        vmaf_neg=_mean(seen["neg"][inner]),
        temporal=temporal(ours[0][inner], theirs[0][inner]),
        errors=errors,
    )


def squared(one: Plane, other: Plane) -> float:
    """The mean square of the difference, codes of 10 bit."""
    if one.ndim == 3:
        return _mean([squared(a, b) for a, b in zip(one, other, strict=True)])
    off = one.astype(np.float32) - other
    return float(np.mean(np.square(off), dtype=np.float64))


def decibels(square: float) -> float:
    """A mean square as PSNR; what is the same to the bit is given 100 dB."""
    return CAP_DB if square <= 0 else min(CAP_DB, 10 * math.log10(PEAK**2 / square))


def temporal(ours: Plane, theirs: Plane) -> float:
    """PSNR of the steps from each moment to the next."""
    offs = (a.astype(np.float32) - b for a, b in zip(ours, theirs, strict=True))
    last, squares = next(offs), []
    for off in offs:
        squares.append(float(np.mean(np.square(off - last), dtype=np.float64)))
        last = off
    return decibels(_mean(squares))


def flashes(levels: Sequence[float]) -> list[int]:
    """The moments whose mean luma (codes of 10 bit) stands out of the moments around it.

    A strobe is lit for two fifths of the time at most, so the median is the light without it.
    """
    around = 6
    found = []
    for moment, level in enumerate(levels):
        near = levels[max(0, moment - around) : moment + around + 1]
        rest = float(np.median(near))
        if level > rest + max(12.0, 0.06 * (rest - 64)):
            found.append(moment)
    return found


def phases(levels: Sequence[float]) -> dict[str, list[int]]:
    """Which moments are in a flash, which are the two after one, and which are calm."""
    lit = set(flashes(levels))
    after = {moment + n for moment in lit for n in range(1, _AFTER + 1)} - lit
    every = set(range(len(levels)))
    calm = every - lit - after
    return {"flash": sorted(lit), "after": sorted(after & every), "calm": sorted(calm)}


def _ffmpeg(result: Film, truth: Film) -> dict[str, list[float]]:
    """SSIM, VMAF and VMAF-NEG of each moment, in one run."""
    with tempfile.TemporaryDirectory(prefix="encore-vmaf-") as folder:
        command = [program(), "-hide_banner", "-loglevel", "error", "-nostdin"]
        for film in (result, truth):
            command += ["-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-r", "50"]
            command += ["-s", f"{film.width}x{film.height}", "-i", str(film.path.resolve())]
        models = r"version=vmaf_v0.6.1\\:name=vmaf|version=vmaf_v0.6.1neg\\:name=neg"
        # Logs are named without a folder: a filter's argument has its own rules for : and \.
        graph = (
            "[0:v]split[a][b];[1:v]split[c][d];"
            f"[a][c]libvmaf=model={models}:log_fmt=json:log_path=vmaf.json:n_threads=2[x];"
            "[b][d]ssim=stats_file=ssim.txt[y]"
        )
        command += ["-filter_complex", graph, "-map", "[x]", "-f", "null", "-"]
        command += ["-map", "[y]", "-f", "null", "-"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"FFmpeg could not measure: {last_words(done.stderr)}")
        told = json.loads((Path(folder) / "vmaf.json").read_text())["frames"]
        ssim = re.findall(r" Y:(\S+)", (Path(folder) / "ssim.txt").read_text())
    told.sort(key=lambda frame: frame["frameNum"])
    seen = {name: [frame["metrics"][name] for frame in told] for name in ("vmaf", "neg")}
    return seen | {"ssim": [float(value) for value in ssim]}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
