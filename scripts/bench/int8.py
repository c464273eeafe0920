"""What the network gains and loses by being calculated in bytes.

    sh scripts/run python scripts/bench/int8.py [--case "room 2"]

Printed are the time of the network alone on a PAL field, in float32 and in bytes, best of ten each,
one after the other; and how far a judged case's results differ from the truth both ways.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import judged
import metrics
import torch
from methods import recording, write
from metrics import Film

import vsencore
from vsencore.nets import int8
from vsencore.nets.bundled import load

__all__: list[str] = []

_MOMENTS = 12


def main() -> int:
    """Print both; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--case", default="room 2", choices=[case.name for case in judged.CASES])
    given = parser.parse_args()
    if not int8.supported():
        print("this processor has no VNNI: the network is calculated in floats")
        return 1
    network = load("base", "fields").to(memory_format=torch.channels_last)
    in_bytes = int8.Int8Restorer(network)
    codes = torch.randint(0, 256, (1, network.shape.taken, 144, 360), dtype=torch.uint8)
    codes = codes.contiguous(memory_format=torch.channels_last)
    numbers = int8.numbers(codes)
    with torch.inference_mode():
        slow = _best(lambda: network.said(numbers))
        quick = _best(lambda: in_bytes.said(codes))
    print(f"a PAL field: float32 {1000 * slow:.1f} ms, bytes {1000 * quick:.1f} ms, ", end="")
    print(f"{slow / quick:.1f} times")
    case = next(case for case in judged.CASES if case.name == given.case)
    with tempfile.TemporaryDirectory(prefix="encore-bench-") as place:
        folder = Path(place)
        judged.make(case, _MOMENTS, judged.data_folder(), folder)
        about = json.loads((folder / "about.json").read_text())
        size = about["width"], about["height"]
        truth = Film(folder / "truth.yuv", *size)
        for name, precision in (("float32", "fp32"), ("bytes", "auto")):
            clip = vsencore.remaster(
                recording(folder), size[1], width=size[0], matrix="keep", precision=precision
            )
            out = Film(folder / f"{name}.yuv", *size)
            write(clip, out.path)
            found = metrics.compare(out, truth, 3)
            print(f"{given.case}, {name:<8} PSNR-Y {found.psnr_y:.3f}  PSNR-UV {found.psnr_uv:.3f}")
    return 0


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(10):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
