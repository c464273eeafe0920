"""Weights out of a file, without ever running what the file holds.

A file is read once, up to a bound; what was hashed is what is parsed. Two kinds are known, by
their first bytes and not by their name: safetensors (a JSON header and raw numbers) and torch's
own (a pickle), which goes through torch's weights-only reader: it builds tensors and plain
containers, and refuses every other name in the pickle instead of importing it.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from .errors import ZooError

__all__ = ["LARGEST_BYTES", "Weights", "read", "write"]

LARGEST_BYTES = 4 << 30
"""No single-frame model comes near 4 GiB; a larger file is refused before it is read."""

_LARGEST_HEADER = 16 << 20
_MOST_LAYERS = 10_000
# How training frameworks wrap a network's weights, the smoothed ones (ema) before the raw.
_WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")
_PREFIXES = ("module.", "netG.")


@dataclass(frozen=True)
class Weights:
    """What a file holds: tensors by name, and what its header says of itself."""

    tensors: dict[str, Tensor]
    said: dict[str, str]
    sha256: str
    size_bytes: int
    pickled: bool


def read(path: Path, sha256: str | None = None) -> Weights:
    """Read a model's weights; with `sha256`, refuse a file that is not exactly that one.

    Raises:
        ZooError: the file is missing, empty, too large, damaged, changed, or no weights.
    """
    content = _content(path)
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256:
        raise ZooError(
            f"{path}: the file is damaged or was changed (its sha256 is {digest[:12]}...,"
            f" it should be {sha256[:12]}...); remove it, and get or add it again"
        )
    said: dict[str, str] = {}
    pickled = content[:2] == b"PK" or content[:1] == b"\x80"
    if _is_safetensors(content):
        tensors, said = _safetensors(path, content)
    elif pickled:
        tensors = _pickled(path, content)
    else:
        raise ZooError(
            f"{path}: this is no model, or it is cut short; .safetensors and .pth are read"
        )
    _check(path, tensors)
    return Weights(tensors, said, digest, len(content), pickled)


def write(path: Path, weights: Weights) -> None:
    """Write weights as safetensors, straight to `path`: the caller commits the file."""
    # Tensors that share memory, or are views, are written out whole.
    whole = {name: tensor.contiguous().clone() for name, tensor in weights.tensors.items()}
    # Not save_file, whose files none but their owner may read.
    path.write_bytes(save(whole, metadata={"format": "pt", **weights.said}))


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            there = path.exists()
            raise ZooError(f"{path}: {'this is no file' if there else 'there is no such file'}")
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise ZooError(f"{path}: {size / 2**30:.1f} GiB is too large for a model (4 GiB is)")
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES)
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({error.strerror})") from error
    if not content:
        raise ZooError(f"{path}: the file is empty; get or add it again")
    return content


def _is_safetensors(content: bytes) -> bool:
    header = int.from_bytes(content[:8], "little")
    return content[8:9] == b"{" and header <= _LARGEST_HEADER


def _safetensors(path: Path, content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise _damaged(path, error) from error
    said = {key: str(value) for key, value in (header.get("__metadata__") or {}).items()}
    return _unwrapped(path, tensors), said


def _pickled(path: Path, content: bytes) -> dict[str, Tensor]:
    _check_archive(path, content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            held = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused(path, error) from error
    except Exception as error:  # a damaged pickle can fail in any way
        raise _damaged(path, error) from error
    return _unwrapped(path, held)


def _check_archive(path: Path, content: bytes) -> None:
    """Refuse an archive that would unpack to more than it is: torch itself never compresses."""
    if content[:2] != b"PK":
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise _damaged(path, error) from error
    if any("/code/" in entry.filename for entry in entries):
        raise ZooError(f"{path}: this is a TorchScript program, not weights; use its .safetensors")
    if sum(entry.file_size for entry in entries) > len(content):
        raise ZooError(f"{path}: this archive unpacks to more than it is; use a .safetensors file")


def _refused(path: Path, error: Exception) -> ZooError:
    text = str(error)
    named = re.search(r"(?:GLOBAL|class|function|type) ['\"]?([A-Za-z_]\w*(?:\.\w+)+)", text)
    if named is None:
        return _damaged(path, error)
    return ZooError(
        f"{path}: refused, for it holds more than weights ({named[1]}), and reading that could"
        " run a stranger's code; use a .safetensors file of the same model"
    )


def _damaged(path: Path, error: Exception) -> ZooError:
    why = " ".join(str(error).split())[:120] or type(error).__name__
    return ZooError(f"{path}: the file is damaged or cut short ({why}); get or add it again")


def _unwrapped(path: Path, held: Any) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(held, dict) and isinstance(held.get(wrapper), dict):
            held = held[wrapper]
            break
    if not isinstance(held, dict) or not held:
        raise ZooError(f"{path}: this is no model: it holds no named tensors")
    for prefix in _PREFIXES:
        if all(str(name).startswith(prefix) for name in held):
            held = {name[len(prefix) :]: value for name, value in held.items()}
    tensors = {}
    for name, value in held.items():
        if isinstance(value, bool | int | float):  # a switch that some networks keep beside
            value = torch.tensor(value)
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ZooError(f"{path}: this is no model: {name!r} in it is no tensor")
        tensors[name] = value
    return tensors


def _check(path: Path, tensors: dict[str, Tensor]) -> None:
    """Refuse what a network must not be built from: it would take memory the file never had."""
    largest = 0
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise ZooError(f"{path}: {name!r} is not a plain tensor; use a .safetensors file")
        if any(int(part) > _MOST_LAYERS for part in re.findall(r"\d{1,18}", name)):
            raise ZooError(f"{path}: this is no model: it has a tensor named {name!r}")
        largest += tensor.numel() * tensor.element_size()
    if largest > LARGEST_BYTES:
        raise ZooError(f"{path}: its tensors would take {largest / 2**30:.0f} GiB; 4 GiB is most")
