"""One line of the table: what was tried, what was wanted, what came out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Row", "failed"]


@dataclass(frozen=True)
class Row:
    """A trial's answer. `reached` is None where the trial could not be made here."""

    case: str
    what: str
    wanted: str
    got: str
    reached: bool | None

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @property
    def verdict(self) -> str:
        """The last column."""
        return {True: "yes", False: "NO", None: "not here"}[self.reached]


def failed(case: str, error: Exception) -> Row:
    """The row of a trial that itself broke."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return Row(case, "the trial itself", "comes to its end", said[:300], False)
