"""What a separation gives, whoever made it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .signal import Block

__all__ = ["RESIDUAL", "StemSource", "Stems"]

RESIDUAL = "residual"
"""The last stem: what no other took."""

type Stems = npt.NDArray[np.float64]
"""Samples of shape (frames, channels, stems)."""


class StemSource(Protocol):
    """Gives the stems of a mix: a stage whose output has one axis more."""

    @property
    def stems(self) -> Sequence[str]:
        """The stems' names."""
        ...

    @property
    def latency(self) -> int:
        """Frames held back at most."""
        ...

    def process(self, block: Block) -> Stems:
        """Take a block of the mix (frames, channels); give the stems that are ready."""
        ...

    def flush(self) -> Stems:
        """The mix has ended: the rest."""
        ...
