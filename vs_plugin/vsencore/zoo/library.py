"""Where models are: shipped in the wheel, kept in the user's folder, or at a path.

A model NAME is `NAME.safetensors` and, beside it, its record `NAME.json`: size, sha256, licence
and where it came from. One record a model, so that two processes that add models never write the
same file; a file is committed after its record, by a rename. A file that was put into the folder
by hand has no record, and can be used without.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from .descriptor import Descriptor, describe
from .errors import NotDoneError, ZooError
from .registry import Entry, Kind, entries

__all__ = ["Kept", "Record", "find", "keep", "kept", "located", "models_dir", "sound", "verify"]

_SUFFIXES = (".safetensors", ".pth", ".onnx")
_PUBLISHED: dict[Kind, str] = {"torch": ".pth", "onnx": ".onnx"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Record:
    """What is known of a kept file, beside it."""

    kind: Kind
    purpose: str
    scale: int | None
    size_bytes: int
    sha256: str
    licence: str
    credit: str
    made_from_sha256: str
    """The file that was fetched or added: another one where weights were rewritten."""
    receptive_field_px: int | None = None


@dataclass(frozen=True)
class Kept:
    """A model on this machine that has a name."""

    name: str
    path: Path

    @cached_property
    def record(self) -> Record | None:
        """What is known of it; of a file put there by hand, what the registry knows.

        Raises:
            ZooError: the record is damaged.
        """
        beside = self.path.with_suffix(".json")
        try:
            return Record(**json.loads(beside.read_text(encoding="utf-8")))
        except FileNotFoundError:
            entry = entries().get(self.name)
            published = entry is not None and self.path.suffix == _PUBLISHED[entry.kind]
            return _from_registry(entry) if entry is not None and published else None
        except (OSError, ValueError, TypeError) as error:
            raise ZooError(
                f"{beside}: the model's record cannot be read ({error}); remove it and"
                f" {self.path.name}, and get or add the model again"
            ) from error

    def check(self) -> None:
        """Hold the file to its record.

        Raises:
            ZooError: its size or its sha256 is another one.
        """
        record = self.record
        if record is None:
            return
        size = self.path.stat().st_size
        if size != record.size_bytes:
            wrong = f"it has {size} bytes, and should have {record.size_bytes}"
        elif _digest(self.path) != record.sha256:
            wrong = "its sha256 is another one"
        else:
            return
        raise ZooError(
            f"{self.path}: the file is damaged or was changed ({wrong}); get or add it again"
        )


def models_dir() -> Path:
    """The user's folder of models: `$ENCORE_MODELS`, or `models` in Encore's cache folder.

    The cache folder is `$ENCORE_CACHE`, or the platform's usual place. Neither need exist yet.
    """
    chosen = os.environ.get("ENCORE_MODELS")
    return Path(chosen).expanduser() if chosen else _cache_dir() / "models"


def kept() -> list[Kept]:
    """The models in the user's folder, by name."""
    found: dict[str, Kept] = {}
    for suffix in _SUFFIXES:
        for path in sorted(models_dir().glob(f"*{suffix}")):
            if _NAME.fullmatch(path.stem):
                found.setdefault(path.stem, Kept(path.stem, path))
    return list(found.values())


def find(name_or_path: str | Path) -> Descriptor:
    """The picture model of a name, or in a file.

    Raises:
        ZooError: there is no such model, or its file cannot be used.
    """
    path = Path(name_or_path).expanduser()
    if not _is_name(name_or_path):
        return describe(path, path.stem)
    model = _named(str(name_or_path))
    record = model.record
    if record is None:
        return describe(model.path, model.name)
    if record.kind != "torch":
        raise ZooError(f"{model.name}: this is no picture model; it serves other parts of Encore")
    told = {"licence": record.licence, "credit": record.credit}
    return describe(model.path, model.name, record.sha256, told, record.receptive_field_px)


def located(name: str) -> Path:
    """The file of a kept model of any kind, after its size and sha256 were checked.

    Raises:
        ZooError: there is no such model, or its file is damaged.
    """
    model = _named(name)
    model.check()
    return model.path


def keep(source: Path, name: str | None = None) -> Kept:
    """Check a model's file and keep it in the user's folder, as safetensors, under a name.

    A file of the registry is known by its sha256, and takes its name, licence and credit there.

    Raises:
        ZooError: the file is no model, or the name is wrong or taken.
    """
    digest = _digest(source)
    entry = next((one for one in entries().values() if one.sha256 == digest), None)
    chosen = name or (entry.name if entry else re.sub(r"[^A-Za-z0-9._-]+", "-", source.stem))
    _check_name(chosen, digest)
    there = sound(chosen)
    if there is not None:
        if there.record is not None and there.record.made_from_sha256 == digest:
            return there
        raise ZooError(f"{chosen}: there is another model of this name; choose one with --name")
    suffix = ".onnx" if entry is not None and entry.kind == "onnx" else ".safetensors"
    target = models_dir() / f"{chosen}{suffix}"
    with _written(target) as part:
        if target.suffix == ".onnx":
            shutil.copyfile(source, part)
            described = None
        else:
            described = describe(source, chosen, digest)
            _rewrite(source, part, digest)
        _write_record(target, _made_record(part, described, entry, digest))
    return Kept(chosen, target)


def sound(name: str) -> Kept | None:
    """The kept model of a name; None where there is none, or one that must be had again."""
    model = next((one for one in kept() if one.name == name), None)
    if model is None:
        return None
    try:
        model.check()
    except ZooError:
        return None
    return model


def verify(model: Kept) -> str:
    """Hold a kept model to its record, load it, and run it on a small picture; say what was done.

    Raises:
        ZooError: what is wrong with it.
    """
    model.check()
    checked = "no record" if model.record is None else "size and sha256 are right"
    if model.path.suffix == ".onnx":
        return checked
    described = find(model.name)
    side = -(-max(16, described.minimum_px) // described.multiple_of) * described.multiple_of
    _run(described, side)
    return f"{checked}; it loads and runs (x{described.scale}, {described.architecture})"


def _cache_dir() -> Path:
    # The same places as encore.cache, of which this package knows nothing.
    chosen = os.environ.get("ENCORE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "encore" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "encore"
    chosen = os.environ.get("XDG_CACHE_HOME")
    return (Path(chosen) if chosen else Path.home() / ".cache") / "encore"


def _from_registry(entry: Entry) -> Record:
    return Record(
        entry.kind,
        entry.purpose,
        entry.scale,
        entry.size_bytes,
        entry.sha256,
        entry.licence,
        entry.credit,
        entry.sha256,
    )


def _is_name(text: str | Path) -> bool:
    return (
        isinstance(text, str)
        and _NAME.fullmatch(text) is not None
        and Path(text).suffix.lower() not in (*_SUFFIXES, ".pt", ".ckpt")
    )


def _named(name: str) -> Kept:
    there = {one.name: one for one in kept()}
    if name in there:
        return there[name]
    if name in entries():
        raise ZooError(
            f"{name}: this model is not here yet; fetch it with: encore models get {name}"
        )
    near = get_close_matches(name, [*there, *entries()], n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else "; see: encore models list"
    raise ZooError(f"there is no model named {name!r}{hint}")


def _digest(path: Path) -> str:
    if not path.is_file():
        raise ZooError(f"{path}: {'this is no file' if path.exists() else 'there is no such file'}")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({error.strerror})") from error


def _check_name(name: str, digest: str) -> None:
    if not _is_name(name):
        raise ZooError(f"{name!r} is no name for a model: letters, digits, dots, - and _ are")
    entry = entries().get(name)
    if entry is not None and entry.sha256 != digest:
        raise ZooError(
            f"{name}: this is not the file of that name (its sha256 is {digest[:12]}...,"
            f" {name}'s is {entry.sha256[:12]}...); choose another name with --name"
        )


@contextmanager
def _written(target: Path) -> Iterator[Path]:
    """A place to write to, beside `target`, that takes its name when all went well."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        raise NotDoneError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _rewrite(source: Path, part: Path, digest: str) -> None:
    """Copy safetensors as they are, and rewrite the rest: nothing pickled is kept."""
    from .weights import read, write

    weights = read(source, digest)
    if weights.pickled:
        write(part, weights)
    else:
        shutil.copyfile(source, part)


def _made_record(
    part: Path, described: Descriptor | None, entry: Entry | None, digest: str
) -> Record:
    facts = entry if entry is not None else described
    assert facts is not None, "what is not in the registry was described"
    # Faces are given whole; and to measure it takes minutes where a model is that large.
    tiled = described is not None and described.purpose != "face"
    return Record(
        kind="torch" if described is not None else "onnx",
        purpose=described.purpose if described is not None else facts.purpose,
        scale=described.scale if described is not None else facts.scale,
        size_bytes=part.stat().st_size,
        sha256=_digest(part),
        licence=facts.licence,
        credit=facts.credit,
        made_from_sha256=digest,
        receptive_field_px=described.receptive_field_px if described and tiled else None,
    )


def _write_record(target: Path, record: Record) -> None:
    with _written(target.with_suffix(".json")) as part:
        part.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")


def _run(described: Descriptor, side: int) -> None:
    import torch

    with torch.inference_mode():
        picture = torch.full((1, described.channels_in, side, side), 0.5)
        result = described.build()(picture)
    wanted = (1, described.channels_out, side * described.scale, side * described.scale)
    if tuple(result.shape) != wanted:
        raise ZooError(
            f"{described.path}: the model gives {tuple(result.shape)} where {wanted} is due;"
            " it cannot be used"
        )
    if not bool(result.isfinite().all()):
        raise ZooError(f"{described.path}: the model gives what is no number; get or add it again")
