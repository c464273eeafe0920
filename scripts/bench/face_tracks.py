"""Whether faces are followed through flashes, strobes and the dark, and how calmly.

    sh scripts/run python scripts/bench/face_tracks.py [DATA] [--detector yunet|cascades]

Real shots whose faces were counted by eye are shown as they are, under white flashes (two frames
of every six), under the strobe of `encore.degradation`, and in the dark with noise. Columns:

    whole   of the faces in the shot, how many have one track in at least 95 % of its frames
    tracks  how many tracks there are in all; more than faces: broken, or none of the counted ones
    error   distance of the points from what YuNet sees in each calm frame, % of the face's height
    shake   how far the face still moves from frame to frame where the calm pictures are aligned on
            the points (phase correlation, median of the frames), % of its height; in the last row,
            aligned on YuNet's own points in each frame: what a filter without tracks would get
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from encore.degradation.recipe import Recipe
from encore.degradation.stage_light import light_up
from vsencore.face.detect import Cascades, Detection, Detector, YuNet
from vsencore.face.follow import follow
from vsencore.face.sight import sight_of
from vsencore.face.tracks import Track, Tracks

_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Shot:
    """A shot of a clip, and how many faces are in all of it."""

    name: str
    file: str
    first: int
    count: int
    width: int
    faces: int
    there_and_back: int = 1
    """How often it is shown, forwards and backwards in turn, where it is short."""


_SHOTS = [
    Shot("singer", "stage_hamilton_whitehouse_640x360.mp4", 84, 125, 640, 1),
    Shot("webcam", "bt601_webcam_640x428.mov", 0, 30, 640, 1, there_and_back=4),
    Shot("two people", "room_people_1080p.mp4", 0, 60, 960, 2, there_and_back=2),
]


def _calm(pictures: Pictures) -> Pictures:
    return pictures


def _flashes(pictures: Pictures) -> Pictures:
    lit = pictures.copy()
    for n in range(len(lit)):
        if n % 6 in (3, 4):
            lit[n] = np.clip(60.0 + 8.0 * lit[n], 0, 255)
    return lit


def _strobe(pictures: Pictures) -> Pictures:
    return light_up(pictures, Recipe(seed=3, light="strobe", light_seed=3))


def _dark(pictures: Pictures) -> Pictures:
    random = np.random.default_rng(4)
    lit = [np.clip(0.1 * one + random.standard_normal(one.shape), 0, 255) for one in pictures]
    return np.stack(lit).astype(np.uint8)


_LIGHTS: dict[str, Callable[[Pictures], Pictures]] = {
    "calm": _calm,
    "flashes": _flashes,
    "strobe": _strobe,
    "dark": _dark,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=_DATA)
    parser.add_argument("--detector", choices=("yunet", "cascades"), default="yunet")
    chosen = parser.parse_args()
    yunet = YuNet(chosen.data / "peers" / "yunet_n_dynamic.onnx")
    finder: Detector = yunet if chosen.detector == "yunet" else Cascades()
    print(f"{'shot':12}{'light':9}{'whole':>7}{'tracks':>8}{'error %':>9}{'shake %':>9}")
    for shot in _SHOTS:
        calm = _read(chosen.data / "clips" / shot.file, shot)
        seen = [yunet.find(picture) for picture in calm]
        for light, lit in _LIGHTS.items():
            _row(shot, light, _followed(lit(calm), finder), seen, calm)
        print(f"{'':12}{'per frame':9}{'':24}{_shake_per_frame(calm, seen, shot):9.2f}", flush=True)


def _read(path: Path, shot: Shot) -> Pictures:
    video = cv2.VideoCapture(str(path))
    pictures = []
    for n in range(shot.first + shot.count):
        known, frame = video.read()
        if not known:
            break
        if n >= shot.first:
            height = round(frame.shape[0] * shot.width / frame.shape[1])
            small = cv2.resize(frame, (shot.width, height), interpolation=cv2.INTER_AREA)
            pictures.append(small[..., ::-1])
    turns = [pictures if n % 2 == 0 else pictures[::-1] for n in range(shot.there_and_back)]
    return np.stack([picture for turn in turns for picture in turn]).astype(np.uint8)


def _followed(pictures: Pictures, finder: Detector) -> Tracks:
    shown: Iterator[tuple[Pictures, bool]] = ((picture, False) for picture in pictures)
    return follow(shown, finder, rate=Fraction(25))


def _row(
    shot: Shot,
    light: str,
    tracks: Tracks,
    seen: list[list[Detection]],
    calm: Pictures,
) -> None:
    scale = np.array([calm.shape[2], calm.shape[1]], np.float32)
    # The counted faces are the ones that are there longest, and the largest of those.
    whole = [one for one in tracks.tracks if len(one) >= 0.95 * len(seen)]
    whole = sorted(whole, key=lambda one: -float(np.median(one.boxes[:, 3])))[: shot.faces]
    errors = [_errors(one, seen, scale) for one in whole]
    shakes = [_shake(calm[one.first : one.last + 1], one.points * scale) for one in whole]
    error = f"{100 * np.sqrt(np.concatenate(errors).mean()):9.2f}" if errors else f"{'-':>9}"
    shake = f"{100 * float(np.mean(shakes)):9.2f}" if shakes else f"{'-':>9}"
    counted = f"{len(whole)}/{shot.faces}"
    print(f"{shot.name:12}{light:9}{counted:>7}{len(tracks.tracks):>8}{error}{shake}", flush=True)


def _errors(
    track: Track, seen: list[list[Detection]], scale: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Squared distances of points from what the calm frames show, in heights of the face."""
    found = []
    for n in range(track.first, track.last + 1):
        points = track.points[n - track.first] * scale
        tall = float(track.boxes[n - track.first, 3] * scale[1])
        near = [one for one in seen[n] if np.hypot(*(one.points[2] - points[2])) < 0.5 * tall]
        if near:
            found.append((((near[0].points - points) / tall) ** 2).sum(1).mean())
    return np.array(found)


def _shake(pictures: Pictures, points: NDArray[np.float32]) -> float:
    window = cv2.createHanningWindow((_CROP, _CROP), cv2.CV_32F)
    crops = []
    for picture, marks in zip(pictures, points, strict=True):
        turn = cv2.estimateAffinePartial2D(marks, _MARKS, method=cv2.LMEDS)[0]
        crops.append(sight_of(cv2.warpAffine(picture, turn, (_CROP, _CROP))).astype(np.float32))
    moves = [cv2.phaseCorrelate(*pair, window)[0] for pair in pairwise(crops)]
    return float(np.median(np.hypot(*np.array(moves).T))) / _CROP_FACE


_CROP, _CROP_FACE = 128, 90.0
_MARKS = np.array([[47, 52], [81, 52], [64, 70], [50, 88], [78, 88]], np.float32)


def _shake_per_frame(calm: Pictures, seen: list[list[Detection]], shot: Shot) -> float:
    """The surest faces', from left to right, in frames that have all of them."""
    frames, rows = [], []
    for n, found in enumerate(seen):
        faces = sorted(found, key=lambda one: -one.score)[: shot.faces]
        if len(faces) == shot.faces:
            frames.append(n)
            rows.append(sorted(faces, key=lambda one: float(one.box[0])))
    return 100 * float(
        np.mean(
            [
                _shake(calm[frames], np.stack([row[n].points for row in rows]))
                for n in range(shot.faces)
            ]
        )
    )


if __name__ == "__main__":
    main()
