"""Separation models: found where they are, checked, and loaded without ever unpickling anything.

A name of demucs's own ("htdemucs", "htdemucs_ft", "htdemucs_6s", "hdemucs_mmi" and others) is
looked for in the Hugging Face cache, where demucs itself keeps it; nothing is fetched unless
`fetch`, or `python -m encoreaudio.weights NAME`, is asked to. A path is a `.safetensors` file in
the layout that demucs 4.1 writes, or the `.yaml` of a bag of them, its `.safetensors` beside it.

Demucs's layout names the class to build in the file's metadata. From a stranger's file that would
be any callable with any arguments, so only demucs's own nets are let through. Its pickled `.th`
weights run code when they are read, and are refused.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from demucs.apply import BagOfModels
from demucs.hf import DEFAULT_NAMESPACE, hf_repo_name, load_safetensors_model
from demucs.pretrained import REMOTE_ROOT
from huggingface_hub import (
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from safetensors import SafetensorError, safe_open

from .error import SoundError

__all__ = ["MODEL_RATE_HZ", "fetch", "load_model", "names"]

MODEL_RATE_HZ = 44100
"""Every net of demucs works at this rate."""

_ANSWER_S = 10.0
_NETS = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs", "demucs.demucs.Demucs")
# The commit of each repository whose files have the sizes and sums below.
_REVISIONS = {
    "htdemucs": "bf35a81b663819a8255c8fefee17f9d812b786b5",
    "htdemucs_ft": "478be8a68f85418addd6f7baefd4be76522a4034",
    "htdemucs_6s": "3c5ee475be622df764938de97e4281a7b07ffa58",
}
_SUMS = {
    # signature: bytes, sha256
    "955717e8": (
        84_025_440,
        "d9fa14133cfcc034a6758923bb3a8ca9f8dfd0b582134643bbf83f72c17576dd",
    ),
    "f7e0c4bc": (
        84_025_440,
        "2c85ab3c62dd6edd8e0b965e38b16fd1cdde357cc25de6b6bc9ce7c83f60925f",
    ),
    "d12395a8": (
        84_025_440,
        "5b01a97567ae9a3178a6236fb520251045c03eb8834bc8c24a4eec11d6c8fb56",
    ),
    "92cfc3b6": (
        84_025_440,
        "a241863551f30d01c42bd7b97da40839922ead3acb0f1fcab25682f55b4eeb59",
    ),
    "04573f0d": (
        84_025_440,
        "68854b0d7c2b3274723b5761f6fd9f5aec5f1bcd3f0de7c1669546fdb7871b7c",
    ),
    "5c90dfd2": (
        54_885_744,
        "d2a1745f0744721f6b8ca5bf469b67c651ea5ed1b52998cab033b2158609d411",
    ),
}


def names() -> tuple[str, ...]:
    """Demucs's own names that can be used: no quantised ones, no reruns of a paper."""
    bags = sorted(path.stem for path in REMOTE_ROOT.glob("*.yaml"))
    return tuple(name for name in bags if not name.endswith("_q") and "repro" not in name)


def load_model(model: str | Path) -> BagOfModels:
    """Load a model by one of demucs's names, or a `.safetensors` or `.yaml` file; on the CPU.

    Weights are checked by size and sha256: against the known ones, against what the hub said when
    they came, or against FILE.sha256 beside a file of one's own. Never asks the network. Raises
    SoundError for a model that is not here, is damaged, or cannot be used.
    """
    path = Path(model).expanduser()
    if str(model) in names():
        return _bag(REMOTE_ROOT / f"{model}.yaml", _in_cache(str(model)))
    if path.suffix == ".yaml" and path.is_file():
        return _bag(path, [path.with_name(f"{one}.safetensors") for one in _read(path)["models"]])
    if path.suffix == ".safetensors":
        return _checked(BagOfModels([_net(path)]), path)
    if path.suffix in (".th", ".pt", ".pth", ".ckpt"):
        raise SoundError(
            f"{path.name} is a pickle, which may run any code when it is read;"
            " use the model's .safetensors, or a name of demucs's"
        )
    raise SoundError(
        f"separation model is {str(model)!r}; it may be none, {', '.join(names())},"
        " or a .safetensors file"
    )


def fetch(name: str) -> Sequence[Path]:
    """Fetch a model of demucs's into the Hugging Face cache, and check it; gives its files.

    Raises SoundError where the hub does not answer, or gives another file than it says.
    """
    if name not in names():
        raise SoundError(f"there is no model {name!r} to fetch; there are: {', '.join(names())}")
    revision = _REVISIONS.get(name, "main")
    files = []
    for signature in _read(REMOTE_ROOT / f"{name}.yaml")["models"]:
        file = f"{signature}.safetensors"
        url = hf_hub_url(_repository(name), file, revision=revision)
        try:
            # Asked once before: the hub's own download tries six times over where there is no net.
            get_hf_file_metadata(url, timeout=_ANSWER_S)
            path = Path(hf_hub_download(_repository(name), file, revision=revision))
        # Which errors a lost connection gives has changed with every client that the hub had.
        except Exception as error:
            raise SoundError(
                f"{name} could not be fetched from {url} ({_reason(error)}); try again later, or"
                " download it elsewhere and give its .safetensors as the model"
            ) from error
        _verify(path)
        files.append(path)
    return files


def _in_cache(name: str) -> list[Path]:
    """The files of a model that has been fetched, by us or by demucs."""
    files = []
    for signature in _read(REMOTE_ROOT / f"{name}.yaml")["models"]:
        for revision in (_REVISIONS.get(name, "main"), "main"):
            found = try_to_load_from_cache(
                _repository(name), f"{signature}.safetensors", revision=revision
            )
            if isinstance(found, str):
                files.append(Path(found))
                break
        else:
            raise SoundError(
                f"separation model {name} is not on this machine; fetch it once with:"
                f" encore models get {name}, or python -m encoreaudio.weights {name}"
            )
    return files


def _bag(description: Path, files: Sequence[Path]) -> BagOfModels:
    facts = _read(description)
    nets = [_net(file) for file in files]
    try:
        bag = BagOfModels(nets, facts.get("weights"), facts.get("segment"))
    except AssertionError as error:
        raise SoundError(f"{description} does not describe the models beside it") from error
    return _checked(bag, description)


def _read(description: Path) -> dict[str, Any]:
    try:
        facts = yaml.safe_load(description.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SoundError(f"{description} cannot be read ({_reason(error)})") from error
    if not isinstance(facts, dict) or not facts.get("models"):
        raise SoundError(f"{description} names no models")
    return facts


def _net(path: Path) -> Any:
    """One net of a file, which must be demucs's, and whole."""
    if not path.is_file():
        raise SoundError(f"{path} does not exist")
    _verify(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            facts = file.metadata() or {}
        if "structure" in facts:
            raise SoundError(f"{path} is quantised; use the model's full weights")
        if facts.get("klass") not in _NETS or not {"args", "kwargs"} <= set(facts):
            raise SoundError(f"{path} is not a model in demucs's layout")
        return load_safetensors_model(path).eval()
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise SoundError(f"{path} is damaged ({_reason(error)})") from error
    except (RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, SoundError):
            raise
        raise SoundError(f"{path}: its weights do not fit its net ({_reason(error)})") from error


def _verify(path: Path) -> None:
    """Refuse a file that is not what it should be, as far as that is known."""
    size, wanted = _SUMS.get(path.stem, (None, None))
    beside = path.with_name(f"{path.name}.sha256")
    if beside.is_file():
        wanted = beside.read_text(encoding="utf-8").split(maxsplit=1)[0].lower()
        size = None
    elif wanted is None and path.is_symlink():
        # The hub's cache keeps a large file under its sha256.
        blob = Path(os.readlink(path)).name
        wanted = blob if re.fullmatch("[0-9a-f]{64}", blob) else None
    if size is not None and path.stat().st_size != size:
        raise SoundError(f"{path} has {path.stat().st_size} bytes, not {size}; remove it")
    if wanted is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted:
        raise SoundError(f"{path} is not what it should be (its sha256 is {found}); remove it")


def _checked(bag: BagOfModels, path: Path) -> BagOfModels:
    if bag.samplerate != MODEL_RATE_HZ or bag.audio_channels != 2:
        raise SoundError(
            f"{path} is for {bag.audio_channels} channels at {bag.samplerate} Hz;"
            f" Encore separates 2 at {MODEL_RATE_HZ}"
        )
    return bag


def _repository(name: str) -> str:
    return f"{DEFAULT_NAMESPACE}/{hf_repo_name(name)}"


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".: ")


def _main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write(f"usage: python -m encoreaudio.weights {{{','.join(names())}}}\n")
        return 2
    try:
        for path in fetch(arguments[0]):
            sys.stdout.write(f"{path}\n")
    except SoundError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
