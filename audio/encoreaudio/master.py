"""A master from a recording: heard once, repaired once, then played through gain and limiter.

Every pass streams, and what two passes share is put aside on disk, so memory is that of a few
seconds of sound however long the recording is. The first pass listens: levels, and what is damaged.
Then come the repair, where there is any; the stems, if they are asked for; the tone; and a pass for
the loudness, which gives the gain. The last one writes. Limiting takes a little loudness away, so
where the result falls short it is written again with what was missing, within bounds.
"""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from .error import SoundError
from .job import Job, Music, Progress, Steps
from .page import Seen, write_page
from .passes import aligned, listen, put_aside, remixed, songs_of_repair, surveyed, tone_towards
from .recipe import Recipe, Remix, recipe
from .render import levelled
from .repair import Repairs
from .report import MasterReport
from .stems import RESIDUAL
from .stream import Reader, file_format
from .targets import Mastering
from .tone import CURVES

__all__ = ["master"]


def master(
    source: str | Path,
    target: str | Path,
    preset: str | Mastering | Recipe = "streaming",
    *,
    track: int = 0,
    start_s: float | None = None,
    duration_s: float | Fraction | None = None,
    sample_rate_hz: int | None = None,
    subtype: str = "auto",
    device: str = "auto",
    work: str | Path | None = None,
    stems: str | Path | None = None,
    page: str | Path | None = None,
    progress: Progress | None = None,
) -> MasterReport:
    """Master one sound track of `source` into the sound file `target`.

    preset: a name of `PRESETS`, or all that shall be done. track: counted among the sound streams.
    start_s: where on the container's clock the master begins (None: where the track begins);
    silence is put before a track that begins later. duration_s: exact length (None: to the track's
    end). With a reference both are on its clock. sample_rate_hz: None keeps the source's. subtype:
    PCM_16, PCM_24, FLOAT, or auto, which is PCM_24. device: where stems are separated. work: a
    folder for what is put aside (None: the target's), 4 bytes a sample, and as much again for each
    stem. stems: a folder that the stems go to. page: an HTML page of what was heard and done.
    progress: called with seconds done and seconds in all.

    With neither start_s, duration_s, reference nor sample_rate_hz, as many samples come out as go
    in. Raises SoundError; then there is no file under the target's name that was not there before.
    """
    began = time.monotonic()
    job = Job(
        Path(source),
        Path(target),
        recipe(preset),
        track,
        start_s,
        duration_s,
        sample_rate_hz,
        "PCM_24" if subtype == "auto" else subtype,
        device,
        Path(work) if work is not None else Path(target).parent,
        None if stems is None else Path(stems),
        page is not None,
    )
    _check(job, None if page is None else Path(page))
    model = None
    if job.recipe.remix:
        from .weights import load_model  # with torch, which takes seconds and half a GiB

        model = load_model(job.recipe.remix.model)
        _check_stems(job, job.recipe.remix, (*model.sources, RESIDUAL))
    steps = Steps(progress, _passes(job))
    with ExitStack() as kept:
        if job.recipe.reference:
            job.alignment = steps.over("align", lambda tell: aligned(job, tell))
        heard = listen(job, steps)
        repairs = Repairs(job.recipe.repair, heard.findings, heard.rate_hz, len(heard.speakers))
        music: Music = job
        songs = None
        if repairs.stages or job.alignment:
            songs = songs_of_repair(job, heard)
            listeners = [songs] if songs else []
            music = kept.enter_context(
                put_aside(job, heard, job, repairs.stages, "repair", steps, listeners)
            )
        stem_names: tuple[str, ...] = ()
        if model is not None:
            music, stem_names = remixed(job, heard, music, model, kept, steps)
        curve = tone_towards(job, heard, music)
        survey = surveyed(job, heard, music, curve, songs)
        render, renders = levelled(job, heard, music, survey, steps)
    report = MasterReport(
        source=str(source),
        target=str(target),
        track=track,
        recipe=job.recipe,
        samples=survey.samples,
        sample_rate_hz=survey.rate_hz,
        channels=len(survey.speakers),
        speakers=survey.speakers,
        subtype=job.subtype,
        duration_s=survey.samples / survey.rate_hz,
        start_s=heard.start_s,
        before=heard.before,
        after=render.after,
        opinion=render.opinion,
        findings=heard.findings.told,
        repairs=repairs.done(),
        clicks=tuple(repairs.clicks),
        alignment=job.alignment,
        stems=stem_names,
        tone=curve,
        songs=survey.songs.songs,
        song_offsets_db=survey.offsets_db,
        gain_db=render.gain_db,
        limiting_max_db=render.limiting_max_db,
        limited_s=render.limited_s,
        dithered=render.dithered,
        invalid_samples=heard.invalid_samples,
        clipped_samples=render.clipped_samples,
        lost_s=heard.lost_s,
        damage_count=heard.damage_count,
        damage=heard.damage,
        histories=replace(render.histories, before=heard.history),
        renders=renders,
        took_s=time.monotonic() - began,
    )
    if page is not None:
        write_page(Path(page), report, Seen(heard.seen, render.seen))
    return report


def _passes(job: Job) -> list[str]:
    passes = ["listen", "repair", "render"]
    if job.recipe.reference:
        passes.insert(0, "align")
    if job.recipe.remix:
        passes += ["separate", "remix"]
    return passes


def _check(job: Job, page: Path | None) -> None:
    """Refuse now what could only fail after minutes of work."""
    file_format(job.target, job.subtype)
    for folder in {job.target.parent, job.work, *([page.parent] if page else [])}:
        if not folder.is_dir():
            raise SoundError(f"the folder {folder} does not exist")
        if not os.access(folder, os.W_OK):
            raise SoundError(f"the folder {folder} may not be written to")
    if job.target.exists():
        if not job.target.is_file():
            raise SoundError(f"{job.target} is not a file that can be replaced")
        if job.source.exists() and job.target.samefile(job.source):
            raise SoundError(f"{job.target} is the source itself; give another name")
    if job.duration_s is not None and not job.duration_s > 0:
        raise SoundError(f"duration_s is {job.duration_s}; it must be more than 0")
    if job.rate_hz is not None and not 8000 <= job.rate_hz <= 384000:
        raise SoundError(f"sample_rate_hz is {job.rate_hz}; it may be 8000 to 384000")
    if job.stems is not None and job.recipe.remix is None:
        raise SoundError("there are no stems to write; choose a model that separates them")
    tone = job.recipe.tone
    if tone and not tone.flat and tone.match is not None and str(tone.match) not in CURVES:
        if not Path(tone.match).is_file():
            raise SoundError(
                f"tone match {str(tone.match)!r} is neither a file nor one of {', '.join(CURVES)}"
            )
        with Reader(tone.match):
            pass


def _check_stems(job: Job, remix: Remix, stems: Sequence[str]) -> None:
    for name in remix.levels_db:
        if name not in stems:
            raise SoundError(f"there is no stem {name!r}; there are: {', '.join(stems)}")
    if job.stems is None:
        return
    try:
        job.stems.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SoundError(f"{job.stems} cannot be made ({error.strerror})") from error
    mine = {job.source.resolve(): "source", job.target.resolve(): "target"}
    for name in stems:
        path = job.stems / f"{name}.wav"
        if path.resolve() in mine:
            raise SoundError(
                f"the stem {path} would take the {mine[path.resolve()]}'s place; "
                "give another folder for the stems"
            )
