"""What a user may name as a source, and how it is refused."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from pathlib import Path

import made
import pytest

from encore.errors import RequestError
from encore.frames import open_frames
from encore.probe import probe
from encore.progress import Reporter, reporter
from encore.source import open_source

_DVD = ("-map", "0:v", "-map", "1:a", "-c:a", "mp2", "-f", "dvd")


@pytest.fixture(scope="module")
def vob(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 25i in a program stream, packed as a DVD's."""
    frames = made.interlaced(made.walker(height=288, width=352), 50)
    path = tmp_path_factory.mktemp("disc") / "show.vob"
    arguments = (*made.MPEG2_FIELDS, "-b:v", "2M", *_DVD)
    return made.write(path, frames, *arguments, inputs=made.tone(2.0))


@pytest.fixture
def quiet() -> Reporter:
    return reporter("none", io.StringIO())


def test_file_is_read_where_it_lies(tmp_path: Path, quiet: Reporter) -> None:
    path = made.write(tmp_path / "a.mkv", made.progressive(made.pan(), 3), *made.X264)
    source = open_source(path, tmp_path / "work", quiet)
    assert (source.media, source.remuxed) == (path, False)
    assert not (tmp_path / "work").exists()


def test_vob_is_remuxed_with_every_frame(vob: Path, tmp_path: Path, quiet: Reporter) -> None:
    before = vob.read_bytes()
    source = open_source(vob, tmp_path, quiet)
    assert source.remuxed
    assert source.media.parent == tmp_path
    frames = open_frames(source.media, 0, tmp_path, quiet)
    assert len(frames) == 50
    assert vob.read_bytes() == before
    assert [path.name for path in vob.parent.iterdir()] == [vob.name]


def test_first_vob_of_a_title_set_brings_those_that_follow(
    vob: Path, tmp_path: Path, quiet: Reporter
) -> None:
    disc = tmp_path / "disc"
    disc.mkdir()
    whole = vob.read_bytes()
    half = len(whole) // 4096 * 2048
    (disc / "VTS_01_1.VOB").write_bytes(whole[:half])
    (disc / "VTS_01_2.VOB").write_bytes(whole[half:])
    (disc / "VTS_01_4.VOB").write_bytes(whole)  # no third one: not in the row
    (disc / "VTS_02_1.VOB").write_bytes(whole)
    source = open_source(disc / "VTS_01_1.VOB", tmp_path / "work", quiet)
    assert len(open_frames(source.media, 0, tmp_path / "work", quiet)) == 50
    assert probe(source.media, quiet).sounds == [1]


def test_disc_without_an_index_gives_its_largest_title_set(
    vob: Path, tmp_path: Path, quiet: Reporter
) -> None:
    disc = tmp_path / "disc" / "VIDEO_TS"
    disc.mkdir(parents=True)
    whole = vob.read_bytes()
    (disc / "VTS_01_1.VOB").write_bytes(whole[: len(whole) // 4096 * 2048])
    (disc / "VTS_02_1.VOB").write_bytes(whole)
    for named in (disc, disc.parent):
        source = open_source(named, tmp_path / "work", quiet)
        assert len(open_frames(source.media, 0, tmp_path / "work", quiet)) == 50


def test_encrypted_disc_is_named_as_such(vob: Path, tmp_path: Path, quiet: Reporter) -> None:
    disc = tmp_path / "VIDEO_TS"
    disc.mkdir()
    scrambled = bytearray(vob.read_bytes())
    for sector in range(2048 * 20, len(scrambled) - 2048, 2048 * 2):
        packet = sector + 14 + (scrambled[sector + 13] & 7)
        if scrambled[packet + 3] == 0xE0:
            scrambled[packet + 6] |= 0x30
    (disc / "VTS_01_1.VOB").write_bytes(scrambled)
    for named in (disc, disc / "VTS_01_1.VOB"):
        with pytest.raises(RequestError, match=r"encrypted \(CSS\)") as refused:
            open_source(named, tmp_path / "work", quiet)
        assert "\n" not in str(refused.value)


def test_image_without_a_dvd_is_refused(tmp_path: Path, quiet: Reporter) -> None:
    image = tmp_path / "data.iso"
    image.write_bytes(bytes(16 * 2048) + b"\x01CD001\x01" + bytes(200 * 2048))
    with pytest.raises(RequestError, match="no DVD-Video"):
        open_source(image, tmp_path / "work", quiet)


@pytest.mark.parametrize(
    ("name", "words"),
    [("nowhere.mkv", "No such file"), ("empty.mkv", "is empty"), ("folder", "no VIDEO_TS")],
)
def test_what_is_no_source_is_refused_in_one_line(
    name: str, words: str, tmp_path: Path, quiet: Reporter
) -> None:
    (tmp_path / "empty.mkv").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(RequestError, match=words) as refused:
        open_source(tmp_path / name, tmp_path / "work", quiet)
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(not shutil.which("dvdauthor"), reason="dvdauthor is not installed")
def test_longest_title_is_taken_with_its_chapters_and_languages(
    vob: Path, tmp_path: Path, quiet: Reporter
) -> None:
    frames = made.interlaced(made.walker(height=288, width=352), 12)
    arguments = (*made.MPEG2_FIELDS, "-b:v", "2M", *_DVD)
    short = made.write(tmp_path / "short.vob", frames, *arguments, inputs=made.tone(0.5))
    plan = tmp_path / "plan.xml"
    plan.write_text(
        f"""<dvdauthor dest="{tmp_path}/disc"><vmgm/><titleset><titles>
        <video format="pal" aspect="4:3"/><audio lang="fr"/>
        <pgc><vob file="{short}"/></pgc><pgc><vob file="{vob}" chapters="0,0:01"/></pgc>
        </titles></titleset></dvdauthor>"""
    )
    subprocess.run(
        ["dvdauthor", "-x", str(plan)],
        env=os.environ | {"VIDEO_FORMAT": "PAL"},
        check=True,
        capture_output=True,
    )
    for named in (tmp_path / "disc", tmp_path / "disc" / "VIDEO_TS"):
        source = open_source(named, tmp_path / "work", quiet)
        known = probe(source.media, quiet)
        assert len(open_frames(source.media, 0, tmp_path / "work", quiet)) == 50
        assert len(known.chapters) == 2
        assert known.streams[1].language in ("fra", "fre")
