"""The demo's concert as an old recording: interlaced, noisy, MPEG-2 and MP2 in a VOB.

Camera and tape are those of `encore.degradation`, by a recipe that is always the same: each field
is taken from its own moment, after the mild vertical low-pass that cameras use against line
flicker, and the tape adds its noise. Only the codec is another run of FFmpeg, which leaves a file.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encore.concert.band import sound
from encore.concert.stage import Stage
from encore.degradation import Recipe, taped
from encore.errors import JobError
from encore.ffmpeg import program
from encore.progress import Update

__all__ = ["pictures", "record"]

_RATE = 50
_WIDTH, _HEIGHT = 720, 576
_SOUND_HZ = 48000
# The encoder takes these from the frames; as options of its own it does not.
_TAGS = (
    "setparams=field_mode=tff:range=tv:colorspace=bt470bg"
    ":color_primaries=bt470bg:color_trc=smpte170m"
)
_TAPE = Recipe(
    seed=0,
    vertical_lowpass=0.75,
    luma_noise=2.0,
    luma_noise_px=0.8,
    chroma_noise=1.6,
    chroma_noise_px=2.0,
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
    recipe = replace(_TAPE, seed=int(np.random.default_rng([seed, number]).integers(2**31)))
    return b"".join(plane.tobytes() for plane in taped(np.stack((first, second)), recipe))
