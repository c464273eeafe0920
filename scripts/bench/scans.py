"""Prints one table with a row for each recording in a folder and its `interlaced` folder.

    sh scripts/run python scripts/bench/scans.py [FOLDER]

FOLDER is `clips` in the data folder by default ($ENCORE_DATA, else ../shared/data).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from encore.errors import EncoreError
from encore.progress import reporter
from encore.scan import scan
from encore.table import HEADINGS, one_line

_ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Scan every file and print the table."""
    data = Path(os.environ.get("ENCORE_DATA", _ROOT.parent / "shared" / "data"))
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else data / "clips"
    files = [*sorted(folder.glob("*.*")), *sorted((folder / "interlaced").glob("*.*"))]
    table = Table(*HEADINGS)
    for file in files:
        try:
            table.add_row(*one_line(scan(file, reporter=reporter("none"))))
        except EncoreError as error:
            table.add_row(file.name, str(error))
    Console(width=220).print(table)
    print("* not constant    ? guessed")


if __name__ == "__main__":
    main()
