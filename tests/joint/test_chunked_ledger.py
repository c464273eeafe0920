"""What is finished: found whole after any crash, and never mistaken for something else."""

import errno
import json
import os

import pytest

from encore.chunked.ledger import Ledger, Record, write_whole


def record(key="abc", length=5):
    return Record(key, 10, length, "00ff", 1.5, "here/1", "x86_64 AVX2")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "chunks", ".mp4")


def committed(ledger, key="abc", content=b"movie"):
    partial = ledger.partial(key, "maker")
    partial.write_bytes(content)
    made = record(key, len(content))
    ledger.commit(partial, made)
    return made


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_committed_chunk_is_found_with_its_record(ledger):
    made = committed(ledger)
    assert ledger.finished("abc") == made
    assert ledger.path("abc").read_bytes() == b"movie"
    assert not ledger.partial("abc", "maker").exists()


def test_another_process_finds_it_too(ledger):
    made = committed(ledger)
    assert Ledger(ledger.folder, ".mp4").finished("abc") == made


def test_what_was_never_made_is_not_finished(ledger):
    assert ledger.finished("abc") is None


@pytest.mark.parametrize("content", [b"", b"movi", b"movies"])
def test_a_file_of_another_size_is_not_finished(ledger, content):
    committed(ledger)
    ledger.path("abc").write_bytes(content)
    assert ledger.finished("abc") is None


def test_a_record_without_its_file_is_not_finished(ledger):
    committed(ledger)
    ledger.path("abc").unlink()
    assert ledger.finished("abc") is None


def test_a_record_torn_anywhere_is_not_finished(ledger):
    committed(ledger)
    path = ledger.folder / "abc.json"
    text = path.read_text().rstrip()
    for length in range(len(text)):
        path.write_text(text[:length])
        assert ledger.finished("abc") is None, text[:length]
    path.write_text(text)
    assert ledger.finished("abc") is not None


@pytest.mark.parametrize("text", ["null", "[]", "7", '{"key": "abc"}', '{"unknown": 1}'])
def test_a_record_of_something_else_is_not_finished(ledger, text):
    committed(ledger)
    (ledger.folder / "abc.json").write_text(text)
    assert ledger.finished("abc") is None


def test_a_record_that_is_no_text_is_not_finished(ledger):
    committed(ledger)
    (ledger.folder / "abc.json").write_bytes(b"\xff\x00\xfe")
    assert ledger.finished("abc") is None


def test_a_record_copied_under_another_key_is_not_finished(ledger):
    committed(ledger)
    for end in (".json", ".mp4"):
        (ledger.folder / f"xyz{end}").write_bytes((ledger.folder / f"abc{end}").read_bytes())
    assert ledger.finished("xyz") is None


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_crash_inside_a_commit_leaves_nothing_half_finished(ledger, monkeypatch, after):
    """Each step to the disk fails in turn: the file's, its name's, the record's, the record's name.

    Where the last fails, all is written and only its name may be lost: then it may be finished.
    """
    real, calls = os.fsync, []

    def fsync(handle):
        calls.append(handle)
        if len(calls) > after:
            full()
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    partial = ledger.partial("abc", "maker")
    partial.write_bytes(b"movie")
    with pytest.raises(OSError, match="No space left"):
        ledger.commit(partial, record())
    monkeypatch.undo()
    assert len(calls) == after + 1
    if after < 3:
        assert ledger.finished("abc") is None
    assert committed(ledger) == ledger.finished("abc")


def test_the_file_has_its_name_and_is_on_the_disk_before_the_record(ledger, monkeypatch):
    steps = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(
        os, "replace", lambda a, b: (steps.append(os.path.basename(b)), replace(a, b))
    )
    monkeypatch.setattr(os, "fsync", lambda handle: (steps.append("sync"), fsync(handle)))
    committed(ledger)
    assert steps == ["sync", "abc.mp4", "sync", "sync", "abc.json", "sync"]


def test_a_chunk_that_is_forgotten_is_gone(ledger):
    committed(ledger)
    committed(ledger, "other")
    ledger.forget("abc")
    ledger.forget("never-made")
    assert ledger.finished("abc") is None
    assert sorted(path.name for path in ledger.folder.iterdir()) == ["other.json", "other.mp4"]


def test_the_sweep_takes_what_is_half_written_and_nothing_finished(ledger):
    made = committed(ledger)
    ledger.partial("xyz", "dead").write_bytes(b"half")
    (ledger.folder / ".xyz.json.123.part").write_text('{"key"')
    ledger.sweep()
    assert sorted(path.name for path in ledger.folder.iterdir()) == ["abc.json", "abc.mp4"]
    assert ledger.finished("abc") == made


def test_the_files_of_other_settings_are_told(ledger):
    committed(ledger, "mine")
    committed(ledger, "old")
    assert {path.name for path in ledger.others(["mine"])} == {"old.json", "old.mp4"}
    assert ledger.others(["mine", "old"]) == []


def test_json_is_replaced_whole(tmp_path):
    target = tmp_path / "plan.json"
    write_whole(target, {"version": 1})
    write_whole(target, {"title": "演唱会"})
    assert json.loads(target.read_text(encoding="utf-8")) == {"title": "演唱会"}
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_a_full_disk_leaves_the_old_json_and_no_part(tmp_path, monkeypatch):
    target = tmp_path / "plan.json"
    write_whole(target, {"version": 1})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(target, {"version": 2})
    assert json.loads(target.read_text()) == {"version": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_what_is_no_json_leaves_the_old_json_and_no_part(tmp_path):
    target = tmp_path / "plan.json"
    write_whole(target, {"version": 1})
    with pytest.raises(TypeError):
        write_whole(target, {"version": 2, "bad": object()})
    assert json.loads(target.read_text()) == {"version": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
