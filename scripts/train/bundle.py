"""Puts trained weights into the package: copies the file and writes its line of the index.

sh scripts/run python scripts/train/bundle.py RUN/weights.safetensors base "quick on two cores"

Weights of 10 MB and more are stored in half precision; it is read into float32 again. With
`--from OTHER --share 0.4` what is stored lies 0.4 of the way from OTHER's weights to the given ones
(network interpolation, Wang et al. 2019), which is how vivid keeps from drawing patterns.
"""

import argparse
import hashlib
import json
import sys
import tomllib
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save

FOLDER = Path(__file__).parents[2] / "vs_plugin" / "vsencore" / "nets" / "weights"
LARGEST_BYTES = 10_000_000


def main() -> int:
    """Copy one file, and tell its size and sha256 in the index."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("name", help="what users call it")
    parser.add_argument("about", help="what it is good for, in some words")
    parser.add_argument("--from", dest="other", type=Path, help="weights of the same shape")
    parser.add_argument("--share", type=float, default=1.0, help="how far from them, 0 to 1")
    given = parser.parse_args()
    content = given.weights.read_bytes()
    if given.other:
        content = _between(given.other, given.weights, given.share)
    if len(content) >= LARGEST_BYTES:
        content = _halved(given.weights)
    if len(content) >= LARGEST_BYTES:
        raise SystemExit(
            f"{given.weights} has {len(content)} bytes; under {LARGEST_BYTES} may ship"
        )
    with safe_open(given.weights, "pt") as opened:
        kind = opened.metadata()["kind"]
    file = f"{kind}-{given.name}.safetensors"
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / file).write_bytes(content)
    index = FOLDER / "index.toml"
    told = tomllib.loads(index.read_text()) if index.exists() else {}
    told.setdefault(given.name, {})[kind] = {
        "about": given.about,
        "file": file,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    lines = ["# Weights of Encore's own; scripts/train/bundle.py writes this list."]
    for name, kinds in sorted(told.items()):
        for of, facts in sorted(kinds.items()):
            lines += ["", f"[{name}.{of}]"]
            # A JSON string without control characters is a TOML one.
            lines += [f"{key} = {json.dumps(value)}" for key, value in facts.items()]
    index.write_text("\n".join(lines) + "\n")
    return 0


def _between(first: Path, second: Path, share: float) -> bytes:
    """Weights `share` of the way from the first file's to the second's."""
    with safe_open(first, "pt") as near, safe_open(second, "pt") as far:
        mixed = {
            name: near.get_tensor(name).lerp(far.get_tensor(name), share).contiguous()
            for name in far.keys()  # noqa: SIM118
        }
        return save(mixed, metadata=far.metadata())


def _halved(weights: Path) -> bytes:
    """The same file in half precision, but for the ranges of the features."""
    with safe_open(weights, "pt") as opened:
        facts = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    halves = {name: t if name == "ranges" else t.half() for name, t in tensors.items()}
    return save(halves, metadata=facts)


if __name__ == "__main__":
    sys.exit(main())
