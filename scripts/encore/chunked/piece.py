"""Makes one chunk: its frames rendered in a process of their own, encoded, verified, committed.

It counts when every process ended with 0, the file holds the planned number of frames, each decodes
and has its exact time, and its record is on the disk. The same function runs in a lane of this
machine and in a worker of a cluster.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av

from encore.chunked.identity import content, digest, versions, weight
from encore.chunked.ledger import Ledger, Record, maker_name
from encore.encode import Clip, within_threads
from encore.errors import DISK_FULL, JobError
from encore.progress import Update
from encore.render import ChangedError, Limits, OutOfMemoryError, Rendered, StalledError, render

__all__ = ["ChunkError", "Task", "input_digest", "make", "misfit", "packets_of"]

FailureKind = Literal["changed", "disk", "memory", "stall", "unfit", "other"]
_count = itertools.count()


@dataclass(frozen=True)
class Task:
    """Everything that a worker has to know of a chunk; plain data."""

    key: str
    number: int
    script: str
    first: int
    last: int
    keys: tuple[int, ...]
    clip: dict[str, Any]
    """The whole clip's facts, as `Clip`; rate and aspect as "num/den"."""
    codec: str
    arguments: tuple[str, ...]
    """FFmpeg's output arguments."""
    folder: str
    suffix: str
    stall_s: float
    device: str = "auto"
    tile_px: int | None = None
    """Networks work in tiles of this side: after memory ran out."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """The programs that the machine must have, by name."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """The models that it must have: name or path, and digest."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """The files that it is made from: path, and digest. They must not change under way."""

    @property
    def frames(self) -> int:
        """How many frames it makes."""
        return self.last - self.first


class ChunkError(JobError):
    """Why one attempt at a chunk failed."""

    def __init__(self, kind: FailureKind, text: str) -> None:
        super().__init__(kind, text)
        self.kind, self.text = kind, text

    def __str__(self) -> str:
        return self.text


def make(
    task: Task,
    update: Update,
    *,
    maker: str = "",
    threads: int | None = None,
    environment: Mapping[str, str] | None = None,
    stopped: threading.Event | None = None,
) -> Record:
    """Make a chunk, or find it finished. Raises ChunkError; CalledOffError where `stopped` was set.

    `threads` bounds what the filters and the encoder use, `environment` is added to theirs.
    """
    if why := misfit(task):
        raise ChunkError("unfit", why)
    ledger = Ledger(Path(task.folder), task.suffix)
    known = ledger.finished(task.key)
    if known is not None:
        return known
    began = time.monotonic()
    name = maker_name(next(_count))
    partial = ledger.partial(task.key, name)
    log = ledger.folder / f"{task.key}.{name}.log"
    own = dict(environment or {})
    if task.tile_px is not None:
        own["VSENCORE_TILE_PX"] = str(task.tile_px)
    try:
        _check_inputs(task)
        limits = Limits(threads, own, task.stall_s, stopped)
        rendered = _rendered(task, partial, update, log, limits)
        _check_inputs(task)
        arithmetic = rendered.arithmetic
        if task.tile_px is not None:
            arithmetic += f", in tiles of {task.tile_px} pixels"
        packets = packets_of(partial, task.frames, Fraction(task.clip["rate"]), decode=True)
        record = Record(
            task.key,
            task.frames,
            partial.stat().st_size,
            packets,
            round(time.monotonic() - began, 3),
            maker or name,
            arithmetic,
            rendered.strays,
        )
        ledger.commit(partial, record)
    except ChunkError:
        raise
    except OutOfMemoryError as error:
        raise ChunkError("memory", str(error)) from error
    except ChangedError as error:
        raise ChunkError("changed", str(error)) from error
    except StalledError as error:
        raise ChunkError("stall", str(error)) from error
    except JobError as error:
        kind: FailureKind = "disk" if "the disk is full" in str(error) else "other"
        raise ChunkError(kind, str(error)) from error
    except OSError as error:
        if error.errno in DISK_FULL:
            raise ChunkError("disk", "the disk is full") from error
        raise ChunkError("other", f"{error.strerror} ({error.filename})") from error
    finally:
        partial.unlink(missing_ok=True)
    log.unlink(missing_ok=True)
    return record


def misfit(task: Task) -> str:
    """Why this machine cannot make a task's frames as they were planned; "" where it can."""
    here = versions("picture")
    for name, wanted in task.versions.items():
        if here.get(name) != wanted:
            return f"it has {name} {here.get(name, 'not at all')}; the job wants {wanted}"
    for name, wanted in task.weights.items():
        if weight(name) != wanted:
            return f"the model {name} is not there, or is another one"
    return ""


def packets_of(path: Path, frames: int, rate: Fraction, *, decode: bool = False) -> str:
    """Read a file's picture, packet by packet; the SHA-256 of them all.

    Every packet's time must be one of the `frames` times n / rate; with `decode` every picture
    must decode. Raises JobError with the first thing that is wrong.
    """
    seen, times, pictures = hashlib.sha256(), [], 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            base = stream.time_base or Fraction(1, 1000)
            for packet in container.demux(stream):
                if packet.size:
                    seen.update(bytes(packet))
                    if packet.pts is None:
                        raise JobError(f"a picture of {path.name} has no time")
                    times.append(packet.pts * base * rate)
                if decode:
                    for frame in packet.decode():
                        if getattr(frame, "is_corrupt", False):
                            raise JobError(f"picture {pictures} of {path.name} is damaged")
                        pictures += 1
    except (av.FFmpegError, IndexError) as error:
        raise JobError(f"{path.name} does not read back: {error}") from error
    if len(times) != frames:
        raise JobError(f"{path.name} has {len(times)} frames and should have {frames}")
    if decode and pictures != frames:
        raise JobError(f"{pictures} of the {frames} frames of {path.name} decode")
    # Matroska's clock is whole milliseconds; every other container's holds the rate.
    slack = Fraction(0) if (1 / rate / base).denominator == 1 else rate * base
    if any(abs(at - n) > slack for n, at in enumerate(sorted(times))):
        raise JobError(f"a frame of {path.name} is off its time")
    return seen.hexdigest()


def input_digest(path: Path) -> str:
    """The digest of an input's content."""
    return digest(content([path]))


def _check_inputs(task: Task) -> None:
    for name, wanted in task.inputs.items():
        try:
            now = input_digest(Path(name))
        except OSError as error:
            raise ChangedError(f"cannot read {name}: {error.strerror}") from error
        if now != wanted:
            raise ChangedError(f"{name} was changed while the job ran")


def _rendered(task: Task, partial: Path, update: Update, log: Path, limits: Limits) -> Rendered:
    arguments = within_threads(task.arguments, limits.threads)
    if task.keys:
        at = "+".join(f"eq(n,{key})" for key in task.keys)
        arguments += ["-force_key_frames", f"expr:{at}"]
        arguments += ["-forced-idr", "1"] if task.codec in ("x264", "x265") else []
    planned = _clip(task.clip)

    def checked(clip: Clip) -> list[str]:
        now, then = asdict(clip), asdict(planned)
        for name in ("width", "height", "frames", "rate", "format"):
            if now[name] != then[name]:
                raise ChangedError(
                    f"the script's {name} is {now[name]} here, and was {then[name]} when planned"
                )
        return arguments

    return render(
        Path(task.script),
        partial,
        checked,
        update,
        log=log,
        span=(task.first, task.last),
        limits=limits,
    )


def _clip(facts: Mapping[str, Any]) -> Clip:
    rest = {name: value for name, value in facts.items() if name not in ("rate", "sample_aspect")}
    return Clip(
        rate=Fraction(facts["rate"]), sample_aspect=Fraction(facts["sample_aspect"]), **rest
    )
