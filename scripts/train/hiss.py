"""Train the hiss net: `python scripts/train/hiss.py OUT.safetensors --minutes 20 [--begin OLD]`.

Music of the shared data (CC0 and CC-BY: funk stems in random mixes, jazz, strings, celesta; never
the twenty seconds of each that the bench hears, never the rock stems or the folk song, which are
kept for judging) is varied in speed, width, balance and colour, two pieces at a time now and then,
set 3 to 36 dB above white noise, and turned onto its principal axes as the stage does. The noise is
up to a decibel or so off the level that the net takes it for, as prints are. The loss is the mean
over excerpts of the logarithm of the error that the gain leaves: decibels of SNR gained.
"""

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import torch
from safetensors.torch import load_file, save_file

from encoreaudio.hissnet import PATCH

_DATA = Path(os.environ.get("ENCORE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
_RATE_HZ = 44100
_SIZE = 4096
_FRAMES = 81920
_BATCH = 6
_HIDDEN = 32
_STEMS = ("bassguitar", "clav", "drums", "horns", "leadguitar")
_HELD_OUT_S = {"vibe_ace": 20, "hungarian_dance": 10, "sugar_plum": 20, "funk": 20}

type Samples = npt.NDArray[np.float32]


class HissNet(torch.nn.Module):
    """From the excess of a coefficient, and of its strongest companion, to the gain."""

    def __init__(self) -> None:
        super().__init__()
        cells = PATCH * PATCH
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(2 * cells, _HIDDEN, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(_HIDDEN, _HIDDEN, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(_HIDDEN, cells, 3, padding=1),
        )
        self.slope = torch.nn.Parameter(torch.ones(1))

    def forward(self, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Two maps of excess (batch, frames, bins), of multiples of four; the gain, 0 to 1."""
        maps = torch.stack((own, other), 1) / 3
        folded = torch.nn.functional.pixel_unshuffle(maps, PATCH)
        raw = self.layers(folded.contiguous(memory_format=torch.channels_last))
        logit = torch.nn.functional.pixel_shuffle(raw, PATCH)[:, 0]
        return torch.sigmoid(logit + self.slope * own)


def excess(power: torch.Tensor) -> torch.Tensor:
    """How the net likes to see a power of which the noise has 1 on average."""
    return torch.log(power + 0.1)


def main() -> None:
    """Train for so many minutes by the clock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--begin", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    random = np.random.default_rng(asked.seed)
    pieces = _pieces()
    net = HissNet()
    if asked.begin:
        net.load_state_dict(load_file(asked.begin))
    optimiser = torch.optim.AdamW(net.parameters(), 4e-3, weight_decay=1e-4)
    began, step = time.monotonic(), 0
    while (share := (time.monotonic() - began) / 60 / asked.minutes) < 1:
        for group in optimiser.param_groups:
            warm = min(1, (step + 1) / 30)
            group["lr"] = 4e-3 * warm * (0.5 + 0.5 * math.cos(math.pi * share)) + 2e-5
        clean = torch.from_numpy(np.stack([_excerpt(pieces, random) for _ in range(_BATCH)]))
        error, ideal = _errors(net, clean, random)
        optimiser.zero_grad()
        torch.log(error + 0.003).mean().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % 20 == 0:
            over = 10 * torch.log10(error.detach() / ideal).mean().item()
            print(f"{step} steps, {over:.2f} dB over the ideal Wiener gain", flush=True)
            _save(net, asked.out)
    _save(net, asked.out)


def _save(net: HissNet, out: Path) -> None:
    part = out.with_name(out.name + ".part")
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, part)
    os.replace(part, out)


def _errors(
    net: HissNet, clean: torch.Tensor, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean square that is left, by excerpt: with the net's gain, and with the ideal one."""
    with torch.no_grad():
        off = torch.from_numpy(10 ** (random.normal(0, 0.5, (len(clean), 1, 1)) / 20)).float()
        noisy = _spectra(clean + torch.randn(clean.shape) * off)
        turn = _turn(noisy)
        seen, wanted = _turned(noisy, turn), _turned(_spectra(clean), turn)
        power, music = seen.abs().square(), wanted.abs().square()
        common = (seen.conj() * wanted).real
        own = excess(power)
        ideal = (music / (music + 1)).mean((1, 2, 3))
        count = own.shape[2]
        padded = torch.nn.functional.pad(own, (0, 0, 0, -count % 4))
    gain = net(padded.flatten(0, 1), padded.flip(1).flatten(0, 1))[:, :count].reshape(own.shape)
    error = (gain.square() * power - 2 * gain * common + music).mean((1, 2, 3))
    return error.clamp_min(0), ideal


def _spectra(samples: torch.Tensor) -> torch.Tensor:
    window = torch.sin(math.pi * (torch.arange(_SIZE) + 0.5) / _SIZE)
    hop = _SIZE // 4
    padded = torch.nn.functional.pad(samples, (_SIZE - hop, _SIZE - hop))
    spectra: torch.Tensor = torch.fft.rfft(padded.unfold(-1, _SIZE, hop) * window)
    return spectra[..., :-1] * math.sqrt(2 / _SIZE)


def _turn(spectra: torch.Tensor) -> torch.Tensor:
    """The angle of the principal axis, in regions of 16 frames and 32 bins."""
    left, right = spectra.unbind(1)
    parts = torch.stack(
        (left.abs().square() - right.abs().square(), 2 * (left * right.conj()).real), 1
    )
    count, bins = parts.shape[-2:]
    pooled = torch.nn.functional.avg_pool2d(
        torch.nn.functional.pad(parts, (0, 0, 0, -count % 16)), (16, 32)
    )
    angle = 0.5 * torch.atan2(pooled[:, 1], pooled[:, 0])
    return angle.repeat_interleave(16, 1).repeat_interleave(32, 2)[:, :count, :bins]


def _turned(spectra: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    left, right = spectra.unbind(1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack((cos * left + sin * right, cos * right - sin * left), 1)


def _pieces() -> list[list[list[Samples]]]:
    """By piece, its parts without what is held out; each part a list of stems that are mixed."""
    funk = [_read(f"stems_funk/{stem}.mp3") for stem in _STEMS]
    pieces = [[list(part) for part in zip(*(_parts(s, "funk") for s in funk), strict=True)]]
    for name in ("vibe_ace", "hungarian_dance", "sugar_plum"):
        parts = _parts(_read(f"music/{name}.ogg"), name)
        pieces += [[[part] for part in parts]]
    return pieces


def _read(name: str) -> Samples:
    samples, _ = soundfile.read(_DATA / "sound" / name, always_2d=True, dtype="float32")
    stereo: Samples = np.repeat(samples, 2, 1) if samples.shape[1] == 1 else samples[:, :2]
    return stereo


def _parts(samples: Samples, name: str) -> list[Samples]:
    held = _HELD_OUT_S[name]
    parts = samples[: held * _RATE_HZ], samples[(held + 20) * _RATE_HZ :]
    return [part for part in parts if len(part) > 8 * _RATE_HZ]


def _excerpt(pieces: list[list[list[Samples]]], random: np.random.Generator) -> Samples:
    """(2, frames) of music as white noise of variance 1 would lie under it."""
    speed = 2 ** random.uniform(-0.5, 0.4) if random.random() < 0.6 else 1.0
    length = math.ceil(_FRAMES * speed) + 64
    while (music := _cut(pieces, length, random)).std() < 1e-3:
        pass
    if random.random() < 0.3:
        other = _cut(pieces, length, random)
        share = 10 ** (random.uniform(-15, 0) / 20)
        music = music / music.std() + other / (other.std() + 1e-6) * share
    if speed != 1:
        music = soxr.resample(music, speed, 1, quality="MQ")
    music = music[:_FRAMES]
    mid, side = music.mean(1), (music[:, 0] - music[:, 1]) / 2
    side = side * (random.choice([0, 1]) if random.random() < 0.15 else random.uniform(0.3, 1.6))
    music = np.stack((mid + side, mid - side), 1)
    if random.random() < 0.4:
        music = music * 10 ** (random.uniform(-12, 0, 2) / 20)
    if random.random() < 0.6:
        music = _coloured(music, random)
    music = music * (10 ** (random.uniform(3, 36) / 20) / math.sqrt(np.mean(music**2)))
    excerpt: Samples = music.T.astype(np.float32)
    return excerpt


def _cut(pieces: list[list[list[Samples]]], length: int, random: np.random.Generator) -> Samples:
    parts = pieces[random.integers(len(pieces))]
    sizes = np.array([len(part[0]) for part in parts], dtype=float)
    stems = parts[random.choice(len(parts), p=sizes / sizes.sum())]
    at = random.integers(0, min(map(len, stems)) - length)
    if len(stems) == 1:
        return stems[0][at : at + length]
    gains = 10 ** (random.uniform(-12, 6, len(stems)) / 20) * (random.random(len(stems)) < 0.75)
    mixed: Samples = np.sum(
        [stem[at : at + length] * gain for stem, gain in zip(stems, gains, strict=True)], axis=0
    )
    return mixed


def _coloured(music: Samples, random: np.random.Generator) -> Samples:
    """As if coloured hiss had been made white, and the music with it."""
    hertz = np.fft.rfftfreq(len(music), 1 / _RATE_HZ)
    octaves = np.log2(np.maximum(hertz, 40) / 40)
    knots = np.cumsum(random.normal(0, 3.5, 6))
    curve_db = np.interp(octaves, np.linspace(0, 9.1, 6), knots)
    spectrum = np.fft.rfft(music, axis=0) * 10 ** (curve_db / 20)[:, np.newaxis]
    coloured: Samples = np.fft.irfft(spectrum, len(music), axis=0)
    return coloured


if __name__ == "__main__":
    main()
