"""What decides the pixels, as digests: source, script, weights, programs, encoder.

A finished chunk is kept only while all of this is the same. Where files lie, how many work on the
job and on what device is not part of it: the same frames come out, but for the last rounding.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any, Literal

from encore.ffmpeg import program
from encore.preset import Preset

__all__ = [
    "Part",
    "code",
    "content",
    "digest",
    "files_named_in",
    "versions",
    "weight",
    "weights",
]

_WHOLE_BYTES = 8 << 20
_SAMPLES, _SAMPLE_BYTES = 64, 64 << 10
Part = Literal["picture", "sound"]
_PACKAGES: dict[Part, tuple[str, ...]] = {
    "picture": ("vapoursynth", "vsjetpack", "torch", "numpy", "opencv-python-headless"),
    "sound": ("numpy", "scipy", "soxr", "av", "torch", "demucs"),
}
_OURS: dict[Part, str] = {"picture": "vsencore", "sound": "encoreaudio"}


def digest(facts: Any) -> str:
    """A short name of plain data: the first 24 hexadecimal digits of its SHA-256."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:24]


def content(paths: Iterable[Path]) -> dict[str, Any]:
    """Size and sampled content of files, in their order: 64 places of each, or all of a small one.

    A changed name or date is no change. Raises OSError where a file cannot be read.
    """
    size, seen = 0, hashlib.sha256()
    for path in paths:
        length = path.stat().st_size
        size += length
        with path.open("rb") as file:
            if length <= _WHOLE_BYTES:
                seen.update(file.read())
                continue
            step = (length - _SAMPLE_BYTES) / (_SAMPLES - 1)
            for n in range(_SAMPLES):
                file.seek(round(n * step))
                seen.update(file.read(_SAMPLE_BYTES))
    return {"bytes": size, "sampled": seen.hexdigest()}


@cache
def versions(part: Part) -> Mapping[str, str]:
    """The programs that decide pixels, or samples: packages, plugins, FFmpeg, our own code."""
    found = {}
    for name in _PACKAGES[part]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not here"
    if part == "picture":
        for one in distributions():
            name = (one.metadata["Name"] or "").lower()
            if name.startswith("vapoursynth-"):
                found[name] = one.version
    found["ffmpeg"] = _ffmpeg()
    found[_OURS[part]] = code(_OURS[part])
    return found


def weights(preset: Preset, part: Part) -> dict[str, str]:
    """A digest for each model that a preset names, but for those that are part of our own code."""
    if part == "picture":
        restore, upscale = preset.picture.restore, preset.picture.upscale
        named = [restore.model, upscale.model if upscale.method == "model" else "none"]
        faces = preset.picture.faces
        if faces.strength > 0 and faces.method != "detail":
            # Which guard watches depends on what is here.
            named += [faces.method] + ["sface"] * (faces.identity != "off")
    else:
        named = [preset.sound.separate.model]
    return {name: told for name in named if name != "none" and (told := weight(name))}


@cache
def weight(name: str) -> str:
    """The digest of a model by name or path; "" where it is not here, or is part of our code."""
    path = _weights(name)
    return digest(content([path])) if path is not None else ""


def files_named_in(script: str) -> list[Path]:
    """Files that exist and that a script names as whole strings, for instance its sources."""
    try:
        tree = ast.parse(script)
    except (SyntaxError, ValueError):
        return []
    named = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return [path for name in sorted(named) if (path := _file(name)) is not None]


def _file(name: str) -> Path | None:
    path = Path(name)
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None


def _weights(name: str) -> Path | None:
    from vsencore.zoo import ZooError, located

    if name and Path(name).suffix:
        return _file(name)
    try:
        return located(name) if name else None
    except ZooError:
        return None


def _ffmpeg() -> str:
    told = subprocess.run(
        [program(), "-hide_banner", "-version"], capture_output=True, stdin=subprocess.DEVNULL
    ).stdout
    return told.decode("utf-8", "replace").split("\n", 1)[0].strip()


def code(package: str) -> str:
    """One of our packages and its weights: a changed filter is another one before its version."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    seen = hashlib.sha256()
    for path in sorted(Path(found.origin).parent.rglob("*")):
        if path.suffix in (".py", ".toml", ".safetensors"):
            seen.update(path.read_bytes())
    return seen.hexdigest()[:16]
