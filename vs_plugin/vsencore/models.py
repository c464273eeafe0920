"""Any single-frame model that spandrel reads, as a stage of the engine and as a filter."""

from dataclasses import dataclass

import torch
import vapoursynth as vs
from torch import Tensor

from .engine.bridge import chain
from .engine.stage import Needs, Stage
from .zoo import Descriptor, ZooError, find

__all__ = ["ModelStage", "model"]


@dataclass(frozen=True)
class ModelStage:
    """A model of the zoo as a stage; its weights are placed by `to`."""

    descriptor: Descriptor
    network: torch.nn.Module | None = None

    @property
    def reach(self) -> int:
        """No neighbours: the model sees one frame."""
        return 0

    @property
    def scale(self) -> int:
        """How much larger the model makes a picture."""
        return self.descriptor.scale

    @property
    def needs(self) -> Needs:
        """What the descriptor says."""
        described = self.descriptor
        precisions = filter(described.tolerates, (torch.float32, torch.float16, torch.bfloat16))
        return Needs(
            colour="rgb",
            multiple_of=described.multiple_of,
            receptive_px=described.receptive_field_px,
            precisions=frozenset(precisions),
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> Stage:
        """Load the weights onto a device, channels last, which convolutions like best."""
        network = self.descriptor.build(device, dtype).to(memory_format=torch.channels_last)
        return ModelStage(self.descriptor, network)

    def run(self, window: Tensor) -> Tensor:
        """Filter (N, 1, 3, H, W)."""
        assert self.network is not None, "a stage runs where `to` put it"
        frames = window[:, 0].clamp(0, 1).contiguous(memory_format=torch.channels_last)
        result: Tensor = self.network(frames)
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
        stage = ModelStage(find(model))
    except ZooError as error:
        raise vs.Error(f"model: {error}") from error
    return chain(
        clip,
        [stage],
        height=height,
        width=width,
        format=format,
        matrix=matrix,
        device=device,
        precision=precision,
        batch=batch,
    )
