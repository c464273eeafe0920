"""Measures what Encore knows of a show's light, and how it keeps it: the tables of `lights/`.

    sh scripts/run python scripts/bench/light.py [--quick] [--json FILE]
        [--table cuts|timeline|lock|relight|speed ...] [--page FILE.png|FILE.svg]

Without `--table` all are printed; `--page` only draws the timeline of a made show of ten minutes.
Each table is a module with `HEAD`, a line, and `rows(quick)`, lines. Cases are made from the clips
in ENCORE_DATA, with fixed seeds; peers run in the same run.
"""

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path

TABLES = ("cuts", "timeline", "lock", "relight", "cost", "speed")


def main() -> int:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="append", choices=TABLES, help="only this; repeatable")
    parser.add_argument("--quick", action="store_true", help="fewer cases")
    parser.add_argument("--json", type=Path, help="write the lines here too")
    parser.add_argument("--page", type=Path, help="draw a made show's timeline here, and stop")
    given = parser.parse_args()
    if given.page:
        return _page(given.page)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}{', quick' * given.quick}")
    whole = {}
    for name in given.table or TABLES:
        began = time.perf_counter()
        try:
            table = importlib.import_module(f"lights.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"lights.{name}":
                raise
            print(f"\n{name}: there is no lights/{name}.py")
            continue
        print(f"\n{name}: {table.__doc__.splitlines()[0]}\n{table.HEAD}", flush=True)
        lines = table.rows(given.quick)
        print("\n".join(lines))
        print(f"({name}: {time.perf_counter() - began:.0f} s)", flush=True)
        whole[name] = {"head": table.HEAD, "rows": lines}
    if given.json:
        given.json.write_text(json.dumps(whole, indent=1) + "\n")
    return 0


def _page(path: Path) -> int:
    from judged import data_folder
    from lights.show import draw_show

    from encore.lights import summary

    began = time.perf_counter()
    for name, text in summary(draw_show(data_folder(), path)):
        print(f"{name:<10}{text}")
    print(f"({path}: {time.perf_counter() - began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
