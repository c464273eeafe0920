"""The FFmpeg program that comes with the installation, and how a failed run of it is told."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import imageio_ffmpeg

__all__ = ["last_words", "program"]

_NOISE = re.compile(
    r"^\[\S+ @ 0x[0-9a-f]+\] |^x265 \[info\]|^\s*Last message repeated|^Conversion failed"
)


@cache
def program() -> str:
    """The path of the FFmpeg program (FFmpeg 9 from imageio-ffmpeg, or `$IMAGEIO_FFMPEG_EXE`)."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def last_words(log: Path | str) -> str:
    """What a process said last that means something, as one line."""
    text = log.read_text(encoding="utf-8", errors="replace") if isinstance(log, Path) else log
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        if "No space left" in line:
            return "the disk is full"
    for line in reversed(lines):
        said = _NOISE.sub("", line)
        if said and "Error muxing" not in said and "Terminating thread" not in said:
            return said
    return lines[-1] if lines else "it said nothing"
