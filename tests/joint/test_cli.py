"""The command line: one line for every wrong request, the right exit code, and never a trace."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from encore import cli
from encore.job import parse_range


@pytest.fixture
def encore(capsys, monkeypatch, tmp_path):
    """The command line, run in this process and in an empty folder."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["encore", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        return SimpleNamespace(returncode=left.value.code, stdout=said.out, stderr=said.err)

    return run


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["remaster", "nowhere.mkv", "out.mkv"], "nowhere.mkv"),
        (["remaster", "nowhere.mkv", "out.avi"], ".mkv"),
        (["remaster", "nowhere.mkv"], "Missing argument"),
        (["remaster", "a.mkv", "b.mkv", "--range", "9"], "--range wants A-B"),
        (["remaster", "a.mkv", "b.mkv", "--range", "9-3"], "ends before it begins"),
        (["remaster", "a.mkv", "b.mkv", "--device", "cuda"], "use cpu or auto"),
        (["remaster", "a.mkv", "b.mkv", "--colour"], "No such option"),
        (["scan", "nowhere.mkv"], "nowhere.mkv"),
        (["script", "nowhere.mkv"], "nowhere.mkv"),
        (["audio", "a.wav", "b.mkv"], ".flac"),
        (["presets", "show", "gentel"], "did you mean 'gentle'"),
        (["presets", "check", "nowhere.toml"], "nowhere.toml"),
        (["sing"], "No such command"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(encore, arguments, hint, tmp_path):
    answer = encore(*arguments)
    assert answer.returncode == 2, answer.stderr
    assert hint in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    assert not list((tmp_path / "empty").iterdir())


def test_a_wrong_request_is_the_same_from_a_shell(tmp_path):
    answer = subprocess.run(
        [sys.executable, "-m", "encore.cli", "remaster", "nowhere.mkv", "out.mkv"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("encore: ")
    assert answer.stderr.count("\n") == 1


def test_help_names_every_command(encore):
    answer = encore("--help")
    assert answer.returncode == 0
    for command in ("remaster", "scan", "script", "audio", "demo", "presets", "doctor"):
        assert command in answer.stdout


def test_presets_list_show_and_check(encore, tmp_path):
    assert "concert-dvd-pal" in encore("presets", "list").stdout
    shown = encore("presets", "show", "concert-tape").stdout
    assert "picture.crop.borders = true" in shown
    mine = tmp_path / "mine.toml"
    mine.write_text("version = 1\n[encode]\ncodec = 'x256'\n", encoding="utf-8")
    answer = encore("presets", "check", mine)
    assert answer.returncode == 2
    assert "did you mean 'x265'" in answer.stderr


def test_progress_json_is_one_object_a_line(encore, tmp_path):
    from test_remaster import QUICK, record

    source = record(tmp_path / "show.mkv", seconds=0.4)
    sets = [part for setting in QUICK for part in ("--set", setting)]
    answer = encore("remaster", source, tmp_path / "out.mkv", *sets, "--progress", "json")
    assert answer.returncode == 0, answer.stderr
    events = [json.loads(line) for line in answer.stderr.splitlines()]
    stages = {event["stage"] for event in events if event["event"] == "progress"}
    assert {"picture", "sound", "mux", "verify"} <= stages
    last = [event for event in events if event.get("stage") == "picture"][-1]
    assert last["done"] == last["total"] == 20
    assert set(last) == {"event", "stage", "done", "total", "fps", "eta_s"}


def test_the_script_runs_in_a_process_of_its_own(encore, tmp_path):
    from test_remaster import record

    source = record(tmp_path / "a 'quoted' \"name\" 演.mkv", seconds=0.4)
    target = tmp_path / "show.vpy"
    answer = encore("script", source, "-o", target, "--work", tmp_path / "work")
    assert answer.returncode == 0, answer.stderr
    text = target.read_text(encoding="utf-8")
    compile(text, "show.vpy", "exec")
    facts = subprocess.run(
        [sys.executable, "-m", "encore.worker", str(target), "--facts"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(next(line for line in facts.stderr.splitlines() if line.startswith("{")))
    assert (told["width"], told["height"], told["frames"]) == (1920, 1080, 20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90-120", (90, 120)),
        ("1:30-2:00.5", (90, 120.5)),
        ("1:00:00-1:00:01", (3600, 3601)),
        ("0-0.04", (0, 0.04)),
    ],
)
def test_ranges_are_read_as_people_write_times(text, expected):
    assert parse_range(text) == expected
