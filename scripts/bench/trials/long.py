"""A show of two hours through the whole job: memory, lengths, and sync at its end.

The picture is small and its settings cheap, so that minutes do; everything that could grow with
length (index, scan, sound, chunks, joining, reading back) sees all of it. Memory is sampled once a
second: the job's own process, and the largest of those that it started. While the picture is made,
the first quarter is held against the last; the peak of the whole job, whose other stages differ
among themselves, against that of a show of a tenth of the length. Sync is measured in the finished
file: when a picture flashes, and when a matched filter hears the beep.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
from numpy.typing import NDArray
from scipy import signal

from trials.jobs import Run, command, running
from trials.row import Row
from trials.sources import QUICK, RATE, sweep, synced_show

__all__ = ["rows"]

_OFF = ("clip", "clicks", "polarity", "azimuth", "dc", "hum", "hiss")
_SETTINGS = (*QUICK, "picture.upscale.height=96", "encode.codec=x264")
_SETTINGS += tuple(f"sound.repair.{name}=0" for name in _OFF)
_CHUNKS = 24
_OUTPUT = "out.mkv"
_MAY_GROW, _MAY_GROW_MIB = 1.05, 16.0
_SYNC_S = 0.001
_AROUND_S = 2.0


@dataclass(frozen=True)
class _Sample:
    stage: str
    job_mib: float
    largest_mib: float
    """Of what the job started."""


def rows(folder: Path, *, minutes: int) -> Iterator[Row]:
    """Make the show, run it through, measure."""
    seconds = 60 * minutes
    at_s = (10, seconds // 2, seconds - 10)
    short = _through(folder / "short", max(60, seconds // 10), (10,))
    began = time.monotonic()
    samples = _through(folder / "long", seconds, at_s)
    got = f"done, in {(time.monotonic() - began) / 60:.1f} min"
    yield Row("long", f"{minutes} minutes of 25i through the whole job", "done", got, True)
    for what in ("job", "worker"):
        yield _flat(samples, what)
    tenth, whole = (max(sample.job_mib for sample in of) for of in (short, samples))
    got = f"{tenth:.0f} MiB, then {whole:.0f}"
    what = "memory of the job at most: a tenth of the show, all of it"
    yield Row("long", what, "flat", got, _alike(tenth, whole))
    output = folder / "long" / _OUTPUT
    frames, rate, samples_s = _lengths(output)
    apart = abs(float(frames / rate) - samples_s)
    got = f"{frames} frames; {1000 * apart:.3f} ms apart"
    what = "picture and sound equally long"
    yield Row("long", what, f"to a frame ({1000 / rate:.0f} ms)", got, apart <= 1 / rate)
    expected = round(seconds * RATE) * 2
    yield Row("long", "frames", f"{expected}", f"{frames}", frames == expected)
    for at in at_s:
        flash, beep = _flash(output, at), _beep(output, at)
        off, late = beep - flash, flash - at
        got = f"{1000 * off:+.3f} ms, flash {1000 * late:+.3f} ms off its time"
        reached = max(abs(off), abs(late)) <= _SYNC_S
        yield Row("long", f"beep after flash at {at} s", "1 ms", got, reached)


def _through(folder: Path, seconds: int, at_s: Sequence[int]) -> list[_Sample]:
    """Make a show and run it through the whole job; its memory, second by second."""
    folder.mkdir()
    source = synced_show(folder / "show.mkv", seconds=seconds, at_s=at_s)
    settings = (*_SETTINGS, f"job.chunk_s={max(1.0, seconds / _CHUNKS):g}")
    samples: list[_Sample] = []
    with running(command(source, folder / _OUTPUT, *settings, more=("--workers", "1"))) as run:
        watch = threading.Thread(target=_watch, args=(run, samples), daemon=True)
        watch.start()
        if run.end(7200) != 0:
            raise RuntimeError(run.told)
        watch.join()
    return samples


def _watch(run: Run, samples: list[_Sample]) -> None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(run.process.pid)
        while run.process.poll() is None:
            sizes = [0.0]
            for child in process.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    sizes.append(child.memory_info().rss / 2**20)
            samples.append(_Sample(run.stage, process.memory_info().rss / 2**20, max(sizes)))
            time.sleep(1.0)


def _flat(samples: list[_Sample], what: str) -> Row:
    made = [sample for sample in samples if sample.stage == "picture"]
    of = [sample.job_mib if what == "job" else sample.largest_mib for sample in made]
    told = f"memory of the {what} while chunks are made: first quarter, last"
    if len(of) < 8:
        return Row("long", told, "flat", "too short to say", None)
    first, last = max(of[: len(of) // 4]), max(of[-(len(of) // 4) :])
    got = f"{first:.0f} MiB, then {last:.0f}; at most {max(of):.0f}"
    return Row("long", told, "flat", got, _alike(first, last))


def _alike(before_mib: float, after_mib: float) -> bool:
    return after_mib <= before_mib * _MAY_GROW + _MAY_GROW_MIB


def _lengths(path: Path) -> tuple[int, Fraction, float]:
    """Pictures, their rate, and the seconds of the first sound track."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        rate = Fraction(video.average_rate or 0)
        frames = sum(1 for packet in container.demux(video) if packet.size)
    with av.open(str(path)) as container:
        audio = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(audio))
        return frames, rate, samples / audio.rate


def _flash(path: Path, at: float) -> float:
    """When the flash about a time begins: the first frame brighter than half way."""
    times, levels = [], []
    with av.open(str(path)) as container:
        container.seek(round((at - _AROUND_S) * 1_000_000))
        for frame in container.decode(video=0):
            assert frame.time is not None
            if frame.time > at + _AROUND_S:
                break
            times.append(frame.time)
            levels.append(float(frame.reformat(format="gray").to_ndarray().mean()))
    level = np.array(levels)
    begins = int(np.argmax(level > (level.min() + level.max()) / 2))
    return times[begins]


def _beep(path: Path, at: float) -> float:
    """When the beep about a time begins, to a fraction of a sample."""
    parts: list[NDArray[np.float64]] = []
    begins, heard = [], 0
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        container.seek(round((at - _AROUND_S) * 1_000_000))
        for frame in container.decode(stream):
            assert frame.time is not None
            if frame.time > at + _AROUND_S:
                break
            samples = frame.to_ndarray().astype(np.float64)
            if not frame.format.is_planar:
                samples = samples.reshape(-1, len(frame.layout.channels)).T
            parts.append(samples[0])
            # Matroska's times are whole milliseconds: only over many is the first sample's known.
            begins.append(frame.time - heard / stream.rate)
            heard += frame.samples
        rate = stream.rate
    low, high, long = sweep()
    since = np.arange(round(long * rate)) / rate
    phase = 2 * np.pi * (low * since + (high - low) * since**2 / (2 * long))
    wanted = np.sin(phase) * np.clip((long - since) / 0.004, 0, 1)
    strength = np.abs(signal.oaconvolve(np.concatenate(parts), wanted[::-1])[len(wanted) - 1 :])
    n = int(np.argmax(strength))
    a, b, c = strength[n - 1 : n + 2]
    return float(np.mean(begins) + (n + 0.5 * (a - c) / (a - 2 * b + c)) / rate)
