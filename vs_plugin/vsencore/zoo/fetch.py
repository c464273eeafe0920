"""Downloads a model of the registry: resumed, checked, and committed only when it is right.

What came so far lies in `NAME.part` in the models folder. A broken connection is taken up where
it broke (HTTP Range, RFC 9110 section 14), in this run or the next; the sha256 of the whole file
decides, so a server that resumes wrongly costs a second download and nothing else.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from .errors import NotDoneError, ZooError
from .library import Kept, keep, models_dir, sound
from .registry import Entry, entries

if sys.platform != "win32":
    import fcntl

__all__ = ["Progress", "get"]

Progress = Callable[[float, float | None], None]
"""`progress(done, total)` in MB."""

_ATTEMPTS = 5
_PIECE = 1 << 16
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def get(
    name: str,
    progress: Progress = lambda done, total: None,
    *,
    timeout_s: float = 30.0,
    loopback: bool = False,
) -> Kept:
    """Fetch a model of the registry into the user's folder, unless it is there and right.

    `timeout_s` is how long the server may be silent. `loopback` also allows plain http to this
    machine, which tests need.

    Raises:
        ZooError: no such model in the registry.
        NotDoneError: it could not be fetched, or is not the right file.
    """
    there = sound(name)
    if there is not None:
        return there
    entry = entries().get(name)
    if entry is None:
        known = ", ".join(entries())
        raise ZooError(f"there is no model {name!r} to fetch; there are: {known}")
    folder = models_dir()
    part = folder / f"{name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("a+b") as file, _alone(file, name):
            _fetch(entry, file, progress, _Opener(timeout_s, loopback))
            model = keep(part, name)
        part.unlink(missing_ok=True)
    except OSError as error:
        raise NotDoneError(f"{part}: cannot be written ({error.strerror})") from error
    return model


class _Opener:
    """Opens addresses that are allowed, with a bound on silence and on redirects."""

    def __init__(self, timeout_s: float, loopback: bool) -> None:
        self.timeout_s = timeout_s
        self.loopback = loopback
        self._director: OpenerDirector = build_opener(_Redirects(self))

    def check(self, url: str) -> None:
        parts = urlsplit(url)
        here = self.loopback and parts.scheme == "http" and parts.hostname in _LOOPBACK
        if parts.scheme != "https" and not here:
            raise NotDoneError(f"{url}: models are fetched over https only")

    def open(self, url: str, start: int) -> http.client.HTTPResponse:
        self.check(url)
        headers = {"User-Agent": "encore", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        answer: http.client.HTTPResponse = self._director.open(
            Request(url, headers=headers), timeout=self.timeout_s
        )
        return answer


class _Redirects(HTTPRedirectHandler):
    max_redirections = 5

    def __init__(self, opener: _Opener) -> None:
        self._opener = opener

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Request | None:
        self._opener.check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _alone(file: IO[bytes], name: str) -> Iterator[None]:
    """Hold the partial file for this process alone, where the system can; it ends with the file."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotDoneError(
                f"{name}: another process is fetching this model; wait for it"
            ) from None
    yield


def _fetch(entry: Entry, file: IO[bytes], progress: Progress, opener: _Opener) -> None:
    """Bring `file` to the entry's size and sha256, from wherever it stands."""
    resumed = file.seek(0, 2) > 0
    _complete(entry, file, progress, opener)
    if _sha256(file) == entry.sha256:
        return
    file.truncate(0)
    if resumed:  # the beginning may have been another file's: once more, from nothing
        _complete(entry, file, progress, opener)
        if _sha256(file) == entry.sha256:
            return
        file.truncate(0)
    raise NotDoneError(
        f"{entry.name}: what came from {entry.url} has the right size and a wrong sha256:"
        " it is not the file that Encore knows, and was not kept"
    )


def _complete(entry: Entry, file: IO[bytes], progress: Progress, opener: _Opener) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        before = file.seek(0, 2)
        if before == entry.size_bytes:
            return
        try:
            _receive(entry, file, progress, opener)
        except (http.client.HTTPException, OSError) as error:
            # A server that gave something is asked for the rest; one that gave nothing is not.
            if file.seek(0, 2) > before and attempt < _ATTEMPTS:
                continue
            raise _unreachable(entry, error) from error


def _receive(entry: Entry, file: IO[bytes], progress: Progress, opener: _Opener) -> None:
    """One connection's worth: the rest of the file, or all of it where the server will not skip."""
    done = file.seek(0, 2)
    if done > entry.size_bytes:
        done = file.truncate(0)
    with opener.open(entry.url, done) as answer:
        begins = f"bytes {done}-"
        if done and not (
            answer.status == 206 and answer.headers.get("Content-Range", "").startswith(begins)
        ):
            done = file.truncate(0)
            if answer.status != 200:
                raise ConnectionError("the server resumed at another place")
        progress(done / 1e6, entry.size_bytes / 1e6)
        while piece := answer.read1(_PIECE):  # what has come, so that nothing of it is lost
            done += len(piece)
            if done > entry.size_bytes:
                file.truncate(0)
                raise NotDoneError(
                    f"{entry.name}: {entry.url} holds more than {entry.size_bytes} bytes:"
                    " it is not the file that Encore knows, and was not kept"
                )
            _write(file, piece)
            progress(done / 1e6, entry.size_bytes / 1e6)
    if done < entry.size_bytes:
        raise ConnectionError(f"the connection ended after {done} of {entry.size_bytes} bytes")


def _write(file: IO[bytes], piece: bytes) -> None:
    try:
        file.write(piece)
        file.flush()
    except OSError as error:  # told apart from a network's, which is tried again
        raise NotDoneError(f"{file.name}: cannot be written ({error.strerror})") from error


def _unreachable(entry: Entry, error: Exception) -> NotDoneError:
    reason = getattr(error, "reason", None) or error
    if isinstance(error, HTTPError):
        why = f"the server answered {error.code} {error.reason}"
    elif isinstance(reason, socket.gaierror):
        why = "its server was not found: is this machine offline?"
    elif isinstance(reason, TimeoutError):
        why = "the server is silent"
    else:
        why = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return NotDoneError(
        f"{entry.name}: {entry.url} could not be fetched ({why}). Try again later, or download it"
        f" elsewhere and run: encore models add FILE --name {entry.name}"
        f" (it is kept in {models_dir()})"
    )


def _sha256(file: IO[bytes]) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()
