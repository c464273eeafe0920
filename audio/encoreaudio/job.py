"""One mastering: what was asked for, what passes hand to each other, and how far it is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from .loudness import Levels
from .metadata import Metadata
from .recipe import Recipe
from .repair import Findings
from .signal import Block, Stage
from .songs import Songs
from .spectrogram import Spectrogram
from .stream import Damage, Reader
from .trace import History
from .warp import AlignedReader, Alignment

__all__ = ["Heard", "Job", "Music", "Progress", "Steps", "Survey"]

type Progress = Callable[[float, float | None], None]

# How long the passes take against each other, as measured.
_SHARES = {
    "align": 0.5,
    "listen": 1.0,
    "repair": 2.0,
    "separate": 40.0,
    "remix": 1.0,
    "render": 1.5,
}


class Music(Protocol):
    """What a pass reads: the source, or what an earlier pass put aside."""

    def blocks(self) -> Iterator[Block]:
        """All of it from the start."""
        ...


@dataclass
class Job:
    """What was asked for, checked; `alignment` is found on the way."""

    source: Path
    target: Path
    recipe: Recipe
    track: int
    start_s: float | None
    duration_s: float | Fraction | None
    rate_hz: int | None
    subtype: str
    device: str
    work: Path
    stems: Path | None
    wants_page: bool
    alignment: Alignment | None = None

    def reader(self) -> Reader | AlignedReader:
        """The source from its first block; every pass reads anew."""
        if self.alignment is not None and self.recipe.reference is not None:
            given = self.recipe.reference
            fill = given.file if given.fill else None
            return AlignedReader(
                self.source, self.alignment, self.track, fill=fill, fill_track=given.track
            )
        return Reader(self.source, self.track, start_s=self.start_s, duration_s=self.duration_s)

    def blocks(self) -> Iterator[Block]:
        """The source's sound."""
        with self.reader() as reader:
            yield from reader.blocks()


@dataclass(frozen=True)
class Heard:
    """What the first pass found."""

    rate_hz: int
    speakers: tuple[str, ...]
    frames: int
    start_s: float
    before: Levels
    findings: Findings
    history: History
    seen: Spectrogram | None
    metadata: Metadata
    invalid_samples: int
    lost_s: float
    damage_count: int
    damage: tuple[Damage, ...]


@dataclass(frozen=True)
class Survey:
    """What the last pass before the gain found, and how the sound gets there."""

    rate_hz: int
    speakers: tuple[str, ...]
    samples: int
    levels: Levels
    songs: Songs
    offsets_db: tuple[float, ...]
    finishing: Callable[[], list[Stage]]


class Steps:
    """Progress over passes of different cost: forward, never back."""

    def __init__(self, report: Progress | None, passes: Sequence[str]) -> None:
        self._report = report
        self._whole = sum(_SHARES[name] for name in passes)
        self._before = 0.0
        self._done_s = 0.0
        self.length_s: float | None = None

    def over[T](self, name: str, work: Callable[[Callable[[float], None]], T]) -> T:
        """Do a pass, which tells the share of itself that is done."""
        share = _SHARES[name] / self._whole

        def tell(done: float) -> None:
            self._tell(min(1.0, self._before + share * min(1.0, done)))

        given = work(tell)
        self._before += share
        return given

    def _tell(self, share: float) -> None:
        if self._report is None:
            return
        if self.length_s is not None:
            self._done_s = max(self._done_s, share * self.length_s)
        self._report(self._done_s, self.length_s)
