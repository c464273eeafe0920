"""Separation: our stream beside demucs over the whole recording, with a net of htdemucs's size.

The net's weights are random, which changes neither its speed nor its memory, nor whether two ways
of running it agree. "apart" is how far the streamed stems lie from demucs's own, under the stems;
"sum" is how far the sum of the stems lies from the mix, under the mix. Time is processor time of
both ways in one run, at 44.1 kHz, and once more with resampling from 48 kHz; peak memory is a
process's own, with torch and the net in it.
"""

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import soxr
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.htdemucs import HTDemucs

from encoreaudio.separate import LevelFinder, Separator
from sounds.material import Samples, music, show, snr_db

_SEGMENT_S = 7.8
_SECONDS = 9  # two segments
_PAIR = ("FL", "FR")


def htdemucs() -> BagOfModels:
    """A net of htdemucs's shape, with seeded random weights."""
    torch.manual_seed(0)
    net = HTDemucs(
        sources=["drums", "bass", "other", "vocals"],
        channels=48,
        bottom_channels=512,
        t_dropout=0.02,
        segment=_SEGMENT_S,
    )
    return BagOfModels([net.eval()])


def streamed(model: BagOfModels, samples: Samples, rate: int) -> Samples:
    """Our stems (frames, channels, stems) of samples in blocks of a second."""
    finder = LevelFinder(rate, _PAIR)
    finder.add(samples)
    separator = Separator(model, rate, _PAIR, finder.finish(), "cpu")
    parts = [separator.process(samples[at : at + rate]) for at in range(0, len(samples), rate)]
    return np.concatenate([*parts, separator.flush()])


def table() -> None:
    """Print how near, how exact, how fast and how large."""
    model = htdemucs()
    samples, rate = music("folk")  # at 44.1 kHz, so that demucs hears the same samples
    samples = samples[: _SECONDS * rate]
    mono = samples.mean(axis=1)
    mean, deviation = mono.mean(), mono.std(ddof=1) + 1e-8
    normal = torch.from_numpy(((samples - mean) / deviation).astype(np.float32).T.copy())[None]

    def bare() -> torch.Tensor:
        whole: torch.Tensor = apply_model(model, normal, shifts=0, overlap=0.25)
        return whole

    at_48_khz = soxr.resample(samples, rate, 48000, quality="VHQ")
    streamed(model, samples[:rate], rate)  # the first run of a net pays for its buffers
    whole, bare_s = _worked(bare)
    ours, ours_s = _worked(lambda: streamed(model, samples, rate))
    _, resampled_s = _worked(lambda: streamed(model, at_48_khz, 48000))
    stems = whole[0].permute(2, 1, 0).numpy().astype(np.float64) * deviation
    show(
        f"Separation: {_SECONDS} s of folk, a net of htdemucs's size on the processor",
        ["way", "apart dB", "sum dB", "processor s", "to demucs"],
        [
            ["demucs, whole", "", "", bare_s, 1.0],
            [
                "ours, streamed",
                -snr_db(stems, ours[..., :-1]),
                -snr_db(samples, ours.sum(axis=2)),
                ours_s,
                ours_s / bare_s,
            ],
            ["ours, from and to 48 kHz", "", "", resampled_s, resampled_s / bare_s],
        ],
    )
    rows = [[way, seconds, _peak_mib(way, seconds)] for way, seconds in _MEASURED]
    show("Separation: peak memory", ["net", "seconds of sound", "MiB"], rows)


_MEASURED = (("htdemucs's size", 12), ("htdemucs's size", 24), ("tiny", 30), ("tiny", 120))

_ALONE = """
import sys
import numpy as np
sys.path[:0] = sys.argv[3:]
from sounds import separation
from encoreaudio.separate import Level, Separator
model = separation.htdemucs() if sys.argv[1] != "tiny" else separation.tiny()
separator = Separator(model, 48000, ("FL", "FR"), Level(0.0, 0.1), "cpu")
chance = np.random.default_rng(0)
for _ in range(int(sys.argv[2])):
    separator.process(chance.standard_normal((48000, 2)) * 0.1)
separator.flush()
# Not ru_maxrss: a child begins with its parent's.
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if "VmHWM" in line))
"""


def tiny() -> BagOfModels:
    """A net small enough for minutes of sound."""
    torch.manual_seed(0)
    net = HTDemucs(
        sources=["drums", "bass", "other", "vocals"],
        channels=8,
        nfft=1024,
        dconv_comp=4,
        t_layers=1,
        t_heads=2,
        segment=4.0,
    )
    return BagOfModels([net.eval()])


def _peak_mib(way: str, seconds: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, way, str(seconds), *sys.path],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def _worked[T](work: Callable[[], T]) -> tuple[T, float]:
    """What the work gives, and the processor time of all its threads."""
    began = time.process_time()
    given = work()
    return given, time.process_time() - began
