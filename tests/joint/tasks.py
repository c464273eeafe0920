"""Tasks as a plan would make them, small and lossless."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from encore import encode
from encore.chunked.piece import Task
from encore.encode import Clip
from encore.preset import Encode

__all__ = ["lossless_task"]


def lossless_task(script: Path, clip: Clip, folder: Path, first: int, last: int) -> Task:
    """Frames `first` to `last` of a script as FFV1 into a folder of chunks."""
    facts = asdict(clip) | {"rate": f"{clip.rate}", "sample_aspect": f"{clip.sample_aspect}"}
    return Task(
        key=f"k{first}-{last}",
        number=0,
        script=str(script),
        first=first,
        last=last,
        keys=(),
        clip=facts,
        codec="ffv1",
        arguments=tuple(encode.video_arguments(Encode(codec="ffv1"), clip)),
        folder=str(folder),
        suffix=".mkv",
        stall_s=60.0,
        device="cpu",
    )
