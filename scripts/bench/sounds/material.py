"""Music to damage, damage for it, and how much of it is left: shared by every table.

Music is real (see the data's manifest) and never had to do with how the chain was tuned beyond what
each table says. All damage is seeded.
"""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import soundfile

type Samples = npt.NDArray[np.float64]

DATA = Path(os.environ.get("ENCORE_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))

_PIECES: dict[str, tuple[tuple[str, ...], float, float]] = {
    # name: files that are summed, first second, seconds
    "rock": (
        tuple(
            f"sound/stems_rock/{part}30.mp3"
            for part in ("Vocals", "Guitar", "PianoSynth", "BassDrums")
        ),
        4.0,
        20.0,
    ),
    "funk": (
        tuple(
            f"sound/stems_funk/{part}.mp3"
            for part in ("bassguitar", "clav", "drums", "horns", "leadguitar")
        ),
        20.0,
        20.0,
    ),
    "folk": (("sound/music/lets_go_fishin.ogg",), 30.0, 20.0),
    "jazz": (("sound/music/vibe_ace.ogg",), 20.0, 20.0),
    "strings": (("sound/music/hungarian_dance.ogg",), 10.0, 20.0),
    "celesta": (("sound/music/sugar_plum.ogg",), 20.0, 20.0),
    "piano": (("sound/stems_rock/PianoSynth30.mp3",), 4.0, 20.0),
    "voice": (("sound/stems_rock/Vocals30.mp3",), 4.0, 20.0),
}
PIECES = tuple(_PIECES)


def music(name: str) -> tuple[Samples, int]:
    """A piece as (frames, 2) with its highest sample at 0.5, and its rate in hertz."""
    files, start_s, length_s = _PIECES[name]
    total: Samples | None = None
    rate = 0
    for file in files:
        samples, rate = soundfile.read(DATA / file, always_2d=True)
        part = samples[round(start_s * rate) : round((start_s + length_s) * rate)]
        part = np.repeat(part, 2, axis=1) if part.shape[1] == 1 else part[:, :2]
        total = part if total is None else total[: len(part)] + part[: len(total)]
    assert total is not None
    return total * (0.5 / np.abs(total).max()), rate


def snr_db(clean: Samples, heard: Samples) -> float:
    """How far the difference lies under the clean sound, in dB."""
    return float(10 * np.log10(np.sum(clean**2) / (np.sum((heard - clean) ** 2) + 1e-30)))


def run_stage(stage: Any, samples: Samples, block: int = 48000) -> Samples:
    """A stage over samples in blocks, as a stream would be."""
    parts = [stage.process(samples[at : at + block]) for at in range(0, len(samples), block)]
    parts.append(stage.flush())
    return np.concatenate([part for part in parts if len(part)])


def find(finder: Any, samples: Samples, block: int = 48000) -> Any:
    """What a finder says of samples that it hears in blocks."""
    for at in range(0, len(samples), block):
        finder.add(samples[at : at + block])
    return finder.finish()


def ffmpeg_filter(samples: Samples, rate: int, graph: str) -> Samples:
    """FFmpeg's audio filters over samples, in floats, through pipes."""
    channels = samples.shape[1]
    form = ["-f", "f64le", "-ar", str(rate), "-ac", str(channels)]
    done = subprocess.run(
        [
            imageio_ffmpeg.get_ffmpeg_exe(),
            "-v",
            "error",
            *form,
            "-i",
            "-",
            "-af",
            graph,
            *form,
            "-",
        ],
        input=np.ascontiguousarray(samples, dtype="<f8").tobytes(),
        capture_output=True,
        check=True,
    )
    return np.frombuffer(done.stdout, dtype="<f8").reshape(-1, channels)


def timed[T](work: Callable[[], T]) -> tuple[T, float]:
    """What the work gives, and how many seconds it took."""
    began = time.perf_counter()
    given = work()
    return given, time.perf_counter() - began


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    cells = [[_cell(value) for value in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    print(f"\n## {title}\n")
    for number, row in enumerate(cells):
        print(
            "| "
            + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            + " |"
        )
        if not number:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
