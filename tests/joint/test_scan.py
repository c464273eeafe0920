"""A scan from end to end: real recordings, made ones, and bad input."""

from __future__ import annotations

import io
import os
import shutil
from fractions import Fraction
from pathlib import Path

import made
import numpy as np
import pytest
import vapoursynth as vs
from rich.console import Console

from encore.errors import RequestError
from encore.facts import Scan
from encore.progress import reporter
from encore.scan import scan, source_arguments
from encore.table import HEADINGS, one_line, show

_ROOT = Path(__file__).resolve().parents[2]
_CLIPS = Path(os.environ.get("ENCORE_DATA", _ROOT.parent / "shared" / "data")) / "clips"
_FLAT = [np.full((64, 96), 40 + n, np.float32) for n in range(100)]


def scanned(path: Path, **arguments: object) -> Scan:
    return scan(path, reporter=reporter("none", io.StringIO()), **arguments)  # type: ignore[arg-type]


def clip(name: str) -> Path:
    path = _CLIPS / name
    if not path.exists():
        pytest.skip(f"no {name}: set ENCORE_DATA to the data folder")
    return path


def opened(found: Scan) -> vs.VideoNode:
    return vs.core.bs.VideoSource(**source_arguments(found), showprogress=0)


@pytest.mark.parametrize(
    ("name", "structure", "order", "flagged"),
    [
        ("interlaced/woman_576i25_mpeg2.ts", "progressive", None, "interlaced"),
        ("interlaced/cnews_1080i25_h264.ts", "interlaced", "top", "interlaced"),
        ("interlaced/colombia_1080i2997_h264.ts", "interlaced", "top", "interlaced"),
        ("interlaced/newsroom_576i25_h264_damaged.ts", "interlaced", "top", "interlaced"),
        ("stage_hamilton_whitehouse_640x360.mp4", "progressive", None, "progressive"),
        ("bikes_640x272.mp4", "progressive", None, "progressive"),
    ],
)
def test_real_recording_is_what_its_pictures_are(
    name: str, structure: str, order: str | None, flagged: str
) -> None:
    picture = scanned(clip(name)).picture
    assert picture is not None
    assert (picture.structure, picture.field_order) == (structure, order)
    assert picture.flagged == flagged


def test_real_odd_rate_stays_exact() -> None:
    picture = scanned(clip("longjump_tv_360p.mp4")).picture
    assert picture is not None
    assert (picture.rate, picture.rate_constant) == (Fraction(10900, 439), True)


def test_start_is_that_of_the_first_picture_that_decodes() -> None:
    # The first packet is 0.6 s earlier, in the middle of a group of pictures.
    found = scanned(clip("interlaced/woman_576i25_mpeg2.ts"))
    assert found.picture is not None
    assert found.picture.start_s == pytest.approx(1728762344 / 90000, abs=1e-6)
    assert found.sound[0].start_s == pytest.approx(1728688904 / 90000, abs=1e-6)
    assert "do not decode" in found.damage[0].what


def test_damaged_recording_opens_the_same_each_time_in_any_order(tmp_path: Path) -> None:
    found = scanned(clip("interlaced/newsroom_576i25_h264_damaged.ts"), work=tmp_path)
    assert found.picture is not None
    assert found.picture.fragile
    assert any("damaged" in loss.what for loss in found.damage)
    node = opened(found)
    assert node.num_frames == found.picture.frames
    late = [node.get_frame(n)[0] for n in (149, 90, 48)]
    again = opened(found)
    early = [again.get_frame(n)[0] for n in (48, 90, 149)]
    for one, other in zip(late, reversed(early), strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("container", ["mkv", "ts"])
def test_gap_of_two_seconds_is_filled_so_that_each_frame_is_at_its_time(
    container: str, tmp_path: Path
) -> None:
    lossless = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-pix_fmt", "gray")
    gap = ("-vf", "select='not(between(n,30,79))'", "-fps_mode", "passthrough")
    path = made.write(tmp_path / f"a.{container}", _FLAT, *lossless, *gap)
    found = scanned(path, work=tmp_path / "work")
    assert found.picture is not None
    assert (found.picture.rate, found.picture.rate_constant) == (25, False)
    assert found.picture.frames == 100
    assert "50 frames missing" in found.damage[0].what
    assert found.damage[0].at_s == pytest.approx(found.picture.start_s + 30 / 25, abs=1e-3)
    node = opened(found)
    shown = [float(np.asarray(node.get_frame(n)[0]).mean()) for n in range(node.num_frames)]
    first = shown[0]
    steps = np.array([0, 10, 29, 80, 90, 99]) * (shown[29] - first) / 29
    assert [shown[n] - first for n in (0, 10, 29, 80, 90, 99)] == pytest.approx(steps, abs=1.01)
    assert set(shown[30:80]) == {shown[29], shown[80]}


def test_film_telecined_by_its_pictures_is_hard_pulldown(tmp_path: Path) -> None:
    film = made.progressive(made.walker(height=128, width=160), 48)
    path = made.write(
        tmp_path / "a.mkv",
        film,
        "-vf",
        "telecine=pattern=23,setfield=tff",
        *made.MPEG2_FIELDS,
        rate="24000/1001",
    )
    picture = scanned(path).picture
    assert picture is not None
    assert (picture.structure, picture.pulldown) == ("telecine", "hard")
    assert picture.rate == Fraction(30000, 1001)


def test_facts_of_a_tagged_broadcast(tmp_path: Path) -> None:
    frames = made.interlaced(made.walker(height=288, width=352), 50)
    tags = ("-colorspace", "bt470bg", "-color_primaries", "bt470bg", "-color_trc", "bt470bg")
    path = made.write(
        tmp_path / "a.mkv",
        frames,
        *made.MPEG2_FIELDS,
        *tags,
        "-aspect",
        "16:9",
        "-c:a",
        "mp2",
        "-metadata:s:a:0",
        "language=fra",
        "-metadata",
        "title=Le concert",
        "-vf",
        "setfield=tff",
        inputs=made.tone(2.0),
    )
    found = scanned(path)
    assert found.title == "Le concert"
    assert found.picture is not None
    assert found.picture.display_aspect == Fraction(16, 9)
    assert found.picture.sample_aspect_tagged
    assert found.picture.matrix.tagged
    assert found.picture.duration_s == pytest.approx(2.0)
    (sound,) = found.sound
    assert (sound.language, sound.layout, sound.rate_hz) == ("fra", "stereo", 48000)
    # A sine of amplitude 0.1 in both channels: 0.1 RMS x sqrt 2 x sqrt 2, near 440 Hz unweighted.
    assert sound.loudness_lufs == pytest.approx(-20.7, abs=0.3)
    assert sound.true_peak_dbtp == pytest.approx(-20.0, abs=0.3)


def test_json_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.mkv", made.progressive(made.pan(), 12), *made.X264)
    found = scanned(path)
    assert Scan.model_validate_json(found.model_dump_json()) == found


def test_table_fits_100_columns_and_tells_guesses(tmp_path: Path) -> None:
    path = made.write(
        tmp_path / "a.mkv", made.progressive(made.pan(), 12), *made.X264, inputs=made.tone(0.5)
    )
    found = scanned(path)
    out = io.StringIO()
    show(found, Console(file=out, width=100))
    text = out.getvalue()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "progressive" in text
    assert "not tagged" in text
    assert len(one_line(found)) == len(HEADINGS)


def test_nothing_is_written_beside_the_source_nor_to_it(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.mkv", made.progressive(made.pan(), 12), *made.X264)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    scanned(path)
    opened(scanned(path)).get_frame(0).close()
    assert [inside.name for inside in tmp_path.iterdir()] == ["a.mkv"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_whole_film_is_looked_at_when_asked(tmp_path: Path) -> None:
    shots = made.progressive(made.pan(seed=1, height=96, width=128), 145)
    shots += made.progressive(made.pan(seed=50, height=96, width=128), 155)
    path = made.write(tmp_path / "a.mkv", shots, *made.X264)
    picture = scanned(path, full=True).picture
    assert picture is not None
    assert picture.cuts == [145]
    assert picture.examined_frames >= 300


class TestBadInput:
    def test_text_is_no_media_file(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("a list of songs\n" * 50)
        self._refused(path, "not a media file")

    def test_noise_is_no_media_file(self, tmp_path: Path) -> None:
        path = tmp_path / "noise.mkv"
        path.write_bytes(np.random.default_rng(1).bytes(100_000))
        self._refused(path, "not a media file")

    def test_truncated_file_without_its_index_is_refused(self, tmp_path: Path) -> None:
        path = made.write(tmp_path / "a.mp4", made.progressive(made.pan(), 50), *made.X264)
        path.write_bytes(path.read_bytes()[:20_000])
        self._refused(path, "not a media file")

    def test_truncated_file_gives_what_decodes(self, tmp_path: Path) -> None:
        path = made.write(
            tmp_path / "a.mkv", made.progressive(made.pan(), 50), *made.X264, "-g", "10"
        )
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        found = scanned(path)
        assert found.picture is not None
        assert 10 < found.picture.frames < 40
        assert any("earlier" in loss.what for loss in found.damage)

    def test_sound_alone_is_fine(self, tmp_path: Path) -> None:
        picture = made.write(
            tmp_path / "a.mkv", _FLAT[:25], *made.X264, "-c:a", "flac", inputs=made.tone(1.0)
        )
        sound = tmp_path / "a.flac"
        made.run("-i", str(picture), "-map", "0:a", "-c", "copy", str(sound))
        found = scanned(sound)
        assert found.picture is None
        assert found.sound[0].duration_s == pytest.approx(1.0)

    def test_picture_alone_is_fine(self, tmp_path: Path) -> None:
        found = scanned(made.write(tmp_path / "a.mkv", _FLAT[:25], *made.X264))
        assert found.sound == []
        assert found.picture is not None

    @pytest.mark.parametrize("layout", ["mono", "5.1"])
    def test_mono_and_surround_are_named(self, layout: str, tmp_path: Path) -> None:
        path = made.write(
            tmp_path / "a.mkv",
            _FLAT[:25],
            *made.X264,
            "-c:a",
            "flac",
            inputs=made.tone(1.0, layout=layout),
        )
        assert scanned(path).sound[0].layout in (layout, "5.1(side)")

    @pytest.mark.parametrize("size", [(63, 97), (2, 2), (30, 16)])
    def test_odd_and_tiny_sizes(self, size: tuple[int, int], tmp_path: Path) -> None:
        frames = made.progressive(made.pan(height=size[0], width=size[1]), 12)
        path = made.write(tmp_path / "a.mkv", frames, "-c:v", "ffv1", "-pix_fmt", "yuv444p")
        picture = scanned(path).picture
        assert picture is not None
        assert (picture.height, picture.width) == size

    def test_one_frame(self, tmp_path: Path) -> None:
        picture = scanned(made.write(tmp_path / "a.mkv", _FLAT[:1], *made.X264)).picture
        assert picture is not None
        assert (picture.frames, picture.rate) == (1, 25)

    def test_variable_rate_is_said_and_made_constant(self, tmp_path: Path) -> None:
        jumps = ("-vf", "settb=1/1000,setpts=40*N+18*mod(N\\,3)", "-fps_mode", "vfr")
        path = made.write(tmp_path / "a.mkv", _FLAT, *made.X264, *jumps, "-enc_time_base", "1/1000")
        found = scanned(path, work=tmp_path / "work")
        assert found.picture is not None
        assert not found.picture.rate_constant
        assert "vary" in found.picture.rate_why
        assert opened(found).num_frames == found.picture.frames

    @pytest.mark.parametrize(
        "name", ["two words.mkv", 'it\'s "live" $HOME.mkv', "演唱会 2000.mkv", "-y %03d;a&b.mkv"]
    )
    def test_odd_names(self, name: str, tmp_path: Path) -> None:
        plain = made.write(tmp_path / "plain.mkv", _FLAT[:12], *made.X264)
        folder = tmp_path / "a 夜 folder's"
        folder.mkdir()
        odd = Path(shutil.copy(plain, folder / name))
        found = scanned(odd, work=folder / "work")
        assert found.picture is not None
        assert opened(found).num_frames == 12

    def _refused(self, path: Path, words: str) -> None:
        with pytest.raises(RequestError, match=words) as refused:
            scanned(path)
        assert "\n" not in str(refused.value)
