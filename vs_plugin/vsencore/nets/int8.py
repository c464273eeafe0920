"""The restoring network in numbers of eight bits, for processors.

A processor with vector neural instructions (VNNI: Intel since 2019, AMD since 2022) multiplies
bytes several times as fast as floats, and moves a quarter of the memory. Every layer's features
stay within a range that was measured once, on samples of the training: what a ReLU left becomes
0..255, other features 1..255 about 128. Weights become -127..127, each output channel with a step
of its own (Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018). Sums are exact, of 32 bits; what is said at the end
is float. The convolutions are oneDNN's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .restorer import CELL_STEP, CELL_ZERO, TOLD_STEP, Restorer

__all__ = ["Int8Restorer", "codes", "measured", "numbers", "supported"]

# The largest code on each side of the middle: -128 is left out, so that both reach as far.
_MOST, _MIDDLE = 127, 128
_KEPT = 0.9999


def supported() -> bool:
    """Whether this processor, with this torch, is quicker in bytes than in floats."""
    # Neither name is promised by torch: without them it is floats.
    vnni = getattr(torch.cpu, "_is_vnni_supported", None)
    return vnni is not None and bool(vnni()) and hasattr(torch.ops.onednn, "qconv2d_pointwise")


def measured(network: Restorer, numbers: Tensor) -> Tensor:
    """How far every layer's features but the last's go from 0, in the order that they run.

    One in ten thousand goes farther and will be held there: it costs less than coarser steps for
    all the others.
    """
    far: list[Tensor] = []

    def see(features: Tensor) -> None:
        sizes = features.abs().flatten()
        far.append(sizes.kthvalue(max(1, round(_KEPT * len(sizes)))).values)

    network.said(numbers, see)
    return torch.stack(far)


def codes(window: Tensor) -> Tensor:
    """Fold windows (N, K, 4, h, w) to cells as `restorer.cells` does, but in bytes."""
    n, pictures, _, height, width = window.shape
    colour, trust, centre = 4 * pictures, 6 * pictures, pictures // 2
    folded = window.new_empty((n, 7 * pictures - 1, height // 2, width // 2), dtype=torch.uint8)
    for one, into in zip(window, folded, strict=True):
        # Picture by picture: what is worked on stays in a processor's cache.
        for number, picture in enumerate(one):
            luma = _code(picture[:1], 219, 16)
            into[4 * number : 4 * number + 4] = functional.pixel_unshuffle(luma, 2)
            rest = functional.avg_pool2d(picture[1:], 2)
            into[colour + 2 * number : colour + 2 * number + 2] = _code(rest[:2], 224, CELL_ZERO)
            if number != centre:
                into[trust + number - (number > centre)] = _code(rest[2], 224, 16)
    return folded.contiguous(memory_format=torch.channels_last)


def numbers(coded: Tensor) -> Tensor:
    """Cells in floats again, as `restorer.cells` gives them."""
    values = (coded.float() - CELL_ZERO) * CELL_STEP
    return values.contiguous(memory_format=torch.channels_last)


def _code(numbers: Tensor, times: float, zero: int) -> Tensor:
    return (numbers * times).add_(zero + 0.5).clamp_(0, 255).to(torch.uint8)


class Int8Restorer:
    """What `Restorer.said` says, from cells in bytes."""

    def __init__(self, network: Restorer) -> None:
        if not bool((network.ranges > 0).all()):
            raise ValueError("the ranges of this network's features were never measured")
        self.shape = network.shape
        ranges = iter(network.ranges.tolist())
        now = _Range.about(next(ranges))
        self._head = _Convolution(network.head, _Range(CELL_STEP, CELL_ZERO), now)
        self._before, now = _blocks(network.before, now, ranges)
        self._kept = now
        if self.shape.deep:
            deep = _Range.about(next(ranges))
            self._sink = _Convolution(network.sink, now, deep)
            self._middle, deep = _blocks(network.middle, deep, ranges)
            risen = _Range.above(next(ranges))
            self._rise = _Convolution(network.rise, deep, risen)
            now = _Range.about(next(ranges))
            self._join = _Convolution(network.join, risen, now)
        self._after, now = _blocks(network.after, now, ranges)
        self._tail = _Convolution(network.tail, now, None, TOLD_STEP)

    def said(self, cells: Tensor) -> Tensor:
        """What is to be added, float (N, told, h, w), to cells in codes, uint8 (N, taken, h, w)."""
        features = self._head(cells)
        for block in self._before:
            features = block(features)
        if self.shape.deep:
            deep = self._sink(features)
            for block in self._middle:
                deep = block(deep)
            risen = functional.pixel_shuffle(self._rise(deep), 2)
            risen = risen.contiguous(memory_format=torch.channels_last)
            features = self._join.added(risen, features, self._kept)
        for block in self._after:
            features = block(features)
        return self._tail(features)


@dataclass(frozen=True)
class _Range:
    """A feature is step * (code - zero)."""

    step: float
    zero: int

    @classmethod
    def about(cls, farthest: float) -> "_Range":
        """Features of both signs."""
        return cls(farthest / _MOST, _MIDDLE)

    @classmethod
    def above(cls, farthest: float) -> "_Range":
        """Features that a ReLU left."""
        return cls(farthest / 255, 0)


@dataclass(frozen=True)
class _Block:
    first: "_Convolution"
    second: "_Convolution"
    kept: _Range

    def __call__(self, features: Tensor) -> Tensor:
        return self.second.added(self.first(features), features, self.kept)


def _blocks(
    layers: nn.ModuleList, now: _Range, ranges: Iterator[float]
) -> tuple[list[_Block], _Range]:
    made = []
    for layer in layers:
        assert isinstance(layer.first, nn.Conv2d)
        assert isinstance(layer.second, nn.Conv2d)
        inner, after = _Range.above(next(ranges)), _Range.about(next(ranges))
        first = _Convolution(layer.first, now, inner)
        made.append(_Block(first, _Convolution(layer.second, inner, after), now))
        now = after
    return made, now


class _Convolution:
    """A convolution from bytes to bytes, behind a ReLU where their zero is 0, or to floats."""

    def __init__(
        self, layer: nn.Conv2d, taken: _Range, made: _Range | None, times: float = 1.0
    ) -> None:
        assert layer.bias is not None
        weight = layer.weight.detach().float() * times
        steps = weight.abs().amax((1, 2, 3)).clamp(min=1e-8) / _MOST
        coded = (weight / steps.view(-1, 1, 1, 1)).round().to(torch.int8)
        self._taken, self._made = taken, made
        self._bias, self._steps = layer.bias.detach().float() * times, steps
        self._zeros = torch.zeros(len(steps), dtype=torch.int32)
        self._space = [list(layer.stride), list(layer.padding), [1, 1]]
        self._weight = torch.ops.onednn.qconv_prepack(
            coded, steps, taken.step, taken.zero, *self._space, 1, None
        )

    def __call__(self, features: Tensor) -> Tensor:
        made, dtype = (
            (_Range(1.0, 0), torch.float32) if self._made is None else (self._made, torch.uint8)
        )
        positive = self._made is not None and made.zero == 0
        result: Tensor = torch.ops.onednn.qconv2d_pointwise(
            *self._given(features, None), made.step, made.zero, dtype,
            "relu" if positive else "none", [], "",
        )  # fmt: skip
        return result

    def added(self, features: Tensor, to: Tensor, kept: _Range) -> Tensor:
        """The same with features of another range added to it; they are written over."""
        assert self._made is not None
        result: Tensor = torch.ops.onednn.qconv2d_pointwise.binary(
            *self._given(features, to), self._made.step, self._made.zero, torch.uint8,
            kept.step, kept.zero, "sum", 1.0, None, [], "",
        )  # fmt: skip
        return result

    def _given(self, features: Tensor, to: Tensor | None) -> list[object]:
        """What both operators are given first."""
        weight = [self._weight, self._steps, self._zeros]
        added = [] if to is None else [to]
        taken = [features, self._taken.step, self._taken.zero]
        return [*taken, *weight, *added, self._bias, *self._space, 1]
