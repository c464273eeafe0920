"""Models of random weights, as files: real architectures that know nothing."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact
from torch import nn


def compact(
    path: Path, scale: int, features: int = 64, convolutions: int = 16, seed: int = 0
) -> Path:
    """An SRVGGNetCompact that `zoo.find(path)` reads; the same seed gives the same file."""
    save_file(compact_network(scale, features, convolutions, seed).state_dict(), path)
    return path


def compact_network(
    scale: int, features: int = 64, convolutions: int = 16, seed: int = 0
) -> nn.Module:
    """The network of `compact`, without a file between."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Compact(
            num_in_ch=3,
            num_out_ch=3,
            num_feat=features,
            num_conv=convolutions,
            upscale=scale,
        )
    return network.eval()
