"""One thread here, and all of them elsewhere."""

from threading import Thread

import pytest
import torch

from vsencore.engine import threads
from vsencore.engine.threads import one_thread

CPU = torch.device("cpu")


def counted() -> int:
    """How many threads torch would use in a thread of its own."""
    found: list[int] = []
    asking = Thread(target=lambda: found.append(torch.get_num_threads()))
    asking.start()
    asking.join()
    return found[0]


@pytest.mark.skipif(threads._openmp() is None, reason="torch has no OpenMP of GNU's here")
def test_here_is_one_thread_and_elsewhere_as_many_as_before():
    here, elsewhere = torch.get_num_threads(), counted()
    with one_thread(CPU):
        assert torch.get_num_threads() == 1
        assert counted() == elsewhere
    assert torch.get_num_threads() == here


def test_an_error_gives_the_threads_back():
    here = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="so"), one_thread(CPU):
        raise RuntimeError("so")
    assert torch.get_num_threads() == here


def test_a_gpu_and_a_torch_without_openmp_are_left_alone(monkeypatch):
    here = torch.get_num_threads()
    with one_thread(torch.device("cuda")):
        assert torch.get_num_threads() == here
    monkeypatch.setattr(threads, "_openmp", lambda: None)
    with one_thread(CPU):
        assert torch.get_num_threads() == here
