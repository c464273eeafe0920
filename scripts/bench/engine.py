"""Measures the picture engine on the device it finds: how much of the bare network it gives.

    sh scripts/run python scripts/bench/engine.py [--device cuda] [--frames 8] [--json FILE]

A Compact network (64 features, 16 convolutions, random weights) at x2 and x4, from a 720x576
YUV420P8 clip to YUV420P10: our chain; the bare network on a resident tensor; and, on CUDA,
vs-realesrgan (`pip install --no-deps vsrealesrgan`) with the same weights, written as its users
write it. Then three stages as one chain and as three. Each case runs in a process of its own, so
that its peak memory is its own; ratios are of one run of this program. With `--rounds` all cases
run in turn several times and each shows its best: what else a machine does only makes it slower.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import vapoursynth as vs
from peak import peak_mib
from safetensors.torch import load_file
from spandrel.architectures.Compact import Compact

WIDTH, HEIGHT = 720, 576
WARM_FRAMES = 3  # a thread's first frames find its memory cold
# Multiply-adds of a Compact a pixel: 3 -> 64, sixteen 64 -> 64, 64 -> 3 * scale^2, each 3x3.
OPERATIONS = {scale: 2 * 9 * (3 * 64 + 16 * 64 * 64 + 64 * 3 * scale**2) for scale in (2, 4)}


def weights(folder: Path, scale: int) -> Path:
    """A Compact of random weights, small enough that its pictures stay pictures."""
    path = folder / f"compact_x{scale}.safetensors"
    if not path.exists():
        from safetensors.torch import save_file

        torch.manual_seed(scale)
        network = Compact(num_in_ch=3, num_out_ch=3, num_feat=64, num_conv=16, upscale=scale)
        save_file(network.state_dict(), path)
    return path


def clip(frames: int) -> vs.VideoNode:
    """Frames of moving stripes: cheap to make, and not zeros, which some units multiply faster."""
    core = vs.core
    blank = core.std.BlankClip(
        width=WIDTH, height=HEIGHT, format=vs.YUV420P8, length=frames, keep=True
    )
    drawn = blank.akarin.Expr(["X 3 * Y 5 * + N 7 * + 220 % 16 +", "X Y + N + 200 % 28 +"])
    return drawn.std.SetFrameProps(_Matrix=5, _Primaries=5, _Transfer=6, _Range=0)


def rate(node: vs.VideoNode, frames: int) -> float:
    """Frames a second, after the first few; those are over before any other is asked for."""
    for n in range(WARM_FRAMES):
        node.get_frame(n).close()
    began = time.perf_counter()
    for frame in node[WARM_FRAMES:frames].frames(close=True):
        del frame
    return (frames - WARM_FRAMES) / (time.perf_counter() - began)


def bare(folder: Path, device: str, scale: int, frames: int) -> float:
    """The network alone, on a tensor that stays on the device, in the engine's own precision."""
    from vsencore.engine.device import place
    from vsencore.models import ModelStage
    from vsencore.zoo import find

    stage = ModelStage(find(str(weights(folder, scale))))
    where = place(device, [stage])
    batch = where.batch(HEIGHT * scale, WIDTH * scale)
    ready = stage.to(where.device, where.dtype)
    window = torch.rand(batch, 1, 3, HEIGHT, WIDTH, device=where.device, dtype=where.dtype)
    with torch.inference_mode():
        for _ in range(WARM_FRAMES):
            ready.run(window)
        _wait(device)
        began = time.perf_counter()
        rounds = -(-frames // batch)
        for _ in range(rounds):
            ready.run(window)
        _wait(device)
    return rounds * batch / (time.perf_counter() - began)


def chained(folder: Path, device: str, scale: int, frames: int) -> float:
    """Our chain, YUV in to YUV out."""
    import vsencore

    path = str(weights(folder, scale))
    node = vsencore.model(
        clip(frames + WARM_FRAMES), path, device=device, format=vs.YUV420P10, matrix="709"
    )
    return rate(node, frames + WARM_FRAMES)


def peer(folder: Path, device: str, scale: int, frames: int, streams: int, batch: int) -> float:
    """vs-realesrgan with the same weights: RGBH in, RGBH out, converted by resize on both sides."""
    from vsrealesrgan import realesrgan  # type: ignore[import-not-found]

    path = folder / f"compact_x{scale}.pth"
    torch.save({"params": load_file(weights(folder, scale))}, path)
    rgb = clip(frames + WARM_FRAMES).resize.Bicubic(format=vs.RGBH, matrix_in=5)
    large = realesrgan(
        rgb, num_streams=streams, batch_size=batch, model_path=str(path), device_index=0
    )
    back = large.resize.Bicubic(format=vs.YUV420P10, matrix=1)
    return rate(back, frames + WARM_FRAMES)


class Smooth:
    """A cheap stage, so that what is between stages shows: a 3x3 mean."""

    reach, scale = 0, 1

    @property
    def needs(self) -> Any:
        """Any precision, a pixel of sight."""
        from vsencore.engine.stage import Needs

        every = frozenset({torch.float32, torch.float16, torch.bfloat16})
        return Needs(receptive_px=1, precisions=every)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Smooth":
        """No weights to move."""
        return self

    def run(self, window: torch.Tensor) -> torch.Tensor:
        """The mean of each pixel and its eight neighbours."""
        return torch.nn.functional.avg_pool2d(window[:, 0], 3, 1, 1, count_include_pad=False)


def three(folder: Path, device: str, frames: int, fused: bool) -> float:
    """Smooth, Compact x2, Smooth: as one chain, or as three that each cross to VapourSynth."""
    from vsencore.engine.bridge import chain
    from vsencore.models import ModelStage
    from vsencore.zoo import find

    stages = [Smooth(), ModelStage(find(str(weights(folder, 2)))), Smooth()]
    node = clip(frames + WARM_FRAMES)
    if fused:
        node = chain(node, stages, device=device, format=vs.YUV420P10, matrix="keep")
    else:
        for stage in stages:
            node = chain(node, [stage], device=device, format=vs.YUV420P16, matrix="keep")
        node = node.resize.Point(format=vs.YUV420P10)
    return rate(node, frames + WARM_FRAMES)


def matrix_rate(device: str) -> float:
    """Multiply-adds a second, times two, of a large matrix product in the engine's precision."""
    from vsencore.engine.device import place

    where = place(device, [])
    dtype = torch.float32 if where.device.type == "cpu" else torch.float16
    side = 1536 if where.device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, device=where.device, dtype=dtype) for _ in range(2))
    a @ b
    _wait(device)
    began, rounds = time.perf_counter(), 5
    for _ in range(rounds):
        a @ b
    _wait(device)
    return 2.0 * rounds * side**3 / (time.perf_counter() - began)


def cases(device: str) -> dict[str, Callable[[Path, int], float]]:
    """Everything that is measured, by name."""
    found: dict[str, Callable[[Path, int], float]] = {}
    for scale in (2, 4):
        found[f"bare x{scale}"] = lambda folder, n, s=scale: bare(folder, device, s, n)  # type: ignore[misc]
        found[f"chain x{scale}"] = lambda folder, n, s=scale: chained(folder, device, s, n)  # type: ignore[misc]
        if device.startswith("cuda"):
            for streams, batch in ((1, 1), (3, 1), (1, 4), (3, 4)):
                found[f"vs-realesrgan x{scale} streams {streams} batch {batch}"] = (
                    lambda folder, n, s=scale, k=streams, b=batch: peer(folder, device, s, n, k, b)  # type: ignore[misc]
                )
    found["three stages fused"] = lambda folder, n: three(folder, device, n, True)
    found["three stages unfused"] = lambda folder, n: three(folder, device, n, False)
    found["matrix product"] = lambda folder, n: matrix_rate(device)
    return found


def main() -> int:
    """Run all cases, or one as a child; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--frames", type=int, help="frames timed a case (CPU 4, CUDA 400)")
    parser.add_argument("--rounds", type=int, default=1, help="of all cases; the best counts")
    parser.add_argument("--only", help="cases whose name holds this")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    frames = given.frames or (400 if given.device.startswith("cuda") else 4)
    if given.case:
        figure = cases(given.device)[given.case](given.folder, frames)
        peak = peak_mib()
        on_device = (
            torch.cuda.max_memory_allocated() / 2**20 if given.device.startswith("cuda") else 0.0
        )
        print(json.dumps({"rate": figure, "peak_mib": peak, "device_mib": on_device}))
        return 0
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        chosen = [name for name in cases(given.device) if (given.only or "") in name]
        for name in chosen * given.rounds:
            command = [sys.executable, __file__, "--device", given.device, "--case", name]
            command += ["--frames", str(frames), "--folder", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name:<42} failed: {done.stderr.strip().splitlines()[-1]}")
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            if name not in results or found["rate"] > results[name]["rate"]:
                results[name] = found
    _table(results, given.device, frames)
    if given.json:
        given.json.write_text(json.dumps({"device": given.device, "cases": results}, indent=2))
    return 0


def _table(results: dict[str, dict[str, float]], device: str, frames: int) -> None:
    matrix = results.pop("matrix product", {"rate": float("nan")})["rate"]
    name = torch.cuda.get_device_name() if device.startswith("cuda") else f"{device}, "
    name += "" if device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    print(f"{name}; {WIDTH}x{HEIGHT}, {frames} frames; matrix product {matrix / 1e9:.0f} GFLOP/s")
    print(f"{'case':<42} {'fps':>9} {'of bare':>8} {'of matrix':>9} {'peak MiB':>9} {'device':>8}")
    for case, result in results.items():
        scale = 4 if "x4" in case else 2
        against = results.get(f"bare x{scale}", {"rate": float("nan")})["rate"]
        share = result["rate"] * WIDTH * HEIGHT * OPERATIONS[scale] / matrix
        print(
            f"{case:<42} {result['rate']:9.3f} {result['rate'] / against:8.2f} {share:9.2f} "
            f"{result['peak_mib']:9.0f} {result['device_mib']:8.0f}"
        )
    fused, unfused = (results.get(f"three stages {kind}") for kind in ("fused", "unfused"))
    if fused and unfused:
        print(f"fused is {fused['rate'] / unfused['rate']:.2f} times unfused")
    peers = [r["rate"] for case, r in results.items() if case.startswith("vs-realesrgan x2")]
    if peers:
        print(f"chain x2 is {results['chain x2']['rate'] / max(peers):.2f} times the best peer")


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())
