"""Decodes a picture stream once from end to end, and hears what the decoder complains of, and when.

Damage inside a container without packet checks shows nowhere else: the decoder conceals it, and
goes on. Its complaints are counted packet by packet, so that they have times.
"""

from __future__ import annotations

from pathlib import Path

import av
import av.logging

from encore.facts import Damage, Scan
from encore.progress import Reporter

__all__ = ["complaints", "decoded_throughout"]

_ONE_PLACE_S = 1.0
_MOST_PLACES = 200


def complaints(media: Path, stream: int, frames: int, reporter: Reporter) -> list[Damage]:
    """Where the decoder of a picture stream complains; complaints within a second are one place.

    `frames` is how many the stream has, for the progress. What does not open gives no complaint:
    that was said before.
    """
    places: list[tuple[float, float, int]] = []
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with (
            av.logging.Capture() as said,
            av.open(str(media)) as container,
            reporter.stage("decode", unit="frames") as update,
        ):
            picture = container.streams[stream]
            # One thread, and this one: only its complaints are heard here, and in their order.
            picture.codec_context.thread_count = 1
            done = 0
            said.clear()
            for packet in container.demux(picture):
                try:
                    done += len(packet.decode())
                    failed = 0
                except av.FFmpegError:
                    failed = 1
                count = len(said) + failed
                said.clear()
                if count and packet.pts is not None and packet.time_base is not None:
                    _note(places, float(packet.pts * packet.time_base), count)
                update(done, frames)
    except (av.FFmpegError, IndexError):
        pass
    finally:
        av.logging.set_level(before)
    return [
        Damage(
            at_s=first, what=f"picture: {count} complaints of the decoder in {last - first:.2f} s"
        )
        for first, last, count in places
    ]


def decoded_throughout(scan: Scan, reporter: Reporter) -> Scan:
    """The scan with the complaints of its picture's decoder among its damage."""
    if scan.picture is None:
        return scan
    found = complaints(Path(scan.media), scan.picture.stream, scan.picture.frames, reporter)
    damage = sorted([*scan.damage, *found], key=lambda one: one.at_s or 0.0)
    return scan.model_copy(update={"damage": damage})


def _note(places: list[tuple[float, float, int]], at_s: float, count: int) -> None:
    if places and at_s - places[-1][1] <= _ONE_PLACE_S:
        first, last, before = places[-1]
        places[-1] = (first, max(last, at_s), before + count)
    elif len(places) < _MOST_PLACES:
        places.append((at_s, at_s, count))
