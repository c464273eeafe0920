"""A master from a recording: measured once, then played through gain, limiter and dither.

The first pass reads the loudness after repair, which gives the gain; the second writes. Limiting
takes a little loudness away, so where the result falls short the second pass is done again with
what was missing, within bounds. Memory is that of a few seconds of sound, however long the
recording.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .dither import Quantiser
from .error import SoundError
from .gain import Gain
from .limiter import Limiter
from .loudness import Levels, Loudness, Meter
from .rate import Resampler
from .rumble import HighPass
from .signal import Block, Stage, exactly, through
from .stream import Damage, Reader, Writer, file_format
from .targets import Mastering, mastering

__all__ = ["MasterReport", "master"]

type Progress = Callable[[float, float | None], None]

_NEAR_LU = 0.08
_MOST_RENDERS = 3
# What limiting takes away is made up for by at most this much gain; more would be a limiter at work
# in every bar, which is another sound and not another level.
_MOST_PUSH_DB = 3.0
_OFFSET_ONLY_HZ = 5.0
_SURVEY_SHARE = 0.4  # of the work, as measured


@dataclass(frozen=True)
class MasterReport:
    """What was done to a recording.

    samples: per channel, in the target. speakers: the channels' places. before, after: the source's
    and the master's levels. gain_db: the one linear gain. limiting_max_db: how far the limiter came
    down at most; limited_s: for how long by more than 0.1 dB. invalid_samples: not a number or
    infinite, replaced by 0. clipped_samples: beyond full scale when written. lost_s: missing from
    the source, silence instead. damage: places that were not whole, the first 200 of damage_count.
    renders: how often the second pass ran. took_s: seconds of work.
    """

    source: str
    target: str
    track: int
    mastering: Mastering
    samples: int
    sample_rate_hz: int
    channels: int
    speakers: tuple[str, ...]
    subtype: str
    duration_s: float
    start_s: float
    before: Levels
    after: Levels
    gain_db: float
    limiting_max_db: float
    limited_s: float
    dithered: bool
    invalid_samples: int
    clipped_samples: int
    lost_s: float
    damage_count: int
    damage: tuple[Damage, ...]
    renders: int
    took_s: float


def master(
    source: str | Path,
    target: str | Path,
    preset: str | Mastering = "streaming",
    *,
    track: int = 0,
    start_s: float | None = None,
    duration_s: float | Fraction | None = None,
    sample_rate_hz: int | None = None,
    subtype: str = "auto",
    progress: Progress | None = None,
) -> MasterReport:
    """Master one sound track of `source` into the sound file `target`.

    track: counted among the sound streams. start_s: where on the container's clock the master
    begins (None: where the track begins); silence is put before a track that begins later.
    duration_s: exact length (None: to the track's end). sample_rate_hz: None keeps the source's.
    subtype: PCM_16, PCM_24, FLOAT, or auto, which is PCM_24. progress: called with seconds done and
    seconds in all.

    With neither start_s, duration_s nor sample_rate_hz, as many samples come out as go in. Raises
    SoundError; then there is no file under the target's name that was not there before.
    """
    began = time.monotonic()
    job = _Job(
        Path(source),
        Path(target),
        mastering(preset),
        track,
        start_s,
        duration_s,
        sample_rate_hz,
        "PCM_24" if subtype == "auto" else subtype,
    )
    _check(job)
    steps = _Steps(progress)
    survey = _survey(job, steps)
    render, renders = _levelled(job, survey, steps)
    return MasterReport(
        source=str(source),
        target=str(target),
        track=track,
        mastering=job.mastering,
        samples=survey.samples,
        sample_rate_hz=survey.sample_rate_hz,
        channels=len(survey.speakers),
        speakers=survey.speakers,
        subtype=job.subtype,
        duration_s=survey.samples / survey.sample_rate_hz,
        start_s=survey.start_s,
        before=survey.before,
        after=render.after,
        gain_db=render.gain_db,
        limiting_max_db=render.limiting_max_db,
        limited_s=render.limited_s,
        dithered=render.dithered,
        invalid_samples=survey.invalid_samples,
        clipped_samples=render.clipped_samples,
        lost_s=survey.lost_s,
        damage_count=survey.damage_count,
        damage=survey.damage,
        renders=renders,
        took_s=time.monotonic() - began,
    )


@dataclass(frozen=True)
class _Job:
    source: Path
    target: Path
    mastering: Mastering
    track: int
    start_s: float | None
    duration_s: float | Fraction | None
    rate_hz: int | None
    subtype: str

    def reader(self) -> Reader:
        """The source from its first block; every pass reads anew."""
        return Reader(self.source, self.track, start_s=self.start_s, duration_s=self.duration_s)

    def repair(self, reader: Reader) -> list[Stage]:
        """The stages before the gain, with fresh state."""
        stages: list[Stage] = []
        cutoff = self.mastering.rumble_hz or (_OFFSET_ONLY_HZ if self.mastering.dc else 0.0)
        if cutoff:
            stages.append(HighPass(reader.sample_rate_hz, reader.channels, cutoff))
        if self.rate_hz not in (None, reader.sample_rate_hz):
            stages.append(Resampler(reader.sample_rate_hz, self.rate_hz, reader.channels))
        return stages


@dataclass(frozen=True)
class _Survey:
    """What the first pass found."""

    samples: int
    sample_rate_hz: int
    speakers: tuple[str, ...]
    start_s: float
    before: Levels
    repaired_lufs: float | None
    invalid_samples: int
    lost_s: float
    damage_count: int
    damage: tuple[Damage, ...]


@dataclass(frozen=True)
class _Render:
    """What one second pass gave."""

    gain_db: float
    after: Levels
    limiting_max_db: float
    limited_s: float
    dithered: bool
    clipped_samples: int


class _Steps:
    """Progress over a number of passes that is not known beforehand: forward, never back."""

    def __init__(self, report: Progress | None) -> None:
        self._report = report
        self._done_s = 0.0

    def tell(self, share: float, total_s: float | None) -> None:
        if self._report is None:
            return
        if total_s is not None:
            self._done_s = max(self._done_s, min(1.0, share) * total_s)
        self._report(self._done_s, total_s)


def _check(job: _Job) -> None:
    """Refuse now what could only fail after minutes of work."""
    file_format(job.target, job.subtype)
    if not job.target.parent.is_dir():
        raise SoundError(f"the folder {job.target.parent} does not exist")
    if not os.access(job.target.parent, os.W_OK):
        raise SoundError(f"the folder {job.target.parent} may not be written to")
    if job.target.exists():
        if not job.target.is_file():
            raise SoundError(f"{job.target} is not a file that can be replaced")
        if job.source.exists() and job.target.samefile(job.source):
            raise SoundError(f"{job.target} is the source itself; give another name")
    if job.duration_s is not None and not job.duration_s > 0:
        raise SoundError(f"duration_s is {job.duration_s}; it must be more than 0")
    if job.rate_hz is not None and not 8000 <= job.rate_hz <= 384000:
        raise SoundError(f"sample_rate_hz is {job.rate_hz}; it may be 8000 to 384000")


def _survey(job: _Job, steps: _Steps) -> _Survey:
    with job.reader() as reader:
        before = Meter(reader.sample_rate_hz, reader.speakers)
        rate = job.rate_hz or reader.sample_rate_hz
        repaired = Loudness(rate, reader.speakers)

        def watched() -> Iterator[Block]:
            done = 0
            for block in reader.blocks():
                before.add(block)
                yield block
                done += len(block)
                seconds = done / reader.sample_rate_hz
                total = reader.length_s
                steps.tell(_SURVEY_SHARE * seconds / total if total else 0.0, total)

        samples = 0
        for block in through(watched(), job.repair(reader)):
            repaired.add(block)
            samples += len(block)
        wanted = samples if job.duration_s is None else round(Fraction(job.duration_s) * rate)
        if not samples or not wanted:
            raise SoundError(f"{job.source} has no sound after {job.start_s} s on its clock")
        samples = wanted
        start = reader.start_s if job.start_s is None else Fraction(job.start_s)
        return _Survey(
            samples,
            rate,
            reader.speakers,
            float(start),
            before.finish(),
            repaired.finish(),
            reader.invalid_samples,
            reader.lost_s,
            reader.damage_count,
            tuple(sorted(reader.damage)),
        )


def _levelled(job: _Job, survey: _Survey, steps: _Steps) -> tuple[_Render, int]:
    """The second pass, until the loudness is met or the bounds are; the file then has its name."""
    wanted = job.mastering.target_lufs
    linear = 0.0
    if wanted is not None and survey.repaired_lufs is not None:
        linear = min(wanted - survey.repaired_lufs, job.mastering.max_gain_db)
    most = min(linear + _MOST_PUSH_DB, max(linear, job.mastering.max_gain_db))
    gain, slope = linear, 1.0
    last: _Render | None = None
    for renders in range(1, _MOST_RENDERS + 1):
        with Writer(
            job.target, survey.sample_rate_hz, len(survey.speakers), job.subtype, survey.samples
        ) as writer:
            render = _render(job, survey, gain, writer, steps)
            got = render.after.integrated_lufs
            short = 0.0
            if wanted is not None and survey.repaired_lufs is not None and got is not None:
                short = survey.repaired_lufs + linear - got
            if last is not None and last.after.integrated_lufs is not None and got is not None:
                # How much of a further decibel comes through the limiter.
                slope = (got - last.after.integrated_lufs) / (gain - last.gain_db)
            better = min(most, gain + short / min(1.0, max(0.3, slope)))
            if (
                abs(short) <= _NEAR_LU
                or not render.limited_s
                or abs(better - gain) < 0.01
                or renders == _MOST_RENDERS
            ):
                writer.commit()
                return render, renders
            gain, last = better, render
    raise AssertionError("unreachable")


def _render(job: _Job, survey: _Survey, gain_db: float, writer: Writer, steps: _Steps) -> _Render:
    rate, channels = survey.sample_rate_hz, len(survey.speakers)
    with job.reader() as reader:
        stages: list[Stage] = [*job.repair(reader), Gain(gain_db)]
        limiter = None
        if job.mastering.ceiling_dbtp is not None:
            limiter = Limiter(rate, channels, job.mastering.ceiling_dbtp)
            stages.append(limiter)
        after = Meter(rate, survey.speakers)
        quantiser = Quantiser(job.subtype)
        written = 0
        for block in exactly(through(reader.blocks(), stages), survey.samples, channels):
            after.add(block)
            writer.write(quantiser.process(block))
            written += len(block)
            share = _SURVEY_SHARE + (1 - _SURVEY_SHARE) * written / survey.samples
            steps.tell(share, survey.samples / rate)
    return _Render(
        gain_db=gain_db,
        after=after.finish(),
        limiting_max_db=limiter.deepest_db if limiter else 0.0,
        limited_s=limiter.limited_frames / rate if limiter else 0.0,
        dithered=quantiser.dithered,
        clipped_samples=quantiser.clipped_samples,
    )
