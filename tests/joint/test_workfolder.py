"""What a killed run leaves beside its output is removed, and nothing else is."""

import os
import subprocess
import sys

from encore.workfolder import alone, partial_of


def test_partial_films_of_processes_that_are_gone_are_removed(tmp_path):
    output = tmp_path / "the [best] show.mkv"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    stale = partial_of(output).with_name(
        partial_of(output).name.replace(str(os.getpid()), str(gone.pid))
    )
    others = [
        partial_of(output),  # of a process that lives
        stale.with_suffix(".mp4"),
        tmp_path / f".another.encore-partial-{gone.pid}.mkv",
        tmp_path / ".the [best] show.encore-partial-mine.mkv",
    ]
    for path in (stale, *others):
        path.touch()
    work = tmp_path / "work"
    work.mkdir()
    with alone(work, output):
        pass
    assert not stale.exists()
    assert all(path.exists() for path in others)
