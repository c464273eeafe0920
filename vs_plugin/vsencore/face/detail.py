"""A face's own pixels over time: merged where they agree, raised where they are not noise.

Nothing is invented. The neighbours, aligned and lit as the centre is, are averaged with it, each
counting as much as it agrees: the weight of a difference beyond the noise falls as Geman and
McClure's (Statistical Methods for Tomographic Image Reconstruction, 1987), so a hand, a blink or a
wrong flow is left out, pixel by pixel.

Lens, tape, codec, enlarger, and a network that was taught to be right on average weaken the finer
bands of a picture (Burt and Adelson, The Laplacian Pyramid, 1983). How much the last three do was
measured on photographs whose truth is known; how much weaker a band is than that is told by the
picture: in those of the world each band has a nearly fixed part of the next coarser one's amplitude
(Field, Relations between the statistics of natural images and the response properties of cortical
cells, 1987). What a band lacks it is raised by, in part, since what was lost is also no longer
true; and only where its energy stands above the scatter of the frames about it. Of the low band
nothing changes. What is raised is averaged along the track as the face itself is, so that it is
steady.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..engine import light
from ..engine.guided import box
from ..engine.scaling import resize
from .align import flow, warp

__all__ = [
    "AT_TRUTH",
    "BANDS",
    "Aligned",
    "Merged",
    "Ties",
    "aligned",
    "bands",
    "calmed",
    "merged",
    "raised",
    "smoothed",
    "sure_bands",
]

AT_TRUTH = 0.5
"""The strength that comes nearest to the truth; more shows more, and less does less."""

_CODE = 1 / 255
BANDS = 4
"""Bands, each of half the frequencies of the one before; below the last nothing changes."""

# What part of the next coarser band's amplitude a band of faces has in clean pictures.
_NATURAL = (0.72, 0.75, 0.77)
# By how much what the network left and merging kept of each band is too weak on average, and the
# power of what the band lacks that it is weaker by: scripts/train/face_gains.py prints the first
# from photographs, and "singer" of scripts/bench/faces.py chose the second.
_WEAKER = (0.27, 0.05, 0.0)
_POWERS = (0.0, 0.6, 0.3)
_LARGEST_LACK = 2.5
# Noise is no less than this; and a difference of this many times its square counts half.
_LEAST_NOISE = 0.5 * _CODE
_AGREES, _PATIENT = 5.0, 25.0
# The pixels around one whose mean is taken, each way, at half the size; of a band, at its own.
_AROUND = 2
# Detail of which so much is sure is raised in full; no energy below this is any.
_SURE = 0.4
_FAINT = 0.3 * _CODE


@dataclass(frozen=True)
class Aligned:
    """A face's luma in some frames, all in the centre's place and light.

    centre (1, 1, H, W), neighbours (K, 1, H, W), trust (K, 1, H / 2, W / 2) 0..1: how well their
    light is explained. gain (K, 1, h, w) in coarse cells is what they were multiplied with, and
    moved (K, 2, H / 2, W / 2) the flow on top of the maps, right and down, in pixels of half the
    size.
    """

    centre: Tensor
    neighbours: Tensor
    trust: Tensor
    gain: Tensor
    moved: Tensor


@dataclass(frozen=True)
class Merged:
    """The average (1, 1, H, W) and what it was made by.

    apart (K, 1, H / 2, W / 2): the local mean squares of what lies between each neighbour and the
    centre. steady (1, 1, H, W): the average in which more may differ. Of both the neighbours'
    weights (K, 1, H / 2, W / 2), where the centre's is 1.
    """

    picture: Tensor
    weights: Tensor
    apart: Tensor
    steady: Tensor
    steady_weights: Tensor


@dataclass(frozen=True)
class Ties:
    """How a face in other frames hangs together with the centre: all that is kept of a window.

    moved and gain as in `Aligned`; weights (K, 1, H / 2, W / 2).
    """

    moved: Tensor
    gain: Tensor
    weights: Tensor

    def of(self, chosen: Sequence[int]) -> "Ties":
        """Those of some neighbours alone."""
        at = torch.tensor(chosen, dtype=torch.long, device=self.moved.device)
        return Ties(self.moved[at], self.gain[at], self.weights[at])


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
    moved = flow((first * drawn(gain, half)).add_(drawn(offset, half)), small)
    lit = warp(cuts, maps, (height, width), _whole_flow(moved, height, width))
    lit.mul_(drawn(gain, (height, width))).add_(drawn(offset, (height, width)))
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
        weights = seen.trust / (beyond / agrees).square_().add_(1)
        return _average(seen.centre, seen.neighbours, weights), weights

    picture, weights = average(_AGREES)
    return Merged(picture, weights, apart, *average(_PATIENT))


def smoothed(own: Tensor, others: Tensor, maps: Tensor, ties: Ties) -> Tensor:
    """What was made of a face in each of some frames, averaged in the place and light of one.

    own (1, 1, H, W) is the centre's; others (K, 1, h, w) are the neighbours', and maps (K, 2, 3)
    lead from the centre's pixels to theirs.
    """
    if not len(others):
        return own
    height, width = own.shape[-2:]
    there = warp(others, maps, (height, width), _whole_flow(ties.moved, height, width))
    there.mul_(resize(ties.gain, height, width, "bilinear"))
    return _average(own, there, ties.weights)


def _average(own: Tensor, others: Tensor, weights: Tensor) -> Tensor:
    """The mean of a picture, whose weight is 1, and others, whose weights are of half the size."""
    height, width = own.shape[-2:]
    weights = resize(weights, height, width, "bilinear").clamp_(0, 1)
    total = 1 + weights.sum(0, keepdim=True)
    return (own + (weights * others).sum(0, keepdim=True)) / total


def _whole_flow(moved: Tensor, height: int, width: int) -> Tensor:
    return resize(moved, height, width, "bilinear").mul_(2)


def calmed(made: Merged, centre: Tensor) -> Tensor:
    """The noise that merging takes out of the centre, to be added: (1, 1, H, W), no low band."""
    taken = made.picture - centre
    return taken - _enlarged(_low(taken), taken)


def raised(seen: Aligned, made: Merged, mask: Tensor, strength: float) -> Tensor:
    """The detail that is to be added to what was merged: (1, 1, H, W), no low band.

    mask (1, 1, H, W): the head, whose bands are measured.
    """
    if not len(seen.neighbours):
        # A frame's noise cannot be told from its detail where it stands alone.
        return torch.zeros_like(seen.centre)
    lacks = _lacks(bands(made.picture, BANDS), mask)
    levels = []
    for (band, sure), lack, weaker, power in zip(
        sure_bands(seen, made), lacks, _WEAKER, _POWERS, strict=True
    ):
        more = ((1 + weaker) * lack**power - 1) * strength / AT_TRUTH
        levels.append(more * (sure / _SURE).clamp_max(1) * band)
    added: Tensor = levels.pop()
    while levels:
        finer = levels.pop()
        added = finer + _enlarged(added, finer)
    return added


def sure_bands(seen: Aligned, made: Merged) -> list[tuple[Tensor, Tensor]]:
    """The bands of the steady average but the coarsest, and how much of each is sure, 0..1.

    Sure is what stands above the scatter about it of the centre and the neighbours in the middle.
    """
    height, width = seen.centre.shape[-2:]
    weights = resize(made.steady_weights, height, width, "bilinear").clamp_(0, 1)
    # Where a frame stands alone, its noise cannot be told from its detail.
    known = 1 - 1 / (1 + weights.sum(0, keepdim=True))
    middle = len(weights) // 2
    near = slice(max(middle - 1, 0), middle + 1)
    frames = torch.cat([made.steady, seen.centre, seen.neighbours[near]])
    weights = torch.cat([torch.ones_like(seen.centre), weights[near]])
    weights /= weights.sum(0, keepdim=True)
    found = []
    for band in bands(frames, BANDS - 1):
        own, single = band[:1], band[1:]
        scatter = (single - own).square_().mul_(weights).sum(0, keepdim=True)
        scatter = box(scatter, _AROUND)
        energy = box(own.square(), _AROUND)
        found.append((own, known * energy / (energy + scatter + _FAINT**2)))
        known, weights = _halved(known), _halved(weights)
    return found


def bands(pictures: Tensor, count: int) -> list[Tensor]:
    """The bands of pictures (K, 1, H, W), from the finest on, each of half the size of the last."""
    found = []
    for _ in range(count):
        lower = _halved(pictures)
        # What was enlarged is spent: a picture less it, its sign turned twice.
        found.append(_enlarged(lower, pictures).neg_().add_(pictures))
        pictures = lower
    return found


def _low(picture: Tensor) -> Tensor:
    for _ in range(BANDS):
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


def _lacks(found: Sequence[Tensor], mask: Tensor) -> list[float]:
    """By how much each band, but the coarsest, is weaker than it would be in a clean picture."""
    amplitudes = []
    for band in found:
        amplitudes.append(float(((mask * band.square()).sum() / mask.sum().clamp_min(1e-6)).sqrt()))
        mask = _halved(mask)
    lacks: list[float] = []
    lack = 1.0
    for level in reversed(range(len(found) - 1)):
        expected = _NATURAL[level] * amplitudes[level + 1]
        lack = min(max(lack * expected / max(amplitudes[level], 1e-6), 1.0), _LARGEST_LACK)
        lacks.insert(0, lack)
    return lacks
