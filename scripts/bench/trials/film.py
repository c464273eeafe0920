"""When two films are the same: every decoded picture with its time, and every sample of sound."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from encore.ffmpeg import program

__all__ = ["fingerprint"]


def fingerprint(path: Path) -> tuple[str, str]:
    """Digests of a film's decoded pictures (MD5 of each, with its time) and of all its sound."""
    pictures = ["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5"]
    sound = ["-map", "0:a?", "-c:a", "pcm_s32le", "-f", "streamhash", "-hash", "md5"]
    return _decoded(path, pictures), _decoded(path, sound)


def _decoded(path: Path, arguments: list[str]) -> str:
    command = [program(), "-v", "error", "-nostdin", "-i", str(path), *arguments, "-"]
    told = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return hashlib.sha256(told.stdout).hexdigest()
