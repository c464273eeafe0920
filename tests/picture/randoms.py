"""Models of random weights, as files: real architectures that know nothing."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact


def compact(
    path: Path, scale: int, features: int = 64, convolutions: int = 16, seed: int = 0
) -> Path:
    """An SRVGGNetCompact that `zoo.find(path)` reads; the same seed gives the same file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Compact(
            num_in_ch=3,
            num_out_ch=3,
            num_feat=features,
            num_conv=convolutions,
            upscale=scale,
        )
    save_file(network.state_dict(), path)
    return path
