"""Dim light lifted: a tone curve that knows edges, colours, noise and black.

The curve says by how much the light of a place is multiplied. It is a function of how bright the
place is (halfway between luma and the strongest of R', G' and B', so that a deep blue lamp is not
taken for the dark), and a picture's samples are light to a power (BT.1886), so that the same factor
on Y', Cb and Cr multiplies the three primaries alike: hue and saturation stay what they were.

The factor is made on a grid of some thousand cells and drawn out along the picture's own edges
(`engine.guided`, whose windows see the factor as a line in luma): within a thing it is one factor,
so that its detail is lifted with it, and at its edge it changes with the edge, without a halo.

Where a window's variance is no more than the noise of the picture's dark, only the window's mean is
lifted. Near white the factor goes to 1, pixel by pixel: nothing is pushed out of the gamut, and
what is clipped stays as it is.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from .engine.guided import box, drawn_over, lines
from .engine.stage import Beside, Finish, Needs

__all__ = ["Curve", "RelightStage", "State", "states_of"]

_POWER = 2.4  # BT.1886
# A change of lamps inside a shot is followed over so many frames.
_FADE_FRAMES = 8

# Where shadows end. A flash comes from below to above it: the further up, the less of its step is
# lost.
_END = 0.75
_BRIGHT = 0.65

# Of 1080 lines every eighth, and of their chroma every fourth; torch works so few cells at once.
_ROWS = 135
_RADIUS = 2
# What is detail in a window of some brightness, and what an edge: the spread halfway between.
_DETAIL, _OF_MEAN = 0.01, 0.08
# Cb and Cr to the strongest primary above luma: the largest that any matrix has.
_TO_RED, _TO_BLUE, _BLUE_TO_GREEN, _RED_TO_GREEN = 1.6, 1.9, -0.2, -0.5

# Noise: the spread below which a tenth of the dark's windows lie, at least a quarter of a code.
_DARK = (0.02, 0.35)
_TENTH = 0.1
_LEAST_NOISE = (0.25 / 219) ** 2
# Up to so many times its variance a window is flat, and from so many on it is not.
_FLAT, _STRUCTURE = 1.6, 3.3
# Of the room between the strongest primary and white a factor may take so much.
_OF_ROOM, _LEAST = 0.8, 0.05
# What is restrained is made a little less than it was: the grid's own blur lets some through.
_RESTRAINT = 1.3


@dataclass(frozen=True)
class Curve:
    """Factors on coded light by brightness 0..1.

    toe: below about this, the picture is black and stays black. amount: how much of what is asked
    for this light needs.
    """

    toe: float = 0.04
    amount: float = 1.0

    @classmethod
    def of(cls, black: float, middle: float) -> Self:
        """For a light whose linear luminance has this 5th and this 50th percentile, 0..1.

        Black is what a twentieth of the picture lies under; a picture that is not dark needs less.
        """
        black, middle = black ** (1 / _POWER), middle ** (1 / _POWER)
        return cls(min(max(0.8 * black, 0.03), 0.12), 1 - 0.6 * _smooth((middle - 0.3) / 0.25))

    def mixed(self, other: "Curve", share: float) -> "Curve":
        """This one, and `share` of another."""

        return Curve(
            self.toe + share * (other.toe - self.toe),
            self.amount + share * (other.amount - self.amount),
        )

    def extra(self, brightness: Tensor, shadows: float, highlights: float) -> Tensor:
        """The factor less 1, black apart: at most 1 for shadows of 1, -0.09 for highlights of 1.

        With `lit` the curve rises everywhere, and leaves black and white where they are.
        """
        v = brightness.clamp(0, 1)
        left = (1 - (v / _END) ** 2).clamp_min(0)
        x = ((v - _BRIGHT) / (1 - _BRIGHT)).clamp(0, 1)
        dip = 16 * (x * (1 - x)) ** 2
        return shadows * self.amount * left * left - 0.09 * highlights * dip

    def lit(self, brightness: Tensor) -> Tensor:
        """How far a place is not black, 0..1."""
        v = brightness.clamp(0, 1)
        return v * v / (v * v + self.toe**2)


@dataclass(frozen=True)
class State:
    """The light of a span of frames, `first` to `last`; `cut` is whether a cut begins it."""

    first: int
    last: int
    curve: Curve
    cut: bool = True


def states_of(
    told: Sequence[Mapping[str, Any]], rate: float = 1.0, begins: int = 0
) -> tuple[State, ...]:
    """Read states, in order: first and last frame, and percentiles of linear luminance, 0..1.

    These are "p05" and "p50", or "percentiles", the 1st, 5th, 50th, 95th and 99th. A cut
    begins a state unless its "cut" is false, or its "shot" is that of the state before. `rate` is
    how many frames of the clip one of theirs is, and `begins` which of theirs their frame 0 is,
    where they are a part of a show. Raises ValueError for what is none.
    """
    states: list[State] = []
    shot: object = None
    for number, one in enumerate(told):
        try:
            first = int((one["first"] + begins) * rate)
            last = int((one["last"] + 1 + begins) * rate) - 1
            of = one.get("percentiles")
            named = (one["p05"], one["p50"]) if of is None else of[1:3]
            black, middle = (float(value) for value in named)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"state {number} must have first, last, p05 and p50 (or percentiles),"
                f" and has not: {error}"
            ) from error
        if last < first or (states and first <= states[-1].last):
            raise ValueError(f"state {number} does not come after the one before it")
        if not all(0 <= p <= 1 for p in (black, middle)):
            raise ValueError(f"percentiles of state {number} must be from 0 to 1")
        same = bool(states) and "shot" in one and one["shot"] == shot
        cut = bool(one.get("cut", not same))
        states.append(State(first, last, Curve.of(black, middle), cut))
        shot = one.get("shot")
    return tuple(states)


@dataclass(frozen=True)
class RelightStage:
    """Lifts shadows and opens highlights, 0..1 each; the curve of a frame is its state's.

    Without states it is one curve for all frames.
    """

    shadows: float = 0.0
    highlights: float = 0.0
    states: tuple[State, ...] = ()
    reach: int = 0
    scale: int = 1

    @property
    def needs(self) -> Needs:
        """Nothing."""
        return Needs(colour="yuv")

    def to(self, device: torch.device, dtype: torch.dtype) -> Finish:
        """It has no weights."""
        return self

    def curve(self, frame: int) -> Curve:
        """The curve of a frame; at a change of lamps inside a shot one goes over into the other."""
        if not self.states:
            return Curve()
        at = max(bisect_right(self.states, frame, key=lambda state: state.first) - 1, 0)
        here = self.states[at]
        if at and not here.cut:
            share = _faded(frame, self.states[at - 1], here)
            if share < 1:
                return self.states[at - 1].curve.mixed(here.curve, share)
        if at + 1 < len(self.states) and not self.states[at + 1].cut:
            following = self.states[at + 1]
            return here.curve.mixed(following.curve, _faded(frame, here, following))
        return here.curve

    def finish(self, luma: Tensor, chroma: Tensor, beside: Beside) -> tuple[Tensor, Tensor]:
        """Relight one picture."""
        if not self.shadows and not self.highlights:
            return luma, chroma
        height, width = luma.shape[-2:]
        rows = min(_ROWS, -(-height // 2))
        columns = max(1, round(rows * width / height))
        # Chroma that lies at the left of its two columns is half a column of luma from where it is
        # taken to be: a twelfth of a cell.
        shade = _averaged(luma, chroma.shape[-2], chroma.shape[-1])
        above = _above(chroma)
        mean, colour, over, square = (
            _averaged(seen, rows, columns) for seen in (shade, chroma, above, shade * shade)
        )
        brightness = mean + 0.5 * over
        curve = self.curve(beside.frame)
        wanted = curve.extra(brightness, self.shadows, self.highlights)
        # What is as flat as noise is lifted by the mean around it alone.
        around, square = box(torch.cat([mean, colour, square], 1), 1).split((3, 1), 1)
        flat = _flatness((square - around[:, :1] ** 2).clamp_min(0), mean)
        detail = (_DETAIL + _OF_MEAN * box(mean, _RADIUS)) ** 2
        # Black is left alone afterwards: as part of what is wanted it would be a hump between the
        # dark and the bright, and no line in luma follows a hump.
        lit = curve.lit(brightness)
        slope, level = (lit * line for line in lines(mean, wanted, _RADIUS, detail))
        factor = torch.minimum(slope * mean + level, _room(mean + over))
        held = _RESTRAINT * flat * factor.clamp_min(0)
        # The strongest colour in each cell: a small lamp must not be pushed out of the gamut.
        over = _strongest(above, rows, columns)

        def relit(picture: Tensor, shade: Tensor, part: slice) -> Tensor:
            maps = torch.cat([slope, level - held, over, held * around[:, part]], 1)
            return _multiplied(picture, shade, maps)

        return relit(luma, luma, slice(0, 1)), relit(chroma, shade, slice(1, 3))


def _multiplied(picture: Tensor, luma: Tensor, maps: Tensor) -> Tensor:
    """The picture times 1 and a factor, with what is given back to the flat; `luma` at its places.

    The factor is the maps' line in luma; it fades where the strongest primary nears white.
    """

    def made(lines: slice, drawn: Tensor, to: Tensor) -> None:
        here, shade = picture[..., lines, :], luma[..., lines, :]
        factor = torch.addcmul(drawn[:, 1:2], drawn[:, :1], shade)
        room = _room(drawn[:, 2:3].add_(shade))
        torch.minimum(factor, room, out=factor)
        torch.maximum(factor, room.neg_(), out=factor)
        torch.addcmul(drawn[:, 3:].add_(here), here, factor, out=to)

    return drawn_over(picture, maps, (0.0, 0.0), made)


def _averaged(pictures: Tensor, rows: int, columns: int) -> Tensor:
    """The mean in each of a grid's cells (N, C, rows, columns)."""
    tall, wide = (
        whole / cells for whole, cells in zip(pictures.shape[-2:], (rows, columns), strict=True)
    )
    if tall % 1 or wide % 1:
        return functional.adaptive_avg_pool2d(pictures, (rows, columns))
    # Whole cells are summed in the order in which the pooling does it, in half of its time.
    parts = (
        pictures[..., down :: int(tall), right :: int(wide)]
        for down in range(int(tall))
        for right in range(int(wide))
    )
    total = next(parts).clone(memory_format=torch.contiguous_format)
    for part in parts:
        total += part
    return total.div_(tall).div_(wide)


def _strongest(picture: Tensor, rows: int, columns: int) -> Tensor:
    """The largest in each of a grid's cells (N, 1, rows, columns)."""
    height, width = picture.shape[-2:]
    if height % rows or width % columns:
        return functional.adaptive_max_pool2d(picture, (rows, columns))
    cells: Tensor = picture.unflatten(-1, (columns, -1)).unflatten(-3, (rows, -1))
    return cells.amax(-3).amax(-1)


def _room(strongest: Tensor) -> Tensor:
    """The factor less 1 that a place may have, by its strongest primary; `strongest` is spent."""
    return strongest.clamp_(_LEAST, 1).reciprocal_().sub_(1).mul_(_OF_ROOM)


def _above(chroma: Tensor) -> Tensor:
    """How far the strongest primary is above luma, (N, 1, h, w)."""
    blue, red = chroma.split(1, 1)
    green = torch.add(_BLUE_TO_GREEN * blue, red, alpha=_RED_TO_GREEN)
    return torch.maximum(torch.maximum(_TO_BLUE * blue, _TO_RED * red), green)


def _flatness(variance: Tensor, mean: Tensor) -> Tensor:
    """Where variance is no more than the dark's noise, 0..1."""
    dark = variance[(mean > _DARK[0]) & (mean < _DARK[1])]
    noise = variance.new_tensor(_LEAST_NOISE)
    if len(dark):
        tenth = dark.kthvalue(1 + int(_TENTH * (len(dark) - 1))).values
        noise = torch.maximum(noise, tenth)
    over = (variance / noise - _FLAT) / (_STRUCTURE - _FLAT)
    over = over.clamp(0, 1)
    return 1 - over * over * (3 - 2 * over)


def _faded(frame: int, before: State, after: State) -> float:
    """How much of `after` a frame has: none half a fade before it begins, all half a fade later."""
    shortest = min(before.last - before.first, after.last - after.first) + 1
    fade = min(_FADE_FRAMES, shortest)
    return _smooth((frame - after.first) / fade + 0.5)


def _smooth(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)
