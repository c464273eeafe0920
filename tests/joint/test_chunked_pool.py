"""The job's loop with a crew that plays a part: tried again, named, paused, ended in order."""

import os
import queue
import shutil
import signal
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from encore.chunked import pool
from encore.chunked.disk import Forecast
from encore.chunked.lanes import Done, Failed, Hands, Lost, Moved
from encore.chunked.ledger import Ledger, Record
from encore.chunked.piece import ChunkError, Task
from encore.chunked.pool import Interrupted, work_off
from encore.chunked.state import Diary, State, now_of
from encore.errors import JobError


class Crew:
    """A crew that makes chunks at once and in this thread, by `part(task, attempt)`.

    The part gives what happens: a ChunkError, None for a finished chunk, or a list of events.
    """

    def __init__(self, ledger, part=lambda task, attempt: None, hands=1):
        self.events = queue.SimpleQueue()
        self.hands, self.closed, self.started = hands, 0, []
        self._ledger, self._part = ledger, part

    def start(self, task):
        self.started.append(task)
        attempt = sum(one.number == task.number for one in self.started)
        happened = self._part(task, attempt)
        if isinstance(happened, ChunkError):
            self.events.put(Failed(task.key, happened, "here/1"))
        elif happened is None:
            self.finish(task)
        else:
            for event in happened:
                self.events.put(event)

    def finish(self, task):
        self.events.put(Moved(task.key, task.frames, "here/1"))
        self.events.put(Done(task.key, committed(self._ledger, task)))

    def fewer(self):
        if self.hands == 1:
            return False
        self.hands -= 1
        return True

    def close(self):
        self.closed += 1

    @property
    def numbers(self):
        return [task.number for task in self.started]


class Told:
    """A reporter that remembers, and may answer to a warning."""

    def __init__(self):
        self.said, self.warned, self.events, self.shown = [], [], [], []
        self.when_warned = lambda text: None

    @contextmanager
    def board(self, name, *, unit=""):
        def show(done, total, line, table):
            self.shown.append((done, total, line))
            table()

        yield SimpleNamespace(show=show)

    def event(self, **facts):
        self.events.append(facts)

    def of_chunk(self, number):
        return [event for event in self.events if event.get("chunk") == number]

    def say(self, text):
        self.said.append(text)

    def warn(self, text):
        self.warned.append(text)
        self.when_warned(text)


def committed(ledger, task, size=1000):
    partial = ledger.partial(task.key, "fake")
    partial.write_bytes(bytes(size))
    record = Record(task.key, task.frames, size, "00", 0.5, "here/1", "x86_64")
    ledger.commit(partial, record)
    return record


def fails(kind="other", text="it broke"):
    return ChunkError(kind, text)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Four chunks of 100 frames, a ledger, and `run(crew)`."""
    monkeypatch.setattr(pool, "_TICK_S", 0.01)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**12))
    ledger, told = Ledger(tmp_path / "chunks", ".mkv"), Told()
    made = SimpleNamespace(ledger=ledger, told=told, work=tmp_path)

    def tasks(count):
        clip = {"rate": "25/1"}
        return [
            Task(f"k{n}", n, "s.vpy", 100 * n, 100 * (n + 1), (), clip, "ffv1", (),
                 str(ledger.folder), ".mkv", 60.0)
            for n in range(count)
        ]  # fmt: skip

    def run(crew, retries=1, reserve=0):
        made.state = State("/o.mkv", "25/1", 100 * len(made.tasks))
        return work_off(
            made.tasks,
            crew,
            ledger,
            forecast=Forecast(tmp_path, tmp_path, made.state.frames, reserve),
            state=made.state,
            reporter=told,
            diary=Diary(tmp_path),
            retries=retries,
        )

    made.tasks, made.of, made.run = tasks(4), tasks, run
    return made


def stands(job):
    return [chunk.stand for chunk in job.state.chunks]


@pytest.mark.parametrize("hands", [1, 3])
def test_all_chunks_are_made_once_and_in_order(job, hands):
    crew = Crew(job.ledger, hands=hands)
    records = job.run(crew)
    assert crew.numbers == [0, 1, 2, 3]
    assert records == {task.key: job.ledger.finished(task.key) for task in job.tasks}
    assert stands(job) == ["done"] * 4
    assert crew.closed == 1
    assert job.told.shown[-1][:2] == (400.0, 400.0)


def test_no_more_are_begun_than_there_are_hands(job):
    under_way, most = set(), 0

    def part(task, attempt):
        nonlocal most
        under_way.add(task.key)
        most = max(most, len(under_way))
        if len(under_way) < 2:
            return []
        done = [one for one in job.tasks if one.key in under_way]
        under_way.clear()
        return [Done(one.key, committed(job.ledger, one)) for one in done]

    assert len(job.run(Crew(job.ledger, part, hands=2))) == 4
    assert most == 2


def test_finished_chunks_are_kept_and_not_started_again(job):
    for number in (0, 2):
        committed(job.ledger, job.tasks[number])
    crew = Crew(job.ledger)
    assert len(job.run(crew)) == 4
    assert crew.numbers == [1, 3]
    assert stands(job) == ["kept", "done", "kept", "done"]


def test_where_all_is_finished_nobody_works(job):
    for task in job.tasks:
        committed(job.ledger, task)
    crew = Crew(job.ledger, hands=0)
    assert len(job.run(crew)) == 4
    assert crew.started == []
    assert crew.closed == 1


def test_a_chunk_that_fails_is_tried_again_and_that_is_told(job):
    crew = Crew(job.ledger, lambda task, n: fails() if (task.number, n) == (1, 1) else None)
    assert len(job.run(crew)) == 4
    assert crew.numbers == [0, 1, 1, 2, 3]
    assert job.told.warned == ["chunk 1 is tried again: it broke"]
    told = [(e["chunk"], e["state"], e["attempt"]) for e in job.told.of_chunk(1)]
    assert told == [(1, "started", 1), (1, "failed", 1), (1, "started", 2), (1, "done", 2)]


@pytest.mark.parametrize(("retries", "times"), [(0, "once"), (2, "3 times")])
def test_a_chunk_that_goes_on_failing_is_named_with_its_times_and_the_rest_is_made(
    job, retries, times
):
    crew = Crew(job.ledger, lambda task, n: fails() if task.number == 1 else None)
    with pytest.raises(JobError) as caught:
        job.run(crew, retries=retries)
    assert str(caught.value) == (
        f"chunk 1 (0:04 to 0:08) failed {times}: it broke; 3 of 4 chunks are finished "
        "and kept, and the same command goes on from there"
    )
    assert crew.numbers == [0, *[1] * (retries + 1), 2, 3]
    assert stands(job) == ["done", "failed", "done", "done"]


def test_what_failed_last_time_is_tried_again_by_the_next_run(job):
    with pytest.raises(JobError):
        job.run(Crew(job.ledger, lambda task, n: fails() if task.number == 1 else None))
    crew = Crew(job.ledger)
    assert len(job.run(crew)) == 4
    assert crew.numbers == [1]


def test_a_full_disk_ends_the_job_and_says_make_room(job):
    full = fails("disk", "the disk is full")
    crew = Crew(job.ledger, lambda task, n: full if task.number == 1 else None)
    with pytest.raises(JobError, match=r"the disk is full; make room.*1 of 4 chunks are finished"):
        job.run(crew)
    assert crew.numbers == [0, 1]
    assert crew.closed == 1


def test_out_of_memory_means_smaller_tiles_and_fewer_hands(job):
    lacks = fails("memory", "killed")
    crew = Crew(job.ledger, lambda task, n: lacks if task.number == 0 and n < 4 else None, hands=3)
    job.tasks = job.of(1)
    job.run(crew, retries=5)
    assert [task.tile_px for task in crew.started] == [None, 256, 128, 64]
    assert crew.hands == 1
    assert job.state.lanes == 1
    assert job.told.warned[0] == (
        "memory ran out: tiles of 256 pixels for chunk 0, and 2 at a time"
    )
    assert [text for text in job.told.warned if "tiles of 64" in text] == [
        "memory ran out: tiles of 64 pixels for chunk 0"
    ]


def test_other_chunks_keep_their_tiles_after_one_lacked_memory(job):
    lacks = fails("memory", "killed")
    crew = Crew(job.ledger, lambda task, n: lacks if (task.number, n) == (0, 1) else None)
    job.run(crew)
    assert [task.tile_px for task in crew.started] == [None, 256, None, None, None]


def test_a_worker_that_does_not_fit_is_no_attempt_of_the_chunk(job):
    unfit = fails("unfit", "it has torch 1")
    crew = Crew(job.ledger, lambda task, n: unfit if task.number == 0 and n < 4 else None)
    assert len(job.run(crew, retries=0)) == 4
    assert crew.numbers == [0, 0, 0, 0, 1, 2, 3]
    assert job.state.chunks[0].attempts == 1


def test_a_crew_that_is_lost_ends_the_job_with_its_reason(job):
    gone = [Lost("the scheduler does not answer")]
    crew = Crew(job.ledger, lambda task, n: gone if task.number == 2 else None)
    with pytest.raises(JobError, match="the scheduler does not answer; 2 of 4 chunks") as caught:
        job.run(crew)
    assert "\n" not in str(caught.value)
    assert crew.numbers == [0, 1, 2]
    assert crew.closed == 1


def test_hands_that_come_and_go_are_told(job):
    more = [Hands(5, "5 chunks at once")]
    crew = Crew(job.ledger)
    crew.events.put(more[0])
    job.run(crew)
    assert job.state.lanes == 5
    assert job.told.said[0] == "5 chunks at once"


def test_an_event_of_a_chunk_that_nobody_asked_for_is_nothing(job):
    crew = Crew(job.ledger)
    crew.events.put(Moved("k3", 50, "late/1"))
    crew.events.put(Failed("k3", fails(), "late/1"))
    crew.events.put(Failed("unknown", fails(), "late/1"))
    assert len(job.run(crew)) == 4
    assert job.told.warned == []


def test_a_job_in_which_no_chunk_succeeds_gives_up_early(job):
    job.tasks = job.of(50)
    crew = Crew(job.ledger, lambda task, n: fails())
    with pytest.raises(JobError, match=r"no chunk succeeds \(it broke\); 0 of 50 chunks"):
        job.run(crew, retries=1)
    assert crew.numbers == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_first_ctrl_c_lets_what_is_under_way_end_and_starts_nothing_new(job):
    def part(task, attempt):
        if task.number == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return [Moved(task.key, 1, "here/1"), Done(task.key, committed(job.ledger, task))]

    crew = Crew(job.ledger, part)
    with pytest.raises(Interrupted):
        job.run(crew)
    assert crew.numbers == [0, 1]
    assert stands(job) == ["done", "done", "waiting", "waiting"]
    assert "Ctrl-C again ends at once" in job.told.warned[0]
    assert job.told.warned[-1] == (
        "2 of 4 chunks are finished and kept; the same command goes on from there"
    )
    assert crew.closed == 1
    assert len(job.run(Crew(job.ledger))) == 4


def test_a_ctrl_c_while_chunks_are_handed_out_ends_the_handing_out(job):
    def part(task, attempt):
        if task.number == 0:
            os.kill(os.getpid(), signal.SIGINT)

    crew = Crew(job.ledger, part, hands=3)
    with pytest.raises(Interrupted):
        job.run(crew)
    assert crew.numbers == [0]


def test_a_chunk_that_fails_after_ctrl_c_is_not_tried_again(job):
    def part(task, attempt):
        os.kill(os.getpid(), signal.SIGINT)
        return fails()

    crew = Crew(job.ledger, part)
    with pytest.raises(Interrupted):
        job.run(crew)
    assert crew.numbers == [0]
    assert not any("tried again" in text for text in job.told.warned)


@pytest.mark.parametrize("numbers", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM]])
def test_a_second_ctrl_c_or_a_sigterm_ends_at_once(job, numbers):
    def part(task, attempt):
        for number in numbers:
            os.kill(os.getpid(), number)
        return []  # it would never end

    crew = Crew(job.ledger, part)
    with pytest.raises(Interrupted):
        job.run(crew)
    assert crew.numbers == [0]
    assert crew.closed == 1


def test_the_handlers_of_signals_are_as_before_afterwards(job):
    before = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    job.run(Crew(job.ledger))
    assert before == [
        signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ]


def test_the_crew_is_closed_whatever_happens(job):
    def part(task, attempt):
        raise ZeroDivisionError

    crew = Crew(job.ledger, part)
    with pytest.raises(ZeroDivisionError):
        job.run(crew)
    assert crew.closed == 1


def test_a_job_waits_for_room_and_goes_on_by_itself(job, monkeypatch):
    free = SimpleNamespace(free=10**12)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)

    def part(task, attempt):
        if task.number == 1:
            free.free = 500

    def make_room(text):
        if text.startswith("paused"):
            free.free = 10**12

    job.told.when_warned = make_room
    crew = Crew(job.ledger, part)
    assert len(job.run(crew, reserve=1000)) == 4
    (warned,) = [text for text in job.told.warned if text.startswith("paused: the disk of")]
    assert "goes on by itself" in warned
    told = [event["event"] for event in job.told.events if event["event"] != "chunk"]
    assert told == ["forecast", "paused", "resumed"]
    assert any("paused: the disk of" in line for _, _, line in job.told.shown)
    assert job.state.paused == ""


def test_a_job_that_waits_for_room_ends_at_ctrl_c(job, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=500))
    presses = iter([signal.SIGINT])
    job.told.when_warned = lambda text: [os.kill(os.getpid(), number) for number in presses]
    crew = Crew(job.ledger)
    with pytest.raises(Interrupted):
        job.run(crew, reserve=1000)
    assert crew.started == []


def test_the_forecast_is_told_once_after_the_second_chunk(job):
    job.run(Crew(job.ledger))
    forecasts = [event for event in job.told.events if event["event"] == "forecast"]
    assert [event["bytes"] for event in forecasts] == [4000]
    assert sum("forecast: about 4 kB" in text for text in job.told.said) == 1


def test_a_disk_that_will_not_do_is_said_early(job, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5000))
    job.run(Crew(job.ledger))
    (warned,) = job.told.warned
    assert warned.startswith("the disk will not do: about 7 kB more are wanted")


def test_the_snapshot_after_the_end_tells_how_it_ended(job):
    job.run(Crew(job.ledger))
    assert [chunk.stand for chunk in now_of(job.work).chunks] == ["done"] * 4
    lines = (job.work / "events.ndjson").read_text().splitlines()
    assert len(lines) == len(job.told.events)
