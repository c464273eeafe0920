"""What the sound package is told and asked: a preset as its recipe, a stream's facts.

A stream's shape comes from the container, its clock and its health from the meters.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import av

from encore.encode import SOUND_SUFFIXES, sound_codec
from encore.errors import RequestError
from encore.facts import Damage, Hum, SoundFacts, StreamFacts
from encore.preset import Preset
from encoreaudio.error import SoundError
from encoreaudio.health import SoundHealth, measure
from encoreaudio.recipe import Recipe, Reference, Remix, ToneTarget
from encoreaudio.repair import Repair
from encoreaudio.stems import RESIDUAL
from encoreaudio.stream import Reader
from encoreaudio.targets import Mastering, ceiling_for
from encoreaudio.tone import CURVES

if TYPE_CHECKING:
    from encore.job import Request

__all__ = ["check_sound", "sound_facts", "sound_recipe"]

_WHOLE_UP_TO_S = 600.0
_STRETCHES, _STRETCH_S = 12, 20.0
_SAME_PLACE_S = 1.0
# Clean music has up to twenty places a minute that a click might be.
_CLICKS_WORTH_TELLING = 20.0


def sound_recipe(
    preset: Preset, suffix: str, channels: int, align: Path | None = None, fill: bool = False
) -> Recipe:
    """What a preset asks of the sound, for a result of this suffix.

    The ceiling of a master that goes through AAC or Opus leaves room for what decoding adds.
    """
    sound, encode = preset.sound, preset.encode
    codec = "pcm" if suffix in SOUND_SUFFIXES else sound_codec(encode, suffix)
    if sound.downmix != "none":
        channels = 2 if sound.downmix == "stereo" else 1
    loudness = sound.loudness
    mastering = Mastering(
        target_lufs=None if loudness.target_lufs == "none" else loudness.target_lufs,
        ceiling_dbtp=ceiling_for(codec, encode.audio_kbps, loudness.ceiling_dbtp, channels),
        mode=loudness.mode,
        song_range_db=loudness.song_range_db,
        anchor=loudness.anchor,
    )
    told = sound.repair.model_dump(exclude={"hiss_print"})
    given = sound.repair.hiss_print
    separate, tone = sound.separate, sound.tone
    return Recipe(
        mastering=mastering,
        repair=Repair(**told, hiss_print_s=None if given == "auto" else given),
        remix=None
        if separate.model == "none"
        else Remix(
            separate.model, sound.mix.levels_db, separate.voice_hiss, separate.voice_presence
        ),
        tone=ToneTarget(
            None if tone.match == "none" else tone.match, tone.amount, tilt_db=tone.tilt_db
        ),
        downmix=None if sound.downmix == "none" else sound.downmix,
        reference=None if align is None else Reference(align, fill=fill),
        dither=sound.dither,
    )


def check_sound(preset: Preset, request: Request) -> None:
    """Raise RequestError for what a sound chain wants and is not here, or what it would destroy."""
    align, stems = request.align, request.stems
    match, model = preset.sound.tone.match, preset.sound.separate.model
    used = {"source": request.source, "output": request.output}
    if align is not None:
        _check_heard("--align", align)
        used["file of --align"] = align
    if match != "none" and match not in CURVES:
        if not Path(match).exists():
            raise RequestError(
                f"sound.tone.match: {match!r} is neither a file nor one of none, "
                f"{', '.join(CURVES)}"
            )
        _check_heard("sound.tone.match", Path(match))
        used["file of sound.tone.match"] = Path(match)
    for name, path in used.items():
        if name != "output" and _same(path, request.output):
            raise RequestError(f"the output would take the place of the {name}; name another file")
    if stems is not None and model == "none":
        raise RequestError("--stems: there are none; set sound.separate.model (htdemucs)")
    try:
        wanted = sound_recipe(preset, ".wav", 2, align)
    except SoundError as error:
        raise RequestError(f"sound: {error}") from error
    if wanted.remix is not None:
        from encoreaudio.weights import load_model  # with torch, which takes its time

        try:
            known = (*load_model(model).sources, RESIDUAL)
        except SoundError as error:
            raise RequestError(f"sound.separate.model: {error}") from error
        for name in wanted.remix.levels_db:
            if name not in known:
                raise RequestError(
                    f"sound.mix.{name}_db: {model} has no such stem; it has {', '.join(known)}"
                )
        for file in () if stems is None else [stems / f"{name}.wav" for name in known]:
            for name, path in used.items():
                if _same(path, file):
                    raise RequestError(f"--stems: {file} would take the place of the {name}")
            if file.exists() and not request.overwrite:
                raise RequestError(f"--stems: {file} exists; give --overwrite, or another folder")


def _check_heard(what: str, file: Path) -> None:
    try:
        with Reader(file):
            pass
    except SoundError as error:
        raise RequestError(f"{what}: {error}") from error


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def sound_facts(
    media: Path, stream: StreamFacts, track: int, *, full: bool
) -> tuple[SoundFacts, list[Damage]]:
    """What one sound stream is, and what of it is lost.

    A stream longer than ten minutes is measured in stretches spread over it, unless `full`. It
    starts where the decoder's first sample lies, which is not always where its first packet does.
    """
    start, length = stream.start_s or 0.0, stream.duration_s or 0.0
    stretches = None if full or length <= _WHOLE_UP_TO_S else _stretches(start, length)
    shape = _shape(media, stream, track, start, length)
    try:
        health = measure(media, track=track, segments=stretches)
    except SoundError as error:
        lost = Damage(at_s=start, what=f"sound {stream.index} does not decode: {error}")
        return shape, [lost]
    begun = health.start_s if stream.start_s is not None else start
    found = health.findings
    hum, noise, azimuth, polarity = found.hum, found.noise, found.azimuth, found.polarity
    measured: dict[str, object] = {
        "start_s": begun,
        "duration_s": start + length - begun if stretches else health.seconds,
        "measured_s": health.seconds,
        "loudness_lufs": health.loudness_lufs,
        "loudness_range_lu": health.range_lu,
        "true_peak_dbtp": health.true_peak_dbtp,
        "clipped_samples": found.clipping.samples,
        "hum": hum and Hum(mains_hz=hum.frequency_hz, level_dbfs=hum.level_dbfs),
        "bandwidth_hz": found.bandwidth.cutoff_hz,
    }
    if noise and max(noise.level_dbfs) > -math.inf:
        measured["noise_dbfs"] = max(noise.level_dbfs)
    if azimuth and azimuth.matters:
        measured["azimuth_samples"] = azimuth.delay_samples
    if health.clicks.per_minute >= _CLICKS_WORTH_TELLING:
        measured["clicks_per_minute"] = health.clicks.per_minute
    if polarity:
        measured |= {"inverted": polarity.inverted, "dead_channel": polarity.dead}
    return shape.model_copy(update=measured), _losses(stream.index, health, stretches)


def _shape(media: Path, stream: StreamFacts, track: int, start: float, length: float) -> SoundFacts:
    with av.open(str(media)) as container:
        context = container.streams.audio[track].codec_context
        return SoundFacts(
            stream=stream.index,
            track=track,
            codec=context.name,
            rate_hz=context.sample_rate,
            channels=context.layout.nb_channels,
            layout=context.layout.name,
            language=stream.language,
            title=stream.title,
            default=stream.default,
            start_s=start,
            duration_s=length,
        )


def _stretches(start: float, length: float) -> list[tuple[float, float]]:
    """Stretches spread over a stream, its beginning and its end among them."""
    step = (length - _STRETCH_S) / (_STRETCHES - 1)
    return [(start + n * step, _STRETCH_S) for n in range(_STRETCHES)]


def _losses(
    index: int, health: SoundHealth, stretches: list[tuple[float, float]] | None
) -> list[Damage]:
    """The meter's remarks on the source's clock, those of one place as one."""
    found: list[Damage] = []
    for remark in health.damage:
        at = _on_clock(remark.at_s, health, stretches)
        if found and found[-1].at_s is not None and at - found[-1].at_s < _SAME_PLACE_S:
            continue
        found.append(Damage(at_s=at, what=f"sound {index}: {remark.what}"))
    return found


def _on_clock(
    measured_s: float, health: SoundHealth, stretches: list[tuple[float, float]] | None
) -> float:
    if stretches is None:
        return health.start_s + measured_s
    start, _ = stretches[min(int(measured_s / _STRETCH_S), len(stretches) - 1)]
    return start + measured_s % _STRETCH_S
