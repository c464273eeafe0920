"""Measures the sound package beside its peers: the tables of `sounds/`, one after another.

    sh scripts/run python scripts/bench/sound.py [TABLE ...]

TABLE: one or more of the names that `--list` prints; none prints all. The music is real and lies in
ENCORE_DATA; damage is made from seeds. Ratios and gains are of one run; speeds are those of the
machine at that moment, so compare them with the peers' beside them.
"""

import argparse
import importlib
import sys
import time

TABLES = (
    "levels",
    "codecs",
    "hiss",
    "hum",
    "clicks",
    "clipping",
    "azimuth",
    "reverb",
    "bandwidth",
    "tone",
    "align",
    "separation",
    "formats",
    "harmless",
    "concert",
)


def main() -> int:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", metavar="TABLE")
    parser.add_argument("--list", action="store_true", help="print the names of the tables")
    given = parser.parse_args()
    if given.list:
        print("\n".join(TABLES))
        return 0
    for name in given.tables:
        if name not in TABLES:
            parser.error(f"there is no table {name!r}; there are {', '.join(TABLES)}")
    for name in given.tables or TABLES:
        began = time.perf_counter()
        importlib.import_module(f"sounds.{name}").table()
        print(f"\n({name}: {time.perf_counter() - began:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
