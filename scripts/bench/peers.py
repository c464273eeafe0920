"""Small published enlargers, as stages of the engine, to be measured against.

RT4KSR: Zamfir et al., "Towards real-time 4K image super-resolution", CVPRW 2023, by its released
training weights. FSRCNN: Dong et al., ECCV 2016, by the frozen TensorFlow graph of Saafke, of which
only the weights are read. Both enlarge single frames by two; the chain brings that to size.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vsencore.engine.scaling import resize
from vsencore.engine.stage import Needs, Stage

__all__ = ["Fsrcnn", "Rt4ksr"]

_BLOCKS = 4


class Rt4ksr:
    """RT4KSR x2; the branch of high frequencies has weight 0 in the release, so it is not run."""

    reach, scale = 0, 2
    needs = Needs(colour="rgb", multiple_of=2, receptive_px=16)

    def __init__(self, folder: Path) -> None:
        kept = torch.load(folder / "rt4ksr_x2.pth", map_location="cpu", weights_only=True)
        self._weights = {
            name.removeprefix("module."): value for name, value in kept["state_dict"].items()
        }

    def to(self, device: torch.device, dtype: torch.dtype) -> Stage:
        """Move the weights; a process runs one chain, so the stage is its own copy."""
        self._weights = {name: one.to(device, dtype) for name, one in self._weights.items()}
        return self

    def run(self, window: Tensor) -> Tensor:
        """Enlarge (N, 1, 3, H, W)."""
        features = self._convolved(
            functional.pixel_unshuffle(window[:, 0].clamp(0, 1), 2), "head.0"
        )
        for number in range(_BLOCKS):
            inner = self._normal(features, f"body.{number}.norm")
            features = functional.gelu(self._block(inner, f"body.{number}.conv1"))
        features = self._block(self._normal(features, "tail.0"), "tail.1")
        return functional.pixel_shuffle(self._convolved(features, "upsample.0"), 4)

    def _convolved(self, x: Tensor, name: str) -> Tensor:
        weight = self._weights[f"{name}.weight"]
        return functional.conv2d(
            x, weight, self._weights[f"{name}.bias"], padding=weight.shape[-1] // 2
        )

    def _block(self, x: Tensor, name: str) -> Tensor:
        wide = self._convolved(x, f"{name}.expand_conv")
        bias = self._weights[f"{name}.expand_conv.bias"].view(1, -1, 1, 1)
        # Outside the picture lies the bias, as if the expansion had seen zeros there.
        around = functional.pad(wide - bias, (1, 1, 1, 1)) + bias
        inner = functional.conv2d(
            around, self._weights[f"{name}.fea_conv.weight"], self._weights[f"{name}.fea_conv.bias"]
        )
        return self._convolved(inner + wide, f"{name}.reduce_conv") + x

    def _normal(self, x: Tensor, name: str) -> Tensor:
        """Each pixel's channels to mean 0 and deviation 1."""
        last = x.movedim(1, -1)
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return functional.layer_norm(last, weight.shape, weight, bias, 1e-6).movedim(-1, 1)


class Fsrcnn:
    """FSRCNN x2 of luma; chroma is enlarged with the engine's own kernel."""

    reach, scale = 0, 2
    needs = Needs(colour="yuv", receptive_px=16)

    def __init__(self, folder: Path) -> None:
        self._weights = dict(_constants((folder / "FSRCNN_x2.pb").read_bytes()))

    def to(self, device: torch.device, dtype: torch.dtype) -> Stage:
        """Move the weights; a process runs one chain, so the stage is its own copy."""
        self._weights = {name: one.to(device, dtype) for name, one in self._weights.items()}
        return self

    def run(self, window: Tensor) -> Tensor:
        """Enlarge (N, 1, 3, H, W)."""
        frames = window[:, 0]
        features = frames[:, :1].clamp(0, 1)
        for number in range(1, 9):
            # TensorFlow keeps a filter as (height, width, in, out).
            weight = self._weights[f"f{number}"].permute(3, 2, 0, 1)
            if number == 8:
                large = functional.pixel_shuffle(functional.conv2d(features, weight), 2)
                break
            bias = self._weights[f"b{number}"]
            features = functional.conv2d(features, weight, bias, padding=weight.shape[-1] // 2)
            features = functional.prelu(features, self._weights[f"alpha{number}"])
        luma = large + self._weights["b8"]
        chroma = resize(frames[:, 1:].float(), *luma.shape[-2:]).to(luma.dtype)
        return torch.cat([luma, chroma], 1)


def _constants(graph: bytes) -> Iterator[tuple[str, Tensor]]:
    """The float tensors of a frozen TensorFlow graph, by name (its graph.proto, node_def.proto)."""
    for number, node in _fields(graph):
        if number != 1:
            continue
        parts = _fields(node)
        name = next(value.decode() for key, value in parts if key == 1)
        for attribute in (dict(_fields(value)) for key, value in parts if key == 5):
            if attribute[1] != b"value":
                continue
            tensor = _fields(dict(_fields(attribute[2]))[8])
            told = dict(tensor)
            if told[1] == b"\x01":  # DT_FLOAT
                sizes = [dict(_fields(one))[1] for _, one in _fields(told.get(2, b""))]
                content = np.frombuffer(told.get(4) or told[5], "<f4").copy()
                shape = [int.from_bytes(size, "little") for size in sizes]
                yield name, torch.from_numpy(content).reshape(shape)


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    """A protobuf message's fields in order; whole numbers as little-endian bytes."""
    found, at = [], 0
    while at < len(message):
        key, at = _whole(message, at)
        match key & 7:
            case 0:
                number, at = _whole(message, at)
                value = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "little")
            case 2:
                size, at = _whole(message, at)
                value, at = message[at : at + size], at + size
            case wire:
                size = 8 if wire == 1 else 4
                value, at = message[at : at + size], at + size
        found.append((key >> 3, value))
    return found


def _whole(message: bytes, at: int) -> tuple[int, int]:
    """A variable-length number, and where the next thing begins."""
    value = shift = 0
    while True:
        value |= (message[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 128:
            return value, at
