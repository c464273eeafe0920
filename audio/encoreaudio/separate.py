"""Stems from a mix, by demucs's nets, over a stream of any length.

Demucs runs a net over segments of some seconds that overlap by a quarter, weighs each with a
triangle, and adds them up; it does so over a whole recording in memory, 17 GB an hour. The segments
of a recording depend only on their place in it, so here they are run as they come, on demucs's own
grid, with the same mean and deviation throughout, and added up in the same order: the stems are
those of the whole recording, sample for sample, and nothing is computed twice. Memory is that of
one segment. There is no random shift, so a second run gives the same stems.

The nets work in stereo at 44.1 kHz; the way there and back is soxr's. What no stem takes (what lies
above 22 kHz, what the nets lose, the mean, the channels beside the front pair) is a last stem, the
residual, so that the stems sum to the mix.

Demucs: Rouard, Massa, Défossez, "Hybrid Transformers for Music Source Separation", ICASSP 2023.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from demucs.apply import BagOfModels, TensorChunk, apply_model
from torch import Tensor

from .error import SoundError
from .rate import Resampler
from .signal import Block
from .spectrum import front_pair
from .stems import RESIDUAL, Stems
from .waiting import Waiting
from .weights import MODEL_RATE_HZ
from .window import Windows

__all__ = ["Level", "LevelFinder", "Separator"]

_OVERLAP = 0.25  # demucs's default
_SEGMENTS_AT_ONCE = 4  # on an accelerator; as much as 8 GB of its memory, less where that fails


@dataclass(frozen=True)
class Level:
    """Mean and standard deviation of a recording's mono mix at 44.1 kHz."""

    mean: float
    deviation: float


class LevelFinder:
    """Hears a whole recording for the `Level` that its separation needs."""

    def __init__(self, sample_rate_hz: int, speakers: Sequence[str]) -> None:
        self._front = separated_channels(speakers)
        self._rate = _between(sample_rate_hz, MODEL_RATE_HZ, 1)
        self._seconds = Windows(MODEL_RATE_HZ, 0, 0, 1)
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, block: Block) -> None:
        """Take a block (frames, channels)."""
        mono = block[:, self._front].mean(axis=1, keepdims=True)
        self._hear(mono if self._rate is None else self._rate.process(mono))

    def finish(self) -> Level:
        """Mean and deviation of all that was heard."""
        if self._rate is not None:
            self._hear(self._rate.flush())
        for second, real in self._seconds.finish():
            self._count_in(second[:real])
        return Level(self._mean, math.sqrt(self._squares / max(1, self._count - 1)))

    def _hear(self, mono: Block) -> None:
        for second in self._seconds.push(mono):
            self._count_in(second)

    def _count_in(self, second: Block) -> None:
        # Chan, Golub, LeVeque 1979: sums of squares about each part's own mean, put together.
        count, mean = len(second), float(second.mean())
        apart = mean - self._mean
        both = self._count + count
        self._squares += float(np.sum((second - mean) ** 2))
        self._squares += apart**2 * self._count * count / both
        self._mean += apart * count / both
        self._count = both


class Separator:
    """The stems of a stream, the residual last; shape (frames, channels, stems).

    model: from `weights.load_model`. speakers: the channels' places; of more than two only the
    front pair is separated, and one channel is heard as two equal ones. level: from a `LevelFinder`
    that heard the same stream. device: "auto", "cpu", "cuda" or "cuda:N". What comes out is as long
    as what went in, and aligned to it. Raises SoundError for a device that is not here, or is too
    small.
    """

    def __init__(
        self,
        model: BagOfModels,
        sample_rate_hz: int,
        speakers: Sequence[str],
        level: Level,
        device: str = "auto",
    ) -> None:
        self.stems = (*model.sources, RESIDUAL)
        self._channels = len(speakers)
        self._front = separated_channels(speakers)
        self._level = level
        # Demucs adds as much, so that silence is not divided by nothing.
        self._deviation = level.deviation + 1e-8
        self._nets = _Bag(model, torch_device(device))
        parts = len(model.sources) * len(self._front)
        self._down = _between(sample_rate_hz, MODEL_RATE_HZ, len(self._front))
        self._up = _between(MODEL_RATE_HZ, sample_rate_hz, parts)
        self._mix = Waiting(self._channels)
        self._parts = Waiting(len(self._front), len(model.sources))
        self._latency = math.ceil(self._nets.latency * sample_rate_hz / MODEL_RATE_HZ)
        self._latency += sum(stage.latency for stage in (self._down, self._up) if stage)

    @property
    def latency(self) -> int:
        """Frames held back at most: a segment or a few, and the resamplers' filters."""
        return self._latency

    def process(self, block: Block) -> Stems:
        """Take a block of the mix (frames, channels); give the stems that are ready."""
        self._mix.put(block)
        front = block[:, self._front]
        self._separate(front if self._down is None else self._down.process(front))
        return self._ready()

    def flush(self) -> Stems:
        """The rest of the stems."""
        if self._down is not None:
            self._separate(self._down.flush())
        self._take_up(self._nets.finish())
        if self._up is not None:
            self._parts.put(self._shaped(self._up.flush()))
        # Two roundings of the length may leave a frame too few; it is all residual.
        missing = max(0, len(self._mix) - len(self._parts))
        self._parts.put(np.zeros((missing, len(self._front), len(self.stems) - 1)))
        return self._ready()

    def _separate(self, front: Block) -> None:
        if not len(front):
            return
        pair = front if front.shape[1] == 2 else np.repeat(front, 2, axis=1)
        normal = ((pair - self._level.mean) / self._deviation).astype(np.float32)
        self._take_up(self._nets.process(torch.from_numpy(np.ascontiguousarray(normal.T))))

    def _take_up(self, separated: Tensor) -> None:
        """Stems (sources, 2, frames) at the nets' rate and level, back to the stream's."""
        # Demucs would add the mean to every stem; it is the mix's, once, and so the residual's.
        stems = separated.permute(2, 1, 0).numpy().astype(np.float64) * self._deviation
        if len(self._front) == 1:
            stems = stems.mean(axis=1, keepdims=True)
        if self._up is not None and len(stems):
            stems = self._shaped(self._up.process(stems.reshape(len(stems), -1)))
        self._parts.put(stems)

    def _shaped(self, parts: Block) -> Stems:
        return parts.reshape(len(parts), len(self._front), len(self.stems) - 1)

    def _ready(self) -> Stems:
        frames = min(len(self._mix), len(self._parts))
        mix = self._mix.take(frames)
        stems = np.zeros((frames, self._channels, len(self.stems)))
        stems[:, self._front, :-1] = self._parts.take(frames)
        stems[..., -1] = mix - stems.sum(axis=2)
        return stems


def separated_channels(speakers: Sequence[str]) -> list[int]:
    """Which channels are separated: front left and right by name, else the first two, or the one.

    Raises SoundError for no channels.
    """
    if not speakers:
        raise SoundError("there are no channels to separate")
    pair = front_pair(speakers)
    return list(pair) if pair else list(range(min(2, len(speakers))))


def torch_device(name: str) -> torch.device:
    """The device of this name. Raises SoundError where it is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise SoundError(f'device is "{name}"; it may be auto, cpu, cuda or cuda:N')
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SoundError(
            f'device "{name}" is not here; torch sees {torch.cuda.device_count()} CUDA devices'
        )
    return device


def _between(from_hz: int, to_hz: int, channels: int) -> Resampler | None:
    return None if from_hz == to_hz else Resampler(from_hz, to_hz, channels)


class _Bag:
    """The nets of a model over one stream, and the weighted mean of what they give.

    Nets of a bag may have segments of unlike lengths, so the first to be ready wait for the last.
    """

    def __init__(self, model: BagOfModels, device: torch.device) -> None:
        self._nets = [_Segments(net, device) for net in model.models]
        self._weights = [torch.tensor(weights)[:, None, None] for weights in model.weights]
        self._waiting = [torch.zeros(len(model.sources), 2, 0) for _ in model.models]

    @property
    def latency(self) -> int:
        return max(net.latency for net in self._nets)

    def process(self, samples: Tensor) -> Tensor:
        """Take samples (2, frames); give what all nets have ready (sources, 2, frames)."""
        return self._mean([net.process(samples) for net in self._nets])

    def finish(self) -> Tensor:
        return self._mean([net.finish() for net in self._nets])

    def _mean(self, separated: list[Tensor]) -> Tensor:
        pairs = zip(self._waiting, separated, strict=True)
        self._waiting = [torch.cat(pair, -1) for pair in pairs]
        frames = min(one.shape[-1] for one in self._waiting)
        pairs = zip(self._waiting, self._weights, strict=True)
        total = sum((one[..., :frames] * weight for one, weight in pairs), torch.tensor(0.0))
        self._waiting = [one[..., frames:].clone() for one in self._waiting]
        return total / sum(self._weights)


class _Segments:
    """One net over one stream: demucs's segments, their weights and their sum, as they come."""

    def __init__(self, net: Any, device: torch.device) -> None:
        self._net = net.to(device)
        self._device = device
        self._at_once = _SEGMENTS_AT_ONCE if device.type == "cuda" else 1
        self._length = int(net.samplerate * net.segment)
        self._stride = int((1 - _OVERLAP) * self._length)
        # Some nets want a little more than a segment; demucs takes it from around the segment.
        whole = net.valid_length(self._length) if hasattr(net, "valid_length") else self._length
        self._after = whole - self._length
        self._before = whole // 2 + 1  # a short last segment is filled up from before itself
        half = self._length // 2
        rising = torch.arange(1, half + 1)
        falling = torch.arange(self._length - half, 0, -1)
        triangle = torch.cat([rising, falling])
        self._weight = triangle / triangle.max()
        self._held = torch.zeros(2, self._before)
        self._next = self._before  # where in what is held the next segment begins
        self._sum = torch.zeros(len(net.sources), 2, self._length)  # from there on
        self._weights = torch.zeros(self._length)

    @property
    def latency(self) -> int:
        return self._length + (self._at_once - 1) * self._stride + self._after

    def process(self, samples: Tensor) -> Tensor:
        """Take samples (2, frames); give what is ready (sources, 2, frames)."""
        self._held = torch.cat((self._held, samples), -1)
        ready = [self._sum[..., :0]]
        while self._held.shape[-1] - self._next >= self.latency:
            ready += self._run(self._at_once)
        return torch.cat(ready, -1)

    def finish(self) -> Tensor:
        """The stream has ended: the rest."""
        ready = [self._sum[..., :0]]
        while (left := self._held.shape[-1] - self._next) > 0:
            whole = (left - self._length) // self._stride + 1
            ready += self._run(min(self._at_once, max(1, whole)))
        return torch.cat(ready, -1)

    def _run(self, count: int) -> list[Tensor]:
        """Separate the next `count` segments; give what no later segment adds to."""
        ready = []
        for segment in self._separated(count):
            left = self._held.shape[-1] - self._next
            weight = self._weight[: segment.shape[-1]]
            self._sum[..., : segment.shape[-1]] += weight * segment
            self._weights[: segment.shape[-1]] += weight
            done = min(self._stride, left)
            ready.append(self._sum[..., :done] / self._weights[:done])
            self._sum = _shifted(self._sum, self._stride)
            self._weights = _shifted(self._weights, self._stride)
            self._next += done
        self._held = self._held[:, self._next - self._before :].clone()
        self._next = self._before
        return ready

    def _separated(self, count: int) -> Tensor:
        """What the net makes of the next `count` segments (count, sources, 2, frames)."""
        if count > 1:
            # Each with what lies around it, so that the net finds in a batch what it finds alone.
            size = self._before + self._length + self._after
            lacking = max(0, (count - 1) * self._stride + size - self._held.shape[-1])
            held = torch.nn.functional.pad(self._held, (0, lacking))
            batch = held.unfold(-1, size, self._stride)[:, :count].transpose(0, 1)
        else:
            batch = self._held[None]
        chunk = TensorChunk(batch, self._next, self._length)  # type: ignore[no-untyped-call]
        try:
            separated: Tensor = apply_model(
                self._net, chunk, shifts=0, split=False, device=self._device
            )
            return separated.cpu()
        except torch.OutOfMemoryError as error:
            if count == 1:
                raise SoundError(
                    f"the separation model does not fit into the memory of {self._device};"
                    " use device cpu, or another model"
                ) from error
        torch.cuda.empty_cache()
        self._at_once = count // 2
        return self._separated(self._at_once)


def _shifted(values: Tensor, by: int) -> Tensor:
    """The values moved towards the beginning, and zeros after them."""
    return torch.nn.functional.pad(values[..., by:], (0, by))
