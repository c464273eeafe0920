"""Runs a `.vpy` in a process of its own and writes one output's frames to stdout as y4m.

    python -m encore.worker SCRIPT [--output N] [--first A --last B] [--threads N] [--leash]
                            [--facts]

A process of its own, so that memory that VapourSynth keeps ends with the job, and a filter that
crashes takes nothing with it. Stdout is the picture; whatever a plugin or a script prints goes to
stderr, between the lines of JSON by which the parent follows: first `{"event": "clip", ...}`,
then `{"event": "frames", "done": n}`, at the end what calculated and where a model of faces
strayed, and at a failure `{"event": "error", "text": ...}`.
Ends with 0 only when every frame was written. With `--leash` it ends when its stdin closes, so it
never outlives a parent that was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import runpy
import sys
import time
from collections.abc import Mapping
from typing import IO

import numpy as np
import psutil
import vapoursynth as vs

from encore.leash import hold

__all__ = ["last_line", "load", "main", "run_script", "tell"]

_TELL_EVERY_S = 0.25
# vsencore.faces writes it; see there.
_STRAYS = "EncoreFaceFallback"
_CACHE_SHARE, _CACHE_MOST_MIB = 0.25, 8192


def main() -> int:
    """Run the script and write its frames; the exit code."""
    parser = argparse.ArgumentParser(prog="encore.worker")
    parser.add_argument("script")
    parser.add_argument("--output", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, help="the first frame that is not taken")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--leash", action="store_true", help="end when stdin closes")
    parser.add_argument("--facts", action="store_true", help="tell the clip's facts, and end")
    arguments = parser.parse_args()
    if arguments.leash:
        hold()
    # From here on file descriptor 1 is stderr, for C code as well; the picture has its own.
    picture = os.fdopen(os.dup(1), "wb", buffering=1 << 20)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    done = 0
    try:
        _bound(arguments.threads)
        whole = load(arguments.script, arguments.output)
        clip = whole[arguments.first : arguments.last]
        tell(_facts(whole, arguments.first))
        if arguments.facts:
            return 0
        _write_header(picture, clip)
        told = 0.0
        strays: dict[int, list[list[int]]] = {}
        for done, frame in enumerate(clip.frames(close=True), start=1):
            _write_frame(picture, frame)
            _note_strays(strays, frame, arguments.first + done - 1)
            if time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                tell({"event": "frames", "done": done})
        picture.close()
    except BrokenPipeError:
        tell({"event": "error", "text": f"nobody took frame {done}", "pipe": True})
        # The buffer cannot be flushed any more; leave without trying.
        os._exit(1)
    except (vs.Error, Exception) as error:
        where = f"frame {arguments.first + done}: " if done else ""
        sys.stderr.write(f"{error}\n")
        memory = isinstance(error, MemoryError) or "out of memory" in str(error).lower()
        tell({"event": "error", "text": where + last_line(error), "memory": memory})
        os._exit(1)
    tell({"event": "frames", "done": done})
    tell({"event": "arithmetic", "text": _arithmetic()})
    if strays:
        spans = [[face, *span] for face in sorted(strays) for span in strays[face]]
        tell({"event": "strays", "spans": spans})
    return 0


def load(script: str, output: int) -> vs.VideoNode:
    """Output `output` of a script. Raises vs.Error where it has no such constant video output."""
    outputs = run_script(script)
    if output not in outputs:
        raise vs.Error(f"the script sets no output {output}")
    found = outputs[output]
    clip = found.clip if isinstance(found, vs.VideoOutputTuple) else found
    if not isinstance(clip, vs.VideoNode):
        raise vs.Error(f"output {output} of the script is no video")
    if clip.format.color_family == vs.RGB or clip.format.sample_type != vs.INTEGER:
        raise vs.Error(f"output {output} is {clip.format.name}; an encoder wants integer YUV")
    if clip.width == 0 or clip.fps == 0:
        raise vs.Error(
            f"output {output} has a variable size or rate; an encoder wants constant ones"
        )
    return clip


def run_script(script: str) -> Mapping[int, object]:
    """Run a script; its outputs by number."""
    runpy.run_path(script, run_name="__vapoursynth__")
    return vs.get_outputs()  # type: ignore[no-any-return]


def last_line(error: Exception) -> str:
    """What an error says; where it brings a whole trace along, the line that it ends with."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    traced = any(line.startswith("Traceback") for line in lines)
    return lines[-1] if traced else " ".join(lines)


def _arithmetic() -> str:
    """What calculated: between two kinds frames may differ in the last rounding."""
    found = platform.machine()
    torch = sys.modules.get("torch")
    if torch is None:
        return found
    found += f" {torch.backends.cpu.get_cpu_capability()}"
    if torch.cuda.is_initialized():
        return f"{found} + {torch.cuda.get_device_name(torch.cuda.current_device())}"
    from vsencore.nets.int8 import supported

    return f"{found}{' VNNI' if supported() else ''}"


def _bound(threads: int | None) -> None:
    """Bound memory and threads to this process's share of the machine."""
    free_mib = psutil.virtual_memory().available / 2**20
    share = _CACHE_SHARE
    if threads is not None:
        share *= min(1.0, threads / (os.cpu_count() or 1))
        vs.core.num_threads = threads
    vs.core.max_cache_size = int(min(_CACHE_MOST_MIB, max(512, free_mib * share)))


def _facts(clip: vs.VideoNode, first: int) -> dict[str, object]:
    with clip.get_frame(first) as frame:
        props = dict(frame.props)
    return {
        "event": "clip",
        "width": clip.width,
        "height": clip.height,
        "frames": clip.num_frames,
        "rate": f"{clip.fps.numerator}/{clip.fps.denominator}",
        "format": clip.format.name,
        "matrix": props.get("_Matrix", 2),
        "transfer": props.get("_Transfer", 2),
        "primaries": props.get("_Primaries", 2),
        "full_range": props.get("_Range", 0) == 1,
        "chroma_location": props.get("_ChromaLocation", 0),
        "sample_aspect": f"{props.get('_SARNum', 1) or 1}/{props.get('_SARDen', 1) or 1}",
    }


def _write_header(picture: IO[bytes], clip: vs.VideoNode) -> None:
    form = clip.format
    if form.color_family == vs.GRAY:
        name = "mono"
    else:
        subsampling = {(1, 1): "420", (1, 0): "422", (0, 0): "444", (0, 1): "440", (2, 0): "411"}
        name = subsampling[form.subsampling_w, form.subsampling_h]
    depth = "" if form.bits_per_sample == 8 else f"p{form.bits_per_sample}"
    depth = depth.removeprefix("p") if name == "mono" else depth
    rate = f"{clip.fps.numerator}:{clip.fps.denominator}"
    header = f"YUV4MPEG2 C{name}{depth} W{clip.width} H{clip.height} F{rate} Ip A0:0\n"
    picture.write(header.encode("ascii"))


def _write_frame(picture: IO[bytes], frame: vs.VideoFrame) -> None:
    picture.write(b"FRAME\n")
    for plane in range(frame.format.num_planes):
        picture.write(np.ascontiguousarray(np.asarray(frame[plane])).data)


def _note_strays(strays: dict[int, list[list[int]]], frame: vs.VideoFrame, n: int) -> None:
    """Remember the faces of a frame for which a model of faces was not used, in spans of frames."""
    told = frame.props.get(_STRAYS)
    for face in [] if told is None else np.atleast_1d(told).tolist():
        spans = strays.setdefault(face, [])
        if spans and spans[-1][1] == n - 1:
            spans[-1][1] = n
        else:
            spans.append([n, n])


def tell(event: dict[str, object]) -> None:
    """Tell the parent something, as a line of JSON."""
    # One write, so that a line of JSON is never cut by what another thread prints.
    os.write(2, (json.dumps(event) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
