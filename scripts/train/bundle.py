"""Puts trained weights into the package: copies the file and writes its line of the index.

sh scripts/run python scripts/train/bundle.py RUN/weights.safetensors base "quick on two cores"
"""

import argparse
import hashlib
import shutil
import sys
import tomllib
from pathlib import Path

from safetensors import safe_open

FOLDER = Path(__file__).parents[2] / "vs_plugin" / "vsencore" / "nets" / "weights"
LARGEST_BYTES = 10_000_000


def main() -> int:
    """Copy one file, and tell its size and sha256 in the index."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("name", help="what users call it")
    parser.add_argument("about", help="what it is good for, in some words")
    given = parser.parse_args()
    content = given.weights.read_bytes()
    if len(content) >= LARGEST_BYTES:
        raise SystemExit(
            f"{given.weights} has {len(content)} bytes; under {LARGEST_BYTES} may ship"
        )
    with safe_open(given.weights, "pt") as opened:
        kind = opened.metadata()["kind"]
    file = f"{kind}-{given.name}.safetensors"
    FOLDER.mkdir(exist_ok=True)
    shutil.copyfile(given.weights, FOLDER / file)
    index = FOLDER / "index.toml"
    told = tomllib.loads(index.read_text()) if index.exists() else {}
    told[given.name] = {
        "about": given.about,
        "kind": kind,
        "file": file,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    lines = ["# Weights of Encore's own; scripts/train/bundle.py writes this list."]
    for name, facts in sorted(told.items()):
        lines += ["", f"[{name}]"]
        lines += [
            f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
            for key, value in facts.items()
        ]
    index.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
