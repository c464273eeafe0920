"""A master from a recording: heard once, repaired once, then played through gain and limiter.

Every pass streams, and what two passes share is put aside on disk, so memory is that of a few
seconds of sound however long the recording is. The first pass listens: levels, and what is damaged.
Then come the repair, where there is any; the stems, if they are asked for; the tone; and a pass for
the loudness, which gives the gain. The last one writes. Limiting takes a little loudness away, so
where the result falls short it is written again with what was missing, within bounds.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from .align import align
from .dither import Quantiser
from .downmix import Downmix
from .error import SoundError
from .gain import Gain
from .hiss import HissRepair
from .limiter import Limiter
from .loudness import Levels, Loudness, Meter
from .metadata import Metadata
from .mix import KeptStems, StemFiles, StemMix
from .noise import NoiseFinder, NoisePrint
from .opinion import SecondOpinion
from .page import Seen, write_page
from .presence import Presence
from .rate import Resampler
from .recipe import Recipe, Remix, recipe
from .repair import Findings, Listening, Repairs
from .report import Histories, MasterReport
from .scratch import Scratch
from .side_by_side import Together, ahead
from .signal import Block, Stage, exactly, through
from .songs import SongFinder, SongGain, Songs, song_offsets
from .spectrogram import Spectrogram, SpectrogramFinder
from .spectrum import LongTermSpectrum, SpectrumFinder
from .stems import RESIDUAL
from .stream import Damage, Reader, Writer, file_format, read_metadata
from .targets import Mastering, wanted_gain_db
from .tone import CURVES, Tone, ToneCurve, tone_curve
from .warp import AlignedReader, Alignment

__all__ = ["master"]

type Progress = Callable[[float, float | None], None]

_NEAR_LU = 0.08
_MOST_RENDERS = 3
# What limiting takes away is made up for by at most this much gain; more would be a limiter at work
# in every bar, which is another sound and not another level.
_MOST_PUSH_DB = 3.0
# How long the passes take against each other, as measured.
_SHARES = {
    "align": 0.5,
    "listen": 1.0,
    "repair": 2.0,
    "separate": 40.0,
    "remix": 1.0,
    "render": 1.5,
}


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
    job = _Job(
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
    steps = _Steps(progress, _passes(job))
    with ExitStack() as kept:
        if job.recipe.reference:
            job.alignment = steps.over("align", lambda tell: _aligned(job, tell))
        heard = _listen(job, steps)
        repairs = Repairs(job.recipe.repair, heard.findings, heard.rate_hz, len(heard.speakers))
        music: _Music = job
        if repairs.stages or job.alignment:
            music = kept.enter_context(_put_aside(job, heard, job, repairs.stages, "repair", steps))
        stem_names: tuple[str, ...] = ()
        if model is not None:
            music, stem_names = _remixed(job, heard, music, model, kept, steps)
        curve = _curve(job, heard, music)
        survey = _survey(job, heard, music, curve)
        render, renders = _levelled(job, heard, music, survey, steps)
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
        findings=heard.findings,
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


class _Music(Protocol):
    """What a pass reads: the source, or what an earlier pass put aside."""

    def blocks(self) -> Iterator[Block]:
        """All of it from the start."""
        ...


@dataclass
class _Job:
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
class _Heard:
    """What the first pass found."""

    rate_hz: int
    speakers: tuple[str, ...]
    frames: int
    start_s: float
    before: Levels
    findings: Findings
    history: Any
    seen: Spectrogram | None
    metadata: Metadata
    invalid_samples: int
    lost_s: float
    damage_count: int
    damage: tuple[Damage, ...]


@dataclass(frozen=True)
class _Survey:
    """What the last pass before the gain found, and how the sound gets there."""

    rate_hz: int
    speakers: tuple[str, ...]
    samples: int
    levels: Levels
    songs: Songs
    offsets_db: tuple[float, ...]
    finishing: Callable[[], list[Stage]]


@dataclass(frozen=True)
class _Render:
    """What one last pass gave."""

    gain_db: float
    after: Levels
    opinion: Any
    limiting_max_db: float
    limited_s: float
    dithered: bool
    clipped_samples: int
    histories: Histories
    seen: Spectrogram | None = field(repr=False)


class _Steps:
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


def _passes(job: _Job) -> list[str]:
    passes = ["listen", "repair", "render"]
    if job.recipe.reference:
        passes.insert(0, "align")
    if job.recipe.remix:
        passes += ["separate", "remix"]
    return passes


def _check(job: _Job, page: Path | None) -> None:
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


def _check_stems(job: _Job, remix: Remix, stems: Sequence[str]) -> None:
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


def _aligned(job: _Job, tell: Callable[[float], None]) -> Alignment:
    given = job.recipe.reference
    assert given is not None
    return align(
        job.source,
        given.file,
        source_track=job.track,
        reference_track=given.track,
        reference_start_s=job.start_s,
        reference_duration_s=job.duration_s,
        progress=tell,
    )


def _listen(job: _Job, steps: _Steps) -> _Heard:
    """The first pass: levels, damage, and what the repairs need to know."""

    def listen(tell: Callable[[float], None]) -> _Heard:
        with job.reader() as reader:
            rate, speakers = reader.sample_rate_hz, reader.speakers
            meter = Meter(rate, speakers)
            listening = Listening(rate, len(speakers), job.recipe.repair)
            seen = SpectrogramFinder(rate, len(speakers)) if job.wants_page else None
            frames = 0
            listeners = [meter, *listening.listeners, *([seen] if seen else [])]
            with Together(listeners) as together:
                for block in ahead(reader.blocks()):
                    together.add(block)
                    frames += len(block)
                    steps.length_s = reader.length_s
                    tell(frames / rate / reader.length_s if reader.length_s else 0.0)
            if not frames:
                raise SoundError(f"{job.source} has no sound after {job.start_s} s on its clock")
            steps.length_s = frames / rate
            start = reader.start_s if job.start_s is None else Fraction(job.start_s)
            return _Heard(
                rate,
                tuple(speakers),
                frames,
                float(start),
                meter.finish(),
                listening.finish(),
                meter.history(),
                seen.finish() if seen else None,
                _metadata(job, reader),
                reader.invalid_samples,
                reader.lost_s,
                reader.damage_count,
                tuple(sorted(reader.damage)),
            )

    return steps.over("listen", listen)


def _metadata(job: _Job, reader: Reader | AlignedReader) -> Metadata:
    """What the master says of itself: on another clock the titles alone."""
    if isinstance(reader, Reader):
        return reader.metadata
    titled = read_metadata(job.source, job.track)
    return replace(titled, midnight_s=None, ixml="", marks=())


def _put_aside(
    job: _Job, heard: _Heard, music: _Music, stages: Sequence[Stage], name: str, steps: _Steps
) -> Scratch:
    """A pass through stages into a scratch file."""

    def work(tell: Callable[[float], None]) -> Scratch:
        half = len(stages) // 2
        first = ahead(through(music.blocks(), stages[:half]))
        with ExitStack() as held:
            scratch = held.enter_context(Scratch(job.work, heard.rate_hz, heard.speakers))
            blocks = ahead(through(first, stages[half:]))
            with closing(blocks):
                for block in blocks:
                    scratch.write(block)
                    tell(scratch.frames / heard.frames)
            held.pop_all()
        return scratch

    return steps.over(name, work)


def _remixed(
    job: _Job, heard: _Heard, music: _Music, model: Any, kept: ExitStack, steps: _Steps
) -> tuple[_Music, tuple[str, ...]]:
    """Stems to files, then the mix of them, each through its own stages."""
    from .separate import LevelFinder, Separator

    remix = job.recipe.remix
    assert remix is not None
    rate, channels = heard.rate_hz, len(heard.speakers)
    level = LevelFinder(rate, heard.speakers)
    for block in music.blocks():
        level.add(block)
    separator = Separator(model, rate, heard.speakers, level.finish(), job.device)
    names = tuple(separator.stems)
    wants_mix = (
        any(remix.levels_db.values()) or bool(remix.voice_hiss) or bool(remix.voice_presence)
    )
    if not wants_mix and job.stems is None:
        return music, names
    folder: Any = nullcontext(job.stems)
    if job.stems is None:
        folder = tempfile.TemporaryDirectory(dir=job.work, prefix=".stems-")
    at = Path(kept.enter_context(folder))
    voice = names.index("vocals") if "vocals" in names else None
    finder = NoiseFinder(rate, channels) if remix.voice_hiss and voice is not None else None

    def separate(tell: Callable[[float], None]) -> None:
        with StemFiles(at, names, rate, channels, heard.frames) as files:

            def tap(stems: Any) -> None:
                files.write(stems)
                if finder is not None:
                    finder.add(stems[..., voice])

            done = 0
            mix = StemMix(separator, rate, channels, {}, {}, tap)
            for block in music.blocks():
                mix.process(block)
                done += len(block)
                tell(done / heard.frames)
            mix.flush()
            files.commit()

    steps.over("separate", separate)
    if not wants_mix:
        return music, names
    chains = _chains(remix, finder, rate, channels)
    with KeptStems(at, names, rate, channels) as stems:
        mix = StemMix(stems, rate, channels, chains, remix.levels_db)
        return kept.enter_context(_put_aside(job, heard, music, [mix], "remix", steps)), names


def _chains(
    remix: Remix, finder: NoiseFinder | None, rate_hz: int, channels: int
) -> dict[str, list[Stage]]:
    """The stages of single stems: so far, the voice has some."""
    voice: list[Stage] = []
    if finder is not None:
        noise: NoisePrint = finder.finish()
        amount = 1.0 if remix.voice_hiss == "auto" else float(remix.voice_hiss)
        voice.append(HissRepair(rate_hz, channels, noise, amount))
    if remix.voice_presence:
        voice.append(Presence(rate_hz, channels, remix.voice_presence))
    return {"vocals": voice} if voice else {}


def _curve(job: _Job, heard: _Heard, music: _Music) -> ToneCurve | None:
    """The tone's curve, from the sound as it is by now; None where none is asked for."""
    tone = job.recipe.tone
    if tone is None or tone.flat:
        return None
    target: LongTermSpectrum | str | None = None
    if tone.match is not None:
        target = str(tone.match)
        if target not in CURVES:
            with Reader(tone.match) as reader:
                target = _spectrum(reader, reader.sample_rate_hz, reader.speakers)
    own = _spectrum(music, heard.rate_hz, heard.speakers)
    return tone_curve(own, target, tone.amount, tone.most_db, tone.tilt_db)


def _spectrum(music: _Music, rate_hz: int, speakers: Sequence[str]) -> LongTermSpectrum:
    finder = SpectrumFinder(rate_hz, speakers)
    for block in ahead(music.blocks()):
        finder.add(block)
    return finder.finish()


def _survey(job: _Job, heard: _Heard, music: _Music, curve: ToneCurve | None) -> _Survey:
    """Loudness and songs of what goes into the gain."""
    speakers = heard.speakers
    if job.recipe.downmix:
        speakers = Downmix(speakers, job.recipe.downmix).speakers
    rate = job.rate_hz or heard.rate_hz

    def finishing() -> list[Stage]:
        stages: list[Stage] = []
        if curve is not None and job.recipe.tone is not None:
            stages.append(Tone(heard.rate_hz, heard.speakers, curve, job.recipe.tone.phase))
        if job.recipe.downmix:
            stages.append(Downmix(heard.speakers, job.recipe.downmix))
        if rate != heard.rate_hz:
            stages.append(Resampler(heard.rate_hz, rate, len(speakers)))
        return stages

    wanted = job.recipe.mastering
    songs = SongFinder(rate, speakers)
    meter: Loudness | Meter = (
        Meter(rate, speakers) if wanted.anchor == "peak" else Loudness(rate, speakers)
    )
    samples = 0
    with Together([songs, meter]) as together:
        for block in ahead(through(music.blocks(), finishing())):
            together.add(block)
            samples += len(block)
    if job.duration_s is not None and job.alignment is None:
        samples = round(Fraction(job.duration_s) * rate)
    found = songs.finish()
    levels = _levels(meter)
    offsets: tuple[float, ...] = ()
    if wanted.mode == "song" and len(found.songs) > 1:
        offsets = song_offsets(found.songs, wanted.song_range_db)

    def with_songs() -> list[Stage]:
        stages = finishing()
        if any(offsets):
            stages.append(SongGain(rate, found.songs, offsets))
        return stages

    if any(offsets):
        again = Loudness(rate, speakers)
        for block in ahead(through(music.blocks(), with_songs())):
            again.add(block)
        levels = _levels(again)
    return _Survey(rate, speakers, samples, levels, found, offsets, with_songs)


def _levels(meter: Loudness | Meter) -> Levels:
    if isinstance(meter, Meter):
        return meter.finish()
    return Levels(meter.finish(), None, None, None, None)


def _levelled(
    job: _Job, heard: _Heard, music: _Music, survey: _Survey, steps: _Steps
) -> tuple[_Render, int]:
    """The last pass, until the loudness is met or the bounds are; the file then has its name."""
    wanted, measured = job.recipe.mastering, survey.levels.integrated_lufs
    linear = wanted_gain_db(wanted, survey.levels, survey.songs.loudest_lufs)
    most = min(linear + _MOST_PUSH_DB, max(linear, wanted.max_gain_db))
    metadata = heard.metadata
    if (survey.rate_hz, survey.speakers) != (heard.rate_hz, heard.speakers):
        metadata = replace(metadata, ixml="")
    gain, slope = linear, 1.0
    last: _Render | None = None
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
    job: _Job, music: _Music, survey: _Survey, gain_db: float, writer: Writer, steps: _Steps
) -> _Render:
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
        with Together([meter, opinion, *([seen] if seen else [])]) as together:
            for block in ahead(blocks):
                writer.write(quantiser.process(block))
                together.add(block)
                done += len(block)
                tell(done / survey.samples)
        if len(rest := quantiser.flush()):
            writer.write(rest)

    steps.over("render", work)
    return _Render(
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
