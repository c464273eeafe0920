"""Two cores for one stream: work ahead in a thread, and listeners that hear a block together.

The order of blocks is kept everywhere, so the result does not depend on the threads.
"""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any

from .closes import Closes
from .signal import Block, Finder

__all__ = ["Together", "ahead"]

_READY_BLOCKS = 4
_LOOK_S = 0.1


class Together(Closes):
    """Listeners of one stream, each in a thread of its own where there are cores."""

    def __init__(self, listeners: Sequence[Finder[Any]]) -> None:
        self._listeners = listeners
        self._pool = ThreadPoolExecutor(max_workers=2)

    def close(self) -> None:
        """Let go of what is held."""
        self._pool.shutdown()

    def add(self, block: Block) -> None:
        """Let all of them hear a block; returns when they have."""
        heard = [self._pool.submit(listener.add, block) for listener in self._listeners]
        for one in heard:
            one.result()


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
