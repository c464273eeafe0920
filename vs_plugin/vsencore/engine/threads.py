"""Small work on a processor, kept on the thread that asks for it.

Torch shares out every step among its threads and waits for them at its end. Where pictures are
small a step is shorter than the wait, and where other programs want the same cores each wait may
last until one of them gives way: frames that take a twentieth of a second then take many. Frames
are worked side by side anyhow.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

__all__ = ["one_thread"]


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Let what torch does on a CPU here run on this thread alone; others' share stays as it is.

    `torch.set_num_threads` would also count for threads that begin meanwhile. Where torch has no
    OpenMP of GNU's, as on Windows and macOS, nothing changes.
    """
    openmp = _openmp() if device.type == "cpu" else None
    if openmp is None:
        yield
        return
    torch.get_num_threads()  # in a new thread torch sets the number itself when it is first asked
    before = openmp.omp_get_max_threads()
    openmp.omp_set_num_threads(1)
    try:
        yield
    finally:
        openmp.omp_set_num_threads(before)


@cache
def _openmp() -> ctypes.CDLL | None:
    """The OpenMP that torch brought along and has loaded."""
    for path in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")):
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    return None
