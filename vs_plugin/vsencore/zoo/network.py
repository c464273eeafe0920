"""The network that a file's weights belong to, found and built by spandrel.

spandrel knows some forty published single-frame architectures by the names and shapes of their
tensors. A network is wrapped so that all are called alike: one picture in, one picture out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError
from torch import Tensor, nn

from .errors import ZooError
from .weights import Weights

__all__ = ["Network", "Recognised", "recognise"]

# A frame asked for twice must be the same frame.
_RANDOM = ("AuraSR",)

type Recognised = ImageModelDescriptor[Any]
"""What spandrel tells of a network."""


def recognise(path: Path, weights: Weights) -> Recognised:
    """The network of these weights, on the CPU in float32.

    Raises:
        ZooError: no known architecture, damaged weights, or a network that takes more than a
            picture.
    """
    try:
        found = ModelLoader("cpu").load_from_state_dict(dict(weights.tensors))
    except UnsupportedModelError:
        raise ZooError(
            f"{path}: the architecture of this model is not known;"
            " single-frame models that spandrel reads can be used"
        ) from None
    except Exception as error:  # whatever a network's constructor makes of wrong shapes
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise ZooError(f"{path}: the model's weights do not fit their network ({why})") from error
    if not isinstance(found, ImageModelDescriptor):
        raise ZooError(f"{path}: this model wants a mask beside the picture; it cannot be used")
    if found.architecture.id in _RANDOM:
        raise ZooError(f"{path}: this model draws new noise for every picture; it cannot be used")
    return found


class Network(nn.Module):
    """A network as every chain calls it; for inference only. Its result is not clamped."""

    def __init__(self, found: Recognised) -> None:
        super().__init__()
        self.model = found.model
        # Some architectures take or give more than a picture (a noise map, a tuple); spandrel's
        # own call hides that, but clamps and pads as well, which a chain does once for all.
        self._call = found._call_fn
        # Such a call is written for one picture at a time.
        self._alone = not self._call.__qualname__.startswith("ImageModelDescriptor.")
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """N x channels x height x width in 0..1, to the same at `scale` times the size."""
        result: Tensor
        if self._alone and len(pictures) > 1:
            result = torch.cat([self._call(self.model, one[None]) for one in pictures])
        else:
            result = self._call(self.model, pictures)
        return result
