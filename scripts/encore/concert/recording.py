"""The demo's concert as an old recording: interlaced, noisy, MPEG-2 and MP2 in a VOB.

Each field is taken from its own moment, after the mild vertical low-pass that cameras use against
line flicker. Chroma is halved within each field, where MPEG-2 has it (ISO/IEC 13818-2, 6.1.1.8).
"""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from encore.concert.band import sound
from encore.concert.stage import Stage
from encore.errors import JobError
from encore.ffmpeg import program
from encore.progress import Update

__all__ = ["pictures", "record"]

Fields = NDArray[np.float32]

_RATE = 50
_WIDTH, _HEIGHT = 720, 576
_SOUND_HZ = 48000
# The encoder takes these from the frames; as options of its own it does not.
_TAGS = (
    "setparams=field_mode=tff:range=tv:colorspace=bt470bg"
    ":color_primaries=bt470bg:color_trc=smpte170m"
)
_WORKERS = min(4, os.cpu_count() or 1)


def pictures(seconds: float, seed: int = 0, height: int = 576) -> Iterator[NDArray[np.uint8]]:
    """The concert as it truly was: 50 pictures a second, R'G'B' (height, width, 3), full range.

    Pixels are square, the shape 16:9, transfer and primaries BT.709's. Whole 25 Hz frames only,
    at least one.
    """
    stage = Stage(seconds, seed, height)
    with ThreadPoolExecutor(_WORKERS) as pool:
        waiting: deque[Future[NDArray[np.uint8]]] = deque()
        for number in range(2 * _frames(seconds)):
            waiting.append(pool.submit(stage.picture, number / _RATE))
            if len(waiting) > 2 * _WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def record(
    path: Path, seconds: float = 6.0, seed: int = 0, *, progress: Update | None = None
) -> None:
    """Write the concert to `path` as a VOB: 576i25, top field first, 16:9, and stereo sound.

    The same seed gives the same concert. Raises JobError when the encoder fails; then there is no
    file at `path`.
    """
    frames = _frames(seconds)
    with tempfile.TemporaryDirectory(prefix=".concert-", dir=path.parent) as folder:
        tape, pcm = Path(folder) / "concert.vob", Path(folder) / "concert.pcm"
        sound(frames / 25, seed, _SOUND_HZ).tofile(pcm)
        with (Path(folder) / "log").open("w+b") as log:
            encoder = subprocess.Popen(_encode(pcm, tape), stdin=subprocess.PIPE, stderr=log)
            assert encoder.stdin is not None
            try:
                shown = pictures(seconds, seed)
                for number, (first, second) in enumerate(itertools.batched(shown, 2)):
                    encoder.stdin.write(_taped(first, second, seed, number))
                    if progress:
                        progress(number + 1, frames)
                encoder.stdin.close()
            except BrokenPipeError:
                pass  # the exit code and the log say why
            except BaseException:
                encoder.kill()
                encoder.wait()
                raise
            if encoder.wait() != 0:
                log.seek(0)
                said = log.read().decode("utf-8", "replace").strip().splitlines()[-1:]
                raise JobError(f"the demo's recording could not be encoded: {' '.join(said)}")
        tape.replace(path)


def _frames(seconds: float) -> int:
    return max(1, round(25 * seconds))


def _encode(pcm: Path, tape: Path) -> list[str]:
    return [
        *(program(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"),
        *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{_WIDTH}x{_HEIGHT}", "-r", "25"),
        *("-i", "pipe:0", "-f", "f32le", "-ar", f"{_SOUND_HZ}", "-ac", "2", "-i", f"{pcm}"),
        *("-vf", f"{_TAGS},setsar=64/45", "-c:v", "mpeg2video", "-flags", "+ildct+ilme"),
        *("-b:v", "6M", "-maxrate", "8M", "-bufsize", "1835k", "-g", "12", "-bf", "2"),
        *("-video_format", "pal"),
        *("-c:a", "mp2", "-b:a", "256k", "-f", "vob", f"{tape}"),
    ]


def _taped(first: NDArray[np.uint8], second: NDArray[np.uint8], seed: int, number: int) -> bytes:
    """One interlaced frame of two pictures, as planar 8-bit 4:2:0."""
    woven = np.empty((_HEIGHT, _WIDTH, 3), np.float32)
    for parity, picture in enumerate((first, second)):
        narrow = Image.fromarray(picture).resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
        woven[parity::2] = _flicker_filtered(np.asarray(narrow, np.float32))[parity::2]
    r, g, b = woven[..., 0], woven[..., 1], woven[..., 2]
    y = 0.299 * r + 0.587 * g + 0.114 * b
    noise = np.random.default_rng([seed, number])
    u = _chroma((b - y) / 1.772)
    v = _chroma((r - y) / 1.402)
    y += _tape_noise(noise, y.shape, 0.8) * (1.2 + 2.2 * np.square(1 - y / 255))
    u += 1.6 * _tape_noise(noise, u.shape, 2.0)
    v += 1.6 * _tape_noise(noise, v.shape, 2.0)
    planes = (16 + y * (219 / 255), 128 + u * (224 / 255), 128 + v * (224 / 255))
    return b"".join(
        np.clip(plane + 0.5, low, high).astype(np.uint8).tobytes()
        for plane, low, high in zip(planes, (16, 16, 16), (235, 240, 240), strict=True)
    )


def _flicker_filtered(picture: Fields) -> Fields:
    padded = np.pad(picture, ((1, 1), (0, 0), (0, 0)), mode="edge")
    return 0.625 * picture + 0.1875 * (padded[:-2] + padded[2:])


def _chroma(plane: Fields) -> Fields:
    """Half as wide, sited left; half as high within each field, a quarter line off its lines."""
    padded = np.pad(plane, ((0, 0), (1, 0)), mode="edge")
    across = 0.25 * (padded[:, 0:-1:2] + padded[:, 2::2]) + 0.5 * padded[:, 1::2]
    halved = np.empty((_HEIGHT // 2, _WIDTH // 2), np.float32)
    halved[0::2] = 0.75 * across[0::4] + 0.25 * across[2::4]
    halved[1::2] = 0.25 * across[1::4] + 0.75 * across[3::4]
    return halved


def _tape_noise(noise: np.random.Generator, shape: tuple[int, ...], smear: float) -> Fields:
    """Noise of unit deviation, drawn out along the lines as a narrow band does."""
    grain = ndimage.gaussian_filter1d(noise.standard_normal(shape, np.float32), smear, axis=1)
    return np.asarray(grain / np.float32(grain.std()), np.float32)
