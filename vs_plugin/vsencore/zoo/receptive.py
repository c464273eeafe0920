"""How far a network looks, measured and not believed.

A NaN in the input makes NaN of every output that depends on it, whatever the weights are: the
extent of the spoilt area is the receptive field, exactly, from one run. Very deep networks (and
those that look at the whole picture) spoil all of a probe that is affordable; of these, what is
measured is how far from a cut edge the result differs by half a step of 10 bits or more, on
noise, and doubled, since noise is not the worst there is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["LARGEST_PX", "field_px"]

LARGEST_PX = 128
"""What is answered for a network that no affordable probe can bound."""

_EXACT_PX = 40
_FAINT_PX = 48
_FAINT = 0.5 / 1023


def field_px(
    network: nn.Module, channels: int, scale: int, multiple_of: int = 1, minimum_px: int = 1
) -> int:
    """The receptive field on each side in input pixels, a multiple of `multiple_of`.

    `network` is on the CPU in float32, and takes N x `channels` x height x width.
    """

    def up(length: int) -> int:
        return -(-length // multiple_of) * multiple_of

    thickness, cell = up(max(8, minimum_px)), multiple_of
    length = max(2 * up(_EXACT_PX) + cell, up(minimum_px))
    try:
        spoilt = _exact(network, channels, scale, cell, length, thickness, turned=False)
        if spoilt < _EXACT_PX:
            across = _exact(network, channels, scale, cell, length, thickness, turned=True)
            return up(max(spoilt, across)) if across < _EXACT_PX else up(LARGEST_PX)
        faint = _faint(network, channels, scale, up(_FAINT_PX), thickness)
    except RuntimeError:  # some networks take no narrow strip, though they do not say so
        return up(LARGEST_PX)
    return min(up(2 * faint), up(LARGEST_PX))


def _exact(
    network: nn.Module,
    channels: int,
    scale: int,
    cell: int,
    length: int,
    thickness: int,
    turned: bool,
) -> int:
    """How far a cell of NaN in the middle of a strip spreads along it."""
    strip = torch.full((1, channels, thickness, length), 0.5)
    start = (length // 2) // cell * cell
    strip[..., start : start + cell] = torch.nan
    spoilt = _run(network, strip, turned).isnan().flatten(0, 2).any(0).nonzero().flatten()
    if not len(spoilt):
        return length
    before = start - int(spoilt[0]) // scale
    after = int(spoilt[-1]) // scale - (start + cell - 1)
    # Within a cell, a pixel at one side may be what reaches out at the other.
    return max(before, after, 0) + cell - 1


def _faint(network: nn.Module, channels: int, scale: int, edge: int, thickness: int) -> int:
    """How far from where a strip of noise is cut its result is another one."""
    source = torch.Generator().manual_seed(0)
    noise = torch.rand((1, channels, thickness, max(2 * edge, thickness) + edge), generator=source)
    whole = _run(network, noise, turned=False)[..., edge * scale :]
    cut = _run(network, noise[..., edge:], turned=False)
    other = ((whole - cut).abs().flatten(0, 2).amax(0) >= _FAINT).nonzero().flatten()
    return int(other[-1]) // scale + 1 if len(other) else 0


def _run(network: nn.Module, strip: Tensor, turned: bool) -> Tensor:
    with torch.inference_mode():
        result: Tensor = network(strip.mT.contiguous() if turned else strip.contiguous())
    return result.mT if turned else result
