"""Makes recordings to train on, each beside its truth.

    sh scripts/run python scripts/train/degrade.py --out DIR --films 150 --seed 1000 --split train

A film is 24 moments of a mosaic of 3 x 3 scenes, lit tile by tile and recorded in one pass, so that
the codec has as much to do as in a real picture. A film is a folder of plain arrays (they can be
memory-mapped): `y u v.npy`, the recording's fields in the order of time (frames, with
`--progressive`); `truth_y u v.npy`, the clean lit picture at twice SD, 4:2:0 progressive, BT.601
limited, at the moments that `moments.npy` names; and `recipe.json`. What is there is not made
again; a film is there only when it is whole.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from motion import Split, scene
from numpy.typing import NDArray

from encore.degradation import Recipe, draw, light_up, record

Pictures = NDArray[np.uint8]

MOMENTS = 24
TRUTHS = 8
REACH = 3
GRID = 3


@dataclass(frozen=True)
class Order:
    """One film to make."""

    out: Path
    number: int
    seed: int
    split: Split
    progressive: bool


def main() -> None:
    """Make the films that are asked for and not there."""
    asked = _arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    orders = [
        Order(asked.out, number, asked.seed + number, asked.split, asked.progressive)
        for number in range(1, asked.films + 1)
        if not _folder(asked.out, number).exists()
    ]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # workers read it as they begin: one film, one thread
    began = time.monotonic()
    with get_context("spawn").Pool(min(asked.workers, max(1, len(orders)))) as pool:
        for done, said in enumerate(pool.imap_unordered(make, orders), 1):
            each = (time.monotonic() - began) / done
            print(f"{said}; {done}/{len(orders)}, {each:.1f} s a film", flush=True)


def make(order: Order) -> str:
    """Make one film and say what it is."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(order.seed)
    recipe = draw(rng, interlaced=not order.progressive)
    truth, tiles = _mosaic(rng, recipe, order.split)
    recording = record(truth, recipe)
    if recipe.interlaced:
        y, u, v = recording.fields()
    else:
        y, u, v = recording.y, recording.u, recording.v
    moments = np.sort(rng.choice(np.arange(REACH, MOMENTS - REACH), TRUTHS, replace=False))
    truth_y, truth_u, truth_v = _clean(truth[moments])
    arrays: dict[str, NDArray[Any]] = {
        "y": y,
        "u": u,
        "v": v,
        "moments": moments,
        "truth_y": truth_y,
        "truth_u": truth_u,
        "truth_v": truth_v,
    }
    _write(order, arrays, {**asdict(recipe), "film_seed": order.seed, "tiles": tiles})
    kind = f"{recipe.system} {recipe.light} {recipe.damage} {recipe.codec} {recipe.kbps} kb/s"
    return f"film {order.number}: {kind}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--films", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--split", choices=("train", "val"), default="train")
    parser.add_argument("--progressive", action="store_true", help="every moment a whole frame")
    return parser.parse_args()


def _folder(out: Path, number: int) -> Path:
    return out / f"film_{number:05d}"


def _mosaic(
    rng: np.random.Generator, recipe: Recipe, split: Split
) -> tuple[Pictures, list[dict[str, int]]]:
    """The lit truth at twice SD, and where its tiles are."""
    height, width = 2 * recipe.height, 2 * recipe.width
    tall, wide = height // GRID, width // GRID
    truth = np.empty((MOMENTS, height, width, 3), np.uint8)
    tiles = []
    for number in range(GRID * GRID):
        top, left = number // GRID * tall, number % GRID * wide
        clean = scene(rng, MOMENTS, tall, wide, split)
        lit = light_up(clean, replace(recipe, light_seed=recipe.light_seed + number))
        truth[:, top : top + tall, left : left + wide] = lit
        tiles.append({"top": top, "left": left, "height": tall, "width": wide})
    return truth, tiles


def _clean(truth: Pictures) -> tuple[Pictures, Pictures, Pictures]:
    """R'G'B' as BT.601 limited 4:2:0, chroma left and half way between its two lines."""
    count, height, width, _ = truth.shape
    y = np.empty((count, height, width), np.uint8)
    u, v = (np.empty((count, height // 2, width // 2), np.uint8) for _ in range(2))
    for moment, picture in enumerate(truth):
        r, g, b = (picture[..., n].astype(np.float32) for n in range(3))
        luma = 0.299 * r + 0.587 * g + 0.114 * b
        y[moment] = 16.5 + luma * np.float32(219 / 255)
        for plane, colour, scale in ((u, b, 1.772), (v, r, 1.402)):
            difference = (colour - luma) * np.float32(224 / 255 / scale)
            lines = np.pad(0.5 * (difference[0::2] + difference[1::2]), ((0, 0), (1, 0)), "edge")
            halved = 0.25 * (lines[:, 0:-1:2] + lines[:, 2::2]) + 0.5 * lines[:, 1::2]
            plane[moment] = np.clip(128.5 + halved, 16, 240)
    return y, u, v


def _write(order: Order, arrays: dict[str, NDArray[Any]], facts: dict[str, object]) -> None:
    final = _folder(order.out, order.number)
    part = final.with_suffix(f".part{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name, array in arrays.items():
        np.save(part / f"{name}.npy", array)
    (part / "recipe.json").write_text(json.dumps(facts, indent=1))
    part.rename(final)


if __name__ == "__main__":
    main()
