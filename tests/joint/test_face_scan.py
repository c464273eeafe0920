"""Faces of whole recordings: made ones, in which a lamp plays the face, and a real one."""

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import made
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from encore.errors import RequestError
from encore.face_scan import contact_sheet, faces_of, shown_pictures, summary, working_size
from encore.facts import PictureFacts, Scan
from encore.progress import reporter
from encore.scan import scan
from vsencore.face import Detection, Track, Tracks

_ROOT = Path(__file__).resolve().parents[2]
_DATA = Path(os.environ.get("ENCORE_DATA", _ROOT.parent / "shared" / "data"))
_SIDE = 48


def scanned(path: Path, work: Path) -> Scan:
    return scan(path, work=work, reporter=reporter("none", io.StringIO()))


def found(given: Scan, work: Path, cuts: Iterable[int] | None = None, **more: object) -> Tracks:
    chosen = None if cuts is None else frozenset(cuts)
    quiet = reporter("none", io.StringIO())
    more = {"detector": _Lamp()} | more
    return faces_of(given, work, quiet, cuts=chosen, **more)  # type: ignore[arg-type]


@dataclass
class _Lamp:
    """Finds the one bright square there is; its middle is the middle of what is bright."""

    name: str = "lamp"

    def find(self, picture: NDArray[np.uint8]) -> list[Detection]:
        white = np.clip((picture.astype(np.float64).mean(2) - 135) / 30, 0, 1)
        if white.sum() < 100:
            return []
        rows, columns = np.indices(white.shape) + 0.5
        middle = np.array([(white * columns).sum(), (white * rows).sum()]) / white.sum()
        size = np.array([np.ptp(columns[white > 0.5]) + 1, np.ptp(rows[white > 0.5]) + 1])
        box = np.concatenate([middle - size / 2, size]).astype(np.float32)
        points = np.repeat(middle[None], 5, 0).astype(np.float32)
        return [Detection(box, points, 0.9)]


def square(speed: float, seed: int = 1) -> made.Scene:
    """A bright square on a dark, still stage, `speed` lines lower in each field.

    Its edges are soft, so that the lines of one field tell where it is.
    """
    stage = 0.4 * made.texture(made.HEIGHT, made.WIDTH, seed)
    cloth = 180 + 0.3 * made.texture(made.HEIGHT, made.WIDTH, 9)
    rows, columns = np.indices(stage.shape) + 0.5

    def at(moment: float) -> made.Picture:
        down = rows - (84 + speed * moment)
        edge = np.maximum(np.abs(down), np.abs(columns - 164)) - _SIDE / 2
        share = 1 / (1 + np.exp(edge / 1.5))
        return (stage + (made.shifted(cloth, 0, speed * moment) - stage) * share).astype(np.float32)

    return at


def as_structure(given: Scan, structure: str) -> Scan:
    """The scan of a recording so short that it is better told what it is."""
    assert given.picture is not None
    changes = {"structure": structure, "field_order": "top" if structure == "interlaced" else None}
    return given.model_copy(update={"picture": given.picture.model_copy(update=changes)})


def middle(tracks: Tracks, n: int) -> NDArray[np.float64]:
    """The middle of the one face, in lines and samples of the source."""
    [(_, box, _, _)] = tracks.at(n)
    return (box[:2] + box[2:] / 2) * (made.WIDTH, made.HEIGHT)


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_a_face_in_fields_is_where_the_first_field_shows_it(first: str, tmp_path: Path) -> None:
    # Two lines a field: the other field is two lines off, a frame taken whole one.
    frames = made.interlaced(square(2.0), 30, first)

    path = made.write(tmp_path / "a.mpg", frames, *made.MPEG2_FIELDS, "-q:v", "2")
    given = scanned(path, tmp_path)
    assert given.picture is not None
    assert (given.picture.structure, given.picture.field_order) == ("interlaced", first)
    tracks = found(given, tmp_path)
    for n in (5, 12, 24):
        assert middle(tracks, n) == pytest.approx([164, 60 + 24 + 2 * 2 * n], abs=0.6)


def test_the_second_field_is_half_a_frame_later(tmp_path: Path) -> None:
    frames = made.interlaced(square(2.0), 30)
    path = made.write(tmp_path / "a.mpg", frames, *made.MPEG2_FIELDS, "-q:v", "2")
    tracks = found(scanned(path, tmp_path), tmp_path)
    assert middle(tracks, 10.5) == pytest.approx([164, 60 + 24 + 2 * 21], abs=0.6)


def test_a_face_in_whole_frames_is_where_it_is(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.mp4", made.progressive(square(1.0), 30), *made.X264)
    tracks = found(as_structure(scanned(path, tmp_path), "progressive"), tmp_path)
    assert (tracks.rate, tracks.frames, len(tracks.tracks)) == (Fraction(25), 30, 1)
    for n in (0, 15, 29):
        assert middle(tracks, n) == pytest.approx([164, 60 + 24 + 2 * n], abs=0.6)


def test_pixels_that_are_not_square_are_made_so_and_the_face_stays_in_its_place(
    tmp_path: Path,
) -> None:
    arguments = (*made.X264, "-vf", "setsar=16/11")
    path = made.write(tmp_path / "a.mp4", made.progressive(square(0.0), 12), *arguments)
    given = scanned(path, tmp_path)
    picture = next(shown_pictures(given, tmp_path))
    assert picture.shape[1] / picture.shape[0] == pytest.approx(320 / 240 * 16 / 11, rel=0.01)
    tracks = found(given, tmp_path)
    assert tracks.aspect == pytest.approx(320 / 240 * 16 / 11)
    assert middle(tracks, 6) == pytest.approx([164, 84], abs=0.6)


def test_a_cut_that_nobody_told_of_ends_the_track(tmp_path: Path) -> None:
    frames = made.progressive(square(0.0), 20) + made.progressive(square(0.0, seed=8), 20)
    path = made.write(tmp_path / "a.mp4", frames, *made.X264)
    tracks = found(scanned(path, tmp_path), tmp_path)
    assert [(one.first, one.last) for one in tracks.tracks] == [(0, 19), (20, 39)]


def test_cuts_that_are_told_are_the_ones(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.mp4", made.progressive(square(0.0), 40), *made.X264)
    tracks = found(scanned(path, tmp_path), tmp_path, cuts=[15])
    assert [(one.first, one.last) for one in tracks.tracks] == [(0, 14), (15, 39)]


@pytest.mark.parametrize("lines", [238, 240])
def test_a_height_that_does_not_divide_into_fields_of_chroma_is_taken(
    lines: int, tmp_path: Path
) -> None:
    frames = [frame[:lines] for frame in made.interlaced(square(1.0), 14)]
    path = made.write(tmp_path / "a.mpg", frames, *made.MPEG2_FIELDS, "-q:v", "2")
    given = scanned(path, tmp_path)
    tracks = found(as_structure(given, "interlaced"), tmp_path)
    [(_, box, _, _)] = tracks.at(6)
    assert (box[1] + box[3] / 2) * lines == pytest.approx(60 + 24 + 12, abs=0.6)


@pytest.mark.parametrize("kind", ["gray", "yuv444p", "yuv422p10le", "yuvj420p"])
def test_every_kind_of_picture_is_shown_in_its_colours(kind: str, tmp_path: Path) -> None:
    frames = made.progressive(square(0.0), 6)
    path = made.write(tmp_path / "a.mkv", frames, "-c:v", "ffv1", "-pix_fmt", kind)
    given = scanned(path, tmp_path)
    picture = next(shown_pictures(given, tmp_path))
    scale = picture.shape[1] / made.WIDTH
    bright = picture[round(84 * scale), round(164 * scale)].astype(int)
    assert bright.min() > 180
    assert np.ptp(bright) < 6


def test_a_recording_without_a_picture_has_no_faces(tmp_path: Path) -> None:
    made.run("-f", "lavfi", "-i", "sine=d=1", str(tmp_path / "a.wav"))
    with pytest.raises(RequestError, match="has no picture"):
        found(scanned(tmp_path / "a.wav", tmp_path), tmp_path)


def test_a_detector_that_is_not_here_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCORE_MODELS", str(tmp_path / "none"))
    path = made.write(tmp_path / "a.mp4", made.progressive(square(0.0), 6), *made.X264)
    with pytest.raises(RequestError, match="encore models get yunet"):
        found(scanned(path, tmp_path), tmp_path, detector="yunet")


@pytest.mark.parametrize(
    ("width", "height", "aspect", "wanted"),
    [
        (720, 576, Fraction(4, 3), (768, 576)),
        (720, 480, Fraction(4, 3), (640, 480)),
        (720, 576, Fraction(16, 9), (1024, 576)),
        (1920, 1080, Fraction(16, 9), (1280, 720)),
        (320, 240, Fraction(4, 3), (640, 480)),
    ],
)
def test_faces_are_looked_for_in_square_pixels_at_a_size_that_shows_them(
    width: int,
    height: int,
    aspect: Fraction,
    wanted: tuple[int, int],
    a_picture: PictureFacts,
) -> None:
    changes = {"width": width, "height": height, "display_aspect": aspect}
    assert working_size(a_picture.model_copy(update=changes)) == wanted


@pytest.fixture(scope="module")
def a_scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    folder = tmp_path_factory.mktemp("faces")
    path = made.write(folder / "a.mp4", made.progressive(square(0.0), 8), *made.X264)
    return scanned(path, folder)


@pytest.fixture(scope="module")
def a_picture(a_scan: Scan) -> PictureFacts:
    assert a_scan.picture is not None
    return a_scan.picture


def drawn_track(number: int, first: int, count: int, tall: float) -> Track:
    boxes = np.tile(np.array([0.4, 0.3, 0.1, tall], np.float32), (count, 1))
    points = np.full((count, 5, 2), 0.45, np.float32)
    return Track(number, first, boxes, points, np.ones(count, np.float32))


def test_the_summary_counts_tracks_sizes_and_times(a_picture: PictureFacts) -> None:
    shown = (drawn_track(0, 0, 50, 0.1), drawn_track(1, 25, 50, 0.25))
    tracks = Tracks(Fraction(25), 100, 4 / 3, shown)
    rows = summary(tracks, a_picture)
    assert "2 tracks" in rows[0][1]
    assert "up to 2 at once, in 75% of the frames; 24 to 60 pixels high" in rows[0][1]
    assert rows[1][1] == "face 0: 0:00 to 0:02, 24 pixels high"
    assert summary(replace(tracks, tracks=()), a_picture) == [("faces", "none found")]


def test_the_contact_sheet_draws_boxes_where_the_faces_are(a_scan: Scan, tmp_path: Path) -> None:
    tracks = Tracks(Fraction(25), 8, 4 / 3, (drawn_track(0, 0, 4, 0.2),))
    contact_sheet(a_scan, tracks, tmp_path / "sheet.png", frames=[1, 6], columns=2, width=320)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (640, 240)
        pixels = np.asarray(sheet).astype(int)
    green = (pixels[..., 1] > 180) & (pixels[..., 0] < 80) & (pixels[..., 2] < 80)
    assert green[72, 130:158].mean() > 0.9  # the upper edge of the box, at 0.3 of the height
    assert not green[:, 320:].any()


@pytest.mark.slow
def test_a_singer_is_one_track_in_every_shot(tmp_path: Path) -> None:
    clip = _DATA / "clips" / "stage_hamilton_whitehouse_640x360.mp4"
    yunet = _DATA / "peers" / "yunet_n_dynamic.onnx"
    if not clip.exists() or not yunet.exists():
        pytest.skip("no clip or no yunet: set ENCORE_DATA to the data folder")
    from vsencore.face.detect import YuNet

    tracks = found(scanned(clip, tmp_path), tmp_path, detector=YuNet(yunet))
    # By eye: cuts at 20, 82 and 211; the singer alone in frames 82 to 210.
    for track in tracks.tracks:
        assert not any(track.first < cut <= track.last for cut in (20, 82, 211))
    [singer] = [track for track in tracks.tracks if 82 <= track.first < 211]
    assert (singer.first, singer.last) == (82, 210)
    assert len(tracks.at(240)) >= 5
