"""The lanes of this machine: each on its cores, no task lost, all ended when they are closed."""

import os
import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from encore.chunked import lanes
from encore.chunked.lanes import Done, Failed, Lanes, Moved, lanes_for, shares
from encore.chunked.ledger import Record
from encore.chunked.piece import ChunkError, Task
from encore.render import CalledOffError


def task(number):
    return Task(f"k{number}", number, "s.vpy", 0, 10, (), {}, "ffv1", (), "/", ".mkv", 1.0)


def record(one):
    return Record(one.key, 10, 1, "00", 0.1, "here", "x86_64")


def heard(crew, *kinds):
    """The next event of these kinds."""
    while not isinstance(event := crew.events.get(timeout=10), kinds):
        pass
    return event


@pytest.fixture
def crew_of(monkeypatch):
    """Lanes whose chunks a function of the test makes."""
    made = []

    def crew(make, count=1, **options):
        monkeypatch.setattr(lanes, "make", make)
        made.append(Lanes(count, **options))
        return made[-1]

    yield crew
    for one in made:
        one.close()


@given(
    some.lists(some.integers(0, 255), min_size=1, max_size=64, unique=True).map(sorted),
    some.integers(2, 70),
)
def test_shares_use_every_core_once_as_evenly_as_can_be(cores, count):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "_cores", lambda: cores)
        own = shares(count)
    assert len(own) == count
    if count <= len(cores):
        assert [core for share in own for core in share] == cores
        assert max(map(len, own)) - min(map(len, own)) <= 1
    else:
        assert all(len(share) == 1 for share in own)
        assert {core for share in own for core in share} == set(cores)
        held = [sum(share == [core] for share in own) for core in cores]
        assert max(held) - min(held) <= 1


def test_one_lane_may_have_all_cores():
    assert shares(1) == [[]]


@pytest.mark.parametrize(
    ("cores", "free_gib", "gpus", "lanes_wanted"),
    [
        (1, 64, 0, 1),
        (2, 64, 0, 1),
        (3, 64, 0, 1),
        (16, 64, 0, 8),
        (16, 10, 0, 3),
        (16, 1, 0, 1),
        (16, 64, 1, 1),
        (16, 64, 4, 4),
    ],
)
def test_as_many_lanes_as_gpus_else_as_cores_and_memory_allow(
    monkeypatch, cores, free_gib, gpus, lanes_wanted
):
    monkeypatch.setattr(lanes, "_cores", lambda: list(range(cores)))
    memory = SimpleNamespace(available=free_gib << 30)
    monkeypatch.setattr(lanes.psutil, "virtual_memory", lambda: memory)
    assert lanes_for(None, gpus) == lanes_wanted
    assert lanes_for(7, gpus) == 7


def test_every_task_is_made_and_told(crew_of):
    crew = crew_of(lambda one, update, **_: (update(5, 10), record(one))[1], count=3)
    for number in range(20):
        crew.start(task(number))
    done = [heard(crew, Done) for _ in range(20)]
    assert {event.key for event in done} == {f"k{n}" for n in range(20)}
    assert all(event.record == record(task(int(event.key[1:]))) for event in done)


def test_progress_is_told_with_the_lane_that_makes_it(crew_of):
    crew = crew_of(lambda one, update, **_: (update(5, 10), record(one))[1])
    crew.start(task(0))
    moves = [heard(crew, Moved) for _ in range(2)]
    assert [move.done for move in moves] == [0, 5]
    assert moves[0].worker.endswith("/1")


def test_a_failure_is_passed_on_and_the_lane_goes_on(crew_of):
    def make(one, update, **_):
        if one.number == 0:
            raise ChunkError("memory", "killed")
        return record(one)

    crew = crew_of(make)
    crew.start(task(0))
    crew.start(task(1))
    failed = heard(crew, Failed, Done)
    assert (failed.key, failed.failure.kind, str(failed.failure)) == ("k0", "memory", "killed")
    assert heard(crew, Failed, Done).key == "k1"


def test_a_fault_that_nobody_foresaw_fails_the_chunk_and_not_the_lane(crew_of):
    def make(one, update, **_):
        return record(one) if one.number else {}["lost"]

    crew = crew_of(make)
    crew.start(task(0))
    crew.start(task(1))
    failed = heard(crew, Failed)
    assert (failed.failure.kind, failed.failure.text) == ("other", "KeyError: 'lost'")
    assert heard(crew, Done).key == "k1"


def test_lanes_work_at_the_same_time(crew_of):
    both = threading.Barrier(2, timeout=10)
    crew = crew_of(lambda one, update, **_: (both.wait(), record(one))[1], count=2)
    crew.start(task(0))
    crew.start(task(1))
    assert {heard(crew, Done, Failed).key, heard(crew, Done, Failed).key} == {"k0", "k1"}


def test_closing_ends_what_waits_for_nothing_else(crew_of):
    begun, ended = threading.Event(), []

    def make(one, update, *, stopped, **_):
        begun.set()
        ended.append(stopped.wait(10))
        raise CalledOffError

    crew = crew_of(make)
    crew.start(task(0))
    crew.start(task(1))
    assert begun.wait(10)
    crew.close()
    assert ended == [True]
    assert isinstance(crew.events.get_nowait(), Moved)
    assert crew.events.empty()


def test_closing_twice_does_no_harm(crew_of):
    crew = crew_of(lambda one, update, **_: record(one), count=2)
    crew.close()
    crew.close()


def test_one_lane_less_leaves_the_rest_at_work(crew_of):
    crew = crew_of(lambda one, update, **_: record(one), count=3)
    assert crew.fewer()
    assert crew.fewer()
    assert crew.hands == 1
    assert not crew.fewer()
    crew.start(task(0))
    assert heard(crew, Done).key == "k0"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_lanes_keep_to_their_cores_and_leave_ours_alone(crew_of):
    ours, seen, both = os.sched_getaffinity(0), {}, threading.Barrier(2, timeout=10)

    def make(one, update, *, maker, threads, environment, **_):
        both.wait()
        seen[maker.rpartition("/")[2]] = (os.sched_getaffinity(0), threads, dict(environment))
        return record(one)

    crew = crew_of(make, count=2)
    crew.start(task(0))
    crew.start(task(1))
    heard(crew, Done)
    heard(crew, Done)
    for number, cores in enumerate(shares(2)):
        found, threads, environment = seen[str(number + 1)]
        assert found == set(cores)
        assert threads == len(cores)
        assert environment == {"OMP_NUM_THREADS": str(len(cores))}
    assert os.sched_getaffinity(0) == ours


@pytest.mark.parametrize(("gpus", "seen"), [([], set()), ([0], set()), ([0, 1], {"0", "1"})])
def test_several_gpus_are_spread_over_the_lanes(crew_of, gpus, seen):
    found, both = set(), threading.Barrier(2, timeout=10)

    def make(one, update, *, environment, **_):
        both.wait()
        found.update({environment.get("CUDA_VISIBLE_DEVICES")} - {None})
        return record(one)

    crew = crew_of(make, count=2, gpus=gpus)
    crew.start(task(0))
    crew.start(task(1))
    heard(crew, Done)
    heard(crew, Done)
    assert found == seen
