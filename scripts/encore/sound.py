"""The sound streams' facts: their shape and clock from the decoder, their health from the meter."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from encore.facts import SoundFacts, StreamFacts

__all__ = ["sound_facts"]

_PATIENCE_PACKETS = 200


def sound_facts(media: Path, stream: StreamFacts, track: int) -> SoundFacts:
    """What one sound stream is; the start is that of the first sample that decodes."""
    with av.open(str(media)) as container:
        audio = container.streams.audio[track]
        context = audio.codec_context
        start = _first_sample_s(container, audio)
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
            start_s=start if start is not None else stream.start_s or 0.0,
            duration_s=_length_s(stream, start),
        )


def _first_sample_s(container: av.container.InputContainer, audio: av.AudioStream) -> float | None:
    """Decoders drop an encoder's priming samples: the packet's time is not the sample's."""
    for count, packet in enumerate(container.demux(audio)):
        if count > _PATIENCE_PACKETS:
            return None
        try:
            for frame in packet.decode():
                if frame.pts is not None and frame.samples and frame.time_base is not None:
                    base = frame.time_base
                    return float(frame.pts * Fraction(base.numerator, base.denominator))
        except av.FFmpegError:
            continue
    return None


def _length_s(stream: StreamFacts, start: float | None) -> float:
    if stream.duration_s is None:
        return 0.0
    if start is None or stream.start_s is None:
        return stream.duration_s
    return max(0.0, stream.duration_s - (start - stream.start_s))
