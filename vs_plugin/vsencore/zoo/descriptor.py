"""What a model is: all that a chain must know of a network before it runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .errors import ZooError

if TYPE_CHECKING:
    import torch

__all__ = ["Colour", "Descriptor", "Purpose", "describe"]

Purpose = Literal["sr", "restoration", "face"]
Colour = Literal["rgb", "y", "yuv444"]

_PURPOSES: dict[str, Purpose] = {"SR": "sr", "Restoration": "restoration", "FaceSR": "face"}
_COLOURS: dict[int, Colour] = {1: "y", 3: "rgb"}


@dataclass(frozen=True)
class Descriptor:
    """A model on this machine, and what it is like.

    Its network takes and gives N x channels x height x width in 0..1, and `scale` times the size.
    Width and height must be multiples of `multiple_of`, and at least `minimum_px`.
    """

    name: str
    path: Path
    architecture: str
    purpose: Purpose
    scale: int
    channels_in: int
    channels_out: int
    colour: Colour
    multiple_of: int
    minimum_px: int
    fp16: bool
    bf16: bool
    licence: str
    credit: str
    sha256: str
    size_bytes: int
    reach: int = 0
    """How many frames it needs on each side: none, for every model that spandrel reads."""
    measured_field_px: int | None = None
    """The receptive field where it was measured before."""

    def tolerates(self, dtype: torch.dtype) -> bool:
        """Whether the network keeps its quality when it is computed in `dtype`."""
        import torch

        return dtype is torch.float32 or (
            (dtype is torch.float16 and self.fp16) or (dtype is torch.bfloat16 and self.bf16)
        )

    def build(
        self, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> torch.nn.Module:
        """The network, for inference only, on a device and in a precision (None: float32).

        Raises:
            ZooError: the file changed since it was described, or `dtype` is not tolerated.
        """
        import torch

        from .network import Network, recognise
        from .weights import read

        wanted = torch.float32 if dtype is None else dtype
        if not self.tolerates(wanted):
            raise ZooError(f"{self.name}: this model must not be computed in {wanted}; use float32")
        network = Network(recognise(self.path, read(self.path, self.sha256)))
        return network.to(device=device, dtype=wanted)

    @cached_property
    def receptive_field_px(self) -> int:
        """How far, in input pixels, an output pixel looks.

        Tiles that overlap by this much on each side give what the whole picture gives. It is
        measured when it is first asked for, which takes seconds for the largest networks; for
        models that were fetched or added it was done then.
        """
        if self.measured_field_px is not None:
            return self.measured_field_px
        from .receptive import field_px

        return field_px(
            self.build(), self.channels_in, self.scale, self.multiple_of, self.minimum_px
        )


def describe(
    path: Path,
    name: str,
    sha256: str | None = None,
    told: Mapping[str, str] | None = None,
    measured_field_px: int | None = None,
) -> Descriptor:
    """Read a model's file and say what it is.

    `told` (`licence`, `credit`) is what is known beside the file; else its header's word is taken.

    Raises:
        ZooError: the file cannot be used, or is not the one with this sha256.
    """
    from .network import recognise
    from .weights import read

    weights = read(path, sha256)
    found = recognise(path, weights)
    if found.input_channels != found.output_channels or found.input_channels not in _COLOURS:
        raise ZooError(
            f"{path}: this model takes {found.input_channels} channels and gives"
            f" {found.output_channels}; 3 (RGB) or 1 (luma) of both can be used"
        )
    purpose = _PURPOSES[found.purpose]
    if found.size_requirements.square and purpose != "face":
        raise ZooError(f"{path}: this model takes square pictures only; it cannot be used")
    facts = {**weights.said, **(told or {})}
    return Descriptor(
        name=name,
        path=path,
        architecture=found.architecture.id,
        purpose=purpose,
        scale=found.scale,
        channels_in=found.input_channels,
        channels_out=found.output_channels,
        colour=_COLOURS[found.input_channels],
        multiple_of=found.size_requirements.multiple_of,
        minimum_px=max(1, found.size_requirements.minimum),
        fp16=found.supports_half,
        bf16=found.supports_bfloat16,
        licence=facts.get("licence") or facts.get("license") or "not stated",
        credit=facts.get("credit") or "",
        sha256=weights.sha256,
        size_bytes=weights.size_bytes,
        measured_field_px=measured_field_px,
    )
