"""Clean moving pictures for training: photos in layers that move, and a few real clips.

A scene is a background that pans, zooms, turns and bends, behind one or two cut-outs of other
photos that move otherwise and hide what is behind them; some scenes carry lettering or thin lines.
Photos are a little soft at their own size, so they are first brought down to 0.4 to 0.9 of it; what
is sampled then is as sharp as the truth can hold. Of the clips only those whose manifest allows
training are read.
"""

from __future__ import annotations

import os
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import av
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

__all__ = ["Split", "photos", "scene"]

type Split = Literal["train", "val"]
Pictures = NDArray[np.uint8]

# Names that MANIFEST.md allows for training; rooftop is too small to be a truth.
_CLIPS = ("flower*", "cockatoo*", "sam2_cups*", "sam2_dog*")
_CLIP_SHARE = 0.15
_HELD_OUT = 12
_CELL = 16


def data() -> Path:
    """The shared material: `$ENCORE_DATA`, or ../shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return Path(os.environ.get("ENCORE_DATA", beside))


@cache
def photos(split: Split) -> tuple[Path, ...]:
    """The photos of a split; every thirteenth or so is held out for validation."""
    found = sorted((data() / "photos").glob("*.webp"))
    if len(found) <= _HELD_OUT:
        raise FileNotFoundError(f"{data() / 'photos'} needs more than {_HELD_OUT} photos (.webp)")
    held = set(found[:: len(found) // _HELD_OUT][:_HELD_OUT])
    return tuple(path for path in found if (path in held) == (split == "val"))


def scene(
    rng: np.random.Generator, moments: int, height: int, width: int, split: Split = "train"
) -> Pictures:
    """A clean moving picture, R'G'B' (moments, height, width, 3); speeds are meant for twice SD."""
    if split == "train" and rng.random() < _CLIP_SHARE:
        return _real(rng, moments, height, width)
    shape = moments, height, width
    soft = rng.random() < 0.2  # a stage behind a singer is often out of focus
    layers = [(_background(rng, height, width, split, soft), _path(rng, shape))]
    layers += [
        (_cut_out(rng, height, width, split), _path(rng, shape, roams=True))
        for _ in range(1 + (rng.random() < 0.5))
    ]
    if rng.random() < 0.3:
        layers.append((_drawing(rng, height, width), _path(rng, shape, rigid=True)))
    seen = np.empty((moments, height, width, 3), np.uint8)
    for moment in range(moments):
        picture = torch.empty(3, height, width)
        for layer, path in layers:
            _lay(picture, layer, path[moment])
        codes = picture.add_(0.5).clamp_(0, 255).to(torch.uint8)
        seen[moment] = codes.permute(1, 2, 0).numpy()
    return seen


@lru_cache(maxsize=200)
def _photo(path: Path) -> Pictures:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _dense(rng: np.random.Generator, split: Split, least: tuple[int, int]) -> Image.Image:
    """A photo brought down to 0.4..0.9 of its own density, but no smaller than `least`."""
    shelf = photos(split)
    picture = _photo(shelf[rng.integers(len(shelf))])
    scale = 0.4 * (0.9 / 0.4) ** rng.random()
    scale = max(scale, least[0] / picture.shape[0], least[1] / picture.shape[1])
    size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    small = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
    return small.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else small


def _piece(rng: np.random.Generator, picture: Image.Image, height: int, width: int) -> Pictures:
    """A random part of at most this size."""
    height, width = min(height, picture.height), min(width, picture.width)
    top = int(rng.integers(picture.height - height + 1))
    left = int(rng.integers(picture.width - width + 1))
    return np.asarray(picture.crop((left, top, left + width, top + height)))


def _detail(part: Pictures) -> float:
    green = part[::2, ::2, 1].astype(np.float32)
    return float(np.abs(np.diff(green, axis=0)).mean() + np.abs(np.diff(green, axis=1)).mean())


def _tensor(layer: NDArray[np.float32]) -> torch.Tensor:
    """The layer at twice its density, so that sampling between its samples may be linear."""
    one = torch.from_numpy(layer).permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(one, scale_factor=2, mode="bicubic")[0]


def _background(
    rng: np.random.Generator, height: int, width: int, split: Split, soft: bool
) -> torch.Tensor:
    picture = _dense(rng, split, (int(1.1 * height), int(1.1 * width)))
    part = _piece(rng, picture, int(1.5 * height), int(1.5 * width)).astype(np.float32)
    if soft:
        sigma = float(rng.uniform(2, 9))
        part = ndimage.gaussian_filter(part, (sigma, sigma, 0), truncate=3)
    return _tensor(part)


def _cut_out(rng: np.random.Generator, height: int, width: int, split: Split) -> torch.Tensor:
    """A photo within a soft random outline, premultiplied, with its alpha."""
    size = float(rng.uniform(0.35, 0.9))
    tall, wide = int(height * size), int(width * size * rng.uniform(0.5, 1.0))
    photo = _dense(rng, split, (tall, wide))
    pieces = [_piece(rng, photo, tall, wide) for _ in range(3)]
    part = max(pieces, key=_detail).astype(np.float32)
    tall, wide = part.shape[:2]
    noise = ndimage.gaussian_filter(rng.standard_normal((tall, wide)), rng.uniform(8, 40))
    y, x = np.mgrid[-1 : 1 : tall * 1j, -1 : 1 : wide * 1j]
    level = 0.75 - np.sqrt(x * x + y * y) + rng.uniform(0.1, 0.3) * noise / noise.std()
    steep = min(tall, wide) / 2 / rng.uniform(0.8, 2.5)
    edge = np.minimum(1 - np.abs(x), 1 - np.abs(y)) - 3 / min(tall, wide)
    alpha = np.clip(np.minimum(level, edge) * steep, 0, 1).astype(np.float32)[..., None]
    return _tensor(np.concatenate((part * alpha, 255 * alpha), -1))


def _drawing(rng: np.random.Generator, height: int, width: int) -> torch.Tensor:
    """Lettering, or thin lines as of cables, stands and strings, premultiplied, with its alpha."""
    sheet = Image.new("L", (5 * width // 4, 5 * height // 4))
    pen = ImageDraw.Draw(sheet)
    if rng.random() < 0.5:
        letters = np.array(list("ABCDEFGHIJKLMNOPRSTUVWabcdefghiklmnoprstuvwyz0123456789 -.&"))
        for row in range(int(rng.integers(1, 4))):
            size = int(rng.uniform(16, 64))
            text = "".join(rng.choice(letters, int(rng.integers(6, 24))))
            at = rng.uniform(0.1, 0.4) * width, (0.25 + 0.3 * row + 0.2 * rng.random()) * height
            pen.text(at, text, fill=255, font=ImageFont.load_default(size))
    else:
        for _ in range(int(rng.integers(2, 9))):
            ends = rng.uniform(0.0, 1.25, 4) * (width, height, width, height)
            pen.line([float(end) for end in ends], fill=255, width=int(rng.integers(1, 6)))
    # Drawn without grey levels at the edges of lines: half a sample of blur makes them.
    alpha = ndimage.gaussian_filter(np.asarray(sheet, np.float32) / 255, rng.uniform(0.5, 0.8))
    bright = rng.uniform(170, 255) if rng.random() < 0.7 else rng.uniform(0, 60)
    colour = np.clip(bright + rng.normal(0, 25, 3), 0, 255).astype(np.float32)
    alpha = alpha[..., None]
    return _tensor(np.concatenate((alpha * colour, 255 * alpha), -1).astype(np.float32))


def _speed(rng: np.random.Generator, stands: float) -> float:
    """Pixels of the truth a moment, at most 12 SD pixels; `stands` is the share that is still.

    A camera on its tripod is what concerts are mostly filmed with: there the other fields hold
    the lines that a field lacks, and a network that saw only what moves would not take them.
    """
    if rng.random() < stands:
        return 0.0
    lot = rng.random()
    if lot < 0.4:
        return float(rng.uniform(0, 1.5))
    return float(rng.uniform(1.5, 8) if lot < 0.9 else rng.uniform(8, 24))


def _path(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    *,
    roams: bool = False,
    rigid: bool = False,
) -> torch.Tensor:
    """Where each cell looks, pixels from the layer's middle, (moments, 2, rows, columns)."""
    moments, height, width = shape
    t = np.arange(moments) - 0.5 * (moments - 1)
    speed, heading = _speed(rng, 0.25 if roams else 0.45), rng.uniform(0, 2 * np.pi)
    lean = 0.5 if rng.random() < 0.6 else 1.0  # heads and cameras move sideways more than up
    x = speed * np.cos(heading) * t
    y = speed * np.sin(heading) * lean * t
    if speed:
        sway, pace = rng.uniform(0, 1.5) * speed, rng.uniform(0.1, 0.6)
        x += sway * np.sin(pace * t + rng.uniform(0, 6))
        y += 0.6 * sway * np.sin(pace * t + rng.uniform(0, 6))
        shake = ndimage.gaussian_filter1d(rng.standard_normal((2, moments)), 1.5, axis=1)
        x, y = x + rng.uniform(0, 1) * shake[0], y + rng.uniform(0, 1) * shake[1]
    turns = 0.0 if rigid or not speed else np.radians(rng.normal(0, 0.9 if roams else 0.25))
    grows = 0.0 if rigid or not speed else rng.normal(0, 0.004)
    still = rng.uniform(-0.15, 0.15) if roams else 0.0
    angle, size = still + turns * t, np.exp(grows * t)
    rows, columns = height // _CELL + 1, width // _CELL + 1
    cy = np.linspace(-0.5, 0.5, rows)[:, None] * (height - 1)
    cx = np.linspace(-0.5, 0.5, columns)[None, :] * (width - 1)
    if roams:
        x, y = x + rng.uniform(-0.25, 0.25) * width, y + rng.uniform(-0.2, 0.2) * height
    cos, sin = (np.cos(angle) / size)[:, None, None], (np.sin(angle) / size)[:, None, None]
    dx, dy = cx - x[:, None, None], cy - y[:, None, None]
    place = np.stack((cos * dx + sin * dy, cos * dy - sin * dx), 1)
    if not rigid and speed and rng.random() < 0.7:
        place += _bend(rng, t, rows, columns)
    return torch.from_numpy(place.astype(np.float32))


def _bend(
    rng: np.random.Generator, t: NDArray[np.floating], rows: int, columns: int
) -> NDArray[np.float64]:
    """A smooth field of shifts that breathes, (moments, 2, rows, columns)."""
    fields = ndimage.gaussian_filter(
        rng.standard_normal((2, 2, rows, columns)), (0, 0, 3.0, 3.0), mode="nearest"
    )
    fields *= rng.uniform(0, 7) / fields.std()
    pace, phase = rng.uniform(0.05, 0.35), rng.uniform(0, 6)
    waves = np.sin(pace * t + phase), np.cos(pace * t + phase)
    return np.asarray(sum(w[:, None, None, None] * f for w, f in zip(waves, fields, strict=True)))


def _lay(picture: torch.Tensor, layer: torch.Tensor, path: torch.Tensor) -> None:
    """One moment of a layer over the picture; only where the layer is."""
    channels, tall, wide = layer.shape[0], layer.shape[1] / 2, layer.shape[2] / 2
    height, width = picture.shape[1:]
    grid = torch.nn.functional.interpolate(
        path[None], (height, width), mode="bilinear", align_corners=True
    )[0]
    if channels == 3:
        box, padding = (slice(0, height), slice(0, width)), "reflection"
    else:
        box, padding = _reached(path, tall, wide, height, width), "zeros"
    part = grid[:, box[0], box[1]].permute(1, 2, 0) * torch.tensor([2 / wide, 2 / tall])
    if not part.numel():
        return
    seen = torch.nn.functional.grid_sample(
        layer[None], part[None], "bilinear", padding, align_corners=False
    )[0]
    under = picture[:, box[0], box[1]]
    if channels == 3:
        under.copy_(seen)
    else:
        under.mul_(1 - seen[3:].div_(255).clamp_(0, 1)).add_(seen[:3])


def _reached(
    path: torch.Tensor, tall: float, wide: float, height: int, width: int
) -> tuple[slice, slice]:
    """The part of the picture in which a layer can be seen, to the cell."""
    near = (path[0].abs() < wide / 2 + _CELL) & (path[1].abs() < tall / 2 + _CELL)
    box = []
    for axis, size in ((1, height), (0, width)):
        cells = torch.nonzero(near.any(axis)).flatten()
        if not len(cells):
            return slice(0, 0), slice(0, 0)
        step = (size - 1) / (near.shape[1 - axis] - 1)
        low, high = (int(cells[0]) - 1) * step, (int(cells[-1]) + 1) * step
        box.append(slice(max(0, int(low)), min(size, int(high) + 2)))
    return box[0], box[1]


def _real(rng: np.random.Generator, moments: int, height: int, width: int) -> Pictures:
    """A stretch of a real clip, brought down so that its compression does not show."""
    clips = sorted(path for name in _CLIPS for path in (data() / "clips").glob(name))
    path = clips[rng.integers(len(clips))]
    step = int(rng.integers(1, 3))
    need = moments * step
    frames: list[Pictures] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        start = int(rng.integers(0, 60))
        scale = 1.0
        box = (0.0, 0.0, 0.0, 0.0)
        for number, frame in enumerate(container.decode(stream)):
            if number < start:
                continue
            if not frames:
                least = max(height / frame.height, width / frame.width)
                scale = rng.uniform(least, max(least, 0.8))
                tall, wide = height / scale, width / scale
                left = rng.uniform(0, frame.width - wide)
                top = rng.uniform(0, frame.height - tall)
                box = (left, top, left + wide, top + tall)
            if (number - start) % step == 0:
                seen = Image.fromarray(frame.to_ndarray(format="rgb24"))
                small = seen.resize((width, height), Image.Resampling.LANCZOS, box=box)
                frames.append(np.asarray(small))
            if len(frames) * step >= need:
                break
    if rng.random() < 0.5:
        frames.reverse()
    while len(frames) < moments:  # a short clip goes back the way it came
        frames += frames[-2::-1][: moments - len(frames)]
    return np.stack(frames[:moments])
