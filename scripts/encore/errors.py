"""The two ways a request ends badly, and the exit codes that other people's scripts rely on."""

import errno

__all__ = [
    "DISK_FULL",
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "WRONG",
    "EncoreError",
    "JobError",
    "RequestError",
]

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""The numbers of an OSError for which there is one cure: room."""


class EncoreError(Exception):
    """One line for a person: what was wrong, where, and what to do."""

    exit_code = FAILED


class RequestError(EncoreError):
    """The request was wrong: a bad argument, a file that is no recording. Nothing was begun."""

    exit_code = WRONG


class JobError(EncoreError):
    """The job failed: a process died, a disk filled, a check did not hold."""

    exit_code = FAILED
