"""The weights that come with Encore, and weights of the same kind out of a file.

`weights/index.toml` names each file, its size and its sha256: a file that is not exactly that one
is refused. A file of the user's own is read with the same care as any other model, and its shape is
told by its header (`scripts/train/fieldnet.py` writes it).
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..zoo import ZooError
from ..zoo.weights import Weights, read
from .restorer import Restorer, Shape

__all__ = ["Bundled", "bundled", "load", "shape_of"]

_FOLDER = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Bundled:
    """One file of weights that ships inside the wheel."""

    name: str
    about: str
    kind: str
    file: str
    size_bytes: int
    sha256: str

    @property
    def path(self) -> Path:
        """Where it lies."""
        return _FOLDER / self.file


@cache
def bundled() -> dict[str, Bundled]:
    """What ships with Encore, by name."""
    told = tomllib.loads((_FOLDER / "index.toml").read_text(encoding="utf-8"))
    return {name: Bundled(name, **facts) for name, facts in told.items()}


def shape_of(model: str) -> Shape:
    """What a model is, by name or path, read from the header of its file alone.

    Raises:
        ZooError: no such model, or a file that is damaged or holds another network.
    """
    return _shape(model, _read(model))


def load(model: str) -> Restorer:
    """A network with its weights, on the CPU in float32, for inference only; raises as above."""
    weights = _read(model)
    shape = _shape(model, weights)
    try:
        network = Restorer(shape)
        network.load_state_dict(weights.tensors)
    except RuntimeError as error:
        raise ZooError(f"{model}: the weights do not fit the network that they name") from error
    return network.eval().requires_grad_(False)


def _read(model: str) -> Weights:
    if model in bundled():
        known = bundled()[model]
        return read(known.path, known.sha256)
    if not Path(model).suffix:
        names = ", ".join(f'"{name}"' for name in bundled())
        raise ZooError(f'there is no model named "{model}"; there are {names}, or give a file')
    return read(Path(model))


def _shape(model: str, weights: Weights) -> Shape:
    try:
        return Shape.from_facts(weights.said)
    except (KeyError, ValueError) as error:
        raise ZooError(f"{model}: these are no weights of a network of Encore's own") from error
