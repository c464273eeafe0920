"""A face's own pixels over time: merged where they agree, raised where they are not noise.

Nothing is invented. The neighbours, aligned and lit as the centre is, are averaged with it, each
counting as much as it agrees: the weight of a difference beyond the noise falls as Geman and
McClure's (Statistical Methods for Tomographic Image Reconstruction, 1987), so a hand, a blink or a
wrong flow is left out, pixel by pixel.

Lens, tape, codec and enlarger weaken a picture's finer bands (Burt and Adelson, The Laplacian
Pyramid, 1983). How much they did is told by the picture: in those of the world each band has a
nearly fixed part of the next coarser one's amplitude (Field, Relations between the statistics of
natural images and the response properties of cortical cells, 1987). What a band lacks of that it
is raised by, in part, since what was lost is also no longer true; and only where its energy stands
above the scatter of the frames about it. Of the low band nothing changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..engine import light
from ..engine.guided import box
from ..engine.scaling import resize
from .align import flow, warp

__all__ = ["AT_TRUTH", "Aligned", "Merged", "aligned", "calmed", "merged", "raised"]

AT_TRUTH = 0.5
"""The strength that comes nearest to the truth; more shows more, and less does less."""

_CODE = 1 / 255
# Bands, each of half the frequencies of the one before; what part of the next coarser band's
# amplitude a band of faces has in clean pictures; and the power of what it lacks that comes nearest
# to the truth. scripts/bench/faces.py says on which clips, and prints what it gains on others.
_BANDS = 4
_NATURAL = (0.72, 0.75, 0.77)
_POWERS = (0.25, 0.6, 0.8)
_LARGEST_LACK = 2.5
# Noise is no less than this; and a difference of this many times its square counts half.
_LEAST_NOISE = 0.5 * _CODE
_AGREES, _PATIENT = 5.0, 25.0
# The pixels around one whose mean is taken, each way, at half the size; of a band, at its own.
_AROUND = 2
# Faint detail is noise's equal when it has this part of the scatter's energy.
_SCATTER = 1.0
_FAINT = 0.3 * _CODE


@dataclass(frozen=True)
class Aligned:
    """A face's luma in some frames, all in the centre's place and light.

    centre (1, 1, H, W), neighbours (K, 1, H, W), trust (K, 1, H / 2, W / 2) 0..1: how well their
    light is explained. gain (K, 1, H, W) was multiplied with, and moved (K, 2, H, W) is the flow on
    top of the maps, in pixels, right and down.
    """

    centre: Tensor
    neighbours: Tensor
    trust: Tensor
    gain: Tensor
    moved: Tensor


@dataclass(frozen=True)
class Merged:
    """The average (1, 1, H, W) and what it was made by.

    weights (K, 1, H, W): the neighbours', where the centre's is 1. apart (K, 1, H / 2, W / 2): the
    local mean squares of what lies between each neighbour and the centre.
    """

    picture: Tensor
    weights: Tensor
    apart: Tensor
    steady: Tensor
    steady_weights: Tensor


def aligned(centre: Tensor, cuts: Tensor, maps: Tensor) -> Aligned:
    """Bring neighbours to the centre's place and light.

    Args:
        centre: (1, 1, H, W), luma 0..1, H and W even.
        cuts: (K, 1, h, w), luma of the neighbours about the face, h and w even.
        maps: (K, 2, 3), from the centre's pixels to a cut's, by the points alone.
    """
    height, width = centre.shape[-2:]
    if not len(cuts):
        none = centre[:0]
        return Aligned(centre, none, none, none, none.expand(-1, 2, -1, -1))
    # Light and motion are looked for at half the size, and sampled once at the whole.
    small, small_cuts = _halved(centre), _halved(cuts)
    first = warp(small_cuts, _of_halves(maps), (height // 2, width // 2), mode="bilinear")
    gain, offset, trust = light.light_map(light.miniature(first), light.miniature(small))

    def drawn(cells: Tensor, size: tuple[int, int]) -> Tensor:
        # Drawn out smoothly: a light that is uneven over a face has no edges.
        return resize(cells, size[0], size[1], "bilinear")

    half = (height // 2, width // 2)
    found = flow((first * drawn(gain, half)).add_(drawn(offset, half)), small)
    moved = resize(found, height, width, "bilinear").mul_(2)
    gain = drawn(gain, (height, width))
    lit = warp(cuts, maps, (height, width), moved).mul_(gain).add_(drawn(offset, (height, width)))
    return Aligned(centre, lit, drawn(trust, half).clamp(0, 1), gain, moved)


def merged(seen: Aligned) -> Merged:
    """Average the centre with what agrees with it."""
    if not len(seen.neighbours):
        none = seen.neighbours
        return Merged(seen.centre, none, none, seen.centre, none)
    apart = box(_halved((seen.neighbours - seen.centre).square_()), _AROUND)
    # What moves wrongly covers less than half of a face in the neighbour that fits best.
    least = float(apart.flatten(1).median(1).values.min()) / 2
    square = max(least, _LEAST_NOISE**2)
    beyond = (apart / (2 * square) - 1).clamp_min(0)

    def average(agrees: float) -> tuple[Tensor, Tensor]:
        height, width = seen.centre.shape[-2:]
        weights = seen.trust / (beyond / agrees).square_().add_(1)
        weights = resize(weights, height, width, "bilinear").clamp_(0, 1)
        total = 1 + weights.sum(0, keepdim=True)
        return (seen.centre + (weights * seen.neighbours).sum(0, keepdim=True)) / total, weights

    picture, weights = average(_AGREES)
    return Merged(picture, weights, apart, *average(_PATIENT))


def calmed(made: Merged, centre: Tensor) -> Tensor:
    """The noise that merging takes out of the centre, to be added: (1, 1, H, W), no low band."""
    taken = made.picture - centre
    return taken - _enlarged(_low(taken), taken)


def raised(seen: Aligned, made: Merged, mask: Tensor, strength: float) -> Tensor:
    """What is to be added to the centre (1, 1, H, W): noise taken out, and detail raised.

    mask (1, 1, H, W): the head, whose bands are measured. Up to `AT_TRUTH` the merging and the
    raising grow together; from there on only the raising.
    """
    lacks = _lacks(_bands(made.picture, _BANDS), mask)
    frames = torch.cat([made.steady, seen.centre, seen.neighbours])
    weights = torch.cat([torch.ones_like(seen.centre), made.steady_weights])
    total = weights.sum(0, keepdim=True)
    # Where a frame stands alone, its noise cannot be told from its detail.
    known, weights = 1 - 1 / total, weights / total
    levels = []
    for band, lack, power in zip(_bands(frames, _BANDS - 1), lacks, _POWERS, strict=True):
        found, single = band[:1], band[1:]
        scatter = (single - found).square_().mul_(weights).sum(0, keepdim=True)
        scatter = box(scatter, _AROUND)
        energy = box(found.square(), _AROUND)
        sure = known * energy / (energy + _SCATTER * scatter + _FAINT**2)
        levels.append((lack ** (power * strength / AT_TRUTH) - 1) * sure * found)
        known, weights = _halved(known), _halved(weights)
    added: Tensor = levels.pop()
    while levels:
        finer = levels.pop()
        added = finer + _enlarged(added, finer)
    return added + min(strength / AT_TRUTH, 1.0) * calmed(made, seen.centre)


def _bands(pictures: Tensor, count: int) -> list[Tensor]:
    """The bands of pictures (K, 1, H, W), from the finest on, each of half the size of the last."""
    bands = []
    for _ in range(count):
        lower = _halved(pictures)
        # What was enlarged is spent: a picture less it, its sign turned twice.
        bands.append(_enlarged(lower, pictures).neg_().add_(pictures))
        pictures = lower
    return bands


def _low(picture: Tensor) -> Tensor:
    for _ in range(_BANDS):
        picture = _halved(picture)
    return picture


def _halved(pictures: Tensor) -> Tensor:
    """Pictures at half the size, rounded up."""
    height, width = pictures.shape[-2:]
    return resize(pictures, -(-height // 2), -(-width // 2), "bilinear")


def _enlarged(pictures: Tensor, like: Tensor) -> Tensor:
    return resize(pictures, like.shape[-2], like.shape[-1], "bicubic")


def _of_halves(maps: Tensor) -> Tensor:
    """Maps between pictures as they are between pictures of half the size."""
    # A pixel's middle is a whole number: the first of the half lies at a half of the whole.
    shift = (maps[:, :, :2].sum(2) * 0.5 + maps[:, :, 2] - 0.5) / 2
    return torch.cat([maps[:, :, :2], shift[:, :, None]], 2)


def _lacks(bands: Sequence[Tensor], mask: Tensor) -> list[float]:
    """By how much each band, but the coarsest, is weaker than it would be in a clean picture."""
    amplitudes = []
    for band in bands:
        amplitudes.append(float(((mask * band.square()).sum() / mask.sum().clamp_min(1e-6)).sqrt()))
        mask = _halved(mask)
    lacks: list[float] = []
    lack = 1.0
    for level in reversed(range(len(bands) - 1)):
        expected = _NATURAL[level] * amplitudes[level + 1]
        lack = min(max(lack * expected / max(amplitudes[level], 1e-6), 1.0), _LARGEST_LACK)
        lacks.insert(0, lack)
    return lacks
