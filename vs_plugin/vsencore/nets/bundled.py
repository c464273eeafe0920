"""The weights that come with Encore, and weights of the same kind out of a file.

A name has weights of two kinds, for fields and for frames. `weights/index.toml` names each file,
its size and its sha256: a file that is not exactly that one is refused. A file of the user's own is
read with the same care as any other model, and its shape is told by its header
(`scripts/train/fieldnet.py` writes it).
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from ..zoo import ZooError
from ..zoo.weights import Weights, read
from .restorer import Kind, Restorer, Shape

__all__ = ["Bundled", "bundled", "check", "load", "shape_of"]

_FOLDER = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Bundled:
    """One file of weights that ships inside the wheel."""

    name: str
    kind: Kind
    about: str
    file: str
    size_bytes: int
    sha256: str

    @property
    def path(self) -> Path:
        """Where it lies."""
        return _FOLDER / self.file

    def verify(self) -> str:
        """Read it, check its sha256, and build its network; say so, or raise ZooError."""
        load(self.name, self.kind)
        return "sha256 is right; its network can be built"


@cache
def bundled() -> dict[tuple[str, Kind], Bundled]:
    """What ships with Encore, by name and kind."""
    told = tomllib.loads((_FOLDER / "index.toml").read_text(encoding="utf-8"))
    kinds: tuple[Kind, Kind] = ("fields", "frames")
    return {
        (name, kind): Bundled(name, kind, **facts[kind])
        for name, facts in told.items()
        for kind in kinds
        if kind in facts
    }


def shape_of(model: str, kind: Kind) -> Shape:
    """What a model is, by name or path, read from the header of its file alone.

    Raises:
        ZooError: no such model, a file that is damaged or holds another network, or one that
            restores pictures of the other kind.
    """
    return _shape(model, kind, _read(model, kind))


def load(model: str, kind: Kind) -> Restorer:
    """A network with its weights, on the CPU in float32, for inference only; raises as above."""
    weights = _read(model, kind)
    shape = _shape(model, kind, weights)
    with torch.device("meta"):  # costs nothing, whatever a header says
        wanted = {name: tensor.shape for name, tensor in Restorer(shape).state_dict().items()}
    if wanted != {name: tensor.shape for name, tensor in weights.tensors.items()}:
        raise ZooError(f"{model}: the weights do not fit the network that they name")
    network = Restorer(shape)
    network.load_state_dict(weights.tensors)
    return network.eval().requires_grad_(False)


def check(model: str) -> None:
    """Read a model's weights, whatever it restores; raises ZooError where they cannot be used."""
    kinds: list[Kind] = [kind for name, kind in bundled() if name == model]
    if not kinds and Path(model).suffix:
        kind = read(Path(model)).said.get("kind")
        kinds = ["frames" if kind == "frames" else "fields"]
    for one in kinds or ["fields"]:
        load(model, one)


def _read(model: str, kind: Kind) -> Weights:
    if (model, kind) in bundled():
        known = bundled()[model, kind]
        return read(known.path, known.sha256)
    if not Path(model).suffix:
        names = ", ".join(f'"{name}"' for name, of in bundled() if of == kind)
        raise ZooError(
            f'there is no model named "{model}" for {kind}; there are {names}, or give a file'
        )
    return read(Path(model))


def _shape(model: str, kind: Kind, weights: Weights) -> Shape:
    try:
        shape = Shape.from_facts(weights.said)
    except (KeyError, ValueError) as error:
        raise ZooError(f"{model}: these are no weights of a network of Encore's own") from error
    if shape.kind != kind:
        raise ZooError(f"{model} restores {shape.kind}, and not {kind}")
    return shape
