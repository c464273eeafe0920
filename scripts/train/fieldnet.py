"""Trains the networks that restore: on a processor or a GPU, for as long as it is given.

    sh scripts/run python scripts/train/degrade.py --out DATA/train --films 150 --seed 1000
    sh scripts/run python scripts/train/degrade.py --out DATA/val --films 10 --seed 900000 \
        --split val
    sh scripts/run python scripts/train/pack.py DATA/train DATA/packed/train
    sh scripts/run python scripts/train/pack.py DATA/val DATA/packed/val
    sh scripts/run python scripts/train/fieldnet.py --config scripts/train/base.toml \
        --data DATA/packed --out RUN [--minutes 60] [--device cuda]

`base_frames.toml` wants films that `degrade.py --progressive` made, in folders of their own.

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
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from vsencore.nets import Restorer, Shape
from vsencore.nets.int8 import measured
from vsencore.nets.restorer import finished

sys.path.insert(0, str(Path(__file__).parent))
from samples import Pack, Sample, draw, draw_pairs, fixed, joined, packs

_EMA = 0.999
# The part that steadiness has in what is learned.
_FLICKER = 0.5
_OCTAVES = 3
_AROUND_PX = 9
_CHECKPOINT_S = 120
_LOG_S = 60
_VALIDATION_SAMPLES = 24
_MEASURED_SAMPLES = 64


@dataclass(frozen=True)
class Recipe:
    """A training, as its TOML file holds it.

    texture: the part that `texture` has in what is learned; 0 is faithful, 1 is vivid.
    """

    kind: str
    channels: int
    blocks: int
    deep: int
    reach: int
    scale: int
    batch: int
    crop_rows: int
    crop_columns: int
    learning_rate: float
    minutes: float
    seed: int
    texture: float = 0.0

    @property
    def shape(self) -> Shape:
        """The network that is trained."""
        names = ("kind", "channels", "blocks", "deep", "reach", "scale")
        return Shape.from_facts({name: str(getattr(self, name)) for name in names})

    @property
    def crop(self) -> tuple[int, int]:
        """Rows and columns of cells in a sample."""
        return self.crop_rows, self.crop_columns


class Average:
    """The running average of a network's weights; early on it follows faster."""

    def __init__(self, network: Restorer) -> None:
        self.weights = {n: p.detach().clone() for n, p in network.state_dict().items()}

    def follow(self, network: Restorer, step: int) -> None:
        """Move towards the network's weights."""
        keep = min(_EMA, (1 + step) / (10 + step))
        for name, weight in network.state_dict().items():
            self.weights[name].lerp_(weight, 1 - keep)


def made(network: Restorer, sample: Sample, said: Any = None) -> tuple[Tensor, Tensor]:
    """Luma and chroma of samples; `said` stands for the network's own, compiled."""
    told = (said or network.said)(sample.numbers(network.shape))
    return finished(network.shape, told.float(), sample.centre())


def loss(made: tuple[Tensor, Tensor], truth: tuple[Tensor, Tensor]) -> Tensor:
    """Charbonnier of luma and chroma, and of luma's slopes, where blur shows."""
    error = made[0] - truth[0]
    slopes = _charbonnier(error.diff(dim=-1)) + _charbonnier(error.diff(dim=-2))
    return _charbonnier(error) + 0.5 * slopes + _charbonnier(made[1] - truth[1])


def flicker(
    made: tuple[Tensor, Tensor], truth: tuple[Tensor, Tensor], turned: list[tuple[bool, bool]]
) -> Tensor:
    """How much the errors of pairs change from a moment to the next (`samples.draw_pairs`).

    Of fields the two have different lines of the same picture: what is made of them must not show
    which.
    """
    total = torch.zeros((), device=made[0].device)
    for mine, true in zip(made, truth, strict=True):
        error = mine - true
        first, second = (
            torch.stack(
                [e.flip(-2) if t[n] else e for e, t in zip(error[n::2], turned, strict=True)]
            )
            for n in (0, 1)
        )
        total = total + _charbonnier(first - second)
    return total


def texture(made: Tensor, truth: Tensor) -> Tensor:
    """How far the contrast of each of luma's three finest octaves is from the truth's.

    What is judged pixel by pixel gives the mean of all that could have been there, which has less
    contrast than any of them. This asks, around each pixel and octave by octave, for as much
    contrast as the truth has, wherever it lies (after the contrast term of SSIM, Wang et al. 2004,
    and the statistics of Portilla and Simoncelli 2000).
    """
    return sum(
        (
            _charbonnier(mine - true)
            for mine, true in zip(contrasts(made), contrasts(truth), strict=True)
        ),
        torch.zeros((), device=made.device),
    )


def contrasts(luma: Tensor) -> list[Tensor]:
    """The local deviation of each of the three finest octaves of (N, 1, rows, columns)."""
    found = []
    for _ in range(_OCTAVES):
        smooth = functional.avg_pool2d(luma, 2)
        detail = luma - functional.interpolate(
            smooth, size=luma.shape[-2:], mode="bilinear", align_corners=False
        )
        power = functional.avg_pool2d(detail * detail, _AROUND_PX, 2, _AROUND_PX // 2)
        found.append(torch.sqrt(power + 1e-6))
        luma = smooth
    return found


def _charbonnier(error: Tensor) -> Tensor:
    return torch.sqrt(error * error + 1e-6).mean()


def psnr(error: Tensor) -> float:
    """Decibels below the span from black to white."""
    return -10 * math.log10(max(float((error.float() ** 2).mean()), 1e-12))


def validated(network: Restorer, samples: list[Sample], device: torch.device) -> dict[str, float]:
    """Mean decibels over the fixed samples, and the part of the finest contrast that is there."""
    luma, chroma, contrast = [], [], []
    with torch.inference_mode():
        for sample in samples:
            there = sample.to(device)
            y, uv = made(network, there)
            truth = there.truth()
            luma.append(psnr(y.clamp(0, 1) - truth[0]))
            chroma.append(psnr(uv - truth[1]))
            contrast.append(float(contrasts(y)[0].mean() / contrasts(truth[0])[0].mean()))
    return {
        "psnr_y": float(np.mean(luma)),
        "psnr_uv": float(np.mean(chroma)),
        "contrast": float(np.mean(contrast)),
    }


def ranges(network: Restorer, recipe: Recipe, cut: list[Pack], device: torch.device) -> Tensor:
    """How far the features of each layer go in nine of ten samples of the training."""
    dice = np.random.default_rng(recipe.seed)
    found = []
    with torch.no_grad():
        for _ in range(_MEASURED_SAMPLES):
            there = draw(cut, dice, 1, recipe.crop).to(device)
            found.append(measured(network, there.numbers(network.shape)))
    return torch.stack(found).quantile(0.9, 0)


def supplied(
    recipe: Recipe, cut: list[Pack], start: int, ready: int = 4
) -> Iterator[tuple[Sample, list[tuple[bool, bool]]]]:
    """Batches without end, cut by a thread ahead of their use; the same for the same step.

    Two of three samples of a batch are pairs of moments, for `flicker`, and stand first.
    """
    queue: Queue[tuple[Sample, list[tuple[bool, bool]]]] = Queue(ready)
    pairs = recipe.batch // 3

    def supply() -> None:
        step = start
        while True:
            dice = np.random.default_rng([recipe.seed, step])
            paired, turned = draw_pairs(cut, dice, pairs, recipe.crop)
            single = draw(cut, dice, recipe.batch - 2 * pairs, recipe.crop)
            queue.put((joined([paired, single]), turned))
            step += 1

    threading.Thread(target=supply, daemon=True).start()
    while True:
        yield queue.get()


def preview(network: Restorer, sample: Sample, device: torch.device, path: Path) -> None:
    """Write a strip: the fixed kernel alone, the network's, the truth."""
    there = sample.to(device)
    bare = Restorer(network.shape).to(device)
    for parameter in bare.parameters():
        parameter.data.zero_()
    with torch.inference_mode():
        shown = [made(bare, there)[0], made(network, there)[0], there.truth()[0]]
    strip = torch.cat([one[0, 0].cpu() for one in shown], 1).clamp(0, 1)
    Image.fromarray((strip * 255).round().byte().numpy()).save(path)


def commit(path: Path, write: Any) -> None:
    """Write beside a file and rename: a file under its name is whole."""
    part = path.with_name(path.name + ".part")
    write(part)
    os.replace(part, path)


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    device: torch.device,
    compiled: bool,
    begin: Path | None = None,
) -> None:
    """Train until the minutes are over; `begin` with another network's weights where they fit."""
    packed, held_out = packs(data / "train"), packs(data / "val")
    if not packed or not held_out:
        raise SystemExit(f"{data} holds no samples; pack some films with scripts/train/pack.py")
    _check_kind(recipe, packed + held_out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = Restorer(recipe.shape).to(device, memory_format=torch.channels_last)
    if begin is not None:
        _begin(network, begin)
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
    samples = fixed(held_out, _VALIDATION_SAMPLES, (48, 120))
    said = torch.compile(network.said) if compiled else network.said
    half = device.type == "cuda"
    begun, told, saved, running = time.monotonic() - spent, spent, spent, 0.0
    for batch, turned in supplied(recipe, packed, step):
        spent = time.monotonic() - begun
        share = min(spent / (60 * recipe.minutes), 1)
        rate = recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in chooser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 200)
        there = batch.to(device)
        cast = torch.autocast("cuda", torch.bfloat16) if half else contextlib.nullcontext()
        with cast:
            shown, truth = made(network, there, said), there.truth()
            wrong = loss(shown, truth)
            if recipe.texture:
                wrong = wrong + recipe.texture * texture(shown[0], truth[0])
            if turned:
                paired = slice(0, 2 * len(turned))
                wrong = wrong + _FLICKER * flicker(
                    (shown[0][paired], shown[1][paired]),
                    (truth[0][paired], truth[1][paired]),
                    turned,
                )
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
            shadow.load_state_dict(average.weights)
            average.weights["ranges"] = ranges(shadow, recipe, packed, device)
            _save(out, network, average, chooser, step, spent)
            preview(shadow, samples[1], device, out / "preview.png")
        if over:
            return


def _begin(network: Restorer, weights: Path) -> None:
    """Take the layers that fit from another network.

    The last says other things where the other network has another shape.
    """
    mine = network.state_dict()
    theirs = load_file(weights)
    with safe_open(weights, "pt") as opened:
        facts = opened.metadata()
    alike = facts.items() >= network.shape.facts().items()
    fitting = {
        name: tensor
        for name, tensor in theirs.items()
        if name in mine
        and tensor.shape == mine[name].shape
        and (alike or not name.startswith("tail"))
    }
    network.load_state_dict(fitting, strict=False)
    print(f"begun with {len(fitting)} of {len(mine)} tensors of {weights}", flush=True)


def _check_kind(recipe: Recipe, packed: list[Pack]) -> None:
    """Refuse frames where fields are learned, and fields where frames are."""
    lines = 2 * recipe.shape.down * recipe.scale
    for pack in packed:
        arrays = pack.arrays
        if arrays["truth_y"].shape[2] != lines * arrays["cells"].shape[2]:
            raise SystemExit(f"{pack.folder} does not hold {recipe.kind} at scale {recipe.scale}")


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
    parser.add_argument("--begin", type=Path, help="weights to begin with, where they fit")
    given = parser.parse_args()
    told = tomllib.loads(given.config.read_text())
    if given.minutes is not None:
        told["minutes"] = given.minutes
    device = torch.device(given.device)
    train(Recipe(**told), given.data, given.out, device, given.compile, given.begin)
    return 0


if __name__ == "__main__":
    sys.exit(main())
