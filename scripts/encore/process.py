"""Processes that end when we do, with all that they started, whatever they are blocked on.

Each runs in a session of its own: a Ctrl-C in the terminal reaches only us. (x265 on a pipe that
is interrupted beside its writer can wait for ever.)
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["spawned", "stop"]


@contextmanager
def spawned(command: Sequence[str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own that is ended, with all it started, on the way out.

    An interrupt that comes while the process is made waits until it can be ended.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        with _interrupts_held():
            process = subprocess.Popen(command, start_new_session=True, **streams)
        yield process
    finally:
        if process is not None:
            stop(process)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, at once; nothing where it has ended."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
