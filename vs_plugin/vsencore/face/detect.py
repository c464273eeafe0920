"""Faces in one picture: a box and five points each.

Two detectors give the same thing. `YuNet` (Wu, Peng and Yu, A Tiny Millisecond-level Face Detector,
Machine Intelligence Research 2023) is fetched once (`encore models get yunet`) and finds frontal
and turned faces from about 8 pixels. `Cascades` are the boosted cascades of Viola and Jones (2001)
that come inside OpenCV, so nothing is fetched: frontal faces and full profiles, few that are
tilted, half turned or covered, now and then what is no face, at five times the cost; and points
that are only where a face has them on average, but for the eyes where those are found.

A stage is dark and lit in one colour: `lifted` raises each neighbourhood first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import cv2
import cv2.data
import numpy as np
from numpy.typing import NDArray

from ..zoo import ZooError, located
from ..zoo.library import kept

__all__ = ["Cascades", "Detection", "Detector", "Name", "Picture", "YuNet", "detector", "lifted"]

Picture = NDArray[np.uint8]
"""R'G'B', (height, width, 3), of square pixels."""
Name = Literal["auto", "yunet", "cascades"]


@dataclass(frozen=True, eq=False)
class Detection:
    """One face, in pixels of the picture."""

    box: NDArray[np.float32]
    """(4,): left, top, width, height; from the brow to the chin."""
    points: NDArray[np.float32]
    """(5, 2): right eye, left eye, nose, right and left corner of the mouth, of the person."""
    score: float
    """0..1; what is under 0.6 is rather no face, unless one was there a moment ago."""


class Detector(Protocol):
    """What finds faces."""

    @property
    def name(self) -> str:
        """As `detector` takes it."""

    def find(self, picture: Picture) -> list[Detection]:
        """The faces in a picture, the surest first."""


def detector(name: Name = "auto") -> Detector:
    """A detector by name; "auto" is YuNet where it was fetched, else the cascades.

    Raises:
        ZooError: "yunet" was asked for and is not here, or it is damaged.
    """
    if name not in ("auto", "yunet", "cascades"):
        raise ValueError(f"a face detector is auto, yunet or cascades, not {name!r}")
    if name == "yunet" or (name == "auto" and any(one.name == "yunet" for one in kept())):
        return YuNet(located("yunet"))
    return Cascades()


def lifted(picture: Picture) -> Picture:
    """The picture with every neighbourhood raised to half light: for finding, not for showing.

    The gain follows the brightest of a neighbourhood of a sixth of the height, so that a lit face
    before a black hall keeps its light, and a dim one gets it; 10 at most: beyond is noise.
    """
    height, width = picture.shape[:2]
    small = cv2.resize(
        picture, (max(8, width // 8), max(8, height // 8)), interpolation=cv2.INTER_AREA
    )
    light = small.max(2).astype(np.float32)
    reach = 2 * max(1, round(light.shape[0] / 12)) + 1
    bright = cv2.dilate(light, np.ones((reach, reach), np.uint8))
    bright = cv2.blur(bright, (reach, reach), borderType=cv2.BORDER_REPLICATE)
    gain = np.clip(_LIGHT / np.maximum(bright, 1), 1, _MOST_GAIN)
    if float(gain.max()) < 1.05:
        return picture
    drawn = cv2.resize(gain.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    raised: Picture = np.minimum(picture * drawn[..., None], 255).astype(np.uint8)
    return raised


# YuNet sees down to a third of full light by itself; more gain than needed makes faces of folds.
_LIGHT, _MOST_GAIN = 120.0, 10.0


class YuNet:
    """The network YuNet, run by OpenCV."""

    name = "yunet"

    def __init__(self, path: Path, least_score: float = 0.3) -> None:
        self._net = cv2.FaceDetectorYN.create(
            "onnx",
            np.frombuffer(_with_fixed_size(path.read_bytes()), np.uint8),
            np.empty(0, np.uint8),
            (320, 320),
            least_score,
        )

    def find(self, picture: Picture) -> list[Detection]:
        """The faces in a picture, the surest first."""
        self._net.setInputSize((picture.shape[1], picture.shape[0]))
        # It was taught on pictures as OpenCV has them: blue first.
        _, rows = self._net.detect(np.ascontiguousarray(lifted(picture)[..., ::-1]))
        found = [] if rows is None else [_told(np.asarray(row, np.float32)) for row in rows]
        return sorted((one for one in found if one is not None), key=lambda one: -one.score)


def _told(row: NDArray[np.float32]) -> Detection | None:
    if not np.isfinite(row).all() or min(row[2], row[3]) < 1:
        return None
    return Detection(row[:4], row[4:14].reshape(5, 2), float(np.clip(row[14], 0, 1)))


def _with_fixed_size(model: bytes) -> bytes:
    """The model with its input's size given: OpenCV 4 does not load one whose size is open.

    OpenCV takes any size afterwards. A dimension in ONNX is a message with a name (field 2) or a
    value (field 1); the value is written as a varint padded to the name's length, so that no
    length in the file changes.
    """
    for name, size in ((b"batch", 1), (b"height", 640), (b"width", 640)):
        named = bytes([0x12, len(name)]) + name
        digits = [size >> 7 * n & 0x7F | 0x80 for n in range(len(name) + 1)]
        digits[-1] &= 0x7F
        model = model.replace(named, bytes([0x08, *digits]))
    return model


# Of a cascade's square, where the face of YuNet's box lies: left, top, width, height; and where
# in that box its five points are on average. Measured against YuNet on frontal faces and profiles.
_FRONTAL_BOX = (0.11, -0.04, 0.80, 1.08)
_PROFILE_BOX = (0.23, 0.10, 0.61, 0.80)
_FRONTAL_POINTS = ((0.30, 0.40), (0.70, 0.40), (0.50, 0.60), (0.33, 0.78), (0.67, 0.78))
# A face that looks to the picture's left shows its own left eye: both points lie near each other.
_PROFILE_POINTS = ((0.14, 0.42), (0.42, 0.40), (0.10, 0.62), (0.18, 0.80), (0.38, 0.80))


class Cascades:
    """Viola and Jones's cascades, which come with OpenCV."""

    name = "cascades"

    def __init__(self) -> None:
        if not hasattr(cv2, "CascadeClassifier"):  # OpenCV 5 has none
            raise ZooError(
                "this OpenCV has no cascades; fetch the better detector: encore models get yunet"
            )

    def find(self, picture: Picture) -> list[Detection]:
        """The faces in a picture, the surest first."""
        grey = np.asarray(cv2.cvtColor(lifted(picture), cv2.COLOR_RGB2GRAY), np.uint8)
        found = [
            Detection(_part(square, _FRONTAL_BOX), self._frontal_points(grey, square), score)
            for square, score in self._squares(self._frontal, grey)
        ]
        # The cascade knows profiles that look to the left of the picture. It is three times as slow
        # as the other, so it looks at half the size, for faces from 30 pixels.
        half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        for turned in (False, True):
            seen = np.ascontiguousarray(half[:, ::-1] if turned else half).astype(np.uint8)
            for square, score in self._squares(self._profile, seen):
                box = _part(2 * square, _PROFILE_BOX)
                points = _placed(box, _PROFILE_POINTS)
                if turned:
                    box, points = _mirrored(box, points, picture.shape[1])
                found.append(Detection(box, points, 0.9 * score))
        kept: list[Detection] = []
        for one in sorted(found, key=lambda one: -one.score):
            if all(overlap(one.box, other.box) < 0.3 for other in kept):
                kept.append(one)
        return kept

    def _squares(
        self, cascade: cv2.CascadeClassifier, grey: NDArray[np.uint8]
    ) -> list[tuple[NDArray[np.float32], float]]:
        squares, _, weights = cascade.detectMultiScale3(
            grey, scaleFactor=1.2, minNeighbors=3, minSize=(20, 20), outputRejectLevels=True
        )
        # The last stage's sum over its threshold: about 0 for a doubt and 5 for a clear face.
        return [
            (np.asarray(square, np.float32), 1 / (1 + math.exp(-0.8 * float(weight) - 0.2)))
            for square, weight in zip(squares, weights, strict=True)
        ]

    def _frontal_points(
        self, grey: NDArray[np.uint8], square: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The average points, moved and turned so that the eyes lie on eyes that were found."""
        points = _placed(_part(square, _FRONTAL_BOX), _FRONTAL_POINTS)
        left, top, side, _ = (int(value) for value in square)
        upper = grey[max(0, top + side // 6) : top + side * 6 // 10, max(0, left) : left + side]
        enlarged = 96 / side
        if enlarged > 3 or not upper.size:
            return points
        seen = cv2.resize(upper, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_AREA)
        eyes = self._eyes.detectMultiScale(seen, 1.1, 3, minSize=(16, 16), maxSize=(40, 40))
        middles = [
            (left + (x + w / 2) / enlarged, top + side // 6 + (y + h / 2) / enlarged)
            for x, y, w, h in eyes
        ]
        middle = left + side / 2
        sides = [
            [
                one
                for one in middles
                if (one[0] < middle) == first and abs(one[0] - middle) > side / 12
            ]
            for first in (True, False)
        ]
        if not all(sides):
            return points
        wanted = np.array(
            [
                min(group, key=lambda one: math.dist(one, points[n]))
                for n, group in enumerate(sides)
            ],
            np.float32,
        )
        if float(np.linalg.norm(wanted - points[:2], axis=1).max()) > 0.15 * side:
            return points
        return _carried(points, points[:2], wanted)

    @cached_property
    def _frontal(self) -> cv2.CascadeClassifier:
        return _cascade("haarcascade_frontalface_alt2.xml")

    @cached_property
    def _profile(self) -> cv2.CascadeClassifier:
        return _cascade("haarcascade_profileface.xml")

    @cached_property
    def _eyes(self) -> cv2.CascadeClassifier:
        return _cascade("haarcascade_eye_tree_eyeglasses.xml")


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """What two boxes share, as a part of what both cover."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / (float(np.prod(one[2:])) + float(np.prod(other[2:])) - shared)


def _cascade(file: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / file))


def _part(
    square: NDArray[np.float32], part: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    left, top, width, height = square
    return np.array(
        [left + part[0] * width, top + part[1] * height, part[2] * width, part[3] * height],
        np.float32,
    )


def _placed(
    box: NDArray[np.float32], points: tuple[tuple[float, float], ...]
) -> NDArray[np.float32]:
    return np.asarray(box[:2] + np.array(points, np.float32) * box[2:], np.float32)


def _mirrored(
    box: NDArray[np.float32], points: NDArray[np.float32], width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Box and points in the picture that was mirrored: right and left change places."""
    box = np.array([width - box[0] - box[2], *box[1:]], np.float32)
    turned = points[[1, 0, 2, 4, 3]] * np.array([-1, 1], np.float32)
    return box, np.asarray(turned + np.array([width, 0], np.float32), np.float32)


def _carried(
    points: NDArray[np.float32], pair: NDArray[np.float32], wanted: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The points moved, turned and scaled as one pair of them is to another place."""
    flat = points[:, 0] + 1j * points[:, 1]
    one, other = pair[:, 0] + 1j * pair[:, 1], wanted[:, 0] + 1j * wanted[:, 1]
    moved = other[0] + (flat - one[0]) * (other[1] - other[0]) / (one[1] - one[0])
    return np.stack([moved.real, moved.imag], 1).astype(np.float32)
