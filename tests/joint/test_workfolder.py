"""What a killed run leaves beside its output is removed, and nothing else is."""

import fcntl
import json
import os
import subprocess
import sys

import pytest

from encore import workfolder
from encore.errors import RequestError
from encore.workfolder import alone, finish, finished_before, opened, partial_of, settle


def about_to_finish(tmp_path):
    """A verified film without its name, chunks in its work folder, and its report."""
    work, output = tmp_path / "work", tmp_path / "show.mkv"
    (work / "chunks").mkdir(parents=True)
    (work / "report.sound.html").write_text("page")
    partial = partial_of(output)
    partial.write_bytes(b"a film")
    return partial, output, work, {"verified": {"size_bytes": 6}}


@pytest.mark.parametrize("keep", [True, False])
def test_a_finished_film_has_its_report_and_its_page_and_only_wanted_chunks(tmp_path, keep):
    partial, output, work, report = about_to_finish(tmp_path)
    told = finish(partial, output, work, report, overwrite=False, keep=keep)
    assert output.read_bytes() == b"a film"
    assert json.loads(told.read_text()) == report
    assert (tmp_path / "show.mkv.sound.html").read_text() == "page"
    assert (work / "chunks").exists() == keep
    assert not finished_before(output, work)


def test_a_run_that_ends_after_the_rename_is_finished_by_the_next(tmp_path, monkeypatch):
    partial, output, work, report = about_to_finish(tmp_path)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(workfolder, "settle", killed)
        with pytest.raises(KeyboardInterrupt):
            finish(partial, output, work, report, overwrite=False, keep=False)
    assert finished_before(output, work)
    assert json.loads(settle(output, work).read_text()) == report
    assert not (work / "chunks").exists()


def test_a_run_that_ends_before_the_rename_has_finished_nothing(tmp_path, monkeypatch):
    partial, output, work, report = about_to_finish(tmp_path)
    monkeypatch.setattr(workfolder, "commit", lambda *a, **k: (_ for _ in ()).throw(OSError(28)))
    with pytest.raises(OSError, match="28"):
        finish(partial, output, work, report, overwrite=False, keep=False)
    assert not finished_before(output, work)
    assert (work / "chunks").exists()


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


def wrong(work, meanwhile):
    """A request that turns out wrong after its folder was opened and something was done in it."""
    with opened(work, ours=True):
        meanwhile()
        raise RequestError("wrong")


def test_a_wrong_request_leaves_no_folder(tmp_path):
    with pytest.raises(RequestError, match="wrong"):
        wrong(tmp_path / "work", lambda: None)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_request_never_removes_what_another_process_holds(tmp_path):
    with (tmp_path / "elsewhere").open("w") as unused:
        held = [unused]

        def taken():
            held.append((tmp_path / "work" / "lock").open("a"))
            fcntl.flock(held[-1], fcntl.LOCK_EX)

        with pytest.raises(RequestError, match="wrong"):
            wrong(tmp_path / "work", taken)
    assert (tmp_path / "work").exists()
    held[-1].close()


def test_a_wrong_request_never_removes_what_is_finished(tmp_path):
    record = tmp_path / "work" / "sound" / "key.json"

    def finished():
        record.parent.mkdir()
        record.write_text("{}")

    with pytest.raises(RequestError, match="wrong"):
        wrong(tmp_path / "work", finished)
    assert record.exists()
