"""The codec in the loop: frames go through FFmpeg's real encoder and come back decoded.

Some frames, mirrored, go ahead of the first and are dropped again: an encoder's rate control needs
about a group of pictures to settle, and where a group begins should differ between recordings.
"""

from __future__ import annotations

import subprocess

import numpy as np
from numpy.typing import NDArray

from encore.degradation.recipe import Recipe
from encore.errors import JobError
from encore.ffmpeg import last_words, program

__all__ = ["lead_in", "through"]

_FORMATS = {"mpeg2": "mpegvideo", "dv": "dv", "h264": "h264"}


def lead_in(recipe: Recipe, frames: int) -> NDArray[np.int64]:
    """Which moments go ahead of the first, in order; each has the parity of its place."""
    ahead = 8 + recipe.seed % 7
    moments = ahead * (2 if recipe.interlaced else 1)
    count = frames * (2 if recipe.interlaced else 1)
    # Mirrored about a moment a little later than the first, so that no field meets itself.
    back = np.arange(moments, 0, -1) + 4
    folded = back % max(1, 2 * (count - 1))
    return np.where(folded < count, folded, 2 * (count - 1) - folded)


def through(frames: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.uint8]:
    """Planar 4:2:0 frames (count, height * 3 / 2 * width) encoded and decoded, same shape.

    Raises JobError when FFmpeg fails or gives another number of frames.
    """
    coded = _run([*_raw(recipe), "-i", "pipe:0", *_encoder(recipe), "pipe:1"], frames.tobytes())
    decode = ["-f", _FORMATS[recipe.codec], "-i", "pipe:0", "-fps_mode", "passthrough"]
    shown = _run([*decode, "-pix_fmt", "yuv420p", "-f", "rawvideo", "pipe:1"], coded)
    if len(shown) != frames.size:
        came = len(shown) / frames[0].size
        raise JobError(f"the {recipe.codec} codec gave {came:g} frames for {len(frames)}")
    return np.frombuffer(shown, np.uint8).reshape(frames.shape)


def _run(options: list[str], given: bytes) -> bytes:
    command = [program(), "-hide_banner", "-loglevel", "error", "-threads", "1", *options]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode:
        said = last_words(done.stderr.decode("utf-8", "replace"))
        raise JobError(f"FFmpeg failed on a training recording: {said}")
    return done.stdout


def _raw(recipe: Recipe) -> list[str]:
    rate = "25" if recipe.system == "pal" else "30000/1001"
    size = f"{recipe.width}x{recipe.height}"
    return ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-r", rate]


def _encoder(recipe: Recipe) -> list[str]:
    order = "tff" if recipe.top_first else "bff"
    mode = f"setparams=field_mode={order if recipe.interlaced else 'prog'}:range=tv"
    shared = ["-vf", mode, "-threads", "1"]
    rate = f"{recipe.kbps}k"
    peak = f"{min(9800, round(1.3 * recipe.kbps))}k"
    match recipe.codec:
        case "mpeg2":
            fields = ["-flags", "+ildct+ilme"] if recipe.interlaced else []
            limits = ["-b:v", rate, "-maxrate", peak, "-bufsize", "1835k"]
            groups = ["-g", f"{recipe.gop}", "-bf", "2"]
            return [*shared, "-c:v", "mpeg2video", *fields, *limits, *groups, "-f", "mpeg2video"]
        case "h264":
            parts = f":interlaced=1:{order}=1" if recipe.interlaced else ""
            x264 = f"keyint={2 * recipe.gop}:bframes=2{parts}"
            limits = ["-b:v", rate, "-maxrate", peak, "-bufsize", peak]
            coder = ["-c:v", "libx264", "-preset", "veryfast", "-x264-params", x264]
            return [*shared, *coder, *limits, "-f", "h264"]
        case "dv":
            return [*shared, "-c:v", "dvvideo", "-f", "rawvideo"]
