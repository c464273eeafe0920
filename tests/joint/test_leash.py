"""A leash: what is on it ends, with its children, when whoever held it is gone."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

# A program with a child in its own process group; both would live for ten minutes.
PROGRAM = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
# Holds the leash as `encore workers start` does, tells who is on it, and waits.
HOLDER = """
import subprocess, sys, time
from encore.process import spawned
command = [sys.executable, "-m", "encore.leash", "leashed_program"]
with spawned(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
    print(process.pid, process.stdout.readline().decode().strip(), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Makes a text the module `leashed_program`."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def program(text):
        (tmp_path / "leashed_program.py").write_text(text, encoding="utf-8")

    return program


@pytest.fixture
def start():
    """Starts Python with arguments in a session of its own, its stdin and stdout pipes."""
    begun = []

    def process(*arguments):
        pipe = subprocess.PIPE
        command = [sys.executable, *arguments]
        begun.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True))
        return begun[-1]

    yield process
    for one in begun:
        if one.poll() is None:
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()
        one.stdout.close()
        if not one.stdin.closed:
            one.stdin.close()


def ended(processes):
    _, alive = psutil.wait_procs(processes, timeout=20)
    for one in alive:
        one.kill()
    return alive == []


def test_a_program_ends_with_its_children_when_stdin_closes(place, start):
    place(PROGRAM)
    leashed = start("-m", "encore.leash", "leashed_program")
    child = psutil.Process(int(leashed.stdout.readline()))
    time.sleep(0.3)
    assert leashed.poll() is None
    assert child.is_running()
    leashed.stdin.close()
    assert ended([child])
    assert leashed.wait(20) == -signal.SIGKILL


def test_a_program_ends_with_its_children_when_its_parent_is_killed(place, start):
    place(PROGRAM)
    holder = start("-c", HOLDER)
    on_it = [psutil.Process(int(number)) for number in holder.stdout.readline().split()]
    assert len(on_it) == 2
    os.kill(holder.pid, signal.SIGKILL)
    assert ended(on_it)


def test_a_program_that_leads_no_group_leaves_the_others_of_its_group_alone(place, start):
    place(PROGRAM)
    holder = start("-c", HOLDER.replace("with spawned(", "with subprocess.Popen("))
    leashed, child = (psutil.Process(int(n)) for n in holder.stdout.readline().split())
    os.kill(holder.pid, signal.SIGKILL)
    assert ended([leashed])
    assert child.is_running()
    child.kill()


def test_what_is_written_on_stdin_does_not_end_a_program(place, start):
    place(PROGRAM)
    leashed = start("-m", "encore.leash", "leashed_program")
    leashed.stdout.readline()
    leashed.stdin.write(b"something\n")
    leashed.stdin.flush()
    with pytest.raises(subprocess.TimeoutExpired):
        leashed.wait(0.5)


def test_a_program_on_a_leash_has_its_arguments_and_its_exit_code(place, start):
    place("import sys; print(__name__, *sys.argv[1:]); sys.exit(7)\n")
    leashed = start("-m", "encore.leash", "leashed_program", "--one", "two words")
    assert leashed.stdout.read().decode() == "__main__ --one two words\n"
    assert leashed.wait(20) == 7
