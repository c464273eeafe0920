"""How much memory a program of the bench took at most."""

import resource
from pathlib import Path

__all__ = ["peak_mib"]


def peak_mib() -> float:
    """This process's own peak; getrusage's counts the process that started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
