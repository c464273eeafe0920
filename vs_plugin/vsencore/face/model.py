"""A model of faces, run on a face that was cut out, turned upright and brought to its size.

The crop is FFHQ's (Karras et al., 2019) as GFPGAN and RestoreFormer were taught it: 512 pixels
square, the five points where an average face has them. Of the result only the luma's middle and
high bands are taken, and no more than a bounded amount: the light, the colour and the shape of the
face stay the clip's. Whether it is still the same face is asked of `guard`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engine.scaling import resize
from ..zoo import Descriptor, find
from .align import blur
from .guard import Guard, guard

__all__ = ["POINTS_PX", "SIDE_PX", "FaceModel", "Restored", "load"]

SIDE_PX = 512
POINTS_PX = np.array(
    [[192.98, 239.95], [318.90, 240.19], [256.63, 314.02], [201.26, 371.41], [313.09, 371.15]]
)
"""Where the crop has the five points: right eye, left eye, nose, corners of the mouth."""

# What lies below is the clip's own: about a thirtieth of a face. More than a tenth of full light
# at once is no detail.
_LOW_PX = 16.0
_MOST = 0.1


@dataclass(frozen=True)
class Restored:
    """What the model adds to a crop's luma (1, 1, 512, 512), and whether the face is the same."""

    added: Tensor
    same: bool


@dataclass(frozen=True)
class FaceModel:
    """A model on a device, and who watches it."""

    descriptor: Descriptor
    network: torch.nn.Module
    guard: Guard | None

    def restored(self, crop: Tensor, luma_of: Tensor, source_px: int) -> Restored:
        """Run the model on a crop (1, 3, 512, 512), R'G'B' 0..1.

        luma_of: (3,), the weights of luma. source_px: how many pixels of the recording's own the
        crop's side spans: what lies between those the face cannot be asked about.
        """
        taken = SIDE_PX // self.descriptor.scale if self.descriptor.purpose != "face" else SIDE_PX
        given = resize(crop, taken, taken, "bicubic").clamp(0, 1)
        made = resize(self.network(given).float(), SIDE_PX, SIDE_PX, "bicubic")

        def luma(picture: Tensor) -> Tensor:
            return (picture * luma_of[:, None, None]).sum(1, keepdim=True)

        own = luma(crop)
        added = luma(made) - own
        added = _MOST * torch.tanh((added - blur(added, _LOW_PX)) / _MOST)
        added -= blur(added, _LOW_PX)
        same = self.guard is None or self.guard.same(own, own + added, source_px)
        return Restored(added, same)


def load(name_or_path: str, device: torch.device, identity: str) -> FaceModel:
    """The model of a name or in a file, on a device.

    Raises:
        ZooError: there is no such model, or it takes no colour.
    """
    from ..zoo import ZooError

    found = find(name_or_path)
    if found.channels_in != 3:
        raise ZooError(f"{found.name}: this model knows no colour, and so no faces")
    network: torch.nn.Module = found.build(device)
    if found.architecture == "GFPGAN":
        network = _Gfpgan(network)
    return FaceModel(found, network, guard(identity))


class _Gfpgan(torch.nn.Module):
    """GFPGAN as it was taught: pictures of -1..1, and no noise, so that a frame stays the same."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.model = network.model

    def forward(self, pictures: Tensor) -> Tensor:
        """Restore (N, 3, 512, 512), 0..1."""
        made: Tensor = self.model(pictures * 2 - 1, return_rgb=False, randomize_noise=False)[0]
        return (made + 1) / 2
