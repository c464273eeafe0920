"""A whole concert: ten minutes and two hours of music and crowd, worn, through the whole chain.

Prints how many times faster than the concert the chain is, and the peak of its memory, each in a
process of its own. The concert is made of the shared music and the crowd's noise, with hiss, hum
and clicks laid over it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sounds.material import DATA, PIECES, music, show

RATE = 48000

# What `encore` sets for itself when it starts: one thread for small products, one heap.
_AS_ENCORE = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(16 << 20),
}
_WORK = """
import json, sys, time
from encoreaudio import master
began = time.monotonic()
report = master(sys.argv[1], sys.argv[2], "streaming")
took = time.monotonic() - began
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([report.duration_s, took, time.process_time(), peak / 1024, report.renders]))
"""


def make(path: Path, minutes: float) -> None:
    """Write a worn concert of so many minutes."""
    songs = []
    for piece in PIECES:
        samples, rate = music(piece)
        songs.append(samples if rate == RATE else soxr.resample(samples, rate, RATE))
    crowd, rate = soundfile.read(DATA / "sound/noise/concert-crowd.ogg", always_2d=True)
    crowd = soxr.resample(crowd, rate, RATE)
    random = np.random.default_rng(3)
    left, done = round(minutes * 60 * RATE), 0
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_24", format="RF64") as file:
        while left:
            song = songs[random.integers(len(songs))] * random.uniform(0.4, 1.0)
            part = np.concatenate((song, song[::-1], crowd * random.uniform(0.1, 0.6)))[:left]
            at = (done + np.arange(len(part)))[:, np.newaxis] / RATE
            hum = sum(0.003 / n * np.sin(2 * np.pi * 50.01 * n * at + n) for n in (1, 2, 3, 5, 7))
            worn = part + hum + 0.002 * random.standard_normal(part.shape) + 0.003
            for click in random.integers(0, max(1, len(part) - 30), 20):
                worn[click : click + 8] += random.normal() * 0.3
            file.write(np.clip(worn, -1, 1))
            left -= len(part)
            done += len(part)


def table() -> None:
    """Print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for minutes in (10.0, 120.0):
            source, target = Path(name) / "in.rf64", Path(name) / "out.flac"
            make(source, minutes)
            done = subprocess.run(
                [sys.executable, "-c", _WORK, str(source), str(target)],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | _AS_ENCORE,
            )
            length, took, cpu, peak, renders = json.loads(done.stdout)
            rows.append((minutes, length / took, length / cpu, peak, renders))
    head = ("minutes", "x real time", "x real time of one core", "peak MiB", "renders")
    show("A worn concert through the whole chain, without stems", head, rows)
