"""Files in and out: dither's noise by band, and 4.5 GiB read and written.

The first table gives the noise that rounding to 16 bits leaves (of full scale, in all and from 2 to
5 kHz, where hearing is keenest) and its cost. The second writes 4.5 GiB as .wav, which becomes RF64
by itself, reads it back through the decoder, and counts the samples.
"""

import tempfile
from pathlib import Path

import numpy as np
import scipy.signal

from encoreaudio.dither import Quantiser
from encoreaudio.stream import Reader, Writer
from sounds.material import Samples, music, run_stage, show, timed

_BYTES = int(4.5 * 2**30)
_FRAMES_A_WRITE = 2**22


def table() -> None:
    """Print both tables."""
    _dither()
    _large()


def _dither() -> None:
    samples, rate = music("strings")
    samples = samples * 0.25
    rows = []
    for name, shaped_hz in (("flat (TPDF)", None), ("shaped", rate)):
        quantiser = Quantiser("PCM_16", shaped_hz=shaped_hz)
        out, seconds = timed(lambda quantiser=quantiser: run_stage(quantiser, samples))
        rows.append([name, *_noise_db(out - samples * 32768, rate), len(samples) / rate / seconds])
    show(
        "rounding to 16 bits: noise, dBFS rms",
        ["dither", "in all", "2 to 5 kHz", "x real time"],
        rows,
    )


def _noise_db(error: Samples, rate: int) -> tuple[float, float]:
    hertz, power = scipy.signal.welch(error, rate, nperseg=4096, axis=0)
    keen = (hertz >= 2000) & (hertz <= 5000)
    band = power[keen].mean(axis=1).sum() * (hertz[1] - hertz[0])
    full = 20 * np.log10(32768)
    return float(10 * np.log10(np.mean(error**2)) - full), float(10 * np.log10(band) - full)


def _large() -> None:
    frames = _BYTES // 6
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        _, wrote_s = timed(lambda: _write(path, frames))
        (count, damage), read_s = timed(lambda: _count(path))
        head = _head(path)
    show(
        "4.5 GiB of 24-bit stereo",
        ["kind", "frames written", "frames read", "damage", "write x real time", "read x"],
        [[head.decode(), frames, count, damage, frames / 48000 / wrote_s, frames / 48000 / read_s]],
    )


def _write(path: Path, frames: int) -> None:
    block = np.zeros((_FRAMES_A_WRITE, 2), dtype=np.int32)
    with Writer(path, 48000, 2, "PCM_24", frames) as writer:
        for at in range(0, frames, _FRAMES_A_WRITE):
            writer.write(block[: frames - at])
        writer.commit()


def _count(path: Path) -> tuple[int, int]:
    with Reader(path) as reader:
        return sum(len(block) for block in reader.blocks()), reader.damage_count


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)
