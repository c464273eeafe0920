"""What a tape and its player add: noise, jitter of lines, dropouts, head switching, dot crawl.

Each fault changes the signal in place, field by field (frame by frame in a progressive recording),
in the order in which a player would make them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from encore.degradation.camera import Signal
from encore.degradation.recipe import Recipe

__all__ = ["play"]

Planes = NDArray[np.float32]

# A head switches within the last lines; the torn part moves by up to this many samples.
_TEAR_PX = 14.0


def play(signal: Signal, recipe: Recipe) -> None:
    """All the faults of a recipe."""
    rng = np.random.default_rng([recipe.seed, 0x7A9E])
    if recipe.dot_crawl:
        _dot_crawl(signal, recipe)
    _noise(signal, recipe, rng)
    if recipe.line_jitter_px or recipe.head_switch_lines:
        _displace(signal, recipe, rng)
    if recipe.dropouts:
        _drop_out(signal, recipe, rng)


def _dot_crawl(signal: Signal, recipe: Recipe) -> None:
    """What a comb filter leaves of the subcarrier in luma: dots where chroma changes."""
    count, lines, samples = signal.y.shape
    # 4.43 or 3.58 MHz sampled at 13.5 MHz.
    cycles = (4.43361875 if recipe.system == "pal" else 315 / 88) / 13.5
    turn = 0.75 if recipe.system == "pal" else 0.5
    x = np.arange(samples, dtype=np.float32)
    for moment in range(count):
        lag = turn * np.arange(lines)[:, None] + 0.25 * moment
        angle = 2 * np.pi * (cycles * x + lag)
        edge = np.zeros((lines, samples))
        for plane, wave in ((signal.u[moment], np.sin(angle)), (signal.v[moment], np.cos(angle))):
            change = ndimage.gaussian_filter1d(np.abs(np.gradient(plane, axis=1)), 1.0, axis=1)
            full = np.repeat(np.repeat(change, 2, 0), 2, 1)
            edge += full * wave
        signal.y[moment] += np.float32(recipe.dot_crawl) * np.clip(edge, -24, 24)


def _noise(signal: Signal, recipe: Recipe, rng: np.random.Generator) -> None:
    for moment in range(len(signal.y)):
        if recipe.luma_noise:
            y = signal.y[moment]
            dark = np.square(np.clip((235 - y) / 219, 0, 1))
            grain = _grain(rng, y.shape, recipe.luma_noise_px)
            y += np.float32(recipe.luma_noise) * (0.55 + 0.9 * dark) * grain
        if recipe.chroma_noise:
            for plane in (signal.u[moment], signal.v[moment]):
                grain = _grain(rng, plane.shape, recipe.chroma_noise_px)
                plane += np.float32(recipe.chroma_noise) * grain


def _grain(rng: np.random.Generator, shape: tuple[int, ...], smear_px: float) -> Planes:
    """Noise of unit deviation, drawn out along the lines as a narrow band does."""
    grain = rng.standard_normal(shape, np.float32)
    grain = ndimage.gaussian_filter1d(grain, smear_px, axis=1, mode="wrap", truncate=3)
    return np.asarray(grain / np.float32(grain.std()), np.float32)


def _displace(signal: Signal, recipe: Recipe, rng: np.random.Generator) -> None:
    """Lines begin early or late: each a little, the torn ones at the bottom a lot."""
    count, lines, _ = signal.y.shape
    for moment in range(count):
        wander = ndimage.gaussian_filter1d(rng.standard_normal(lines), 6.0)
        shift = 0.6 * rng.standard_normal(lines) + 0.8 * wander / wander.std()
        shift *= recipe.line_jitter_px
        torn = recipe.head_switch_lines
        if torn:
            reach = _TEAR_PX * rng.uniform(0.5, 1.0)
            shift[-torn:] += reach * np.linspace(0.3, 1, torn) + rng.normal(0, 1.0, torn)
            signal.y[moment, -torn:] += 6 * _grain(rng, signal.y[moment, -torn:].shape, 1.0)
        signal.y[moment] = _late(signal.y[moment], shift)
        for plane in (signal.u, signal.v):
            plane[moment] = _late(plane[moment], 0.25 * (shift[0::2] + shift[1::2]))


def _late(plane: Planes, shift: NDArray[np.float64]) -> Planes:
    """Each line `shift` samples to the right, between samples by Catmull and Rom's cubic."""
    whole = np.floor(-shift)
    part = (-shift - whole).astype(np.float32)[:, None]
    at = np.arange(plane.shape[1]) + whole.astype(int)[:, None]
    a, b, c, d = (
        np.take_along_axis(plane, np.clip(at + n, 0, plane.shape[1] - 1), 1) for n in range(-1, 3)
    )
    curve = 2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a)
    return np.asarray(b + 0.5 * part * (c - a + part * curve), np.float32)


def _drop_out(signal: Signal, recipe: Recipe, rng: np.random.Generator) -> None:
    """Short losses: a player shows the line above instead, or has nothing but brightness."""
    count, lines, samples = signal.y.shape
    for moment in range(count):
        for _ in range(rng.poisson(recipe.dropouts)):
            line, start = int(rng.integers(2, lines)), int(rng.integers(samples))
            end = min(samples, start + int(rng.uniform(8, 160)))
            y = signal.y[moment]
            if rng.random() < 0.6:
                y[line, start:end] = y[line - 2, start:end]
            else:
                y[line, start:end] = rng.uniform(120, 235) + rng.normal(0, 12, end - start)
