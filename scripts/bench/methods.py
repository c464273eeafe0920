"""Ways from an SD recording to a large picture, as VapourSynth graphs; one is run as a program.

    python scripts/bench/methods.py FOLDER "bwdif + lanczos" --out FILE.yuv

FOLDER is a judged case (see `judged`). All frames of the result are written raw, YUV420P10 in the
source's matrix; then the chain is timed on the same source, looped. What was measured is the last
line of output, as JSON. A process runs one method, so that its peak memory is that method's own.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from peak import peak_mib

import vsencore

__all__ = [
    "ALONE",
    "OURS",
    "PEERS",
    "available",
    "bob",
    "clip_of",
    "recording",
    "undamaged",
    "write",
]

Planes = Sequence[NDArray[Any]]
type Build = Callable[[vs.VideoNode, "Order"], vs.VideoNode]

OURS = "ours: "
ALONE = "alone: "
_LOOPS = 10000
# A chain that works in blocks is caught in the middle of one; many frames make that small.
_LEAST_TIMED = 16


@dataclass(frozen=True)
class Order:
    """How large the result is to be, and where it is made."""

    width: int
    height: int
    device: str
    peers: Path


def _whole(clip: vs.VideoNode, method: str) -> vs.VideoNode:
    """Whole frames; a progressive recording has them."""
    if clip.get_frame(0).props["_FieldBased"] == 0:
        return clip
    return vsencore.deinterlace(clip, method)


def _qtgmc(clip: vs.VideoNode) -> vs.VideoNode:
    return vsencore.restore(_whole(clip, "qtgmc"))


def _scaled(clip: vs.VideoNode, order: Order, method: str) -> vs.VideoNode:
    return vsencore.upscale(clip, order.height, method, width=order.width, matrix="keep")


def _published(clip: vs.VideoNode, order: Order, name: str) -> vs.VideoNode:
    import peers  # brings torch, which the classical chains do without

    stage = {"rt4ksr": peers.Rt4ksr, "fsrcnn": peers.Fsrcnn}[name](order.peers)
    return vsencore.chain(
        _qtgmc(clip),
        [stage],
        height=order.height,
        width=order.width,
        format=vs.YUV420P10,
        matrix="keep",
        device=order.device,
    )


def _alone(clip: vs.VideoNode, order: Order, weights: str) -> vs.VideoNode:
    import alone  # brings torch

    fields = clip.get_frame(0).props["_FieldBased"] != 0
    return vsencore.chain(
        clip.std.SeparateFields() if fields else clip,
        [alone.stage(weights, "fields" if fields else "frames")],
        height=order.height,
        width=order.width,
        format=vs.YUV420P10,
        matrix="keep",
        device=order.device,
    )


PEERS: dict[str, Build] = {
    "bwdif + lanczos": lambda clip, order: _scaled(_whole(clip, "bwdif"), order, "lanczos"),
    "qtgmc + degrain + nnedi3": lambda clip, order: _scaled(_qtgmc(clip), order, "nnedi3"),
    "qtgmc + degrain + rt4ksr": lambda clip, order: _published(clip, order, "rt4ksr"),
    "qtgmc + degrain + fsrcnn": lambda clip, order: _published(clip, order, "fsrcnn"),
}


def available(peers: Path) -> tuple[list[str], list[str]]:
    """The peers that can run here, and a line for each that cannot."""
    files = {
        "qtgmc + degrain + rt4ksr": peers / "rt4ksr_x2.pth",
        "qtgmc + degrain + fsrcnn": peers / "FSRCNN_x2.pb",
    }
    lacks = {name: file for name, file in files.items() if not file.exists()}
    notes = [f"{name} is left out: {file} is not there" for name, file in lacks.items()]
    return [name for name in PEERS if name not in lacks], notes


def clip_of(frames: Sequence[Planes], format: int, rate: tuple[int, int]) -> vs.VideoNode:
    """A clip of arrays; they are copied once, and held."""
    blank = vs.core.std.BlankClip(
        format=format,
        width=frames[0][0].shape[1],
        height=frames[0][0].shape[0],
        length=len(frames),
        fpsnum=rate[0],
        fpsden=rate[1],
        keep=True,
    )

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.copy()
        for number, plane in enumerate(frames[n]):
            np.asarray(frame[number])[:] = plane
        return frame

    held = [frame.copy() for frame in blank.std.ModifyFrame(blank, draw).frames()]
    return blank.std.ModifyFrame(blank, lambda n, f: held[n])


def recording(folder: Path) -> vs.VideoNode:
    """The judged case's recording, with all that a source filter would say of it."""
    about = json.loads((folder / "about.json").read_text())
    planes = [np.load(folder / f"{name}.npy") for name in "yuv"]
    pal = about["system"] == "pal"
    frames = list(zip(*planes, strict=True))
    clip = clip_of(frames, vs.YUV420P8, (25, 1) if pal else (30000, 1001))
    return clip.std.SetFrameProps(
        _FieldBased=(2 if about["top_first"] else 1) if about["interlaced"] else 0,
        _Matrix=5 if pal else 6,
        _Primaries=5 if pal else 6,
        _Transfer=6,
        _Range=0,
        _ChromaLocation=0,
    )


def bob(folder: Path) -> vs.VideoNode:
    """What is there: each field drawn out over the frame, each in its own place."""
    about = json.loads((folder / "about.json").read_text())
    if not about["interlaced"]:
        size = about["width"], about["height"]
        return recording(folder).resize.Bicubic(*size, format=vs.YUV420P10)
    top_first = about["top_first"]
    fields = recording(folder).std.SeparateFields(tff=top_first).std.SetFieldBased(0)

    def drawn(first: int, top: bool) -> vs.VideoNode:
        # A top field's lines lie a quarter of a field line above where a frame's would.
        return fields[first::2].resize.Bicubic(
            about["width"], about["height"], format=vs.YUV420P10, src_top=0.25 if top else -0.25
        )

    return vs.core.std.Interleave([drawn(0, top_first), drawn(1, not top_first)])


def undamaged(truth: Sequence[Planes], width: int, height: int, matrix: int) -> vs.VideoNode:
    """What SD alone costs: the truth brought to whole SD frames and back, one moment at a time."""
    clip = clip_of(truth, vs.YUV420P10, (50, 1))
    clip = clip.std.SetFrameProps(
        _FieldBased=0, _Matrix=matrix, _Primaries=matrix, _Transfer=6, _Range=0, _ChromaLocation=0
    )
    small = clip.resize.Bicubic(width, height)
    return vsencore.upscale(small, clip.height, "lanczos", width=clip.width, matrix="keep")


def write(clip: vs.VideoNode, path: Path) -> None:
    """All frames of a clip, raw and planar."""
    with path.open("wb") as file:
        for frame in clip.frames(close=True):
            for plane in frame:
                file.write(np.ascontiguousarray(np.asarray(plane)))


def pace(clip: vs.VideoNode, seconds: float) -> tuple[float, float]:
    """Frames a second once it flows, and core seconds a frame."""
    threads = vs.core.num_threads
    # Frames that are asked for ahead are work done: a short queue keeps the count honest.
    frames = clip.frames(prefetch=threads, backlog=2 * threads)
    began, warm = time.perf_counter(), 0
    while warm < _LEAST_TIMED or time.perf_counter() - began < seconds / 4:
        next(frames).close()
        warm += 1
    count, started, worked = 0, time.perf_counter(), time.process_time()
    while True:
        next(frames).close()
        count += 1
        taken = time.perf_counter() - started
        if count >= _LEAST_TIMED and taken >= seconds:
            break
    cores = time.process_time() - worked
    frames.close()
    return count / taken, cores / count


def main() -> int:
    """Run one method of one case; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="a judged case")
    parser.add_argument("method", choices=[*PEERS, "remaster", "alone"])
    parser.add_argument("--weights", help="for remaster and alone: a name or a file")
    parser.add_argument("--out", type=Path, required=True, help="the frames, raw YUV420P10")
    parser.add_argument(
        "--seconds", type=float, default=4, help="how long to time; 0 is not at all"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--peers", type=Path, default=Path(), help="the folder of published models")
    given = parser.parse_args()

    about = json.loads((given.folder / "about.json").read_text())
    order = Order(about["width"], about["height"], given.device, given.peers)

    def build(clip: vs.VideoNode) -> vs.VideoNode:
        if given.method == "alone":
            return _alone(clip, order, given.weights)
        if given.method != "remaster":
            return PEERS[given.method](clip, order)
        return vsencore.remaster(
            clip,
            height=order.height,
            width=order.width,
            model=given.weights,
            device=order.device,
            format=vs.YUV420P10,
            matrix="keep",
        )

    source = recording(given.folder)
    write(build(source), given.out)
    found: dict[str, float] = {}
    if given.seconds > 0:
        # Looped here and not at the end of a chain, where the cache would answer for the filters.
        fps, core_s = pace(build(source.std.Loop(_LOOPS)), given.seconds)
        found |= {"fps": fps, "core_s": core_s}
    found |= {"peak_mib": peak_mib(), "device_mib": _device_mib()}
    print(json.dumps(found))
    return 0


def _device_mib() -> float:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0.0
    return float(torch.cuda.max_memory_allocated()) / 2**20


if __name__ == "__main__":
    sys.exit(main())
