"""Tries how much a job endures: the table of issue 6's "Reach", each line a trial of `trials/`.

    sh scripts/run python scripts/bench/endurance.py [--case NAME ...] [--quick] [--json FILE]

kill            `kill -9` of the whole process group at random moments, and the same command again
dask-worker     a Dask worker killed in the midst of a chunk; another joins
dask-scheduler  the scheduler killed; another, other workers and the same command
encoders        an encoder that writes too few frames and exits 0, one that hangs, one that dies
inputs          a filter that raises at a frame, a source that ends early
disks           no room in a chunk, in its record, in the joined file; the pause before it is full
long            two hours through the whole job: memory, lengths, sync at the end
overhead        several chunks in one lane beside one straight process, of the same frames
workers         two lanes on two cores beside one on one core
straight        the frames of chunks beside those of the whole script, before an encoder saw them

All recordings are made here, small, with sound. Times are of this machine at that moment: pairs
that are compared are run in turn. Mounting a tmpfs wants root; without it `disks` says so.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from trials.row import Row, failed

_WIDE = 54
Trial = Callable[[Path, argparse.Namespace], Iterator[Row]]


def _kill(folder: Path, given: argparse.Namespace) -> Iterator[Row]:
    from trials import kill

    kills = given.kills or (7 if given.quick else 50)
    return kill.rows(folder, kills=kills, within_s=60 * given.within)


def _dask_worker(folder: Path, given: argparse.Namespace) -> Iterator[Row]:
    from trials import cluster

    return cluster.worker_killed(folder)


def _dask_scheduler(folder: Path, given: argparse.Namespace) -> Iterator[Row]:
    from trials import cluster

    return cluster.scheduler_killed(folder)


def _encoders(folder: Path, given: argparse.Namespace) -> Iterator[Row]:
    from trials import encoders

    return encoders.rows(folder)


def _inputs(folder: Path, given: argparse.Namespace) -> Iterator[Row]:
    from trials import inputs

    return inputs.rows(folder)


def _disks(folder: Path, given: argparse.Namespace) -> Iterator[Row]:
    from trials import disks

    return disks.rows(folder)


def _long(folder: Path, given: argparse.Namespace) -> Iterator[Row]:
    from trials import long

    return long.rows(folder, minutes=given.minutes or (4 if given.quick else 120))


def _overhead(folder: Path, given: argparse.Namespace) -> Iterator[Row]:
    from trials import pace

    return pace.overhead(folder, rounds=1, seconds=3.0 if given.quick else 24.0)


def _workers(folder: Path, given: argparse.Namespace) -> Iterator[Row]:
    from trials import pace

    rounds, seconds = (1, 4.0) if given.quick else (2, 12.0)
    return pace.workers(folder, rounds=rounds, seconds=seconds)


def _straight(folder: Path, given: argparse.Namespace) -> Iterator[Row]:
    from trials import straight

    return straight.rows(folder, frames=24 if given.quick else 100)


_TRIALS: dict[str, Trial] = {
    "kill": _kill,
    "dask-worker": _dask_worker,
    "dask-scheduler": _dask_scheduler,
    "encoders": _encoders,
    "inputs": _inputs,
    "disks": _disks,
    "long": _long,
    "overhead": _overhead,
    "workers": _workers,
    "straight": _straight,
}


def main() -> int:
    """Make the trials that were asked for, and print the table; 1 where one was not passed."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=__doc__.partition("FILE]\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--case", action="append", choices=_TRIALS, help="this trial; all, if none")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter repetitions")
    parser.add_argument("--kills", type=int, help="how often a job is killed (50)")
    parser.add_argument("--within", type=float, default=45, help="minutes for the kills (45)")
    parser.add_argument("--minutes", type=int, help="how long the long show is (120)")
    parser.add_argument("--folder", type=Path, help="work here, and leave all of it there")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    given = parser.parse_args()
    found: list[Row] = []
    for name in given.case or _TRIALS:
        began = time.monotonic()
        found += _made(name, given)
        print(f"({name}: {time.monotonic() - began:.0f} s)", flush=True)
        if given.json:
            rows = [row.as_json() for row in found]
            given.json.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    _table(found)
    return int(any(row.reached is False for row in found))


def _made(name: str, given: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix=f"endurance-{name}-") as temporary:
        folder = given.folder / name if given.folder else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for row in _TRIALS[name](folder, given):
                _line(row)
                yield row
        except Exception as error:
            if given.folder:
                raise
            yield failed(name, error)


def _table(rows: list[Row]) -> None:
    print(f"\n{'case':<14} {'what':<{_WIDE}} {'wanted':<25} {'got':<{_WIDE}} reached")
    for row in rows:
        _line(row)


def _line(row: Row) -> None:
    """One row; what is long goes on in the lines under it."""
    what, got = (textwrap.wrap(text, _WIDE) or [""] for text in (row.what, row.got))
    case, wanted, verdict = row.case, row.wanted, row.verdict
    for left, right in itertools.zip_longest(what, got, fillvalue=""):
        print(f"{case:<14} {left:<{_WIDE}} {wanted:<25} {right:<{_WIDE}} {verdict}".rstrip())
        case = wanted = verdict = ""
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
