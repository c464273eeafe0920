"""Clicks: what is taken out of ticking music beside FFmpeg's adeclick, and what clean music loses.

200 clicks in 20 seconds, seeded: single samples, ticks of 5 to 60 samples (noise that dies away),
and bits of a real scratch that die away as a tick does; 30 dB between the weakest and the
strongest, which is as high as the music's peak; a third each left, right, and both. The peer has
the best of a grid of its settings for each row; ours has one setting. What tells a click from a
guitar's attack was chosen with these pieces in sight, so the clean column is not held out.
"""

import itertools

import numpy as np
import soundfile

from encoreaudio.clicks import ClickRepair
from sounds import material

_GRID = [f"adeclick=t={t}:a={a}" for t, a in itertools.product((2, 4, 10), (2, 4))]


def damaged(clean: material.Samples, seed: int = 0, count: int = 200) -> material.Samples:
    """The music with clicks."""
    scratch, _ = soundfile.read(material.DATA / "sound/noise/vinyl_scratch.flac")
    rng = np.random.default_rng(seed)
    heard = clean.copy()
    for number in range(count):
        length = int(rng.integers(5, 61))
        fall = np.exp(-4 * np.arange(length) / length)
        start = int(rng.integers(len(scratch) - length))
        wave = (
            np.ones(1),
            fall * rng.standard_normal(length),
            fall * scratch[start : start + length],
        )[number % 3]
        height = np.abs(clean).max() * 10 ** (rng.uniform(-30, 0) / 20) * rng.choice([-1, 1])
        sides = ((1.0, 0.0), (0.0, 1.0), (1.0, rng.uniform(0.3, 1)))[rng.integers(3)]
        at = int(rng.integers(1000, len(clean) - 1000))
        heard[at : at + len(wave)] += np.outer(wave / np.abs(wave).max() * height, sides)
    return heard


def table() -> None:
    """Print the table."""
    rows = []
    for name in material.PIECES:
        clean, rate = material.music(name)
        heard = damaged(clean)
        seconds = len(clean) / rate
        stage = ClickRepair(rate, 2)
        ours, took_s = material.timed(lambda s=stage, h=heard: material.run_stage(s, h))
        still, idle_s = material.timed(
            lambda r=rate, c=clean: material.run_stage(ClickRepair(r, 2), c)
        )
        peers = {
            graph: material.snr_db(clean, material.ffmpeg_filter(heard, rate, graph))
            for graph in _GRID
        }
        best = max(peers, key=lambda graph: peers[graph])
        rows.append(
            (
                name,
                material.snr_db(clean, heard),
                peers[best],
                best.removeprefix("adeclick="),
                material.snr_db(clean, ours),
                material.snr_db(clean, ours) - peers[best],
                stage.repaired,
                min(200.0, material.snr_db(clean, still)),
                seconds / took_s,
                seconds / idle_s,
            )
        )
    material.show(
        "Clicks, 200 in 20 s: SNR in dB",
        (
            "music",
            "damaged",
            "adeclick",
            "its best",
            "ours",
            "ahead",
            "repaired",
            "clean in (200: exact)",
            "x real time",
            "x on clean",
        ),
        rows,
    )
