"""Things that are closed where their `with` ends."""

from types import TracebackType
from typing import Self

__all__ = ["Closes"]


class Closes:
    """Its `close` is called at the end of a `with`, whether that went well or not."""

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
