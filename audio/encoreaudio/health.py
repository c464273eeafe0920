"""How a recording's sound is: its levels, and what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .clicks import ClickFinder, Clicks
from .loudness import Meter
from .repair import Findings, Listening
from .side_by_side import Together
from .stream import Damage, Reader

__all__ = ["SoundHealth", "measure"]


@dataclass(frozen=True)
class SoundHealth:
    """What was measured of one sound track.

    seconds: how much was measured. start_s: when the track begins on the container's clock.
    loudness_lufs: integrated (EBU R128), None where nothing is above -70 LUFS or it is shorter than
    0.4 s; range_lu: loudness range; true_peak_dbtp: None for silence. findings: what repairs would
    act upon. clicks: what sounds like clicks, of which clean music has some. invalid_samples: not a
    number or infinite. lost_s: missing, by the timestamps. damage: (seconds into what was measured,
    what), the first 200 of damage_count.
    """

    sample_rate_hz: int
    channels: int
    speakers: tuple[str, ...]
    start_s: float
    seconds: float
    loudness_lufs: float | None
    range_lu: float | None
    momentary_max_lufs: float | None
    short_term_max_lufs: float | None
    true_peak_dbtp: float | None
    findings: Findings
    clicks: Clicks
    invalid_samples: int
    lost_s: float
    damage_count: int
    damage: tuple[Damage, ...]


def measure(
    source: str | Path,
    track: int = 0,
    segments: Sequence[tuple[float, float]] | None = None,
) -> SoundHealth:
    """Measure a track, whole or in segments of (start_s, duration_s) on the container's clock.

    Segments are measured as if they were one recording. What of a segment lies outside the track is
    left out. Raises SoundError where there is no such sound.
    """
    with Reader(source, track) as whole:
        gauge = _Gauge(whole)
        if segments is None:
            gauge.add(whole)
    for start_s, duration_s in segments or ():
        with Reader(source, track, start_s=start_s, duration_s=duration_s, within=True) as part:
            gauge.add(part)
    return gauge.finish()


class _Gauge:
    """All the meters over one or more readers of the same track."""

    def __init__(self, reader: Reader) -> None:
        self._rate, self._speakers = reader.sample_rate_hz, reader.speakers
        self._start_s = float(reader.start_s)
        self._meter = Meter(self._rate, self._speakers)
        self._listening = Listening(self._rate, len(self._speakers))
        self._clicks = ClickFinder(self._rate, len(self._speakers))
        self._frames = 0
        self._damage: list[Damage] = []
        self._damage_count = self._invalid = 0
        self._lost_s = 0.0

    def add(self, reader: Reader) -> None:
        before_s = self._frames / self._rate
        with Together([self._meter, self._clicks, *self._listening.listeners]) as together:
            for block in reader.blocks():
                if block.shape[1] != len(self._speakers):
                    # A broadcast may change its layout between two segments.
                    break
                together.add(block)
                self._frames += len(block)
        self._damage += [Damage(round(before_s + at, 3), what) for at, what in reader.damage]
        self._damage_count += reader.damage_count
        self._lost_s += reader.lost_s
        self._invalid += reader.invalid_samples

    def finish(self) -> SoundHealth:
        levels = self._meter.finish()
        return SoundHealth(
            sample_rate_hz=self._rate,
            channels=len(self._speakers),
            speakers=self._speakers,
            start_s=self._start_s,
            seconds=self._frames / self._rate,
            loudness_lufs=levels.integrated_lufs,
            range_lu=levels.range_lu,
            momentary_max_lufs=levels.momentary_max_lufs,
            short_term_max_lufs=levels.short_term_max_lufs,
            true_peak_dbtp=levels.true_peak_dbtp,
            findings=self._listening.finish().told,
            clicks=self._clicks.finish(),
            invalid_samples=self._invalid,
            lost_s=self._lost_s,
            damage_count=self._damage_count,
            damage=tuple(sorted(self._damage)[:200]),
        )
