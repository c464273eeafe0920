"""What is finished: each chunk a file and a record beside it, safe from a power cut.

A file's name is the digest of all that decided it, so a changed setting never meets an old file,
and going back to the old setting finds it again. A chunk counts when its record stands beside a
file of the size it tells; the record is written last. Nobody needs to hold a list: whoever makes a
chunk, on whatever machine, commits it, and a job that is begun again reads the folder.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

__all__ = [
    "Ledger",
    "Record",
    "keep_facts",
    "kept_facts",
    "machine",
    "maker_name",
    "synced",
    "write_whole",
]

_PART = ".part"
_SILENT_S = 600.0


@dataclass(frozen=True)
class Record:
    """One finished chunk, as its maker verified it."""

    key: str
    frames: int
    bytes: int
    packets: str
    """SHA-256 of the file's packets of picture, in their order: the joined file must hold them."""
    took_s: float
    made_by: str
    arithmetic: str
    """What calculated it: processor and device."""
    strays: list[list[int]] = field(default_factory=list)
    """Where a model of faces was not used: the face, and its first and last frame of the clip."""


class Ledger:
    """The finished chunks of a work folder. Several processes may commit to it at once."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder, self.suffix = folder, suffix
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Where the file of a chunk lies, or will."""
        return self.folder / f"{key}{self.suffix}"

    def partial(self, key: str, maker: str) -> Path:
        """Where `maker` may write it before it is verified."""
        return self.folder / f"{key}.{maker}{_PART}{self.suffix}"

    def finished(self, key: str) -> Record | None:
        """The record of a chunk that is there; None where it is not, or not whole."""
        try:
            known = Record(**json.loads(self._record(key).read_text(encoding="utf-8")))
            whole = known.key == key and self.path(key).stat().st_size == known.bytes
        except (OSError, ValueError, TypeError):
            return None
        return known if whole else None

    def commit(self, partial: Path, record: Record) -> None:
        """Give a verified file its name, then its record. Raises OSError where the disk is full."""
        synced(partial)
        os.replace(partial, self.path(record.key))
        synced(self.folder)
        write_whole(self._record(record.key), asdict(record))

    def forget(self, key: str) -> None:
        """Take back a chunk that turned out wrong."""
        self._record(key).unlink(missing_ok=True)
        self.path(key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what was left half written, but for what a living worker may be writing.

        One of another machine is let live until nothing was written for ten minutes.
        """
        for path in self.folder.glob(f"*{_PART}*"):
            with suppress(OSError):
                if not _lives(path):
                    path.unlink()
        for flag in self.folder.glob("stop-*"):
            with suppress(OSError):
                if time.time() - flag.stat().st_mtime > _SILENT_S:
                    flag.unlink()

    def others(self, keys: Iterable[str]) -> list[Path]:
        """Files here that belong to none of these keys: chunks of other settings."""
        known = {f"{key}{end}" for key in keys for end in (self.suffix, ".json")}
        return [path for path in self.folder.iterdir() if path.name not in known]

    def _record(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def maker_name(number: int) -> str:
    """A name for who makes a chunk in this process, by which `sweep` knows whether it lives."""
    return f"{machine()}-{os.getpid()}-{number}"


def _lives(part: Path) -> bool:
    name = part.name.split(".")[1].rsplit("-", 2)
    if len(name) < 3 or not name[1].isdigit():
        return False
    where, pid = name[:2]
    if where == machine():
        return psutil.pid_exists(int(pid))
    return time.time() - part.stat().st_mtime < _SILENT_S


def machine() -> str:
    """The short name of this machine."""
    return socket.gethostname().partition(".")[0]


def kept_facts(file: Path) -> dict[str, Any] | None:
    """What `keep_facts` told of a file; None where one of the two is not there, or not whole."""
    try:
        known: dict[str, Any] = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        return known if known.pop("bytes") == file.stat().st_size else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def keep_facts(file: Path, facts: Mapping[str, Any]) -> None:
    """Commit a finished file that is no chunk: it, then beside it what is known of it."""
    synced(file)
    write_whole(file.with_suffix(".json"), {"bytes": file.stat().st_size, **facts})


def write_whole(path: Path, data: Any) -> None:
    """Write JSON so that the file is there whole, or is what it was before."""
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=2, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    synced(path.parent)


def synced(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk and not only in memory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
