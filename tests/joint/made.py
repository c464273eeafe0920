"""Recordings whose truth is known, because they are made here: scenes, fields, and files.

A scene is asked for the picture at a moment, counted in fields; a weave says which moment each
line of a frame shows. Files are written by FFmpeg from raw frames, small and short.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Picture = NDArray[np.float32]
Scene = Callable[[float], Picture]
"""The luma, (height, width), 0..255, at a moment counted in fields."""

WIDTH, HEIGHT = 320, 240


def texture(height: int, width: int, seed: int, *, fine: float = 1.2) -> Picture:
    """A cloudy texture around 110, with detail down to `fine` lines; it wraps at its edges."""
    noise = np.random.default_rng(seed).standard_normal((height, width))
    parts = [gaussian_filter(noise, fine * scale, mode="wrap") * scale for scale in (1, 3, 8)]
    mixed = sum(part / part.std() for part in parts)
    return np.clip(110 + 22 * mixed, 17, 234).astype(np.float32)


def shifted(picture: Picture, right: float, down: float) -> Picture:
    """A wrapping picture moved by any fraction of a pixel, through its spectrum."""
    spectrum = np.fft.rfft2(picture)
    rows = np.fft.fftfreq(picture.shape[0])[:, np.newaxis]
    columns = np.fft.rfftfreq(picture.shape[1])[np.newaxis, :]
    spectrum = spectrum * np.exp(-2j * np.pi * (rows * down + columns * right))
    return np.fft.irfft2(spectrum, s=picture.shape).astype(np.float32)


def pan(
    *,
    right: float = 1.5,
    down: float = 0.4,
    seed: int = 1,
    height: int = HEIGHT,
    width: int = WIDTH,
) -> Scene:
    """A whole picture that moves by so many pixels a field."""
    whole = texture(height, width, seed)
    return lambda moment: shifted(whole, right * moment, down * moment)


def walker(*, speed: float = 2.0, seed: int = 3, height: int = HEIGHT, width: int = WIDTH) -> Scene:
    """A small figure that crosses a still stage."""
    stage, cloth = texture(height, width, seed), texture(height, width, seed + 1)
    lines, samples = slice(height // 4, 3 * height // 4), width // 5

    def at(moment: float) -> Picture:
        picture = stage.copy()
        left = round(20 + speed * moment) % (width - samples)
        picture[lines, left : left + samples] = cloth[lines, :samples]
        return picture

    return at


def lit(scene: Scene, light: Callable[[float], float]) -> Scene:
    """A scene under a light that changes: black stays black."""
    return lambda moment: np.clip(16 + (scene(moment) - 16) * light(moment), 0, 255)


def noisy(frames: Sequence[Picture], sigma: float, seed: int = 9) -> list[Picture]:
    """Frames with noise of their own on every line."""
    random = np.random.default_rng(seed)
    return [
        np.clip(frame + sigma * random.standard_normal(frame.shape), 0, 255).astype(np.float32)
        for frame in frames
    ]


def letterboxed(frames: Sequence[Picture], lines: int) -> list[Picture]:
    """Frames under black lines at the top and the bottom."""
    boxed = [frame.copy() for frame in frames]
    for frame in boxed:
        frame[:lines] = frame[-lines:] = 16
    return boxed


def progressive(scene: Scene, count: int) -> list[Picture]:
    """Whole frames, one every two fields."""
    return [scene(2 * n) for n in range(count)]


def interlaced(scene: Scene, count: int, first: str = "top") -> list[Picture]:
    """Frames of two fields, each of its own moment."""
    top, bottom = (0, 1) if first == "top" else (1, 0)
    return [woven(scene(2 * n + top), scene(2 * n + bottom)) for n in range(count)]


def telecined(scene: Scene, count: int, first: str = "top") -> list[Picture]:
    """3:2 pulldown: AA BB BC CD DD, the field named `first` being the earlier one."""
    early, late = (0, 0, 1, 2, 3), (0, 1, 2, 3, 3)
    frames = []
    for n in range(count):
        cycle, place = divmod(n, 5)
        one, other = (scene(2.5 * (4 * cycle + part[place])) for part in (early, late))
        # Of a combed frame the older film frame lies in the field that comes first.
        frames.append(woven(one, other) if first == "top" else woven(other, one))
    return frames


def woven(top: Picture, bottom: Picture) -> Picture:
    """One frame of the lines of two pictures."""
    frame = bottom.copy()
    frame[0::2] = top[0::2]
    return frame


def write(
    path: Path,
    frames: Iterable[Picture],
    *arguments: str,
    rate: str = "25",
    inputs: Sequence[str] = (),
) -> Path:
    """Encode frames to a file; `inputs` are more FFmpeg inputs, `arguments` those of the output."""
    pictures = list(frames)
    height, width = pictures[0].shape
    given = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", rate]
    raw = b"".join(np.clip(np.rint(p), 0, 255).astype(np.uint8).tobytes() for p in pictures)
    run(*given, "-i", "pipe:0", *inputs, *arguments, str(path), stdin=raw)
    return path


def run(*arguments: str, stdin: bytes = b"") -> None:
    """Run FFmpeg, which must not fail."""
    command = [get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    subprocess.run(command, input=stdin, check=True)


def tone(seconds: float, *, layout: str = "stereo", hz: int = 440) -> tuple[str, ...]:
    """FFmpeg's input of a tone."""
    one = f"0.1*sin(2*PI*{hz}*t)"
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    graph = f"aevalsrc={'|'.join([one] * channels)}:c={layout}:s=48000:d={seconds}"
    return ("-f", "lavfi", "-i", graph)


MPEG2_FIELDS = ("-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-pix_fmt", "yuv420p")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
