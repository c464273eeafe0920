"""The recordings that are remastered here: made by FFmpeg, interlaced, with sound; none is needed.

Both are MPEG-2 at 25 interlaced frames with MP2 sound, as a disc holds them, but small.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from encore.ffmpeg import program

__all__ = ["BEEP_S", "QUICK", "RATE", "concert", "sweep", "synced_show"]

RATE = Fraction(25)
QUICK = (
    "picture.deinterlace.method=bwdif",
    "picture.restore.strength=0",
    "picture.upscale.method=lanczos",
    "picture.faces.strength=0",
    "picture.light.lock=0",
    "picture.relight.shadows=0",
    "picture.relight.highlights=0",
    "encode.preset=ultrafast",
    "encode.crf=30",
)
"""Settings under which the machinery is busy and the filters are not."""

BEEP_S = 0.040
_LOW_HZ, _HIGH_HZ = 500.0, 5000.0
_MPEG2 = ("-c:v", "mpeg2video", "-b:v", "1M", "-flags", "+ildct+ilme", "-g", "12")
_MP2 = ("-c:a", "mp2", "-b:a", "192k", "-ac", "2")
_FIELDS = "tinterlace=interleave_top,setfield=tff,setsar=16/11"


def concert(path: Path, *, seconds: float, size: str = "192x144") -> Path:
    """A moving test picture under grain, and a pulsing tone over noise."""
    picture = f"testsrc2=size={size}:rate=50:duration={seconds},noise=alls=6:allf=t:all_seed=7"
    tone = f"0.2*sin(880*PI*t)*(0.6+0.4*sin(5*t)):s=48000:d={seconds}"
    noise = f"anoisesrc=c=pink:a=0.05:seed=3:r=48000:d={seconds}"
    _ffmpeg(
        [
            *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"aevalsrc={tone}"),
            *("-f", "lavfi", "-i", noise),
            *("-filter_complex", "[1][2]amix=inputs=2:normalize=0[sound]"),
            *("-map", "0:v", "-map", "[sound]", "-vf", _FIELDS, *_MPEG2, *_MP2, str(path)),
        ]
    )
    return path


def synced_show(path: Path, *, seconds: int, at_s: Sequence[int], size: str = "128x96") -> Path:
    """A long show, with a flash and a beep together at each of `at_s`, in a second of quiet.

    The flash lasts three frames and begins with a frame; the beep begins at that frame's time.
    """
    frames = [round(at * RATE) for at in at_s]
    lit = "+".join(f"between(n,{2 * n},{2 * n + 5})" for n in frames)
    quiet = "+".join(f"between(t,{at - 1},{at + 1})" for at in at_s)
    picture = f"testsrc2=size={size}:rate=50:duration={seconds}"
    # The test picture is darkened so that a flash is brighter than anything in it.
    light = f"lutyuv=y=16+(val-16)*0.4,lutyuv=y=val+120:enable='{lit}'"
    music = f"anoisesrc=c=pink:a=0.2:seed=3:r=48000:d={seconds},volume=0.02:enable='{quiet}'"
    bits = "+".join(f"({_beep(at)})*between(t,{at},{at + BEEP_S})" for at in at_s)
    _ffmpeg(
        [
            *("-f", "lavfi", "-i", f"{picture},{light}", "-f", "lavfi", "-i", music),
            *("-f", "lavfi", "-i", f"aevalsrc='{bits}':s=48000:d={seconds}"),
            *("-filter_complex", "[1][2]amix=inputs=2:normalize=0[sound]"),
            *("-map", "0:v", "-map", "[sound]", "-vf", _FIELDS, *_MPEG2, *_MP2, str(path)),
        ]
    )
    return path


def sweep() -> tuple[float, float, float]:
    """What a beep is: a rising tone, from, to (Hz), and its length in seconds."""
    return _LOW_HZ, _HIGH_HZ, BEEP_S


def _beep(at: float) -> str:
    since = f"(t-{at})"
    phase = f"2*PI*({_LOW_HZ}*{since}+{(_HIGH_HZ - _LOW_HZ) / (2 * BEEP_S)}*{since}*{since})"
    return f"0.5*sin({phase})*min(1,({BEEP_S}-{since})/0.004)"


def _ffmpeg(arguments: Sequence[str]) -> None:
    command = [program(), "-v", "error", "-nostdin", "-y", *arguments]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
