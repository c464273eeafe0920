"""Single-frame models of whole pictures that spandrel reads, as a stage and as a filter."""

from dataclasses import dataclass
from functools import cached_property

import torch
import vapoursynth as vs
from torch import Tensor

from .engine.bridge import chain
from .engine.scaling import resize
from .engine.stage import Needs, Stage
from .zoo import Descriptor, ZooError, find

__all__ = ["ModelStage", "model"]


@dataclass(frozen=True)
class ModelStage:
    """A model of the zoo as a stage; its weights are placed by `to`.

    A model of one channel makes the luma, and the chroma is the source's, scaled with Spline36.
    Raises ZooError for a model of faces.
    """

    descriptor: Descriptor
    network: torch.nn.Module | None = None

    def __post_init__(self) -> None:
        """Refuse what would make a face of a whole frame."""
        if self.descriptor.purpose == "face":
            raise ZooError(
                f"{self.descriptor.name}: this model ({self.descriptor.architecture}) restores"
                " faces that were cut out, and not whole frames"
            )

    @property
    def reach(self) -> int:
        """No neighbours: the model sees one frame."""
        return 0

    @property
    def scale(self) -> int:
        """How much larger the model makes a picture."""
        return self.descriptor.scale

    @cached_property
    def needs(self) -> Needs:
        """What the descriptor says; its receptive field is measured when it is asked for."""
        described = self.descriptor
        precisions = filter(described.tolerates, (torch.float32, torch.float16, torch.bfloat16))
        return Needs(
            colour="yuv" if described.colour == "y" else "rgb",
            multiple_of=described.multiple_of,
            minimum_px=described.minimum_px,
            receptive_px=lambda: described.receptive_field_px,
            precisions=frozenset(precisions),
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> Stage:
        """Load the weights onto a device, channels last, which convolutions like best."""
        network = self.descriptor.build(device, dtype).to(memory_format=torch.channels_last)
        return ModelStage(self.descriptor, network)

    def run(self, window: Tensor) -> Tensor:
        """Filter (N, 1, 3, H, W)."""
        assert self.network is not None, "a stage runs where `to` put it"
        frames = window[:, 0]
        taken = frames[:, : self.descriptor.channels_in].clamp(0, 1)
        result: Tensor = self.network(taken.contiguous(memory_format=torch.channels_last))
        if self.descriptor.colour == "y":
            chroma = resize(frames[:, 1:].float(), *result.shape[-2:]).to(result.dtype)
            result = torch.cat([result, chroma], 1)
        return result


def model(
    clip: vs.VideoNode,
    model: str,
    *,
    height: int | None = None,
    width: int | None = None,
    format: int | None = None,
    matrix: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    batch: int | None = None,
) -> vs.VideoNode:
    """Run a single-frame model: restoration or enlargement, of any scale.

    `model` is a name that `encore models list` knows, or the path of a `.safetensors` or `.pth`
    file. The rest is as in `chain`. Raises vs.Error for a model that cannot be used.
    """
    try:
        return chain(
            clip,
            [ModelStage(find(model))],
            height=height,
            width=width,
            format=format,
            matrix=matrix,
            device=device,
            precision=precision,
            batch=batch,
        )
    except ZooError as error:
        raise vs.Error(f"model: {error}") from error
