"""Clips drawn from formulas, so that a test knows what every sample should be."""

from collections.abc import Sequence

import numpy as np
import vapoursynth as vs

core = vs.core

type Plane = np.ndarray[tuple[int, int], np.dtype[np.float64]]
"""Rows by columns, in code values of the clip's own depth."""


def clip_of(
    frames: Sequence[Sequence[Plane]], format: int = vs.YUV420P8, fps: tuple[int, int] = (25, 1)
) -> vs.VideoNode:
    """Give a clip whose frame n holds the planes `frames[n]`, rounded to whole code values."""
    height, width = frames[0][0].shape
    blank = core.std.BlankClip(
        format=format, width=width, height=height, length=len(frames), fpsnum=fps[0], fpsden=fps[1]
    )

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        drawn = f.copy()
        for index, plane in enumerate(frames[n]):
            target = np.asarray(drawn[index])
            target[:] = np.clip(np.rint(plane), 0, np.iinfo(target.dtype).max)
        return drawn

    return blank.std.ModifyFrame(blank, draw)


def samples(clip: vs.VideoNode, n: int, plane: int = 0) -> Plane:
    """Give a plane of frame n as floats, in code values."""
    return np.asarray(clip.get_frame(n)[plane]).astype(np.float64)


def places(width: int, height: int) -> tuple[Plane, Plane]:
    """Give the columns' and rows' centres: sample (0, 0) is at (0.5, 0.5)."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return x, y


def texture(x: Plane, y: Plane, seed: int = 1) -> Plane:
    """A picture of 24 waves, about -1 to 1, with no detail finer than 6 samples."""
    dice = np.random.default_rng(seed)
    total = np.zeros_like(x)
    for _ in range(24):
        period, angle, phase = dice.uniform(6, 40), dice.uniform(0, np.pi), dice.uniform(0, 6.28)
        along = x * np.cos(angle) + y * np.sin(angle)
        total += np.cos(2 * np.pi * along / period + phase)
    return total / 5


def moving(
    width: int, height: int, length: int, dx: float, dy: float, seed: int = 1
) -> list[list[Plane]]:
    """4:2:0 frames of a texture that moves by (dx, dy) luma samples a frame."""
    frames = []
    x, y = places(width, height)
    # Left-sited: chroma column k is on luma column 2k, row k between luma rows 2k and 2k + 1.
    cx, cy = np.meshgrid(np.arange(width // 2) * 2 + 0.5, np.arange(height // 2) * 2 + 1.0)
    for n in range(length):
        luma = 120 + 50 * texture(x - dx * n, y - dy * n, seed)
        blue = 128 + 30 * texture((cx - dx * n) / 2, (cy - dy * n) / 2, seed + 1)
        red = 128 + 30 * texture((cx - dx * n) / 2, (cy - dy * n) / 2, seed + 2)
        frames.append([luma, blue, red])
    return frames


def woven(clip: vs.VideoNode, top_first: bool = True) -> vs.VideoNode:
    """Interlace: of each two frames, the first gives the first field and the second the other."""
    fields = clip.std.SetFieldBased(0).std.SeparateFields(tff=top_first).std.SelectEvery(4, [0, 3])
    woven = fields.std.DoubleWeave(tff=top_first)[::2]
    return woven.std.SetFieldBased(2 if top_first else 1)


def psnr_db(a: Plane, b: Plane, peak: float, border: int = 8) -> float:
    """Compare the insides of two planes."""
    inside = np.s_[border:-border, border:-border]
    return float(10 * np.log10(peak**2 / max(np.mean((a - b)[inside] ** 2), 1e-12)))


def centre_of_mass(plane: Plane, ground: float) -> tuple[float, float]:
    """Give where (column, row) the light above `ground` is, in samples from the top left edge."""
    mass = plane - ground
    x, y = places(plane.shape[1], plane.shape[0])
    return float((mass * x).sum() / mass.sum()), float((mass * y).sum() / mass.sum())


def blob(x: Plane, y: Plane, column: float, row: float, sigma: float) -> Plane:
    """A round light of height 1."""
    return np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * sigma**2))
