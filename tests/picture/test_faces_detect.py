"""Faces found in single pictures: real ones where they are there, and none where there is none."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vsencore.face import Detector, detector
from vsencore.face.detect import Cascades, YuNet, lifted, overlap
from vsencore.zoo import ZooError

_ROOT = Path(__file__).resolve().parents[2]
_DATA = Path(os.environ.get("ENCORE_DATA", _ROOT.parent / "shared" / "data"))
_YUNET = _DATA / "peers" / "yunet_n_dynamic.onnx"
Picture = NDArray[np.uint8]

# Middles of the faces, by eye, as parts of the width and height, and their heights.
WEBCAM = ("clips/bt601_webcam_640x428.mov", 5, [(0.535, 0.59, 0.5)])
ROOM = ("clips/room_people_1080p.mp4", 0, [(0.39, 0.32, 0.08), (0.535, 0.285, 0.07)])


pytestmark = pytest.mark.usefixtures("one_thread_of_opencv")


@cache
def real(name: str, number: int, width: int) -> Picture:
    """A frame of a shared clip."""
    path = _DATA / name
    if not path.exists():
        pytest.skip(f"no {name}: set ENCORE_DATA to the data folder")
    video = cv2.VideoCapture(str(path))
    for _ in range(number + 1):
        frame = video.read()[1]
    height = round(frame.shape[0] * width / frame.shape[1])
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[..., ::-1])


@cache
def yunet() -> YuNet:
    if not _YUNET.exists():
        pytest.skip("no yunet_n_dynamic.onnx: set ENCORE_DATA to the data folder")
    return YuNet(_YUNET)


@cache
def cascades() -> Cascades:
    return Cascades()


def found(
    finder: Detector, picture: Picture, wanted: list[tuple[float, float, float]]
) -> list[bool]:
    """Which of the wanted faces are found where they are, and as large."""
    height, width = picture.shape[:2]
    boxes = [one.box for one in finder.find(picture) if one.score >= 0.6]

    def near(box: NDArray[np.float32], face: tuple[float, float, float]) -> bool:
        x, y, tall = face[0] * width, face[1] * height, face[2] * height
        away = np.hypot(box[0] + box[2] / 2 - x, box[1] + box[3] / 2 - y)
        return bool(away < 0.4 * tall and 0.6 < box[3] / tall < 1.6)

    return [any(near(box, face) for box in boxes) for face in wanted]


@pytest.mark.parametrize("finder", [yunet, cascades])
def test_a_face_that_looks_at_the_camera_is_found(finder: Callable[[], Detector]) -> None:
    picture = real(*WEBCAM[:2], 640)
    assert found(finder(), picture, WEBCAM[2]) == [True]
    best = finder().find(picture)[0]
    right, left, nose, mouth_right, mouth_left = best.points
    assert right[0] < nose[0] < left[0]
    assert mouth_right[0] < mouth_left[0]
    assert max(right[1], left[1]) < nose[1] < min(mouth_right[1], mouth_left[1])


@pytest.mark.parametrize("width", [1280, 640, 384])
def test_yunet_finds_faces_down_to_sixteen_pixels(width: int) -> None:
    # At 384 pixels the smaller face is 15 high and turned half away.
    assert found(yunet(), real(*ROOM[:2], width), ROOM[2]) == [True, True]


@pytest.mark.parametrize("light", [0.5, 0.15, 0.08])
def test_yunet_finds_a_face_in_the_dark(light: float) -> None:
    bright = real(*WEBCAM[:2], 640)
    noise = np.random.default_rng(1).standard_normal(bright.shape)
    dark = np.clip(bright * light + noise, 0, 255).astype(np.uint8)
    assert found(yunet(), dark, WEBCAM[2]) == [True]


@pytest.mark.parametrize("colour", [(1.0, 0.1, 0.1), (0.15, 0.2, 1.0), (0.9, 0.1, 0.9)])
def test_yunet_finds_a_face_in_one_coloured_light(colour: tuple[float, float, float]) -> None:
    lit = real(*WEBCAM[:2], 640) * np.array(colour) * 0.4
    assert found(yunet(), lit.astype(np.uint8), WEBCAM[2]) == [True]


@pytest.mark.parametrize("finder", [yunet, cascades])
@pytest.mark.parametrize("kind", ["black", "white", "noise", "slope"])
def test_there_is_no_face_where_there_is_nothing(finder: Callable[[], Detector], kind: str) -> None:
    empty = np.zeros((180, 320, 3), np.uint8)
    pictures = {
        "black": empty,
        "white": empty + 255,
        "noise": np.random.default_rng(2).integers(0, 256, empty.shape).astype(np.uint8),
        "slope": empty + np.linspace(0, 255, 320).astype(np.uint8)[None, :, None],
    }
    assert [one for one in finder().find(pictures[kind]) if one.score >= 0.7] == []


def test_lifting_raises_the_dark_and_leaves_full_light_alone() -> None:
    lamp = np.zeros((200, 400, 3), np.uint8)
    lamp[:, :200] = 10
    lamp[80:120, 300:340] = 220
    raised = lifted(lamp)
    assert raised[100, 50, 0] > 80
    assert raised[100, 320, 0] == 220
    bright = np.full((64, 64, 3), 130, np.uint8)
    assert lifted(bright) is bright


def test_what_two_boxes_share_is_told_as_a_part_of_both() -> None:
    one = np.array([0, 0, 2, 2], np.float32)
    assert overlap(one, one) == 1
    assert overlap(one, np.array([1, 0, 2, 2], np.float32)) == pytest.approx(1 / 3)
    assert overlap(one, np.array([5, 5, 2, 2], np.float32)) == 0


def test_the_cascades_stand_in_where_yunet_was_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCORE_MODELS", str(tmp_path))
    assert detector().name == "cascades"
    assert detector("cascades").name == "cascades"
    with pytest.raises(ZooError, match="encore models get yunet"):
        detector("yunet")


def test_yunet_is_taken_where_it_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yunet()
    (tmp_path / "yunet.onnx").write_bytes(_YUNET.read_bytes())
    monkeypatch.setenv("ENCORE_MODELS", str(tmp_path))
    assert detector().name == "yunet"


def test_a_damaged_yunet_is_told_and_not_replaced_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "yunet.onnx").write_bytes(b"damaged")
    monkeypatch.setenv("ENCORE_MODELS", str(tmp_path))
    with pytest.raises(ZooError, match="damaged or was changed"):
        detector()


def test_a_detector_of_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="auto, yunet or cascades"):
        detector("retina")  # type: ignore[arg-type]
