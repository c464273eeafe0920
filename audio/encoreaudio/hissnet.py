"""The small net that tells how much of each time and frequency is music.

It sees how far each coefficient of a spectrogram stands above the noise, and nothing else: neither
pitch, level nor phase. What it has learnt is how music looks beside hiss: lines go on in time,
strokes in frequency, and hiss does neither. Its answer is a correction to Wiener's gain, in the
logit, so far above the noise the gain is one whatever the net says.

Four by four neighbours become the channels of one coarse place (as in Shi et al., "Real-time single
image super-resolution", CVPR 2016), so three small convolutions see 0.3 s and 130 Hz around each.
"""

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

__all__ = ["REACH", "HissNet", "excess", "hiss_net"]

_PATCH = 4
_HIDDEN = 32
_WEIGHTS = Path(__file__).with_name("trained") / "hiss.safetensors"

REACH = 4 * _PATCH
"""How many frames each side an answer may depend on."""


class HissNet(nn.Module):
    """From the excess of a coefficient, and of its strongest companion, to the gain."""

    def __init__(self) -> None:
        super().__init__()
        cells = _PATCH * _PATCH
        self.layers = nn.Sequential(
            nn.Conv2d(2 * cells, _HIDDEN, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_HIDDEN, _HIDDEN, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_HIDDEN, cells, 3, padding=1),
        )
        self.slope = nn.Parameter(torch.ones(1))

    def forward(self, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Two maps of excess (batch, frames, bins), of multiples of four; the gain, 0 to 1."""
        maps = torch.stack((own, other), 1) / 3
        folded = nn.functional.pixel_unshuffle(maps, _PATCH)
        raw = self.layers(folded.contiguous(memory_format=torch.channels_last))
        logit = nn.functional.pixel_shuffle(raw, _PATCH)[:, 0]
        return torch.sigmoid(logit + self.slope * own)


def excess(power: torch.Tensor) -> torch.Tensor:
    """How the net likes to see a power of which the noise has 1 on average."""
    return torch.log(power + 0.1)


@cache
def hiss_net() -> HissNet:
    """The trained net that comes with the package."""
    net = HissNet()
    net.load_state_dict(load_file(_WEIGHTS))
    return net.eval().requires_grad_(False)
