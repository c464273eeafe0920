"""The sound streams' facts: shape from the container, clock and health from the meter."""

from __future__ import annotations

from pathlib import Path

import av

from encore.facts import Damage, Hum, SoundFacts, StreamFacts
from encoreaudio.error import SoundError
from encoreaudio.health import SoundHealth, measure

__all__ = ["sound_facts"]

_WHOLE_UP_TO_S = 600.0
_STRETCHES, _STRETCH_S = 12, 20.0
_SAME_PLACE_S = 1.0


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
    hum = health.hum
    measured = {
        "start_s": begun,
        "duration_s": start + length - begun if stretches else health.seconds,
        "measured_s": health.seconds,
        "loudness_lufs": health.loudness_lufs,
        "loudness_range_lu": health.range_lu,
        "true_peak_dbtp": health.true_peak_dbtp,
        "clipped_samples": health.clipped_samples,
        "hum": hum and Hum(mains_hz=hum.frequency_hz, level_dbfs=hum.level_dbfs),
    }
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
