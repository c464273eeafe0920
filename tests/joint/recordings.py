"""Recordings whose truth is known: a flash and a beep each second, and colour bars.

Times are seconds since the first picture is shown, on the container's clock, so that a recording
and its remaster can be compared whatever offset a container gives to all of its streams.
"""

from __future__ import annotations

import itertools
import math
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from scipy import signal

__all__ = [
    "Bar",
    "Bars",
    "FlashAndBeep",
    "as_709",
    "bars_as_painted",
    "bars_of",
    "beep_times",
    "colour_bars",
    "flash_and_beep",
    "flash_times",
]

_SOUND_HZ = 48000
_BEEP_S = 0.040
_SWEEP_HZ = (500.0, 5000.0)
_FLASH_FRAMES = 3
_CYCLE = 32


@dataclass(frozen=True)
class FlashAndBeep:
    """When each flash begins and when each beep begins: the same moments."""

    flashes_s: list[float]
    beeps_s: list[float]


@dataclass(frozen=True)
class Bar:
    """One patch: its name, its place (left, top, right, bottom, 0..1), its 8-bit Y'CbCr."""

    name: str
    place: tuple[float, float, float, float]
    ycbcr: tuple[int, int, int]


@dataclass(frozen=True)
class Bars:
    """Mean code values measured in each patch, in the file's own bit depth."""

    bits: int
    ycbcr: list[tuple[float, float, float]]


def flash_and_beep(
    path: Path,
    *,
    seconds: float = 10.0,
    rate: Fraction = Fraction(25),
    interlaced: bool = True,
    start_offset_s: float = 0.120,
    size: tuple[int, int] = (352, 288),
    every_s: float = 1.0,
    codec: str = "mpeg2video",
    sound_codec: str = "mp2",
) -> FlashAndBeep:
    """Write a recording that flashes and beeps together; its sound begins later than its picture.

    The flash of second k begins with the first field of the frame nearest to k, and the beep at
    that frame's exact time, between two samples where that is so. The first is at `every_s`. The
    container follows from the path's ending (.ts, .vob, .mkv). The encoders' own delay (481 samples
    for MP2, 1024 for AAC, 256 for AC-3) is in the timestamps that FFmpeg writes, so it needs no
    correction here: decoded beeps were measured within 0.15 samples of their claimed time.
    """
    frames = math.floor(seconds * rate)
    begins = [
        round(k * Fraction(every_s).limit_denominator(1000) * rate)
        for k in range(1, math.floor(seconds / every_s) + 1)
    ]
    begins = [frame for frame in begins if frame + _FLASH_FRAMES < frames]
    times = [float(frame / rate) for frame in begins]
    pcm = path.with_name(f".{path.name}.pcm")
    _beeps(times, frames / float(rate), start_offset_s).tofile(pcm)
    lit = {frame + n for frame in begins for n in range(_FLASH_FRAMES)}
    dark, bright = (_moving_bar(size, interlaced, level) for level in (0, 120))
    try:
        _encode(
            path,
            size,
            rate,
            ((bright if n in lit else dark)[n % _CYCLE] for n in range(frames)),
            [
                *("-f", "f32le", "-ar", f"{_SOUND_HZ}", "-ac", "2", "-i", str(pcm)),
                *("-map", "0:v", "-map", "1:a", "-af", f"asetpts=PTS+{start_offset_s}/TB"),
            ],
            [
                *("-vf", f"setfield={'tff' if interlaced else 'prog'},setsar=1", "-c:v", codec),
                *(("-flags", "+ildct+ilme") if interlaced and codec == "mpeg2video" else ()),
                *(("-b:v", "2M") if codec == "mpeg2video" else ()),
                *("-g", "12", "-c:a", sound_codec),
                *(("-b:a", "192k") if sound_codec in ("mp2", "aac", "ac3") else ()),
            ],
        )
    finally:
        pcm.unlink(missing_ok=True)
    return FlashAndBeep(times, list(times))


def flash_times(path: Path) -> list[float]:
    """When each flash begins: the first frame brighter than half way, by its timestamp."""
    at, brightness = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            at.append(frame.time)
            brightness.append(float(_plane(frame, 0)[::4, ::4].mean()))
    level = np.array(brightness)
    lit = level > (level.min() + level.max()) / 2
    begins = np.flatnonzero(lit[1:] & ~lit[:-1]) + 1
    return [at[n] - at[0] for n in begins]


def beep_times(path: Path, track: int = 0) -> list[float]:
    """When each beep begins, found with a matched filter, to a fraction of a sample."""
    sound, rate, starts = _sound(path, track)
    time = np.arange(round(_BEEP_S * rate)) / rate
    match = signal.oaconvolve(sound, _sweep(time)[::-1].astype(np.float32))[len(time) - 1 :]
    strength = np.abs(match)
    peaks, _ = signal.find_peaks(strength, height=0.5 * strength.max(), distance=rate // 4)
    return [starts - _first_picture(path) + (n + _summit(strength, n)) / rate for n in peaks]


def colour_bars(
    path: Path,
    *,
    size: tuple[int, int] = (720, 576),
    sample_aspect: Fraction = Fraction(64, 45),
    interlaced: bool = False,
    frames: int = 25,
    codec: str = "ffv1",
) -> list[Bar]:
    """Write BT.601 bars, 75 % in the upper half and 100 % in the lower.

    576 lines run at 25 frames a second, 480 at 29.97, each tagged as what it is. `codec` is "ffv1"
    (lossless) or "mpeg2video" (intra only, the finest quantiser).
    """
    pal = size[1] == 576
    bars = bars_as_painted()
    planes = [np.empty((size[1] // s, size[0] // s), np.uint8) for s in (1, 2, 2)]
    for bar in bars:
        for plane, value in zip(planes, bar.ycbcr, strict=True):
            _within(plane, bar.place)[:] = value
    picture = b"".join(plane.tobytes() for plane in planes)
    space = "bt470bg" if pal else "smpte170m"
    tags = (
        f"setparams=field_mode={'tff' if interlaced else 'prog'}:range=tv"
        f":colorspace={space}:color_primaries={space}:color_trc=smpte170m"
    )
    _encode(
        path,
        size,
        Fraction(25) if pal else Fraction(30000, 1001),
        itertools.repeat(picture, frames),
        [],
        [
            *("-vf", f"{tags},setsar={sample_aspect}", "-c:v", codec),
            *("-chroma_sample_location", "left"),
            *(("-g", "1", "-qscale:v", "1", "-qmin", "1") if codec == "mpeg2video" else ()),
            *(("-flags", "+ildct") if codec == "mpeg2video" and interlaced else ()),
        ],
    )
    return bars


def bars_as_painted() -> list[Bar]:
    """The patches of `colour_bars`: eight colours at 75 %, then the same at 100 %."""
    return [
        Bar(
            f"{name} {round(100 * level)} %",
            (n / 8, top, (n + 1) / 8, top + 0.5),
            _ycbcr_601(rgb, level),
        )
        for level, top in ((0.75, 0.0), (1.0, 0.5))
        for n, (name, rgb) in enumerate(_COLOURS)
    ]


def bars_of(path: Path, bars: list[Bar]) -> Bars:
    """Measure the patches in the middle frame of a file of any size and depth."""
    with av.open(str(path)) as container:
        shown = list(container.decode(video=0))
    frame = shown[len(shown) // 2]
    measured = [
        tuple(float(_middle(_plane(frame, p), bar.place).mean()) for p in range(3)) for bar in bars
    ]
    return Bars(frame.format.components[0].bits, [(y, u, v) for y, u, v in measured])


def as_709(ycbcr: tuple[int, int, int], bits: int = 10) -> tuple[float, float, float]:
    """The exact BT.709 code values, limited range, of 8-bit BT.601 ones.

    The matrix only: R'G'B' stays the same (BT.601-7 and BT.709-6, section 3).
    """
    y, cb, cr = (ycbcr[0] - 16) / 219, (ycbcr[1] - 128) / 224, (ycbcr[2] - 128) / 224
    r, b = y + 1.402 * cr, y + 1.772 * cb
    g = (y - 0.299 * r - 0.114 * b) / 0.587
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    scale = 2 ** (bits - 8)
    return (
        scale * (16 + 219 * y),
        scale * (128 + 224 * (b - y) / 1.8556),
        scale * (128 + 224 * (r - y) / 1.5748),
    )


_COLOURS = (
    ("white", (1, 1, 1)),
    ("yellow", (1, 1, 0)),
    ("cyan", (0, 1, 1)),
    ("green", (0, 1, 0)),
    ("magenta", (1, 0, 1)),
    ("red", (1, 0, 0)),
    ("blue", (0, 0, 1)),
    ("black", (0, 0, 0)),
)


def _ycbcr_601(rgb: tuple[int, int, int], level: float) -> tuple[int, int, int]:
    r, g, b = (level * c for c in rgb)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return (
        round(16 + 219 * y),
        round(128 + 224 * (b - y) / 1.772),
        round(128 + 224 * (r - y) / 1.402),
    )


def _encode(
    path: Path,
    size: tuple[int, int],
    rate: Fraction,
    frames: Iterable[bytes],
    inputs: list[str],
    outputs: list[str],
) -> None:
    command = [
        *(imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"),
        *(
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "-s",
            f"{size[0]}x{size[1]}",
            "-r",
            f"{rate}",
            "-i",
            "pipe:0",
        ),
        *inputs,
        *outputs,
        str(path),
    ]
    encoder = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert encoder.stdin is not None
    with encoder.stdin:
        for frame in frames:
            encoder.stdin.write(frame)
    assert encoder.wait() == 0, command


def _moving_bar(size: tuple[int, int], interlaced: bool, flash: int) -> list[bytes]:
    """One cycle of frames in which a bar moves, each field from its own moment."""
    width, height = size
    x = np.arange(width)[None, :]
    ground = 40 + 20 * np.sin(x / 9.0) * np.sin(np.arange(height)[:, None] / 7.0)
    step = width / _CYCLE
    cycle = []
    for frame in range(_CYCLE):
        luma = np.empty((height, width))
        for parity in (0, 1):
            at = step * (frame + (0.5 * parity if interlaced else 0.0))
            bar = np.clip(20 - np.abs((x - at + width / 2) % width - width / 2), 0, 1)
            luma[parity::2] = (ground + 50 * bar)[parity::2]
        chroma = np.full((height // 2, width // 2), 128, np.uint8).tobytes()
        cycle.append((luma + flash).astype(np.uint8).tobytes() + 2 * chroma)
    return cycle


def _beeps(times: list[float], seconds: float, offset_s: float) -> NDArray[np.float32]:
    """The sound from `offset_s` on: quiet noise, and sweeps that begin exactly at `times`."""
    count = round((seconds - offset_s) * _SOUND_HZ)
    sound = np.random.default_rng(1).normal(0, 0.003, count).astype(np.float32)
    for begin in times:
        first = math.ceil((begin - offset_s) * _SOUND_HZ)
        n = np.arange(max(0, first), min(count, first + round(_BEEP_S * _SOUND_HZ)))
        sound[n] += 0.5 * _sweep(n / _SOUND_HZ - (begin - offset_s)).astype(np.float32)
    return np.repeat(sound[:, None], 2, axis=1)


def _sweep(since: NDArray[np.float64]) -> NDArray[np.float64]:
    """A rising tone: unlike a steady one, it matches itself at one moment only."""
    low, high = _SWEEP_HZ
    phase = 2 * np.pi * (low * since + (high - low) * since**2 / (2 * _BEEP_S))
    ends = np.clip((_BEEP_S - since) / 0.004, 0, 1)
    return np.where((since >= 0) & (since < _BEEP_S), np.sin(phase) * ends, 0.0)


def _sound(path: Path, track: int) -> tuple[NDArray[np.float32], int, float]:
    """One track mixed to mono, its rate, and the time of its first sample."""
    parts: list[NDArray[np.float32]] = []
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        rate, start, placed = stream.rate, None, 0
        for frame in container.decode(stream):
            assert frame.time is not None
            at = frame.time
            start = at if start is None else start
            gap = round((at - start) * rate) - placed
            if gap > 0.005 * rate:  # containers of whole milliseconds jitter by less
                parts.append(np.zeros(gap, np.float32))
                placed += gap
            parts.append(
                _mono(frame.to_ndarray(), frame.format.is_planar, len(frame.layout.channels))
            )
            placed += len(parts[-1])
    assert start is not None, f"{path} has no sound"
    return np.concatenate(parts), rate, start


def _mono(samples: NDArray[np.generic], planar: bool, channels: int) -> NDArray[np.float32]:
    whole = samples if planar else samples.reshape(-1, channels).T
    scale = 1.0 if samples.dtype.kind == "f" else 1.0 / np.iinfo(samples.dtype).max  # type: ignore[type-var]
    return np.asarray(whole.mean(axis=0) * scale, np.float32)


def _summit(strength: NDArray[np.float32], n: int) -> float:
    """How far from sample n the top of a parabola through it and its neighbours lies."""
    if not 0 < n < len(strength) - 1:
        return 0.0
    a, b, c = (float(s) for s in strength[n - 1 : n + 2])
    return 0.5 * (a - c) / (a - 2 * b + c)


def _first_picture(path: Path) -> float:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert frame.time is not None
        return frame.time


def _plane(frame: VideoFrame, number: int) -> NDArray[np.generic]:
    plane = frame.planes[number]
    kind = np.dtype(np.uint8 if frame.format.components[number].bits <= 8 else np.uint16)
    rows = np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return rows[:, : plane.width]


def _within(
    plane: NDArray[np.uint8], place: tuple[float, float, float, float]
) -> NDArray[np.uint8]:
    height, width = plane.shape
    left, top, right, bottom = place
    return plane[
        round(top * height) : round(bottom * height), round(left * width) : round(right * width)
    ]


def _middle(
    plane: NDArray[np.generic], place: tuple[float, float, float, float]
) -> NDArray[np.generic]:
    """The inner half of a patch, away from what scaling does at its edges."""
    left, top, right, bottom = place
    x, y = (right - left) / 4, (bottom - top) / 4
    return _within(plane, (left + x, top + y, right - x, bottom - y))  # type: ignore[arg-type]
