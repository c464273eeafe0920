"""What was done to a recording, as plain data that a JSON file can hold."""

from dataclasses import dataclass

from .clicks import Click
from .loudness import Levels
from .opinion import Opinion
from .recipe import Recipe
from .repair import Findings, Repaired
from .songs import Song
from .stream import Damage
from .tone import ToneCurve
from .trace import History
from .warp import Alignment

__all__ = ["Histories", "MasterReport"]


@dataclass(frozen=True)
class Histories:
    """Over the show: short-term loudness in LUFS before and after, the limiter's decibels."""

    before: History | None
    after: History | None
    limiter: History | None


@dataclass(frozen=True)
class MasterReport:
    """What was done to a recording.

    samples: per channel, in the target. speakers: the channels' places. before, after: the source's
    and the master's levels; opinion: pyloudnorm's of the master, None where it has none. findings:
    what was heard in the source. repairs: what was repaired, in order; clicks: the first thousand
    that were taken out. stems: their names, empty where none were taken apart. tone: the curve.
    songs: when they are, and how loud before the gain; song_offsets_db: what each got on top of the
    one linear gain_db. limiting_max_db: how far the limiter came down at most; limited_s: for how
    long by more than 0.1 dB. invalid_samples: not a number or infinite, replaced by 0.
    clipped_samples: beyond full scale when written. lost_s: missing from the source, silence
    instead. damage: places that were not whole, the first 200 of damage_count. renders: how often
    the last pass ran. took_s: seconds of work.
    """

    source: str
    target: str
    track: int
    recipe: Recipe
    samples: int
    sample_rate_hz: int
    channels: int
    speakers: tuple[str, ...]
    subtype: str
    duration_s: float
    start_s: float
    before: Levels
    after: Levels
    opinion: Opinion | None
    findings: Findings
    repairs: tuple[Repaired, ...]
    clicks: tuple[Click, ...]
    alignment: Alignment | None
    stems: tuple[str, ...]
    tone: ToneCurve | None
    songs: tuple[Song, ...]
    song_offsets_db: tuple[float, ...]
    gain_db: float
    limiting_max_db: float
    limited_s: float
    dithered: bool
    invalid_samples: int
    clipped_samples: int
    lost_s: float
    damage_count: int
    damage: tuple[Damage, ...]
    histories: Histories
    renders: int
    took_s: float
