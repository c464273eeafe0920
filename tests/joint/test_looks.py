"""A show's light and faces on their way into a job: made once, named, cut, told in the report."""

import io
import json
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from test_remaster import QUICK, record

from encore import face_scan, job
from encore.errors import RequestError
from encore.job import Request, remaster
from encore.looks import Looked, look
from encore.preset import Preset, load, names, with_settings
from encore.progress import reporter
from encore.render import render
from encore.scan import scan
from vsencore.face import Track, Tracks

FACES, DIM = "picture.faces.strength=0.5", "picture.relight.shadows=0.3"
QUIET = reporter("none", io.StringIO())


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("looks")
    return scan(record(folder / "show.mkv"), work=folder, reporter=QUIET)


@pytest.fixture
def one_face(monkeypatch):
    """Faces are found where the test says: one, in the upper left quarter; how often, is told."""
    asked = []

    def found(given, work, said, *, cuts=None, span=None):
        asked.append(span)
        first, last = span
        count = last - first
        boxes = np.tile(np.float32([0.25, 0.25, 0.25, 0.25]), (count, 1))
        points = np.tile(np.float32([0.3, 0.3]), (count, 5, 1))
        face = Track(0, first, boxes, points, np.ones(count, np.float32))
        return Tracks(given.picture.rate, given.picture.frames, 4 / 3, (face,))

    monkeypatch.setattr(face_scan, "faces_of", found)
    return asked


def looked(scanned, work, *settings, range_s=None, held=None):
    preset = with_settings(Preset(), settings)
    return look(scanned, preset, work, QUIET, held or {"bytes": 1}, range_s)


def test_nothing_is_looked_for_that_nobody_wants(scanned, tmp_path):
    nothing = looked(scanned, tmp_path, "picture.light.lock=1.0")
    woven = looked(scanned, tmp_path, FACES, DIM, "picture.deinterlace.method=none")
    assert (nothing.files, woven.files, list(tmp_path.iterdir())) == ([], [], [])


def test_both_are_made_once_for_one_source(scanned, tmp_path, one_face):
    first = looked(scanned, tmp_path, FACES)
    again = looked(scanned, tmp_path, FACES, DIM)
    assert first.files == again.files
    assert len(one_face) == 1
    assert first.tracks == 1
    other = looked(scanned, tmp_path, FACES, held={"bytes": 2})
    assert set(other.files).isdisjoint(first.files)


def test_of_a_range_no_more_is_looked_at_than_it_wants(scanned, tmp_path, one_face, monkeypatch):
    monkeypatch.setattr("encore.looks._MARGIN_S", 0.2)
    part = looked(scanned, tmp_path, FACES, range_s=(0.4, 0.6))
    assert one_face == [(5, 20)]
    told = json.loads(part.light.read_text())
    assert (told["first"], told["frames"], told["whole"]) == (5, 15, 25)
    assert told["states"][0]["start_s"] == pytest.approx(scanned.picture.start_s + 0.2)
    assert part.cuts == [told["first"] + cut for cut in part.timeline.cuts]


def test_faces_are_placed_in_what_the_crop_leaves(scanned, tmp_path, one_face):
    settings = (FACES, "picture.crop.borders=true", "picture.crop.edges=44")
    whole = looked(scanned, tmp_path, FACES)
    cut = looked(scanned, tmp_path, *settings)
    assert cut.faces != whole.faces
    assert len(one_face) == 1
    (face,) = Tracks.load(cut.faces).at(3)
    # 44 of 352 columns are an eighth.
    assert face[1] == pytest.approx([(0.25 - 0.125) / 0.75, 0.25, 0.25 / 0.75, 0.25], abs=1e-4)


@pytest.mark.parametrize("which", ["light", "faces"])
def test_what_was_damaged_is_found_again(scanned, tmp_path, one_face, which):
    first = looked(scanned, tmp_path, FACES)
    path = getattr(first, which)
    whole = path.read_text()
    path.write_text(whole[:40])
    again = looked(scanned, tmp_path, FACES)
    assert (again.files, path.read_text()) == (first.files, whole)
    assert len(one_face) == (2 if which == "faces" else 1)


def test_what_other_code_found_is_not_taken(scanned, tmp_path, monkeypatch):
    first = looked(scanned, tmp_path, DIM)
    monkeypatch.setattr("encore.chunked.identity.code", lambda package: "changed")
    assert looked(scanned, tmp_path, DIM).light != first.light


def test_a_full_disk_is_told_as_one(scanned, tmp_path, one_face, monkeypatch):
    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    looked(scanned, tmp_path, DIM)
    monkeypatch.setattr("vsencore.face.tracks.json.dump", full)
    with pytest.raises(OSError, match="No space left"):
        looked(scanned, tmp_path, FACES)


@pytest.mark.parametrize("preset", ["auto", "concert-dvd-pal"])
def test_a_model_of_faces_that_is_not_here_is_refused_first(tmp_path, preset):
    settings = ("picture.faces.method=nothere",)
    request = Request(tmp_path / "none.mkv", tmp_path / "o.mkv", preset, settings)
    with pytest.raises(RequestError, match=r"picture\.faces\.method: there is no model named"):
        remaster(request, QUIET)


def test_strays_are_told_whole_over_the_chunks_borders(monkeypatch):
    records = [
        SimpleNamespace(strays=[[7, 3, 9], [8, 5, 5]]),
        SimpleNamespace(strays=[[7, 10, 12], [8, 20, 20]]),
    ]
    finished = SimpleNamespace(
        looked=Looked(tracks=2),
        clip=SimpleNamespace(rate=Fraction(10)),
        made=SimpleNamespace(records=records),
        preset=Preset(),
    )
    assert job._told_faces(finished)["strays"] == [
        {"face": 7, "start_s": 0.3, "end_s": 1.3},
        {"face": 8, "start_s": 0.5, "end_s": 0.6},
        {"face": 8, "start_s": 2.0, "end_s": 2.1},
    ]


def test_concerts_are_finished_and_nothing_else_is():
    for name in names()[1:]:
        picture = load(name).picture
        asked = (picture.faces.strength, picture.light.lock, picture.relight.shadows)
        assert all(asked) if name.startswith("concert-") else not any(asked), name


def test_a_job_draws_the_light_and_relights_by_it(tmp_path):
    source = record(tmp_path / "show.mkv")
    dark = remaster(Request(source, tmp_path / "dark.mkv", settings=QUICK), QUIET)
    settings = (*QUICK, "picture.light.lock=1", "picture.relight.shadows=1")
    result = remaster(Request(source, tmp_path / "lit.mkv", settings=settings), QUIET)
    told = json.loads(result.report.read_text())
    assert told["light"]["frames"] == 25
    assert told["faces"] is None
    assert "<svg" in (tmp_path / "lit.mkv.light.svg").read_text()
    script = told["done"]["picture"]["script"]
    assert "vsencore.lock(clip, source, strength=1.0" in script
    assert "vsencore.relight(clip, shadows=1.0, light=" in script
    packets = [
        json.loads(done.report.read_text())["done"]["picture"]["chunks"][0]["packets"]
        for done in (dark, result)
    ]
    assert packets[0] != packets[1]
    assert json.loads(dark.report.read_text())["light"] is None
    # The drawing of an output that is made anew without one goes with it.
    again = Request(source, tmp_path / "lit.mkv", settings=QUICK, overwrite=True)
    remaster(again, QUIET)
    assert not (tmp_path / "lit.mkv.light.svg").exists()


def test_where_a_model_of_faces_strays_comes_back_from_the_picture(tmp_path):
    script = tmp_path / "strays.vpy"
    script.write_text(
        "import vapoursynth as vs\n"
        "clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=12)\n"
        "def write(n, f):\n"
        "    out = f.copy()\n"
        "    if 3 <= n <= 5 or n == 9:\n"
        "        out.props['EncoreFaceFallback'] = [7, 2] if n == 9 else 7\n"
        "    return out\n"
        "clip.std.ModifyFrame(clip, write).set_output()\n"
    )
    rendered = render(
        script,
        tmp_path / "o.mkv",
        lambda clip: ["-c:v", "ffv1"],
        lambda done, total: None,
        log=tmp_path / "log",
        span=(4, 12),
    )
    assert rendered.clip.rate == Fraction(24)
    assert rendered.strays == [[2, 9, 9], [7, 4, 5], [7, 9, 9]]
