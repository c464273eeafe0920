"""Two cores for one stream: work ahead in a thread, and listeners that hear a block together.

The order of blocks is kept everywhere, so the result does not depend on the threads.
"""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any

from .closes import Closes
from .signal import Block, Finder

__all__ = ["BEHIND", "Together", "ahead"]

BEHIND = 8
"""How many blocks a listener may lag where nobody changes them: some work once in ten or twenty."""
_READY_BLOCKS = 4
_LOOK_S = 0.1


class Together(Closes):
    """Listeners of one stream, each in a thread of its own.

    behind: how many blocks a listener may still have to hear when `add` returns; blocks must not
    be changed until then. At the end of the `with` all are heard.
    """

    def __init__(self, listeners: Sequence[Finder[Any]], behind: int = 0) -> None:
        self._listeners, self._behind = listeners, behind
        self._threads = [ThreadPoolExecutor(max_workers=1) for _ in listeners]
        self._unheard: deque[list[Future[None]]] = deque()

    def close(self) -> None:
        """Wait for the listeners, and let go of what is held."""
        try:
            self._wait(0)
        finally:
            for thread in self._threads:
                thread.shutdown(cancel_futures=True)

    def add(self, block: Block) -> None:
        """Let all of them hear a block."""
        heard = [
            thread.submit(listener.add, block)
            for thread, listener in zip(self._threads, self._listeners, strict=True)
        ]
        self._unheard.append(heard)
        self._wait(self._behind)

    def _wait(self, blocks: int) -> None:
        """Until no more than so many blocks are unheard."""
        while len(self._unheard) > blocks:
            for one in self._unheard.popleft():
                if error := one.exception():
                    # What comes behind an error is nobody's.
                    self._unheard.clear()
                    raise error


def ahead(blocks: Iterator[Block]) -> Generator[Block]:
    """The same blocks, made in another thread a few ahead of their use.

    Closing it ends the thread, and closes `blocks` too where they are a generator.
    """
    queue: Queue[Block | BaseException | None] = Queue(_READY_BLOCKS)
    over = Event()

    def put(item: Block | BaseException | None) -> bool:
        while not over.is_set():
            try:
                queue.put(item, timeout=_LOOK_S)
            except Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for block in blocks:
                if not put(block):
                    return
            put(None)
        except BaseException as error:
            put(error)
        finally:
            if isinstance(blocks, Generator):
                blocks.close()

    worker = Thread(target=work, daemon=True)
    worker.start()
    try:
        while True:
            try:
                item = queue.get(timeout=_LOOK_S)
            except Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        over.set()
        worker.join()
