"""Tracks of faces: between frames, through a file, and what a file may not say."""

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsencore.face import Track, Tracks, TracksError


def track(first: int = 10, count: int = 5, number: int = 3) -> Track:
    """A face that goes right by a hundredth of the width a frame."""
    n = np.arange(count, dtype=np.float32)
    boxes = np.stack([0.1 + 0.01 * n, 0 * n + 0.2, 0 * n + 0.05, 0 * n + 0.1], 1)
    points = np.repeat((boxes[:, None, :2] + 0.02), 5, 1)
    return Track(number, first, boxes, points, np.linspace(1, 0.5, count, dtype=np.float32))


def tracks(*all_: Track, frames: int = 1000) -> Tracks:
    return Tracks(Fraction(30000, 1001), frames, 4 / 3, all_)


def plain(**changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "encore": "face tracks",
        "version": 1,
        "rate": "25/1",
        "frames": 100,
        "aspect": 1.33333,
        "tracks": [
            {
                "id": 0,
                "first": 98,
                "boxes": [0.1, 0.1, 0.2, 0.2] * 2,
                "points": [0.1] * 20,
                "trust": [1, 0.5],
            }
        ],
    }
    one = told["tracks"][0]
    for name, value in changes.items():
        (one if name in one else told)[name] = value
    return told


def loaded(told: Any, folder: Path) -> Tracks:
    path = folder / "faces.json"
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    return Tracks.load(path)


def test_a_moment_between_two_frames_lies_on_the_line_between_them() -> None:
    [(number, box, points, trust)] = tracks(track()).at(11.5)
    assert number == 3
    assert box == pytest.approx([0.115, 0.2, 0.05, 0.1])
    assert points[4] == pytest.approx([0.135, 0.22])
    assert trust == pytest.approx((0.875 + 0.75) / 2)


def test_the_second_field_of_the_last_frame_still_has_the_face_which_goes_on() -> None:
    [(_, box, _, _)] = tracks(track()).at(14.5)
    assert box[0] == pytest.approx(0.145)


def test_a_face_of_one_frame_stands_still_for_its_second_field() -> None:
    [(_, box, _, trust)] = tracks(track(count=1)).at(10.5)
    assert box[0] == pytest.approx(0.1)
    assert trust == 1


@pytest.mark.parametrize("n", [9, 9.5, 15, -1, 5000])
def test_there_is_no_face_before_its_track_or_after_it(n: float) -> None:
    assert tracks(track()).at(n) == []


def test_faces_come_by_their_ids() -> None:
    shown = tracks(track(0, 50, 7), track(10, 20, 2), track(40, 5, 1))
    assert [face[0] for face in shown.at(12)] == [2, 7]
    assert [face[0] for face in shown.at(41.5)] == [1, 7]


@given(st.integers(0, 600), st.integers(1, 400), st.floats(0, 1100))
def test_a_face_is_there_in_all_of_its_frames_and_in_no_other(
    first: int, count: int, n: float
) -> None:
    there = bool(tracks(track(first, count)).at(n))
    assert there == (first <= n < first + count)


def test_a_crop_moves_faces_with_their_pixels() -> None:
    # Of 400 x 300, 40 columns cut off at the left, 0 at the right, 30 lines above, 60 below.
    cut = tracks(track()).cropped(left=0.1, top=0.1, bottom=0.2)
    [(_, box, points, trust)] = cut.at(10)
    assert box * (360, 210, 360, 210) == pytest.approx([0, 30, 20, 30], abs=1e-3)
    assert points[0] * (360, 210) == pytest.approx([8, 36], abs=1e-3)
    assert (trust, cut.aspect) == (1, pytest.approx(360 / 210))
    with pytest.raises(ValueError, match="leave something"):
        tracks().cropped(left=0.5, right=0.5)


def test_a_file_gives_back_what_was_saved_to_five_digits(tmp_path: Path) -> None:
    saved = tracks(track(), track(900, 100, 4))
    saved.save(tmp_path / "faces.json")
    read = Tracks.load(tmp_path / "faces.json")
    assert (read.rate, read.frames) == (saved.rate, saved.frames)
    assert read.aspect == pytest.approx(saved.aspect, abs=1e-5)
    for one, other in zip(saved.tracks, read.tracks, strict=True):
        assert (one.id, one.first) == (other.id, other.first)
        assert np.abs(one.boxes - other.boxes).max() < 1e-5
        assert np.abs(one.points - other.points).max() < 1e-5
        assert np.abs(one.trust - other.trust).max() < 1e-5
        assert other.boxes.dtype == other.points.dtype == other.trust.dtype == np.float32


def test_saving_leaves_nothing_beside_the_file_and_the_old_one_where_it_fails(
    tmp_path: Path,
) -> None:
    tracks(track()).save(tmp_path / "faces.json")
    assert [file.name for file in tmp_path.iterdir()] == ["faces.json"]
    with pytest.raises(TracksError, match="cannot be written"):
        tracks().save(tmp_path / "no folder" / "faces.json")


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None, max_examples=30)
@given(value=_ANYTHING)
@pytest.mark.parametrize("name", ["rate", "frames", "aspect", "tracks", "id", "boxes", "trust"])
def test_whatever_a_file_says_is_read_or_refused_in_one_line(
    name: str, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = ""
    try:
        loaded(plain(**{name: value}), tmp_path_factory.getbasetemp())
    except TracksError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1
    assert len(said) < 400


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ("", "no file of face tracks"),
        ("[" * 100_000, "no file of face tracks"),
        ("[]", "no file of face tracks"),
        ('{"encore": "face tracks", "version": NaN}', "NaN is no number"),
        (plain(encore="other"), "no file of face tracks"),
        (plain(version=2), "version 2 of face tracks is not known"),
        (plain(rate="25/0"), "rate must be like"),
        (plain(rate="-25/1"), "rate must be like"),
        (plain(rate=25), "rate must be like"),
        (plain(frames=0), "frames must be a whole number from 1"),
        (plain(frames=True), "frames must be a whole number"),
        (plain(aspect="wide"), "aspect must be a number"),
        (plain(tracks={}), "tracks must be a list"),
        (plain(tracks=[7]), "tracks[0] must be an object"),
        (plain(tracks=plain()["tracks"] * 2), "two tracks have the same id"),
        (plain(id=-1), "tracks[0].id must be a whole number from 0"),
        (plain(first=99), "tracks[0]: 2 frames from frame 99 on do not fit into 100 frames"),
        (plain(first=100), "tracks[0].first must be a whole number from 0 to 99"),
        (plain(trust=[]), "tracks[0]: 0 frames"),
        (plain(trust=[1, 1.5]), "tracks[0].trust must lie between 0 and 1"),
        (plain(trust=[1, "1"]), "tracks[0].trust must be a list of numbers"),
        (plain(trust=[1, True]), "tracks[0].trust must be a list of numbers"),
        (plain(trust=None), "tracks[0].trust must be a list of numbers"),
        (plain(boxes=[0.1] * 7), "tracks[0].boxes must hold 8 numbers, not 7"),
        (plain(boxes=[0.1, 0.1, 0, 0.1] * 2), "widths and heights must be more than 0"),
        (plain(boxes=[1e300, 0.1, 0.1, 0.1] * 2), "tracks[0].boxes must lie between -4 and 4"),
        (plain(boxes=[10**400, 0.1, 0.1, 0.1] * 2), "tracks[0].boxes must lie between -4 and 4"),
        (plain(points=[[0.1] * 10] * 2), "tracks[0].points must be a list of numbers"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_its_place(
    told: Any, wanted: str, tmp_path: Path
) -> None:
    with pytest.raises(TracksError, match=re.escape(wanted)) as caught:
        loaded(told, tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "faces.json"))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TracksError, match="cannot be read"):
        Tracks.load(tmp_path / "nothing.json")
    (tmp_path / "noise.json").write_bytes(bytes(range(256)))
    with pytest.raises(TracksError, match="no file of face tracks"):
        Tracks.load(tmp_path / "noise.json")
