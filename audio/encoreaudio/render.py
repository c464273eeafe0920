"""The last pass: gain, limiter, dither, file; again where the loudness is not met."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .dither import Quantiser
from .gain import Gain
from .job import Heard, Job, Music, Steps, Survey
from .limiter import Limiter
from .loudness import Levels, Meter
from .opinion import Opinion, SecondOpinion
from .report import Histories
from .side_by_side import BEHIND, Together, ahead
from .signal import Stage, exactly, through
from .spectrogram import Spectrogram, SpectrogramFinder
from .stream import Writer
from .targets import wanted_gain_db

__all__ = ["Render", "levelled"]

_NEAR_LU = 0.08
_MOST_RENDERS = 3
# What limiting takes away is made up for by at most this much gain; more would be a limiter at work
# in every bar, which is another sound and not another level.
_MOST_PUSH_DB = 3.0


@dataclass(frozen=True)
class Render:
    """What one last pass gave."""

    gain_db: float
    after: Levels
    opinion: Opinion | None
    limiting_max_db: float
    limited_s: float
    dithered: bool
    clipped_samples: int
    histories: Histories
    seen: Spectrogram | None = field(repr=False)


def levelled(
    job: Job, heard: Heard, music: Music, survey: Survey, steps: Steps
) -> tuple[Render, int]:
    """The last pass, until the loudness is met or the bounds are; the file then has its name."""
    wanted, measured = job.recipe.mastering, survey.levels.integrated_lufs
    linear = wanted_gain_db(wanted, survey.levels, survey.songs.loudest_lufs)
    most = min(linear + _MOST_PUSH_DB, max(linear, wanted.max_gain_db))
    metadata = heard.metadata
    if (survey.rate_hz, survey.speakers) != (heard.rate_hz, heard.speakers):
        metadata = replace(metadata, ixml="")
    gain, slope = linear, 1.0
    last: Render | None = None
    for renders in range(1, _MOST_RENDERS + 1):
        with Writer(
            job.target,
            survey.rate_hz,
            len(survey.speakers),
            job.subtype,
            survey.samples,
            metadata=metadata,
            speakers=survey.speakers,
        ) as writer:
            render = _render(job, music, survey, gain, writer, steps)
            got = render.after.integrated_lufs
            short = 0.0
            if wanted.target_lufs is not None and measured is not None and got is not None:
                short = measured + linear - got
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
                writer.loudness = render.after
                writer.commit()
                return render, renders
            gain, last = better, render
    raise AssertionError("unreachable")


def _render(
    job: Job, music: Music, survey: Survey, gain_db: float, writer: Writer, steps: Steps
) -> Render:
    rate, channels = survey.rate_hz, len(survey.speakers)
    stages: list[Stage] = [*survey.finishing(), Gain(gain_db)]
    limiter = None
    if job.recipe.mastering.ceiling_dbtp is not None:
        limiter = Limiter(rate, channels, job.recipe.mastering.ceiling_dbtp)
        stages.append(limiter)
    meter, opinion = Meter(rate, survey.speakers), SecondOpinion(rate, survey.speakers)
    seen = SpectrogramFinder(rate, channels) if job.wants_page else None
    quantiser = Quantiser(job.subtype, shaped_hz=rate if job.recipe.dither == "shaped" else None)

    def work(tell: Callable[[float], None]) -> None:
        done = 0
        blocks = exactly(through(music.blocks(), stages), survey.samples, channels)
        with Together([meter, opinion, *([seen] if seen else [])], BEHIND) as together:
            for block in ahead(blocks):
                writer.write(quantiser.process(block))
                together.add(block)
                done += len(block)
                tell(done / survey.samples)
        if len(rest := quantiser.flush()):
            writer.write(rest)

    steps.over("render", work)
    return Render(
        gain_db=gain_db,
        after=meter.finish(),
        opinion=opinion.finish(survey.songs.songs),
        limiting_max_db=limiter.deepest_db if limiter else 0.0,
        limited_s=limiter.limited_frames / rate if limiter else 0.0,
        dithered=quantiser.dithered,
        clipped_samples=quantiser.clipped_samples,
        histories=Histories(None, meter.history(), limiter.history() if limiter else None),
        seen=seen.finish() if seen else None,
    )
