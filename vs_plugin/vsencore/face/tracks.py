"""Where each face is, frame by frame: the tracks that a scan writes and the filter reads.

A track is one person within one shot. Its boxes and points are parts of the frame's width and
height, so they hold for a picture of any size; its frames are those of the scan's source.

The file is one JSON object: `encore` ("face tracks"), `version` (1), `rate` ("25/1"), `frames`,
`aspect`, and `tracks`, each with `id`, `first`, and the numbers of `boxes` (4 a frame), `points`
(10 a frame) and `trust` (1 a frame) in a row. It may come from anywhere, so all of it is checked.
"""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

__all__ = ["POINTS", "Face", "Track", "Tracks", "TracksError"]

Numbers = NDArray[np.float32]
Face = tuple[int, Numbers, Numbers, float]
"""A face at a moment: id, box (4,), points (5, 2), trust."""

POINTS = 5
"""Right eye, left eye, nose, right and left corner of the mouth, as the person has them."""

_WHAT, _VERSION = "face tracks", 1
_DIGITS = 5
# A face may hang out of the frame by its own size; a file may not ask for endless work.
_FARTHEST = 4.0
_MOST_FRAMES = 100_000_000
_BUCKET = 256


class TracksError(ValueError):
    """Tracks that cannot be read or make no sense: one line that says where and what."""


@dataclass(frozen=True, eq=False)
class Track:
    """One face, from frame `first` on, a row a frame; n >= 1 rows."""

    id: int
    first: int
    boxes: Numbers
    """(n, 4): left, top, width and height, as parts of the frame's width and height."""
    points: Numbers
    """(n, 5, 2): x and y of the five points, in the order of POINTS."""
    trust: Numbers
    """(n,): 1 where the detector saw the face, less the farther from there; see `follow`."""

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def last(self) -> int:
        """The last frame in which the face is."""
        return self.first + len(self) - 1

    def at(self, n: float) -> Face:
        """The face at a moment from `first` to just under `last` + 1, between frames in a line.

        The second field of the last frame lies after it: the last step is gone on with.
        """
        place = n - self.first
        before = min(int(place), max(len(self) - 2, 0))
        after = min(before + 1, len(self) - 1)
        share = np.float32(place - before if after > before else 0.0)

        def between(rows: Numbers) -> Numbers:
            return np.asarray(rows[before] + share * (rows[after] - rows[before]), np.float32)

        trust = float(np.clip(between(self.trust), 0, 1))
        return self.id, between(self.boxes), between(self.points), trust


@dataclass(frozen=True, eq=False)
class Tracks:
    """All faces of a recording."""

    rate: Fraction
    """Frames a second of the frames that are counted."""
    frames: int
    aspect: float
    """Width over height of the shown frame, in square pixels."""
    tracks: tuple[Track, ...]

    def at(self, n: float) -> list[Face]:
        """The faces at a moment, by id; n + 0.5 is halfway to the next frame."""
        near = self._buckets.get(math.floor(n) // _BUCKET, ())
        return [track.at(n) for track in near if track.first <= n < track.last + 1]

    def cropped(
        self, left: float = 0.0, right: float = 0.0, top: float = 0.0, bottom: float = 0.0
    ) -> Tracks:
        """The tracks of a picture whose sides were cut off; each a part of the width or height."""
        wide, tall = 1 - left - right, 1 - top - bottom
        if not (min(left, right, top, bottom) >= 0 and min(wide, tall) > 0):
            raise ValueError("cropped: sides are parts from 0 on that leave something of the frame")
        corner, size = np.array([left, top], np.float32), np.array([wide, tall], np.float32)
        cut = tuple(
            replace(
                track,
                boxes=np.concatenate(
                    [(track.boxes[:, :2] - corner) / size, track.boxes[:, 2:] / size], 1
                ),
                points=(track.points - corner) / size,
            )
            for track in self.tracks
        )
        return replace(self, aspect=self.aspect * wide / tall, tracks=cut)

    def save(self, path: str | Path) -> None:
        """Write the file in one step.

        Raises:
            TracksError: it cannot be written.
        """
        path = Path(path)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump(self._plain(), file, separators=(",", ":"))
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except OSError as error:
            raise TracksError(f"{path}: cannot be written ({error.strerror})") from error
        finally:
            with suppress(OSError):
                part.unlink()

    @classmethod
    def load(cls, path: str | Path) -> Tracks:
        """Read a file and check all of it.

        Raises:
            TracksError: it cannot be read, or is no such file; the message says where.
        """
        try:
            with Path(path).open(encoding="utf-8") as file:
                told = json.load(file, parse_constant=_refuse)
        except OSError as error:
            raise TracksError(f"{path}: cannot be read ({error.strerror})") from error
        except (ValueError, RecursionError) as error:
            reason = str(error) or "nested too deeply"
            raise TracksError(f"{path}: this is no file of face tracks ({reason})") from error
        try:
            return _checked(told)
        except TracksError as error:
            raise TracksError(f"{path}: {error}") from None

    @cached_property
    def _buckets(self) -> dict[int, list[Track]]:
        found: dict[int, list[Track]] = defaultdict(list)
        for track in sorted(self.tracks, key=lambda one: one.id):
            for bucket in range(track.first // _BUCKET, track.last // _BUCKET + 1):
                found[bucket].append(track)
        return dict(found)

    def _plain(self) -> dict[str, Any]:
        return {
            "encore": _WHAT,
            "version": _VERSION,
            "rate": f"{self.rate.numerator}/{self.rate.denominator}",
            "frames": self.frames,
            "aspect": round(self.aspect, _DIGITS),
            "tracks": [
                {
                    "id": track.id,
                    "first": track.first,
                    "boxes": _rounded(track.boxes),
                    "points": _rounded(track.points),
                    "trust": _rounded(track.trust),
                }
                for track in self.tracks
            ],
        }


def _rounded(numbers: Numbers) -> list[float]:
    values: list[float] = np.round(numbers.astype(np.float64), _DIGITS).ravel().tolist()
    return values


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _checked(told: Any) -> Tracks:
    if not isinstance(told, dict) or told.get("encore") != _WHAT:
        raise TracksError("this is no file of face tracks")
    if told.get("version") != _VERSION:
        raise TracksError(
            f"version {told.get('version')!r} of face tracks is not known; this Encore reads"
            f" version {_VERSION}: make them again with encore scan --faces"
        )
    rate = _rate(told.get("rate"))
    frames = _whole(told, "frames", "", 1, _MOST_FRAMES)
    aspect = told.get("aspect")
    if not isinstance(aspect, int | float) or not 0.1 <= aspect <= 10:
        raise TracksError(f"aspect must be a number from 0.1 to 10, not {aspect!r:.40}")
    listed = told.get("tracks")
    if not isinstance(listed, list):
        raise TracksError("tracks must be a list")
    tracks = tuple(_track(one, f"tracks[{n}]", frames) for n, one in enumerate(listed))
    if len({track.id for track in tracks}) < len(tracks):
        raise TracksError("two tracks have the same id")
    return Tracks(rate, frames, float(aspect), tracks)


def _rate(told: Any) -> Fraction:
    try:
        numerator, denominator = (int(part) for part in str(told).split("/"))
        rate = Fraction(numerator, denominator)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise TracksError(f'rate must be like "25/1", not {told!r:.40}')
    return rate


def _track(told: Any, where: str, frames: int) -> Track:
    if not isinstance(told, dict):
        raise TracksError(f"{where} must be an object")
    number = _whole(told, "id", where, 0, _MOST_FRAMES)
    first = _whole(told, "first", where, 0, frames - 1)
    trust = _numbers(told, "trust", where, 0.0, 1.0)
    count = len(trust)
    if not 1 <= count <= frames - first:
        raise TracksError(
            f"{where}: {count} frames from frame {first} on do not fit into {frames} frames"
        )
    boxes = _numbers(told, "boxes", where, -_FARTHEST, _FARTHEST, count * 4).reshape(-1, 4)
    points = _numbers(told, "points", where, -_FARTHEST, _FARTHEST, count * 2 * POINTS)
    if not (boxes[:, 2:] > 0).all():
        raise TracksError(f"{where}.boxes: widths and heights must be more than 0")
    return Track(number, first, boxes, points.reshape(-1, POINTS, 2), trust)


def _whole(told: dict[str, Any], name: str, where: str, least: int, most: int) -> int:
    value = told.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        name = f"{where}.{name}" if where else name
        raise TracksError(f"{name} must be a whole number from {least} to {most}")
    return value


def _numbers(
    told: dict[str, Any],
    name: str,
    where: str,
    least: float,
    most: float,
    count: int | None = None,
) -> Numbers:
    listed = told.get(name)
    where = f"{where}.{name}"
    if not isinstance(listed, list) or not all(type(one) in (int, float) for one in listed):
        raise TracksError(f"{where} must be a list of numbers")
    if count is not None and len(listed) != count:
        raise TracksError(f"{where} must hold {count} numbers, not {len(listed)}")
    if not all(least <= one <= most for one in listed):
        raise TracksError(f"{where} must lie between {least:g} and {most:g}")
    return np.array(listed, np.float32)
