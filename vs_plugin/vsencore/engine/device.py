"""Where a chain runs, in which precision, and in how large bites."""

import logging
import os
from dataclasses import dataclass

import psutil
import torch

from .stage import Stage

__all__ = ["Place", "is_out_of_memory", "logger", "place"]

logger = logging.getLogger("vsencore")

_MIB = 2**20
_CPU_SHARE, _DEVICE_SHARE = 0.15, 0.5
_MOST_BATCH = 8
_SMALLEST_TILE_PX = 32
# What a network keeps alive at once, in planes of its largest picture: features, their sum with a
# residual, and the output before and after its rearrangement. Measured on a 64-feature Compact.
_ALIVE_PLANES = 220


@dataclass(frozen=True)
class Place:
    """A device, what the device does well, and what may be spent on it."""

    device: torch.device
    dtype: torch.dtype
    cache_bytes: int
    work_bytes: int
    tile_px: int | None = None
    """Stages work in tiles of this side from the start; None is whole pictures while they fit."""

    def batch(self, height: int, width: int) -> int:
        """How many frames of this size (the stages' largest result) are filtered at once.

        On a CPU one: more only spends memory (measured by scripts/bench/engine.py).
        """
        if self.device.type == "cpu":
            return 1
        one = _ALIVE_PLANES * height * width * self.dtype.itemsize
        return max(1, min(_MOST_BATCH, self.work_bytes // one))


def place(name: str, stages: list[Stage], precision: str = "auto") -> Place:
    """Resolve a device's name and choose a precision that every stage stands.

    `$VSENCORE_TILE_PX` asks for tiles from the start: for who ran out of memory before.
    `name` is "auto", "cpu", "cuda", "cuda:N" or "mps"; `precision` is "auto", "fp32", "bf16" or
    "fp16". Raises ValueError for what is not there.
    """
    device = _device(name)
    return Place(device, _dtype(device, stages, precision), *_memory(device), _tile_px())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "not enough memory" in str(error)
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdigit())):
        raise ValueError(f'device must be "auto", "cpu", "cuda", "cuda:N" or "mps", not "{name}"')
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= count:
            raise ValueError(f'device "{name}" is not here; torch sees {count} CUDA devices')
        return torch.device("cuda", int(number or 0))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ValueError('device "mps" is not here')
    return torch.device(kind)


def _dtype(device: torch.device, stages: list[Stage], precision: str) -> torch.dtype:
    names = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision != "auto":
        if precision not in names:
            raise ValueError(
                f'precision must be "auto", "fp32", "bf16" or "fp16", not {precision!r}'
            )
        _check_stands(stages, precision, names)
        return names[precision]
    if device.type == "cpu":
        return torch.float32
    # fp16 keeps three bits more than bf16, which is what 10-bit video wants.
    for dtype in (torch.float16, torch.bfloat16):
        if all(dtype in stage.needs.precisions for stage in stages):
            return dtype
    return torch.float32


def _check_stands(stages: list[Stage], precision: str, names: dict[str, torch.dtype]) -> None:
    for number, stage in enumerate(stages, 1):
        stood = stage.needs.precisions | {torch.float32}
        if names[precision] not in stood:
            may = " or ".join(f'"{name}"' for name, dtype in names.items() if dtype in stood)
            raise ValueError(
                f'precision "{precision}" is not for stage {number}, {type(stage).__name__},'
                f' which stands {may}; "auto" chooses'
            )


def _tile_px() -> int | None:
    given = os.environ.get("VSENCORE_TILE_PX", "")
    if not given:
        return None
    if not given.isdigit() or int(given) < _SMALLEST_TILE_PX:
        raise ValueError(
            f"VSENCORE_TILE_PX must be a number of {_SMALLEST_TILE_PX} or more, not {given!r}"
        )
    return int(given)


def _memory(device: torch.device) -> tuple[int, int]:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * 0.2), int(free * _DEVICE_SHARE)
    free = psutil.virtual_memory().available
    return min(512 * _MIB, int(free * _CPU_SHARE)), int(free * _DEVICE_SHARE)
