"""Processes that end when the one that started them is gone, however it went.

    python -m encore.leash MODULE [ARGUMENT ...]

A process on a leash is given a pipe as its stdin, on which nothing is ever written: when it closes,
its other end has died, and the process ends with all of its group.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

__all__ = ["hold", "main"]


def hold() -> None:
    """Have this process, and its group where it leads one, end when stdin closes."""
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    while os.read(0, 1 << 12):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main() -> None:
    """Run a module as a program, on a leash."""
    hold()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
