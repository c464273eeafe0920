"""The passes over a recording that come before its master is written."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from .align import align
from .downmix import Downmix
from .error import SoundError
from .hiss import HissRepair
from .job import Heard, Job, Music, Steps, Survey
from .loudness import Levels, Loudness, Meter
from .metadata import Metadata
from .mix import KeptStems, StemFiles, StemMix
from .noise import NoiseFinder, NoisePrint
from .presence import Presence
from .rate import Resampler
from .recipe import Remix
from .repair import Listening
from .scratch import Scratch
from .side_by_side import BEHIND, Together, ahead
from .signal import Finder, Stage, through
from .songs import SongFinder, SongGain, song_offsets
from .spectrogram import SpectrogramFinder
from .spectrum import LongTermSpectrum, SpectrumFinder
from .stream import Reader, read_metadata
from .tone import CURVES, Tone, ToneCurve, tone_curve
from .warp import AlignedReader, Alignment

__all__ = [
    "aligned",
    "listen",
    "put_aside",
    "remixed",
    "songs_of_repair",
    "surveyed",
    "tone_towards",
]


def aligned(job: Job, tell: Callable[[float], None]) -> Alignment:
    """Where the source lies on the reference's clock."""
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


def listen(job: Job, steps: Steps) -> Heard:
    """The first pass: levels, damage, and what the repairs need to know."""

    def listen(tell: Callable[[float], None]) -> Heard:
        with job.reader() as reader:
            rate, speakers = reader.sample_rate_hz, reader.speakers
            meter = Meter(rate, speakers)
            listening = Listening(rate, len(speakers), job.recipe.repair)
            seen = SpectrogramFinder(rate, len(speakers)) if job.wants_page else None
            frames = 0
            listeners = [meter, *listening.listeners, *([seen] if seen else [])]
            with Together(listeners, BEHIND) as together:
                for block in ahead(reader.blocks()):
                    together.add(block)
                    frames += len(block)
                    steps.length_s = reader.length_s
                    tell(frames / rate / reader.length_s if reader.length_s else 0.0)
            if not frames:
                raise SoundError(f"{job.source} has no sound after {job.start_s} s on its clock")
            steps.length_s = frames / rate
            start = reader.start_s if job.start_s is None else Fraction(job.start_s)
            return Heard(
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


def _metadata(job: Job, reader: Reader | AlignedReader) -> Metadata:
    """What the master says of itself: on another clock the titles alone."""
    if isinstance(reader, Reader):
        return reader.metadata
    titled = read_metadata(job.source, job.track)
    return replace(titled, midnight_s=None, ixml="", marks=())


def put_aside(
    job: Job,
    heard: Heard,
    music: Music,
    stages: Sequence[Stage],
    name: str,
    steps: Steps,
    listeners: Sequence[Finder[Any]] = (),
) -> Scratch:
    """A pass through stages into a scratch file; the listeners hear what goes there."""

    def work(tell: Callable[[float], None]) -> Scratch:
        # Each stage in a thread of its own, for some work in bursts of many seconds.
        blocks = ahead(through(music.blocks(), stages[:1]))
        for stage in stages[1:]:
            blocks = ahead(through(blocks, [stage]))
        with ExitStack() as held:
            scratch = held.enter_context(Scratch(job.work, heard.rate_hz, heard.speakers))
            with Together(listeners, BEHIND) as together, closing(blocks):
                for block in blocks:
                    together.add(block)
                    scratch.write(block)
                    tell(scratch.frames / heard.frames)
            held.pop_all()
        return scratch

    return steps.over(name, work)


def remixed(
    job: Job, heard: Heard, music: Music, model: Any, kept: ExitStack, steps: Steps
) -> tuple[Music, tuple[str, ...]]:
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
        return kept.enter_context(put_aside(job, heard, music, [mix], "remix", steps)), names


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


def tone_towards(job: Job, heard: Heard, music: Music) -> ToneCurve | None:
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


def _spectrum(music: Music, rate_hz: int, speakers: Sequence[str]) -> LongTermSpectrum:
    finder = SpectrumFinder(rate_hz, speakers)
    for block in ahead(music.blocks()):
        finder.add(block)
    return finder.finish()


def songs_of_repair(job: Job, heard: Heard) -> SongFinder | None:
    """Who may hear the repaired sound, where that is what goes into the gain, and tells all."""
    asked = job.recipe
    changes = (asked.remix, asked.downmix, asked.tone and not asked.tone.flat)
    other_rate = job.rate_hz not in (None, heard.rate_hz)
    if any(changes) or other_rate or asked.mastering.anchor == "peak":
        return None
    return SongFinder(heard.rate_hz, heard.speakers)


def surveyed(
    job: Job, heard: Heard, music: Music, curve: ToneCurve | None, songs: SongFinder | None
) -> Survey:
    """Loudness and songs of what goes into the gain; `songs` has heard it already."""
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
    meter = Meter(rate, speakers) if wanted.anchor == "peak" else None
    samples = heard.frames
    if songs is None:
        songs, samples = SongFinder(rate, speakers), 0
        with Together([songs, *([meter] if meter else [])], BEHIND) as together:
            for block in ahead(through(music.blocks(), finishing())):
                together.add(block)
                samples += len(block)
    if job.duration_s is not None and job.alignment is None:
        samples = round(Fraction(job.duration_s) * rate)
    found = songs.finish()
    levels = meter.finish() if meter else _loud(found.programme_lufs)
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
        levels = _loud(again.finish())
    return Survey(rate, speakers, samples, levels, found, offsets, with_songs)


def _loud(lufs: float | None) -> Levels:
    return Levels(lufs, None, None, None, None)
