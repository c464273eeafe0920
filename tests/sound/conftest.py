"""Signals, files and oracles that the sound tests share."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr

Samples = npt.NDArray[np.float64]

_ROOT = Path(__file__).resolve().parents[2]
_DATA = Path(os.environ.get("ENCORE_DATA", _ROOT.parent / "shared" / "data"))


@pytest.fixture
def data() -> Callable[[str], Path]:
    """The path of a piece of the test material."""

    def find(name: str) -> Path:
        path = _DATA / name
        if not path.exists():
            pytest.skip(f"test material {name} is not here (set ENCORE_DATA)")
        return path

    return find


@pytest.fixture
def music(data: Callable[[str], Path]) -> tuple[Samples, int]:
    """Twelve seconds of a rock song, stereo, and its rate."""
    samples, rate = soundfile.read(
        data("sound/music/lets_go_fishin.ogg"), start=30 * 44100, frames=12 * 44100, always_2d=True
    )
    return samples, rate


@pytest.fixture
def ffmpeg() -> Callable[..., str]:
    """Runs ffmpeg with these arguments; gives what it said."""

    def run(*arguments: object) -> str:
        done = subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y"]
            + [str(argument) for argument in arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stderr

    return run


@pytest.fixture
def true_peak_db() -> Callable[[Samples], float]:
    """The true peak in dBTP by soxr at sixteen times the rate: none of our own code."""

    def measure(samples: Samples) -> float:
        quiet = np.pad(samples, ((4000, 4000), (0, 0)))
        peak = np.abs(soxr.resample(quiet, 1, 16, quality="VHQ")).max()
        return float(20 * np.log10(peak))

    return measure


@pytest.fixture
def chopped() -> Callable[..., Samples]:
    """Runs a stage over samples in blocks of a given size."""

    def run(stage: object, samples: Samples, size: int | None = None) -> Samples:
        size = size or max(1, len(samples))
        blocks = [samples[at : at + size] for at in range(0, len(samples), size)]
        out = [stage.process(block) for block in blocks]  # type: ignore[attr-defined]
        out.append(stage.flush())  # type: ignore[attr-defined]
        return np.concatenate([block for block in out if len(block)] or [samples[:0]])

    return run
