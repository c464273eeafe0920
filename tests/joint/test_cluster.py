"""A cluster: chunks made by workers of Dask that fit, as they come, go and are killed."""

import json
import os
import queue
import re
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import psutil
import pytest
from tasks import lossless_task

from encore.chunked.cluster import RESOURCE, Cluster
from encore.chunked.lanes import Done, Failed, Hands, Lost
from encore.chunked.ledger import Ledger
from encore.encode import Clip
from encore.encoding import Request, encode_script
from encore.errors import RequestError
from encore.process import spawned, stop
from encore.progress import reporter

pytest.importorskip("distributed", reason="distributed is not installed")

FRAMES = 20
SCRIPT = f"""
import vapoursynth as vs
clip = vs.core.std.Splice([
    vs.core.std.BlankClip(
        width=64, height=48, format=vs.YUV420P10, length=1, fpsnum=10, fpsden=1,
        color=[64 + 16 * n, 512, 512],
    )
    for n in range({FRAMES})
]).std.SetFrameProps(_Matrix=1, _Transfer=1, _Primaries=1)
"""
CLIP = Clip(64, 48, FRAMES, Fraction(10), "YUV420P10", 1, 1, 1, False, 0, Fraction(1))
PICTURE = "clip.set_output(0)\n"
# Once, at frame 3 of whichever process comes first: tells its id, and then nothing for ever.
HANGS_ONCE = """
def look(n, f):
    import os, pathlib, time
    if n == 3:
        try:
            with open({told!r}, "x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            return f
        time.sleep(600)
    return f
clip.std.ModifyFrame(clip, look).set_output(0)
"""


LEASHED = ("-m", "encore.leash")


def dask(what, *arguments, python=LEASHED):
    return [sys.executable, *python, f"distributed.cli.dask_{what}", *arguments]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The address of a scheduler without workers."""
    with _scheduler(tmp_path_factory.mktemp("scheduler")) as (address, _):
        yield address


@contextmanager
def _scheduler(folder):
    told = folder / "scheduler.json"
    command = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    with (
        (folder / "log").open("wb") as log,
        spawned(
            [*command, "--scheduler-file", str(told)],
            stdin=subprocess.PIPE, stdout=log, stderr=log,
        ) as process,
    ):  # fmt: skip
        # Dask writes it in more than one step.
        until(lambda: told.exists() and told.read_text().endswith("\n}"))
        yield json.loads(told.read_text())["address"], process


@pytest.fixture
def hire(scheduler, tmp_path):
    """Starts workers as `encore workers start` does, all at once; their processes by name."""
    with ExitStack() as running:

        def workers(
            *names, resource=RESOURCE, nanny=False, address=scheduler, python=LEASHED, env=None
        ):
            begun = {}
            for name in names:
                command = dask("worker", address, "--nthreads", "1", python=python)
                command += ["--resources", f"{resource}=1", "--memory-limit", "0"]
                command += ["--nworkers", "1"]
                command += ["--no-dashboard", "--local-directory", str(tmp_path / "scratch")]
                command += ["--name", name] + ([] if nanny else ["--no-nanny"])
                quiet = subprocess.DEVNULL
                begun[name] = running.enter_context(
                    spawned(command, env=env, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)
                )
            until(lambda: set(names) <= set(known(address)), process=begun)
            return begun

        yield workers
    # The next test begins with a scheduler that has forgotten them.
    with _client(scheduler) as client:
        until(lambda: not _workers(client))


@pytest.fixture
def task_of(tmp_path):
    """A task on a script with an end of its own."""

    def task(end=PICTURE, first=0, last=FRAMES, **other):
        script = tmp_path / "show.vpy"
        if not script.exists():
            script.write_text(SCRIPT + end, encoding="utf-8")
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        return replace(lossless_task(script, CLIP, folder, first, last), **other)

    return task


@pytest.fixture
def shadow(tmp_path):
    """A folder that hides Encore from a Python that has it on its path."""
    (tmp_path / "shadow" / "encore").mkdir(parents=True)
    (tmp_path / "shadow" / "encore" / "__init__.py").touch()
    return tmp_path / "shadow"


@pytest.fixture
def crew_of(scheduler):
    """The cluster as the crew of a task; closed at the end."""
    begun = []

    def crew(task, address=scheduler):
        begun.append(Cluster(address, Path(task.folder), task))
        return begun[-1]

    yield crew
    for one in begun:
        one.close()


@contextmanager
def _client(address):
    from distributed import Client

    with Client(address, timeout=20, set_as_default=False) as client:
        yield client


def _workers(client):
    info = client.sync(client.scheduler.identity, n_workers=-1)
    return [str(worker["name"]) for worker in info["workers"].values()]


def known(address):
    """The names of the workers that a scheduler has."""
    with _client(address) as client:
        return _workers(client)


def until(holds, *, within_s=40, process=None):
    """Wait for something to hold."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        assert all(one.poll() is None for one in (process or {}).values()), "a process ended"
        time.sleep(0.05)


def heard(crew, *kinds, within_s=40):
    """The next event of these kinds."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            event = crew.events.get(timeout=max(0.01, deadline - time.monotonic()))
        except queue.Empty:
            pytest.fail(f"none of {[kind.__name__ for kind in kinds]} was told in {within_s} s")
        if isinstance(event, kinds):
            return event


def number_in(path):
    """The process that a script told of, once it has."""
    until(lambda: path.exists() and path.read_text())
    return psutil.Process(int(path.read_text()))


def refusal(crew_of, task):
    with pytest.raises(RequestError) as caught:
        crew_of(task)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def greys(path):
    with av.open(str(path)) as container:
        return [int(f.to_ndarray()[0, 0]) for f in container.decode(video=0)]


@pytest.mark.slow
def test_a_script_is_encoded_by_the_workers(hire, scheduler, tmp_path):
    hire("one", "other", nanny=True)
    script, output = tmp_path / "show.vpy", tmp_path / "film.mkv"
    script.write_text(SCRIPT + PICTURE, encoding="utf-8")
    settings = ["encode.codec=ffv1", "job.chunk_s=1"]
    request = Request(script, output, settings=settings, cluster=scheduler)
    encode_script(request, reporter("none"))
    assert greys(output) == [64 + 16 * n for n in range(FRAMES)]
    told = json.loads((tmp_path / "film.mkv.report.json").read_text(encoding="utf-8"))
    assert {chunk["made_by"] for chunk in told["chunks"]} == {"one", "other"}


@pytest.mark.slow
def test_a_chunk_is_committed_by_its_worker_and_its_failure_told(hire, task_of, crew_of):
    hire("good")
    task = task_of()
    crew = crew_of(task)
    assert crew.hands == 1
    crew.start(task)
    done = heard(crew, Done, Failed, Lost)
    assert isinstance(done, Done), done
    assert (done.key, done.record.made_by, done.record.frames) == (task.key, "good", FRAMES)
    ledger = Ledger(Path(task.folder), ".mkv")
    assert ledger.finished(task.key) == done.record
    assert greys(ledger.path(task.key)) == [64 + 16 * n for n in range(FRAMES)]
    crew.start(replace(task, key="changed", clip=task.clip | {"width": 62}))
    failed = heard(crew, Done, Failed, Lost)
    assert (failed.failure.kind, failed.worker) == ("changed", "good")
    assert "width is 64 here" in failed.failure.text


@pytest.mark.slow
def test_workers_that_do_not_fit_are_left_out_with_their_reason(hire, task_of, crew_of):
    hire("good")
    task = task_of()
    other = refusal(crew_of, replace(task, versions={"torch": "0.0.1"}))
    assert re.search(r"the worker good is left out: it has torch .*; the job wants 0.0.1$", other)
    assert "does not see" in refusal(crew_of, replace(task, script="/no/such/show.vpy"))
    crew = crew_of(task)
    assert crew.hands == 1
    # One that joins later is asked as well.
    hire("bare", resource="other")
    while not (said := heard(crew, Hands)).said.startswith("the worker bare is left out"):
        pass
    assert f"--resources {RESOURCE}=1" in said.said
    assert crew.hands == said.count == 1


@pytest.mark.slow
def test_a_worker_on_which_encore_is_not_installed_is_left_out(hire, task_of, crew_of, shadow):
    hire("good")
    task = task_of()
    crew = crew_of(task)
    hire("empty", python=["-m"], env=os.environ | {"PYTHONPATH": str(shadow)})
    while not isinstance(event := heard(crew, Hands, Lost), Lost) and "empty" not in event.said:
        pass
    assert isinstance(event, Hands), event
    assert event.said.startswith("the worker empty is left out")
    assert crew.hands == 1
    # And it keeps nobody from beginning anew.
    assert crew_of(task).hands == 1


@pytest.mark.slow
def test_close_ends_the_chunks_under_way(hire, task_of, crew_of, tmp_path):
    hire("good")
    told = tmp_path / "told"
    task = task_of(HANGS_ONCE.format(told=str(told)))
    crew = crew_of(task)
    crew.start(task)
    process = number_in(told)
    crew.close()
    _, alive = psutil.wait_procs([process], timeout=10)
    assert alive == []
    until(lambda: not list(Path(task.folder).glob("*.part*")), within_s=10)
    assert Ledger(Path(task.folder), ".mkv").finished(task.key) is None
    assert not list(Path(task.folder).glob("stop-*"))


@pytest.mark.slow
def test_the_chunk_of_the_only_worker_that_is_killed_is_made_by_one_that_joins(
    hire, task_of, crew_of, tmp_path
):
    first = hire("first")
    told = tmp_path / "told"
    task = task_of(HANGS_ONCE.format(told=str(told)))
    crew = crew_of(task)
    crew.start(task)
    process = number_in(told)
    stop(first["first"])
    _, alive = psutil.wait_procs([process], timeout=20)
    assert alive == []
    hire("second")
    deadline = time.monotonic() + 40
    while not isinstance(event := heard(crew, Done, Failed, Lost), Done):
        # Where its end counts as a failed try, the job's loop tries again as soon as there is
        # a hand.
        assert isinstance(event, Failed), event
        while not crew.hands:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        crew.start(task)
    assert event.record.made_by == "second"
    path = Ledger(Path(task.folder), ".mkv").path(task.key)
    assert greys(path) == [64 + 16 * n for n in range(FRAMES)]


@pytest.mark.slow
def test_a_scheduler_that_is_gone_is_told(task_of, crew_of, hire, tmp_path, monkeypatch):
    monkeypatch.setattr("encore.chunked.cluster._SILENT_FOR_S", 1.0)
    (tmp_path / "own").mkdir()
    with _scheduler(tmp_path / "own") as (address, process):
        hire("good", address=address)
        crew = crew_of(task_of(), address)
        assert crew.hands == 1
        stop(process)
        lost = heard(crew, Lost, within_s=30)
        assert address in lost.why
        began = time.monotonic()
        crew.close()
        assert time.monotonic() - began < 10


def test_a_scheduler_without_workers_is_refused(task_of, crew_of, scheduler):
    told = refusal(crew_of, task_of())
    assert scheduler in told
    assert "encore workers start" in told


def test_where_no_scheduler_answers_one_line_says_so_and_soon(tmp_path):
    script = tmp_path / "show.vpy"
    script.write_text(SCRIPT + PICTURE, encoding="utf-8")
    # In a process of its own: what destructors print at its end is seen as well.
    text = f"""
import gc, pathlib, sys, time
from encore.encode import Clip
from encore.encoding import Request, encode_script
from encore.errors import RequestError
from encore.progress import reporter
began = time.monotonic()
request = Request(
    pathlib.Path({str(script)!r}), pathlib.Path({str(tmp_path / "film.mkv")!r}),
    settings=["encode.codec=ffv1"], cluster="127.0.0.1:9",
)
try:
    encode_script(request, reporter("none"))
except RequestError as error:
    print(error)
gc.collect()
print(time.monotonic() - began)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.returncode == 0
    said, took_s = done.stdout.splitlines()
    assert said.startswith("--cluster 127.0.0.1:9: no scheduler answers there")
    assert float(took_s) < 15
    assert os.listdir(tmp_path) == ["show.vpy"]


def test_an_address_that_is_none_is_refused(tmp_path):
    for address in ("nowhere", "tls://", "http://127.0.0.1:9", ""):
        with pytest.raises(RequestError, match="--cluster") as caught:
            Cluster(address, tmp_path, None)
        assert "\n" not in str(caught.value)


def test_without_dask_the_request_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RequestError, match=r"pip install 'encore-remaster\[cluster\]'"):
        Cluster("127.0.0.1:9", tmp_path, None)
