"""Trains the networks that restore: on a processor or a GPU, for as long as it is given.

    sh scripts/run python scripts/train/degrade.py --out DATA/train --films 150 --seed 1000
    sh scripts/run python scripts/train/degrade.py --out DATA/val --films 10 --seed 900000 \
        --split val
    sh scripts/run python scripts/train/fieldnet.py --config scripts/train/base.toml \
        --data DATA --out RUN [--minutes 60] [--device cuda]

The rate of learning falls as a cosine over the minutes given, whatever the machine manages in them.
An interrupted run goes on where its last checkpoint was when it is started again. RUN holds
`log.jsonl` (a line a minute), `preview.png` (bob, ours, truth) and `weights.safetensors` (the
running average of the weights), which the engine reads as they are.
"""

import argparse
import contextlib
import json
import math
import os
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from vsencore.nets import Restorer, Shape

sys.path.insert(0, str(Path(__file__).parent))
from samples import Film, Sample, draw, films, fixed

_EMA = 0.999
_CHECKPOINT_S = 120
_LOG_S = 60
_VALIDATION_SAMPLES = 24


@dataclass(frozen=True)
class Recipe:
    """A training, as its TOML file holds it."""

    kind: str
    channels: int
    blocks: int
    reach: int
    scale: int
    batch: int
    crop_lines: int
    crop_columns: int
    learning_rate: float
    minutes: float
    seed: int

    @property
    def shape(self) -> Shape:
        """The network that is trained."""
        facts = {name: str(getattr(self, name)) for name in ("kind", "channels", "blocks")}
        return Shape.from_facts({**facts, "reach": str(self.reach), "scale": str(self.scale)})


class Average:
    """The running average of a network's weights; early on it follows faster."""

    def __init__(self, network: Restorer) -> None:
        self.weights = {n: p.detach().clone() for n, p in network.state_dict().items()}

    def follow(self, network: Restorer, step: int) -> None:
        """Move towards the network's weights."""
        keep = min(_EMA, (1 + step) / (10 + step))
        for name, weight in network.state_dict().items():
            self.weights[name].lerp_(weight, 1 - keep)


def loss(made: tuple[Tensor, Tensor], truth: Sample) -> Tensor:
    """Charbonnier of luma and chroma, and of luma's slopes, where blur shows."""
    luma, chroma = made
    error = luma - truth.luma
    slopes = _charbonnier(error.diff(dim=-1)) + _charbonnier(error.diff(dim=-2))
    return _charbonnier(error) + 0.5 * slopes + 0.5 * _charbonnier(chroma - truth.chroma)


def _charbonnier(error: Tensor) -> Tensor:
    return torch.sqrt(error * error + 1e-6).mean()


def psnr(error: Tensor) -> float:
    """Decibels below the span from black to white."""
    return -10 * math.log10(max(float((error.float() ** 2).mean()), 1e-12))


def validated(network: Restorer, samples: list[Sample], device: torch.device) -> dict[str, float]:
    """Mean decibels over the fixed samples."""
    luma, chroma = [], []
    with torch.inference_mode():
        for sample in samples:
            there = sample.to(device)
            y, uv = network(there.window)
            luma.append(psnr(y.clamp(0, 1) - there.luma))
            chroma.append(psnr(uv - there.chroma))
    return {"psnr_y": float(np.mean(luma)), "psnr_uv": float(np.mean(chroma))}


def supplied(recipe: Recipe, made: list[Film], start: int, ready: int = 4) -> Iterator[Sample]:
    """Batches without end, cut by a thread ahead of their use; the same for the same step."""
    queue: Queue[Sample] = Queue(ready)

    def cut() -> None:
        step = start
        while True:
            dice = np.random.default_rng([recipe.seed, step])
            queue.put(
                draw(made, dice, recipe.batch, recipe.reach, recipe.crop_lines, recipe.crop_columns)
            )
            step += 1

    threading.Thread(target=cut, daemon=True).start()
    while True:
        yield queue.get()


def preview(network: Restorer, sample: Sample, device: torch.device, path: Path) -> None:
    """Write a strip: the fixed kernel alone, the network's, the truth."""
    there = sample.to(device)
    bare = Restorer(network.shape).to(device)
    for parameter in bare.parameters():
        parameter.data.zero_()
    with torch.inference_mode():
        shown = [bare(there.window)[0], network(there.window)[0], there.luma]
    strip = torch.cat([one[0, 0].cpu() for one in shown], 1).clamp(0, 1)
    Image.fromarray((strip * 255).round().byte().numpy()).save(path)


def commit(path: Path, write: Any) -> None:
    """Write beside a file and rename: a file under its name is whole."""
    part = path.with_name(path.name + ".part")
    write(part)
    os.replace(part, path)


def train(recipe: Recipe, data: Path, out: Path, device: torch.device, compiled: bool) -> None:
    """Train until the minutes are over."""
    made, held_out = films(data / "train"), films(data / "val")
    if not made or not held_out:
        raise SystemExit(f"{data} holds no films; make some with scripts/train/degrade.py")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = Restorer(recipe.shape).to(device, memory_format=torch.channels_last)
    shadow = Restorer(recipe.shape).to(device, memory_format=torch.channels_last).eval()
    average = Average(network)
    chooser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    step, spent = 0, 0.0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        kept = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(kept["network"])
        average.weights = kept["average"]
        chooser.load_state_dict(kept["chooser"])
        step, spent = int(kept["step"]), float(kept["spent"])
    samples = fixed(held_out, _VALIDATION_SAMPLES, recipe.reach, recipe.crop_lines, 240)
    forward = torch.compile(network) if compiled else network
    half = device.type == "cuda"
    begun, told, saved, running = time.monotonic() - spent, spent, spent, 0.0
    for batch in supplied(recipe, made, step):
        spent = time.monotonic() - begun
        share = min(spent / (60 * recipe.minutes), 1)
        rate = recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in chooser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 200)
        there = batch.to(device)
        cast = torch.autocast("cuda", torch.bfloat16) if half else contextlib.nullcontext()
        with cast:
            wrong = loss(forward(there.window), there)
        chooser.zero_grad(set_to_none=True)
        wrong.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        chooser.step()
        step += 1
        average.follow(network, step)
        running += (float(wrong.detach()) - running) * (0.01 if step > 100 else 1 / step)
        over = share >= 1
        if spent - told >= _LOG_S or over:
            told = spent
            shadow.load_state_dict(average.weights)
            line = {
                "step": step,
                "minutes": round(spent / 60, 2),
                "rate": round(rate, 7),
                "loss": round(running, 6),
                **{k: round(v, 3) for k, v in validated(shadow, samples, device).items()},
            }
            print(json.dumps(line), flush=True)
            with (out / "log.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
        if spent - saved >= _CHECKPOINT_S or over:
            saved = spent
            _save(out, network, average, chooser, step, spent)
            shadow.load_state_dict(average.weights)
            preview(shadow, samples[1], device, out / "preview.png")
        if over:
            return


def _save(
    out: Path,
    network: Restorer,
    average: Average,
    chooser: torch.optim.Optimizer,
    step: int,
    spent: float,
) -> None:
    kept = {
        "network": network.state_dict(),
        "average": average.weights,
        "chooser": chooser.state_dict(),
        "step": step,
        "spent": spent,
    }
    commit(out / "checkpoint.pt", lambda path: torch.save(kept, path))
    weights = {name: w.detach().cpu().contiguous() for name, w in average.weights.items()}
    facts = {"format": "pt", "steps": str(step), **network.shape.facts()}
    commit(out / "weights.safetensors", lambda path: save_file(weights, path, metadata=facts))


def main() -> int:
    """Read the configuration, and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="in place of the configuration's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile: worth it on CUDA")
    given = parser.parse_args()
    told = tomllib.loads(given.config.read_text())
    if given.minutes is not None:
        told["minutes"] = given.minutes
    train(Recipe(**told), given.data, given.out, torch.device(given.device), given.compile)
    return 0


if __name__ == "__main__":
    sys.exit(main())
