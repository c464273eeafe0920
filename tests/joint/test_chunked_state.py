"""What is told of a running job: read back by `encore status`, drawn, never a cause of failure."""

import io
import json
from fractions import Fraction

import pytest
from rich.console import Console

from encore.chunked.state import ChunkState, Diary, State, Watched, now_of, shown, summary
from encore.errors import RequestError
from encore.progress import reporter


def standing():
    return State(
        output="/films/o.mkv",
        rate="25/1",
        frames=6000,
        chunks=[
            ChunkState(0, 0, 1500, "kept", worker="here/1"),
            ChunkState(1, 1500, 3000, "done", done=1500, worker="here/1", attempts=1, fps=20.0),
            ChunkState(2, 3000, 4500, "working", 750, "here/2", attempts=2, fps=12.25),
            ChunkState(3, 4500, 6000, "failed", attempts=3, said="the encoder failed (exit 1)"),
        ],
        fps=12.25,
        eta_s=61.0,
        lanes=2,
        bytes_done=30_000_000,
        bytes_wanted=60_000_000,
        disk_free=5_000_000_000,
    )


def drawn(state, width=120):
    out = io.StringIO()
    Console(file=out, width=width).print(shown(state))
    return out.getvalue()


def test_a_snapshot_reads_back_as_it_was(tmp_path):
    state = standing()
    Diary(tmp_path).snapshot(state)
    assert now_of(tmp_path) == state


def test_a_snapshot_is_written_once_a_second_and_at_once_where_asked(tmp_path):
    diary, state = Diary(tmp_path), standing()
    diary.snapshot(state)
    state.stage = "mux"
    diary.snapshot(state)
    assert now_of(tmp_path).stage == "picture"
    diary.snapshot(state, at_once=True)
    assert now_of(tmp_path).stage == "mux"


def test_every_event_is_a_line_of_json_with_its_time(tmp_path):
    diary = Diary(tmp_path)
    told = [diary.event("chunk", chunk=n, text="l'été 演唱会\n") for n in range(3)]
    lines = (tmp_path / "events.ndjson").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == told
    assert [event["chunk"] for event in told] == [0, 1, 2]
    assert all(event["event"] == "chunk" and event["at"] > 0 for event in told)


def test_another_run_adds_to_the_events(tmp_path):
    Diary(tmp_path).event("first")
    Diary(tmp_path).event("second")
    assert len((tmp_path / "events.ndjson").read_text().splitlines()) == 2


def test_a_disk_that_takes_nothing_does_not_stop_the_job(tmp_path):
    diary = Diary(tmp_path / "gone")
    diary.snapshot(standing())
    assert diary.event("chunk")["event"] == "chunk"


def test_a_folder_without_a_snapshot_is_refused_in_one_line(tmp_path):
    with pytest.raises(RequestError, match="no work folder") as caught:
        now_of(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "7", '{"chunks": [{"speed": 1}]}', '{"chunks": []}']
)
def test_a_snapshot_that_is_none_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(RequestError, match="cannot be read") as caught:
        now_of(tmp_path)
    assert "\n" not in str(caught.value)


def test_finished_chunks_and_those_under_way_are_counted():
    state = standing()
    assert state.done == 1500 + 1500 + 750
    assert state.count("done", "kept") == 2
    assert state.count("waiting") == 0


def test_the_summary_is_one_line_with_all_that_matters():
    state = standing()
    said = summary(state)
    assert said == ("62 %, 2/4 chunks, 1 failed, 12.2 fps, 1:01 to go, 30.0 MB of about 60.0 MB")
    state.paused = "the disk is nearly full"
    assert summary(state).endswith("paused: the disk is nearly full")


def test_the_summary_of_a_job_that_begins_says_no_more_than_is_known():
    assert summary(State("/o.mkv", "25", 100)) == "0 %, 0/0 chunks"


def test_the_table_has_a_mark_for_each_chunk_and_a_row_for_what_is_under_way():
    text = drawn(standing())
    assert text.splitlines()[0].strip() == "■■▶✗"
    (working,) = [line for line in text.splitlines() if "here/2" in line]
    assert working.split() == ["2", "2:00", "3:00", "here/2", "50", "%", "12.2", "2"]
    (failed,) = [line for line in text.splitlines() if "exit 1" in line]
    assert failed.split()[:3] == ["3", "3:00", "4:00"]
    assert "picture: 62 %" in text
    assert "5.0 GB free" in text


def test_the_table_of_a_long_show_is_narrow_enough_for_a_terminal():
    rate = Fraction(30000, 1001)
    chunks = [ChunkState(n, 1800 * n, 1800 * (n + 1)) for n in range(200)]
    state = State("/o.mkv", f"{rate}", 360_000, chunks)
    chunks[199].stand = "working"
    lines = drawn(state, width=80).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert sum(line.count("·") + line.count("▶") for line in lines) == 200
    assert any("3:19:" in line for line in lines)


def test_what_a_failure_said_is_not_taken_for_markup():
    state = standing()
    state.chunks[3].said = "[libx265 @ 0x1] [/no] such"
    assert "[libx265 @ 0x1] [/no] such" in drawn(state)


def test_the_stages_beside_the_chunks_are_told_to_who_asks(tmp_path):
    watched = Watched(reporter("none", io.StringIO()), tmp_path, tmp_path / "o.mkv")
    with watched.stage("faces", unit="frames") as update:
        state = now_of(tmp_path)
        assert (state.stage, state.output) == ("faces", str(tmp_path / "o.mkv"))
        assert "faces: begun" in drawn(state)
        update(1, 4)
    # The picture's chunks are the pool's to tell; they stay known.
    Diary(tmp_path).snapshot(standing(), at_once=True)
    with watched.stage("mux") as update:
        pass
    after = now_of(tmp_path)
    assert after.stage == "mux"
    assert [chunk.stand for chunk in after.chunks] == ["kept", "done", "waiting", "failed"]
    assert f"of {len(after.chunks)} chunks are made" in summary(after)
    watched.finished()
    assert summary(now_of(tmp_path)).startswith("100 %")
