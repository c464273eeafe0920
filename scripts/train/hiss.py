"""Train the hiss net, in two commands that may run beside each other:

    python scripts/train/hiss.py pool POOL --minutes 20 --seed 1
    python scripts/train/hiss.py train POOL OUT.safetensors --minutes 30 [--begin OLD]

The pool is ten-second excerpts of music under hiss, as the stage sees them: whitened by a print and
turned onto principal axes. Two thirds are music of the shared data (CC0 and CC-BY: funk stems in
random mixes, jazz, strings, celesta; never the twenty seconds of each that the bench hears, never
the rock stems or the folk song, which are kept for judging), the rest is made here: plucked, struck
and bowed notes, voices with vibrato, drums, washes, in made rooms. All of it is varied in speed,
width, balance and colour, two pieces at a time now and then, under hiss of many colours, 3 to 40 dB
below it. Most prints are those that the finder makes of the excerpt itself, with their mistakes.

The loss is the error that the gain leaves, over the one that Wiener's gain would leave if it knew
the music: so each excerpt counts alike, in decibels of SNR.
"""

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.signal
import soundfile
import soxr
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from encoreaudio import hiss
from encoreaudio.hissnet import BROAD, PATCH, excess
from encoreaudio.noise import NoiseFinder, NoisePrint, print_of

_DATA = Path(os.environ.get("ENCORE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
_RATE_HZ = 44100
_FRAMES = 10 * _RATE_HZ
_HIDDEN = 32
_STEMS = ("bassguitar", "clav", "drums", "horns", "leadguitar")
_HELD_OUT_S = {"vibe_ace": 20, "hungarian_dance": 10, "sugar_plum": 20, "funk": 20}
_BATCH, _CROP_FRAMES, _CROP_BINS = 6, 96, 256
_EDGE_FRAMES, _EDGE_BINS = 8, 16  # of a crop, where the net sees less than it will
_RATE = 2e-3
_SILENT = 0.2  # of the crops begin or end in digital silence
_STRONG = 1e3  # power over which the weight is kept apart, for it would not fit 16 bits
_BARE = 0.03  # of music's power around a place, over the noise's
_TWITTER = 6.0  # how much dearer leaks are than other errors

type Samples = npt.NDArray[np.float64]
type Random = np.random.Generator


class HissNet(torch.nn.Module):
    """From the excess of a coefficient, and of its strongest companion, to the gain."""

    def __init__(self) -> None:
        super().__init__()
        cells = PATCH * PATCH
        self.first = torch.nn.Conv2d(2 * cells, _HIDDEN, 3, padding=1)
        self.broad = torch.nn.Conv2d(_HIDDEN, _HIDDEN, 3, padding=1)
        self.broader = torch.nn.Conv2d(_HIDDEN, _HIDDEN, (1, 3), padding=(0, 1))
        self.second = torch.nn.Conv2d(_HIDDEN, _HIDDEN, 3, padding=1)
        self.third = torch.nn.Conv2d(_HIDDEN, cells, 3, padding=1)
        self.slope = torch.nn.Parameter(torch.ones(1))

    def forward(self, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Two maps of excess (batch, frames, bins), of whole places; the gain, 0 to 1."""
        maps = torch.stack((own, other), 1) / 3
        folded = functional.pixel_unshuffle(maps, PATCH)
        seen = functional.relu(self.first(folded.contiguous(memory_format=torch.channels_last)))
        around = functional.avg_pool2d(seen, (1, BROAD))
        around = self.broader(functional.relu(self.broad(around)))
        seen = seen + around.repeat_interleave(BROAD, 3)
        raw = self.third(functional.relu(self.second(seen)))
        logit = functional.pixel_shuffle(raw, PATCH)[:, 0]
        return torch.sigmoid(logit + self.slope * own)


def main() -> None:
    """Fill a pool, or train from one, for so many minutes by the clock."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    fill = commands.add_parser("pool")
    train = commands.add_parser("train")
    for command in (fill, train):
        command.add_argument("pool", type=Path)
        command.add_argument("--minutes", type=float, default=20)
        command.add_argument("--seed", type=int, default=1)
    train.add_argument("out", type=Path)
    train.add_argument("--begin", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.command == "pool":
        _fill(asked.pool, asked.minutes, asked.seed)
    else:
        _train(asked.pool, asked.out, asked.minutes, asked.seed, asked.begin)


def _train(pool: Path, out: Path, minutes: float, seed: int, begin: Path | None) -> None:
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    net = HissNet().to(memory_format=torch.channels_last)
    if begin:
        net.load_state_dict(load_file(begin))
    mean = {name: value.clone() for name, value in net.state_dict().items()}
    optimiser = torch.optim.AdamW(net.parameters(), _RATE, weight_decay=1e-4)
    began, step, told = time.monotonic(), 0, 0.0
    files: list[Path] = []
    while (share := (time.monotonic() - began) / 60 / minutes) < 1:
        if step % 100 == 0:
            files = sorted(pool.glob("*.npy"))
        for group in optimiser.param_groups:
            warm = min(1, (step + 1) / 100)
            group["lr"] = _RATE * warm * (0.5 + 0.5 * math.cos(math.pi * share)) + 1e-5
        own, wanted, weight = _batch(files, random)
        gain = net(own.flatten(0, 1), own.flip(1).flatten(0, 1)).reshape(own.shape)
        inner = (..., slice(_EDGE_FRAMES, -_EDGE_FRAMES), slice(_EDGE_BINS, -_EDGE_BINS))
        error = weight * ((gain - wanted).square() + _TWITTER * _leaks(own, gain, wanted))
        loss = error[inner].mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        keep = min(0.998, step / (step + 10))
        for name, value in net.state_dict().items():
            mean[name].lerp_(value, 1 - keep)
        told += loss.item()
        if step % 200 == 0:
            took = time.monotonic() - began
            print(
                f"{step} steps, {took:.0f} s, {len(files)} excerpts, {told / 200:.4f}", flush=True
            )
            told = 0.0
            _save(mean, out)
    _save(mean, out)


def _leaks(own: torch.Tensor, gain: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Bare hiss that is let through, the more so the further it stands out: what twitters."""
    power = own.exp() - 0.1
    music = functional.avg_pool2d(power * wanted.square(), 5, stride=1, padding=2)
    return (music < _BARE) * power * gain.square().square()


def _save(weights: dict[str, torch.Tensor], out: Path) -> None:
    part = out.with_name(out.name + ".part")
    save_file({name: value.contiguous() for name, value in weights.items()}, part)
    os.replace(part, out)


def _batch(files: list[Path], random: Random) -> tuple[torch.Tensor, ...]:
    """Crops (batch, channels, frames, bins): excess, the gain that would be best, its weight."""
    crops = []
    for at in random.integers(len(files), size=_BATCH):
        held = np.load(files[at], mmap_mode="r")
        frame = random.integers(held.shape[2] - _CROP_FRAMES + 1)
        bin_ = random.integers(held.shape[3] - _CROP_BINS + 1)
        crop = held[:, :, frame : frame + _CROP_FRAMES, bin_ : bin_ + _CROP_BINS]
        crops.append(torch.from_numpy(crop.astype(np.float32)))
    own, wanted, weight = torch.stack(crops, 1)
    weight *= (own.exp() / _STRONG).clamp_min(1)
    for at in np.flatnonzero(random.random(_BATCH) < _SILENT):
        frames = int(random.integers(1, _CROP_FRAMES // 2))
        silent = slice(None, frames) if random.random() < 0.5 else slice(-frames, None)
        own[at, :, silent] = math.log(0.1)
        weight[at, :, silent] = 0
    return own, wanted, weight


def _fill(pool: Path, minutes: float, seed: int) -> None:
    """Write excerpts as (3, channels, frames, bins): excess, best gain, and weight."""
    random = np.random.default_rng(seed)
    pieces = _pieces()
    pool.mkdir(parents=True, exist_ok=True)
    began, number = time.monotonic(), 0
    while time.monotonic() - began < 60 * minutes:
        clean = _excerpt(pieces, random)
        noise = _hiss(clean, random)
        out = pool / f"{seed}-{number}.npy"
        part = out.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, _seen(clean, noise, _print(clean + noise, noise, random)))
        os.replace(part, out)
        number += 1


def _print(noisy: Samples, noise: Samples, random: Random) -> NoisePrint:
    """The print that the finder makes, or the true one; a little off."""
    finder = NoiseFinder(_RATE_HZ, 2)
    finder.add(noisy)
    found = finder.finish()
    if found.sureness < 0.5 or random.random() < 0.35:
        found = print_of(noise, _RATE_HZ)
    off = random.normal(0, 0.5)
    density = tuple(tuple(value + off for value in row) for row in found.density_db)
    return NoisePrint(found.frequencies_hz, density, found.level_dbfs, found.sureness)


def _seen(clean: Samples, noise: Samples, print_: NoisePrint) -> npt.NDArray[np.float16]:
    stage = hiss.HissRepair(_RATE_HZ, 2, print_)
    music = stage.analysed(clean) / stage.noise[:, np.newaxis]
    hissy = stage.analysed(noise) / stage.noise[:, np.newaxis]
    axes = hiss.principal_axes(music + hissy)
    music, hissy = hiss.turned(music, axes)[..., :-1], hiss.turned(hissy, axes)[..., :-1]
    seen = music + hissy
    power = seen.real**2 + seen.imag**2
    wanted = np.clip((seen.conj() * music).real / (power + 1e-9), -3, 3)
    level = np.mean(np.abs(hissy) ** 2, axis=1, keepdims=True)
    loudness = np.abs(music) ** 2
    amplitude = np.sqrt(np.mean(stage.noise**2, axis=0))[:-1]
    raw = (amplitude / amplitude.mean()) ** 2
    ideal = np.mean(raw * loudness * level / (loudness + level))
    weight = np.minimum(power, _STRONG) * raw / (ideal + 0.003 * np.mean(raw * level))
    return np.stack((excess(power), wanted, np.minimum(weight, 3e4))).astype(np.float16)


def _pieces() -> list[list[list[Samples]]]:
    """By piece, its parts without what is held out; each part a list of stems that are mixed."""
    funk = [_read(f"stems_funk/{stem}.mp3") for stem in _STEMS]
    pieces = [[list(part) for part in zip(*(_parts(s, "funk") for s in funk), strict=True)]]
    for name in ("vibe_ace", "hungarian_dance", "sugar_plum"):
        parts = _parts(_read(f"music/{name}.ogg"), name)
        pieces.append([[part] for part in parts])
    return pieces


def _read(name: str) -> Samples:
    samples, _ = soundfile.read(_DATA / "sound" / name, always_2d=True)
    stereo: Samples = np.repeat(samples, 2, 1) if samples.shape[1] == 1 else samples[:, :2]
    return stereo


def _parts(samples: Samples, name: str) -> list[Samples]:
    held = _HELD_OUT_S[name]
    parts = samples[: held * _RATE_HZ], samples[(held + 20) * _RATE_HZ :]
    return [part for part in parts if len(part) > 8 * _RATE_HZ]


def _excerpt(pieces: list[list[list[Samples]]], random: Random) -> Samples:
    """(frames, 2) of music of mean square 1."""
    music = _some(pieces, random)
    if random.random() < 0.3:
        music = music + _some(pieces, random) * 10 ** (random.uniform(-15, 0) / 20)
    mid, side = music.mean(1), (music[:, 0] - music[:, 1]) / 2
    side = side * (random.choice([0, 1]) if random.random() < 0.15 else random.uniform(0.3, 1.6))
    music = np.stack((mid + side, mid - side), 1)
    if random.random() < 0.4:
        music = music * 10 ** (random.uniform(-12, 0, 2) / 20)
    if random.random() < 0.6:
        music = _coloured(music, random)
    if random.random() < 0.1:
        music = music * _pauses(random)[:, np.newaxis]
    excerpt: Samples = music / (np.sqrt(np.mean(music**2)) + 1e-6)
    return excerpt


def _some(pieces: list[list[list[Samples]]], random: Random) -> Samples:
    music: Samples
    if random.random() < 0.33:
        music = _made(random)
    else:
        speed = 2 ** random.uniform(-0.6, 0.5) if random.random() < 0.7 else 1.0
        length = math.ceil(_FRAMES * speed) + 64
        while (music := _cut(pieces, length, random)).std() < 1e-3:
            pass
        if speed != 1:
            music = soxr.resample(music, speed, 1, quality="MQ")
        music = music[:_FRAMES]
        if len(music) < _FRAMES:
            music = np.pad(music, ((0, _FRAMES - len(music)), (0, 0)))
    return music / (music.std() + 1e-6)


def _cut(pieces: list[list[list[Samples]]], length: int, random: Random) -> Samples:
    parts = pieces[random.integers(len(pieces))]
    sizes = np.array([len(part[0]) for part in parts], dtype=float)
    stems = parts[random.choice(len(parts), p=sizes / sizes.sum())]
    at = random.integers(0, max(1, min(map(len, stems)) - length))
    if len(stems) == 1:
        return stems[0][at : at + length]
    gains = 10 ** (random.uniform(-12, 6, len(stems)) / 20) * (random.random(len(stems)) < 0.75)
    shortest = min(len(stem) for stem in stems)
    mixed: Samples = np.sum(
        [
            stem[at : min(at + length, shortest)] * gain
            for stem, gain in zip(stems, gains, strict=True)
        ],
        axis=0,
    )
    return mixed


def _coloured(samples: Samples, random: Random, spread_db: float = 3.5) -> Samples:
    hertz = np.fft.rfftfreq(len(samples), 1 / _RATE_HZ)
    octaves = np.log2(np.maximum(hertz, 40) / 40)
    knots = np.cumsum(random.normal(0, spread_db, 6))
    curve_db = np.interp(octaves, np.linspace(0, 9.1, 6), knots)
    spectrum = np.fft.rfft(samples, axis=0) * 10 ** (curve_db / 20)[:, np.newaxis]
    coloured: Samples = np.fft.irfft(spectrum, len(samples), axis=0)
    return coloured


def _pauses(random: Random) -> Samples:
    gate = np.ones(_FRAMES)
    for _ in range(random.integers(1, 4)):
        at = random.integers(_FRAMES)
        gate[at : at + random.integers(_RATE_HZ // 4, 3 * _RATE_HZ)] = 0
    return np.convolve(gate, np.ones(441) / 441, "same")


def _hiss(clean: Samples, random: Random) -> Samples:
    """Noise 3 to 40 dB under music of mean square 1, white, tape's, or of a random colour."""
    noise = random.standard_normal(clean.shape)
    kind = random.random()
    hertz = np.fft.rfftfreq(len(noise), 1 / _RATE_HZ)
    if kind > 0.35:
        if kind < 0.75:
            shape = np.sqrt(1 + hertz / (500 * 2 ** random.uniform(0, 4)))
        else:
            shape = np.maximum(hertz, 60) ** (random.uniform(-3, 4) / 6)
        noise = np.fft.irfft(np.fft.rfft(noise, axis=0) * shape[:, np.newaxis], len(noise), axis=0)
        if kind > 0.85:
            noise = _coloured(noise, random, 1.5)
    if random.random() < 0.3:
        noise = noise * 10 ** (random.uniform(-2, 0, 2) / 20)
    if random.random() < 0.15:
        swell = np.sin(2 * np.pi * (np.arange(len(noise)) / _RATE_HZ / random.uniform(2, 8)))
        noise = noise * 10 ** (random.uniform(0, 1.5) * swell / 20)[:, np.newaxis]
    scaled: Samples = noise / noise.std() * 10 ** (-random.uniform(3, 40) / 20)
    return scaled


def _made(random: Random) -> Samples:
    """(frames, 2) of music from nothing: a few players, each with its sound, place and room."""
    total = np.zeros((_FRAMES, 2))
    players = (_notes, _notes, _notes, _voice, _drums, _wash)
    for _ in range(random.integers(1, 5)):
        part = players[random.integers(len(players))](random)
        part = part / (part.std() + 1e-9) * 10 ** (random.uniform(-15, 0) / 20)
        pan = random.uniform(0.15, 0.85) * math.pi / 2
        stereo = part[:, np.newaxis] * np.array([math.cos(pan), math.sin(pan)])
        if random.random() < 0.7:
            stereo += _room(part, random)
        total += stereo
    return total


def _notes(random: Random) -> Samples:
    """Plucked, struck, blown or bowed notes, one or several at a time."""
    out = np.zeros(_FRAMES + 4 * _RATE_HZ)
    bright = random.uniform(0.8, 2.5)
    stiff = 10 ** random.uniform(-6, -3.3) * (random.random() < 0.6)
    odd = random.uniform(0, 1) * (random.random() < 0.3)
    decay_s = 10 ** random.uniform(-1, 0.7)
    attack_s = 10 ** random.uniform(-3, -1)
    struck = random.random() < 0.6
    pulse_s = 10 ** random.uniform(-0.9, 0.2)
    lowest = random.integers(28, 72)
    for _ in range(min(60, int(random.uniform(0.6, 3) * 10 / pulse_s))):
        at = int(random.integers(0, int(10 / pulse_s)) * pulse_s * _RATE_HZ)
        pitch = 440 * 2 ** ((lowest + random.integers(0, 30) - 69) / 12)
        length_s = min(3.5, random.choice([1, 2, 4]) * pulse_s if not struck else 3 * decay_s)
        time_s = np.arange(int(length_s * _RATE_HZ)) / _RATE_HZ
        loud = 10 ** (random.uniform(-18, 0) / 20)
        vibrato = 0.0 if struck else random.uniform(0, 0.006)
        sway = vibrato * np.sin(2 * np.pi * random.uniform(4, 7) * time_s) / 30
        rise = np.minimum(1, time_s / attack_s)
        if not struck:
            rise = rise * np.minimum(1, (length_s - time_s) / 0.05)
        note = np.zeros(len(time_s))
        count = min(40, int(17000 / pitch))
        for partial in range(1, count + 1):
            hertz = pitch * partial * math.sqrt(1 + stiff * partial**2)
            if hertz > 20000:
                break
            level = partial**-bright * (1 - odd * (partial % 2 == 0)) * random.uniform(0.3, 1)
            tone = np.sin(2 * np.pi * hertz * (time_s + sway) + random.uniform(0, 6.3))
            if struck:
                tone *= np.exp(-time_s / decay_s * (1 + 0.15 * partial))
            note += level * tone
        end = at + len(note)
        out[at:end] += (note * rise * loud)[: len(out) - at]
    return out[:_FRAMES]


def _voice(random: Random) -> Samples:
    """A gliding tone with many partials through a moving mouth, with breath and consonants."""
    steps = np.cumsum(random.choice([-2, -1, 0, 0, 1, 2, 3, -3], 24)) + random.integers(45, 65)
    at = np.linspace(0, 10, 24) + random.uniform(-0.15, 0.15, 24)
    time_s = np.arange(_FRAMES) / _RATE_HZ
    midi = np.interp(time_s, np.sort(np.concatenate((at, at + 0.12)))[::2], steps)
    midi += random.uniform(0, 0.4) * np.sin(2 * np.pi * random.uniform(4.5, 6.5) * time_s)
    phase = 2 * np.pi * np.cumsum(440 * 2 ** ((midi - 69) / 12)) / _RATE_HZ
    source = scipy.signal.sawtooth(phase) + random.normal(0, random.uniform(0.01, 0.2), _FRAMES)
    out = np.zeros(_FRAMES)
    for first in range(0, _FRAMES, 11025):
        piece = source[first : first + 13230]
        shaped = np.zeros(len(piece))
        for low, high in ((300, 900), (900, 2400), (2300, 3400), (3300, 6000)):
            middle = random.uniform(low, high)
            edges = [middle / 1.15, middle * 1.15]
            band = scipy.signal.butter(1, edges, "bandpass", fs=_RATE_HZ, output="sos")
            shaped += scipy.signal.sosfilt(band, piece) * 10 ** (random.uniform(-20, 0) / 20)
        if random.random() < 0.25:
            shaped = np.diff(random.standard_normal(len(piece) + 1)) * 0.05
        shaped *= np.clip(
            np.minimum(np.arange(len(piece)), np.arange(len(piece))[::-1]) / 2205, 0, 1
        )
        out[first : first + len(piece)] += shaped * (random.random() < 0.85)
    return out


def _drums(random: Random) -> Samples:
    out = np.zeros(_FRAMES + 2 * _RATE_HZ)
    pulse_s = random.uniform(0.1, 0.35)
    for _ in range(random.integers(1, 4)):
        length = int(random.uniform(0.03, 1.0) * _RATE_HZ)
        time_s = np.arange(length) / _RATE_HZ
        decay = np.exp(-time_s * 5 * _RATE_HZ / length)
        if random.random() < 0.4:
            low = 50 * 2 ** random.uniform(0, 2)
            hit = np.sin(2 * np.pi * low * (time_s + 0.03 * (1 - np.exp(-time_s / 0.02)))) * decay
            hit += random.standard_normal(length) * np.exp(-time_s / 0.004) * 0.2
        else:
            cut = scipy.signal.butter(
                2, 10 ** random.uniform(2.3, 3.9), "highpass", fs=_RATE_HZ, output="sos"
            )
            hit = scipy.signal.sosfilt(cut, random.standard_normal(length)) * decay
        share = random.uniform(0.15, 0.7)
        for beat in np.flatnonzero(random.random(int(10 / pulse_s)) < share):
            at = int(beat * pulse_s * _RATE_HZ + random.integers(0, 300))
            out[at : at + length] += hit[: len(out) - at] * random.uniform(0.3, 1)
    return out[:_FRAMES]


def _wash(random: Random) -> Samples:
    """Noise that is music: breath, cymbals, waves, applause from afar."""
    edges = np.sort(10 ** random.uniform(2, 4.2, 2)) * [1, 1.3]
    band = scipy.signal.butter(2, edges, "bandpass", fs=_RATE_HZ, output="sos")
    knots = 10 ** (random.uniform(-40, 0, 14) / 20)
    swell = np.interp(np.linspace(0, 13, _FRAMES), np.arange(14), knots)
    washed: Samples = scipy.signal.sosfilt(band, random.standard_normal(_FRAMES)) * swell
    return washed


def _room(part: Samples, random: Random) -> Samples:
    length = int(random.uniform(0.2, 1.5) * _RATE_HZ)
    fall = np.exp(-6.9 * np.arange(length) / length)
    echo = [
        scipy.signal.fftconvolve(
            part, scipy.signal.lfilter([0.4], [1, -0.6], random.standard_normal(length)) * fall
        )[:_FRAMES]
        for _ in range(2)
    ]
    wet = np.stack(echo, 1)
    room: Samples = wet / (wet.std() + 1e-9) * part.std() * 10 ** (random.uniform(-25, -5) / 20)
    return room


if __name__ == "__main__":
    main()
