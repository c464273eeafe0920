"""The stage's light: cuts told from flashes, and neighbours lit as the centre is.

Everything here looks at *miniatures*: frames averaged to 24 x 32 cells. A cell of an SD frame is
the mean of 500 pixels, so noise is nearly gone from the dark, and small motion does not show.

**Structure** is what a lamp cannot change: each cell against the mean of the cells around it, over
their spread. Two frames are compared by the correlation of their structures, only where both have
any (black and clipped white have none), at the best of some shifts, so that a pan is not a cut; and
what is not alike there at a second, since behind a singer whom a lens follows the stage passes. A
**cut** separates four frames from four: no pair across it is nearly as alike as those beside it.
After a flash the old picture is back, so a pair across it is alike. The idea of comparing local
order instead of brightness is Zabih and Woodfill's (census transform, ECCV 1994).

**Equal light** is a gain and an offset per channel and cell that give a neighbour the local mean
and the local deviation of the centre (Reinhard et al., Color Transfer between Images, 2001; local
and smoothed as in He et al., Guided Image Filtering, 2010). Means and deviations, unlike a
regression, do not shrink when things move. Cells that the map does not explain (motion, a new
shadow, clipping) have little confidence, count little for the map, and take it from around them.

Where the light has changed and the map does not explain how (a flash casts shadows, or burns), a
frame **leans on itself**: what a network is handed there of the neighbour is the centre's own.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from .scaling import resize

__all__ = [
    "ALIKE",
    "LOOK",
    "Flags",
    "apply",
    "cut_between",
    "equalise",
    "fill_trust",
    "flags",
    "light_map",
    "like_next",
    "miniature",
    "window_indices",
]

LOOK = 4
"""Frames needed on each side of a frame to tell its flags: a flash may last three."""

ALIKE = 0.435
"""Two frames at least as like as this are of one shot."""

_ROWS, _COLUMNS = 24, 32
_CODE = 1 / 255

# Structure: the mean and spread are of 5 x 5 cells; a spread of half a code is half a structure.
_AROUND = 5
_FAINT = 0.5 * _CODE
# A pan may move a quarter of the width and an eighth of the height from one frame to the next.
_SHIFT = (3, 8)
# Less than this share of the cells in common tells nothing.
_LEAST_SHARED = 0.06
# Few cells agree by chance: their likeness is drawn towards 0 as by this share that does not.
_DOUBT = 0.02
# A second shift is for cells around which, in 13 x 13, less than this share agrees at the first.
_PATCH = 13
_AGREED = 0.4
# What agrees at the second only counts for less: of two shots as well, some does by chance.
_SECOND = 0.7
# So many times as like themselves as like each other are the sides of a cut. In the 800 made films
# that were tuned on, 398 of 400 cuts have 1.99 and more, and all that is no cut 1.74 and less.
_TIMES_SIDES = 1.8
# All across the gap; all before it; after it the first with each, and the second with the next.
_PAIRS = tuple(
    torch.tensor(ends)
    for ends in zip(
        *product(range(LOOK), range(LOOK, 2 * LOOK)),
        *combinations(range(LOOK), 2),
        *((LOOK, after) for after in range(LOOK + 1, 2 * LOOK)),
        (LOOK + 1, LOOK + 2),
        strict=True,
    )
)

# Equal light: the reach of a local mean, in cells, and the bounds of a gain on coded values.
_SPREAD = 1.5
_GAIN = 8.0
_FLAT = 4.0 * _CODE
_UNSEEN = 0.5 * _CODE

# Leaning: below the first share of confidence wholly, above the second not at all; only where the
# mean of 9 x 9 cells has changed, in which motion cancels and light does not, and in frames most of
# which has so changed: a flash does that to all of a frame, motion hardly to half.
_LEANS = (0.1, 0.4)
_WIDE = 9
_CHANGED = (3 * _CODE, 9 * _CODE)
_MOST = (0.5, 0.9)


@dataclass(frozen=True)
class Flags:
    """What a frame is in its show: first of a shot, last of a shot, how much of a flash (0..1)."""

    cut_prev: bool
    cut_next: bool
    flash: float


def miniature(frames: Tensor, field: Literal["top", "bottom"] | None = None) -> Tensor:
    """Average frames (N, 3, H, W) to (N, 3, 24, 32), whatever H and W.

    Of a field its parity is told: both kinds are brought to the lines halfway between theirs, or
    every edge that lies flat would seem to flicker with the parity.

    They should be R'G'B' of 0..1, as coded: a lamp multiplies the light of each primary, and what
    is multiplied in light is multiplied in a power of it, so that a change of lamps is a gain per
    channel; in Y'CbCr it would mix them. An average commutes with the matrix, so a miniature of
    Y'CbCr may be turned into R'G'B' afterwards.
    """
    height, width = frames.shape[-2:]
    rows = _averaging(height, _ROWS, field, frames.device, frames.dtype)
    columns = _averaging(width, _COLUMNS, None, frames.device, frames.dtype)
    return rows @ frames @ columns.T


@cache
def _averaging(
    length: int,
    cells: int,
    field: Literal["top", "bottom"] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """The matrix (cells, length) that averages lines, or columns, to cells."""
    with torch.inference_mode(False):
        lines = torch.eye(length, dtype=torch.float64)
        if field is not None:
            beyond = lines.roll(-1, 0) if field == "top" else lines.roll(1, 0)
            edge = length - 1 if field == "top" else 0
            beyond[edge] = lines[edge]
            # A quarter of the next line for one parity, of the one before for the other.
            lines = 0.75 * lines + 0.25 * beyond
        return functional.adaptive_avg_pool2d(lines[None], (cells, length))[0].to(device, dtype)


def flags(minis: Tensor) -> Flags:
    """Tell what the centre of miniatures (2 * LOOK + 1, 3, h, w) is.

    At the ends of a clip its first or last frame is repeated; that makes no cut.
    """
    cut_prev, cut_next = cut_between(minis[:-1]), cut_between(minis[1:])
    return Flags(cut_prev, cut_next, _flash(minis, cut_prev, cut_next))


def cut_between(minis: Tensor) -> bool:
    """Tell whether a cut lies in the middle of miniatures (2 * LOOK, 3, h, w).

    Frame n is told `cut_next` and frame n + 1 `cut_prev` from this same window. A frame that shows
    nothing, or is like neither side, belongs to the shot before it.
    """
    structures = _structures(minis)
    if float(_unmoved(structures[:LOOK], structures[LOOK:]).amax()) >= ALIKE:
        return False  # as most gaps are
    across, before, after = likeness(minis)
    return across * _TIMES_SIDES < min(before, after)


def like_next(minis: Tensor) -> Tensor:
    """Give the likeness 0..1 of each of miniatures (N, 3, h, w) to the next, unshifted: (N - 1).

    -1 where nothing stands out to be compared. Where it is `ALIKE` or more, `cut_between` finds no
    cut: who looks at a whole show need ask it only of the other gaps.
    """
    structures = _structures(minis).flatten(2)
    one, other = structures[:-1].unbind(1), structures[1:].unbind(1)
    norm = ((one[1] * other[2]).sum(-1) * (one[2] * other[1]).sum(-1)).sqrt()
    return _doubted((one[0] * other[0]).sum(-1), norm, one[0].shape[-1])


def likeness(minis: Tensor) -> tuple[float, float, float]:
    """Give what `cut_between` decides by: likeness across the gap, before it and after it, 0..1.

    Where nothing can be compared, there is no sign of a cut: 1 across it, 0 beside it.
    """
    structures = _structures(minis)
    one, other = _PAIRS
    pairs = _likeness(structures[one], structures[other])
    across, before, after = pairs.split([LOOK * LOOK, LOOK * (LOOK - 1) // 2, LOOK])
    # The shot before may end in an odd frame; the shot after begins with one of its own: like
    # most of those that follow, or, in a pan, at least like the next, as that is like the third.
    *following, third = after.unbind()
    known = sorted(float(like) for like in following if like >= 0)
    most = known[len(known) // 2] if known else 0.0
    chained = float(torch.minimum(following[0], third))
    return _largest(across, 1.0), _largest(before, 0.0), max(most, chained)


def light_map(mini_from: Tensor, mini_to: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give the light of one miniature to another's frame: gain, offset and confidence.

    Args:
        mini_from: (..., 3, h, w), of the frames to be changed.
        mini_to: The same shape, or one that is expanded to it: of the frames to be like.

    Returns:
        Gain (1/8..8) and offset per channel, both (..., 3, h, w), and confidence 0..1,
        (..., 1, h, w): how well the map explains the difference, channel by channel, the worst
        taken. Equal miniatures give exactly 1, 0 and 1.
    """
    gain, offset, trust, _ = _mapped(mini_from, mini_to)
    return gain, offset, trust


def apply(frames: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Change the light of frames (..., 3, H, W) by maps (..., 3, h, w), drawn out bilinearly.

    A gain of 1 and an offset of 0 give the very same samples; nothing is clipped.
    """
    height, width = frames.shape[-2:]

    def drawn(small: Tensor) -> Tensor:
        large = resize(small.flatten(0, -4), height, width, "bilinear")
        return large.reshape(frames.shape).to(frames.dtype)

    return torch.addcmul(frames + drawn(offset), frames, drawn(gain - 1))


def equalise(
    windows: Tensor,
    minis: Tensor,
    to_rgb: Callable[[Tensor], Tensor] | None = None,
    from_rgb: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Give the frames of windows (..., K, 3, H, W) the stage light of their centres.

    `minis` (..., K, 3, h, w) are their miniatures, R'G'B'. `to_rgb` and `from_rgb` turn frames
    (M, 3, H, W) of another colour model to R'G'B' and back. A frame whose cells keep their means
    within half a code of 8 bit is left as it is: under calm light nothing is done. Returns the
    frames and the confidence (..., K, 1, h, w); the centre comes back as it was, with a confidence
    of 1.
    """
    windows = windows.clone()
    return windows, _equalise(windows, minis, to_rgb, from_rgb)[0]


def fill_trust(
    windows: Tensor,
    minis: Tensor,
    to_rgb: Callable[[Tensor], Tensor] | None = None,
    from_rgb: Callable[[Tensor], Tensor] | None = None,
    *,
    below: float = 0.0,
) -> None:
    """Equalise windows (N, K, 4, H, W) in their place; the confidence becomes the fourth channel.

    What a network is handed, in training and in a chain. Where a neighbour's light has changed and
    its map does not explain that, the centre's own picture takes the neighbour's place. `below`
    tells of fields how many lines the other parity lies below the centre's: 0.5 where the centre
    is a top field, -0.5 where it is a bottom one; the centre's are drawn there for it.
    """
    trust, kept = _equalise(windows[:, :, :3], minis, to_rgb, from_rgb)
    height, width = windows.shape[-2:]
    windows[:, :, 3] = resize(trust[:, :, 0], height, width, "bilinear")
    for window, shares in zip(windows, kept, strict=True):
        _lean(window[:, :3], shares, below)


def _equalise(
    windows: Tensor,
    minis: Tensor,
    to_rgb: Callable[[Tensor], Tensor] | None,
    from_rgb: Callable[[Tensor], Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """Change the windows; give the confidence, and the share of each that is worth keeping."""
    middle = minis.shape[-4] // 2
    centre = minis[..., middle : middle + 1, :, :, :]
    gain, offset, confidence, explained = _mapped(minis, centre)
    change = (minis * (gain - 1) + offset).abs().amax((-3, -2, -1))
    other = (change > _UNSEEN).nonzero(as_tuple=True)
    # One at a time: what is worked on stays in a processor's cache.
    for place in zip(*(at.tolist() for at in other), strict=True):
        frame = windows[place][None]
        rgb = frame if to_rgb is None else to_rgb(frame)
        lit = apply(rgb, gain[place][None], offset[place][None])
        windows[place] = (lit if from_rgb is None else from_rgb(lit))[0].to(windows.dtype)
    return confidence, _kept(minis, centre, explained)


def _kept(minis: Tensor, centre: Tensor, explained: Tensor) -> Tensor:
    """The share 0..1 of a neighbour that stays, (..., 1, h, w)."""
    wide = functional.avg_pool2d(
        (minis - centre).flatten(0, -4), _WIDE, 1, _WIDE // 2, count_include_pad=False
    )
    changed = _ramp(wide.view(minis.shape).abs().amax(-3, keepdim=True), _CHANGED)
    flashes = _ramp(changed.mean((-2, -1), keepdim=True), _MOST)
    return 1 - flashes * changed * (1 - _ramp(explained, _LEANS))


def _ramp(values: Tensor, ends: tuple[float, float]) -> Tensor:
    return ((values - ends[0]) / (ends[1] - ends[0])).clamp(0, 1)


def _lean(window: Tensor, kept: Tensor, below: float) -> None:
    """Put the centre of a window (K, 3, H, W) where not all of its neighbours is kept."""
    middle, (height, width) = len(window) // 2, window.shape[-2:]
    own = drawn = window[middle]
    leaning = (kept.amin((-3, -2, -1)) < 1).nonzero().flatten().tolist()
    if below and any((at - middle) % 2 for at in leaning):
        drawn = resize(own[None], height, width, "bicubic", (below, 0.0))[0]
    for at in leaning:
        share = 1 - resize(kept[at][None], height, width, "bilinear")[0]
        window[at].lerp_(drawn if (at - middle) % 2 else own, share.to(window.dtype))


def window_indices(
    n: int, reach: int, cuts: Collection[int], length: int, *, fields: bool = False
) -> list[int]:
    """Give the frames n - reach .. n + reach, those beyond a cut or an end replaced.

    `cuts` are the frames that begin a shot; those near n are enough. A frame beyond one of them is
    replaced by the nearest on n's side; of `fields`, by the nearest of its own parity, since a
    network expects other lines there (in a shot of one field there is none, and it stands alone).
    """
    first = max((cut for cut in cuts if n - reach < cut <= n), default=n - reach)
    last = min((cut - 1 for cut in cuts if n < cut <= n + reach), default=n + reach)
    first, last = max(first, 0), min(last, length - 1)

    def replaced(at: int) -> int:
        nearest = min(max(at, first), last)
        if not fields or (nearest - at) % 2 == 0:
            return nearest
        inward = nearest + (1 if at < first else -1)
        return inward if first <= inward <= last else nearest

    return [replaced(at) for at in range(n - reach, n + reach + 1)]


def _structures(minis: Tensor) -> Tensor:
    """Give structure, energy and presence (K, 3, h, w) of miniatures (K, 3, h, w).

    Presence, 0..1, is how far a cell and those around it stand out of noise and below white;
    structure (of spread 1) and energy, its square, are weighted by it. Always on the CPU, so that
    one show has the same cuts on every device.
    """
    light = minis.cpu().float().mean(1, keepdim=True)
    raised = light - _box(light)
    spread = _box(raised * raised)
    presence = spread / (spread + _FAINT**2) * ((1 - light) * 20).clamp(0, 1)
    structure = raised / (spread + (0.1 * _FAINT) ** 2).sqrt()
    return torch.cat([structure * presence, structure * structure * presence, presence], 1)


def _unmoved(one: Tensor, other: Tensor) -> Tensor:
    """Give the likeness 0..1 (K, L), unshifted, of structures (K, 3, h, w) and (L, 3, h, w)."""
    here, there = one.flatten(2).movedim(1, 0), other.flatten(2).movedim(1, 0)
    structure, energy, presence = here @ there[[0, 2, 1]].mT
    return _doubted(structure, (energy * presence).sqrt(), here.shape[-1])


def _likeness(one: Tensor, other: Tensor) -> Tensor:
    """Give the likeness 0..1 (P) of pairs of structures, both (P, 3, h, w); -1 if unknown.

    It is the largest correlation at any shift, each pair of cells weighted by the presence of both,
    and what a second shift adds to it: each cell takes the one at which more around it agrees.
    """
    rows, columns = _SHIFT
    # Structure meets structure, energy the other's presence.
    wide = functional.pad(other[:, [0, 2, 1]], (columns, columns, rows, rows))
    alike, place = _told(_sums(one, wide)).flatten(1).max(1)
    first = _met(one, wide, place)
    agreed, energy, presence = _patch(first).unbind(1)
    left = agreed < _AGREED * ((energy * presence).sqrt() + _DOUBT)
    place = _sums(one[:, :1] * left[:, None], wide[:, :1]).flatten(1).argmax(1)
    second = _met(one, wide, place)
    better = _patch(second[:, :1] - first[:, :1]) > 0
    twice = _told(torch.where(better, second, first).sum((-2, -1)))
    return torch.where(alike >= 0, alike + _SECOND * (twice - alike).clamp_min(0), -1.0)


def _sums(one: Tensor, wide: Tensor) -> Tensor:
    """Multiply maps (P, C, h, w) by (P, C, H, W) at every place; add up cells: (P, Y, X, C)."""
    count, maps = one.shape[:2]
    summed = functional.conv2d(
        wide.flatten(0, 1)[None], one.flatten(0, 1)[:, None], groups=count * maps
    )
    parted: Tensor = summed.unflatten(1, (count, maps))[0].movedim(1, -1)
    return parted


def _met(one: Tensor, wide: Tensor, place: Tensor) -> Tensor:
    """Multiply maps (P, C, h, w) by (P, C, H, W), each pair at its place (P), of Y * X."""
    rows, columns = one.shape[-2:]
    there = wide.unfold(-2, rows, 1).unfold(-2, columns, 1)
    across = there.shape[3]
    pairs = torch.arange(len(one), device=one.device)
    return torch.mul(one, there[pairs, :, place // across, place % across])


def _told(sums: Tensor) -> Tensor:
    """Give likeness of sums (..., 3) of structure, energy and presence that met."""
    structure, energy, presence = sums.unbind(-1)
    return _doubted(structure, (energy * presence).sqrt(), _ROWS * _COLUMNS)


def _doubted(structure: Tensor, norm: Tensor, cells: int) -> Tensor:
    """Give likeness of a correlation and its norm, or -1 where too few cells tell."""
    alike = structure / (norm + _DOUBT * cells)
    return torch.where(norm > _LEAST_SHARED * cells, alike.clamp_min(0), -1.0)


def _largest(likenesses: Tensor, default: float) -> float:
    largest = float(likenesses.amax())
    return largest if largest >= 0 else default


def _patch(maps: Tensor) -> Tensor:
    """Give the means around each cell; one way, then the other: 26 cells instead of 169."""
    rows = functional.avg_pool2d(maps, (_PATCH, 1), 1, (_PATCH // 2, 0))
    return functional.avg_pool2d(rows, (1, _PATCH), 1, (0, _PATCH // 2))


def _box(pictures: Tensor) -> Tensor:
    return functional.avg_pool2d(pictures, _AROUND, 1, _AROUND // 2, count_include_pad=False)


def _flash(minis: Tensor, cut_prev: bool, cut_next: bool) -> float:
    """How much more light the centre has than the darkest of each side, 1 from a stop on."""
    light = (minis.clamp_min(0) ** 2.2).mean((-2, -1)) + 1e-4
    stops = (light[LOOK] / light).log2()
    sides = []
    if not cut_prev:
        sides.append(stops[:LOOK].amax(0))
    if not cut_next:
        sides.append(stops[LOOK + 1 :].amax(0))
    if not sides:
        return 0.0
    rise = float(torch.stack(sides).amin(0).amax())
    return min(max((rise - 0.2) / 0.8, 0.0), 1.0)


def _mapped(mini_from: Tensor, mini_to: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give `light_map`'s three, and the confidence without its doubt in noise that is raised."""
    mini_to = mini_to.expand_as(mini_from)
    clipped = (_clipped(mini_from) - _clipped(mini_to)).abs().amax(-3, keepdim=True)
    trust = explained = 1 - clipped
    for _ in range(2):
        gain, offset, trust, explained = _fitted(mini_from, mini_to, trust * (1 - clipped))
    trust = trust * (1 - clipped)
    weight = trust + 1e-3
    total = _blur(weight)
    gain, offset = _blur(gain * weight) / total, _blur(offset * weight) / total
    return gain, offset, trust, explained * (1 - clipped)


def _fitted(
    source: Tensor, wanted: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fit gain and offset to weighted local moments; give them and how well they explain.

    That twice: less where they raise noise, and without regard to it.
    """
    weight = weight + 1e-3
    moments = [weight.expand_as(source[..., :1, :, :])]
    for picture in (source, wanted):
        moments += [weight * picture, weight * picture * picture]
    blurred = _blur(torch.cat(moments, -3))
    total = blurred[..., :1, :, :]
    mean_from, square_from, mean_to, square_to = (blurred[..., 1:, :, :] / total).chunk(4, -3)
    spread_from = (square_from - mean_from * mean_from).clamp_min(0)
    spread_to = (square_to - mean_to * mean_to).clamp_min(0)
    # Where nothing stands out, light multiplies: the ratio of the means.
    ratio = ((mean_to + _CODE) / (mean_from + _CODE)).clamp(1 / _GAIN, _GAIN)
    flat = _FLAT**2
    gain = ((spread_to + ratio * ratio * flat) / (spread_from + flat)).sqrt()
    gain = gain.clamp(1 / _GAIN, _GAIN)
    offset = mean_to - gain * mean_from
    error = wanted - (gain * source + offset)
    unexplained = _blur(error * error)
    allowed = 0.1 * spread_to + (1.5 * _CODE) ** 2
    confidence = allowed / (allowed + unexplained)
    noise = (2 / gain).clamp(max=1)
    trust = (confidence * noise).amin(-3, keepdim=True)
    return gain, offset, trust, confidence.amin(-3, keepdim=True)


def _clipped(minis: Tensor) -> Tensor:
    """How far a cell is white beyond telling, 0..1."""
    return ((minis - 0.94) * 20).clamp(0, 1)


def _blur(maps: Tensor) -> Tensor:
    """Smooth (..., h, w) by a Gaussian; weights beyond the edges are left out."""
    rows, columns = maps.shape[-2:]
    return _gauss(rows, maps.device) @ maps @ _gauss(columns, maps.device).mT


@cache
def _gauss(length: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # kept for those who train as well
        place = torch.arange(length, dtype=torch.float32, device=device)
        weights = torch.exp(-((place[:, None] - place) ** 2) / (2 * _SPREAD**2))
        return weights / weights.sum(1, keepdim=True)
