"""The page of a master: one file that any browser shows, of what was found and of nothing else."""

import base64
import dataclasses
import io
import math
import os
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from PIL import Image

from encoreaudio import UNTOUCHED, Mastering, Recipe, SoundError, ToneTarget, master
from encoreaudio.clicks import Click
from encoreaudio.hum import Hum
from encoreaudio.noise import NoisePrint
from encoreaudio.page import Seen, write_page
from encoreaudio.plots import Line, chart, picture
from encoreaudio.repair import Repaired
from encoreaudio.songs import Song
from encoreaudio.spectrogram import Spectrogram
from encoreaudio.warp import Alignment, Segment

RATE = 16000
NAME = "<b>&'\"<script>.wav"
ALWAYS = {"Levels", "Repairs", "Short-term loudness"}
EMPTY_TAGS = {"meta", "br", "link", "img"}


class Read(HTMLParser):
    """A page as a browser reads it: its tags, their attributes, its headings and its words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.headings, self.words = [], [], [], []
        self._open = []
        self.feed(text)
        self.close()
        assert self._open == [], "tags that are never closed"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in EMPTY_TAGS:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, text):
        self.words.append(text)
        if self._open and self._open[-1] == "h2":
            self.headings.append(text)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The report of a sound in which nothing was found."""
    folder = tmp_path_factory.mktemp("page")
    noise = np.random.default_rng(0).standard_normal((5 * RATE, 2)) * 0.05
    soundfile.write(folder / "in.wav", noise, RATE)
    return master(folder / "in.wav", folder / "out.wav", Recipe(Mastering(-30.0, None), UNTOUCHED))


def read(tmp_path, report, before=None, after=None):
    write_page(tmp_path / "page.html", report, Seen(before, after))
    return Read((tmp_path / "page.html").read_text(encoding="utf-8"))


def tone_picture(level_db=None):
    level = np.full((8, 20), -120.0) if level_db is None else level_db
    return Spectrogram(0.25, np.geomspace(20, 8000, len(level) + 1), level)


def found(report, **findings):
    return dataclasses.replace(report, findings=dataclasses.replace(report.findings, **findings))


def test_a_page_is_one_file_without_scripts_that_asks_for_nothing_from_outside(plain, tmp_path):
    page = read(tmp_path, plain, tone_picture(), tone_picture())
    assert os.listdir(tmp_path) == ["page.html"]
    assert not {"script", "link", "iframe", "img", "object", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    asked = [value for name, value in page.attributes if name in ("href", "src", "xlink:href")]
    assert len(asked) == 2
    assert all(value.startswith("data:image/png;base64,") for value in asked)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.findall(r"https?:|url\(|@import", text)


def test_a_name_that_is_markup_is_shown_as_it_is(plain, tmp_path):
    page = read(tmp_path, dataclasses.replace(plain, source=f"/shows/{NAME}"))
    assert not {"b", "script"} & set(page.tags)
    assert page.words.count(NAME) == 1
    assert f"{NAME}: sound" in page.words


def test_where_nothing_was_found_no_section_tells_of_it(plain, tmp_path):
    page = read(tmp_path, plain)
    assert set(page.headings) == ALWAYS
    assert "Nothing was repaired." in page.words


@pytest.mark.parametrize(
    ("changed", "heading", "words"),
    [
        (
            lambda report: dataclasses.replace(
                report, repairs=(Repaired("hum", 0.5, "-40.0 dBFS & more"),)
            ),
            "Repairs",
            ["hum", "0.5", "-40.0 dBFS & more"],
        ),
        (
            lambda report: found(report, hum=Hum(50.02, -41.3, (1, 3), (-45.0, -90.0, -44.0))),
            "Hum",
            ["50.02 Hz", "150.06 Hz", "-44.0 dBFS"],
        ),
        (
            lambda report: found(
                report,
                noise=NoisePrint((100.0, 1000.0, 8000.0), ((-90.0, -95.0, -99.0),), (-60.0,), 1),
            ),
            "The noise that was found",
            ["channel 1", "1 kHz"],
        ),
        (
            lambda report: dataclasses.replace(report, clicks=(Click(1.0, 0, 3, 0.5),)),
            "Clicks, in every 0.025 s",
            ["clicks"],
        ),
        (
            lambda report: dataclasses.replace(
                report,
                songs=(Song(0.0, 200.0, -20.0), Song(210.0, 3700.0, -16.0)),
                song_offsets_db=(1.5, -0.5),
            ),
            "Songs",
            ["0:03:20", "0:03:30", "1:01:40", "-20.0", "+1.5", "-0.5"],
        ),
        (
            lambda report: dataclasses.replace(
                report,
                alignment=Alignment(
                    RATE,
                    RATE,
                    0.0,
                    (Segment(0.0, 9.0, ((0.0, 3.0), (9.0, 12.0))),),
                    (),
                    (),
                    3.0,
                    -12.5,
                    0.25,
                    0.93,
                    0.0,
                ),
            ),
            "Put on the reference's clock",
            ["+3.0000 s", "-12.5 parts in a million", "0.250 ms", "93 %"],
        ),
    ],
)
def test_what_was_found_and_done_has_its_section(plain, tmp_path, changed, heading, words):
    page = read(tmp_path, changed(plain))
    assert set(page.headings) == ALWAYS | {heading}
    assert set(words) <= set(page.words), page.words


def test_levels_are_those_of_the_report_and_a_dash_where_there_are_none(plain, tmp_path):
    silent = dataclasses.replace(plain.after, integrated_lufs=None, true_peak_dbtp=-math.inf)
    page = read(tmp_path, dataclasses.replace(plain, after=silent))
    assert f"{plain.before.integrated_lufs:.1f} LUFS" in page.words
    assert page.words.count("–") == 2


def test_limiter_and_tone_are_drawn_where_they_did_something(tmp_path):
    noise = np.random.default_rng(0).standard_normal((5 * RATE, 1)) * 0.05
    soundfile.write(tmp_path / "in.wav", noise, RATE)
    recipe = Recipe(Mastering(-14.0, -9.0), UNTOUCHED, tone=ToneTarget(tilt_db=3.0))
    report = master(tmp_path / "in.wav", tmp_path / "out.wav", recipe)
    page = read(tmp_path, report)
    assert set(page.headings) == ALWAYS | {"What the limiter took away", "Tone"}


@pytest.mark.parametrize("frames", [1, 500, 3 * RATE])
def test_silence_and_the_shortest_sounds_have_a_page(tmp_path, frames):
    soundfile.write(tmp_path / "in.wav", np.zeros((frames, 1)), RATE)
    master(tmp_path / "in.wav", tmp_path / "out.wav", page=tmp_path / "page.html")
    page = Read((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert {"Levels", "Repairs"} <= set(page.headings)


def test_what_cannot_be_written_is_told_and_nothing_is_left(plain, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.html").mkdir()
    for path in (tmp_path / "gone/a.html", tmp_path / "file/a.html", tmp_path / "folder.html"):
        with pytest.raises(SoundError, match=f"^{path} cannot be written: ") as caught:
            write_page(path, plain, Seen(None, None))
        assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.html"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_refused_before_the_work(plain, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(SoundError, match="may not be written to"):
        master(plain.source, tmp_path / "out.wav", page=locked / "page.html")
    assert os.listdir(locked) == []


def test_a_page_in_a_folder_that_is_not_there_is_refused_before_the_work(plain, tmp_path):
    with pytest.raises(SoundError, match="gone does not exist"):
        master(plain.source, tmp_path / "out.wav", page=tmp_path / "gone/page.html")
    assert os.listdir(tmp_path) == []


def test_an_older_page_is_replaced(plain, tmp_path):
    (tmp_path / "page.html").write_text("old")
    assert "Levels" in read(tmp_path, plain).headings


def points(drawn):
    """The pieces of a chart's only line, each as (column, row)."""
    (path,) = re.findall(r'class="line [a-z]+" d="([^"]*)"', drawn)
    pieces = [piece for piece in path.split("M") if piece]
    return [[tuple(map(float, at.split())) for at in piece.split("L")] for piece in pieces]


def grid(drawn):
    """Where the labels of the chart's levels stand: row by level."""
    labels = re.findall(r'y="([0-9.]+)" text-anchor="end">(-?[0-9.]+)<', drawn)
    return SimpleNamespace(**{f"at{level}": float(row) - 4 for row, level in labels})


def test_a_line_lies_where_the_axis_says():
    line = Line("loudness", np.array([0.0, 5.0, 10.0]), np.array([-40.0, -20.0, 0.0]))
    drawn = chart([line], "LUFS", low=-40, high=0)
    ((first, middle, last),) = points(drawn)
    rows = grid(drawn)
    assert (first[1], middle[1], last[1]) == (
        pytest.approx(getattr(rows, "at-40"), abs=0.11),
        pytest.approx(getattr(rows, "at-20"), abs=0.11),
        pytest.approx(rows.at0, abs=0.11),
    )
    assert middle[0] == pytest.approx((first[0] + last[0]) / 2, abs=0.11)


def test_pitch_is_drawn_in_octaves():
    line = Line("", np.array([100.0, 200.0, 400.0]), np.zeros(3))
    ((first, second, third),) = points(chart([line], "dB", low=-9, high=9, log_hz=True))
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.11)


def test_a_line_is_broken_where_there_is_no_value_and_held_at_the_edges():
    values = np.array([-10.0, np.nan, -99.0, 99.0])
    drawn = chart([Line("", np.arange(4.0), values)], "dB", low=-20, high=0)
    one, two = points(drawn)
    rows = grid(drawn)
    assert len(one) == 1
    assert [row for _, row in two] == pytest.approx([getattr(rows, "at-20"), rows.at0], abs=0.11)


def test_words_of_a_chart_are_escaped():
    drawn = chart(
        [Line("<a>", np.arange(2.0), np.zeros(2))], "<u>", low=-1, high=1, marks=[(1.0, "<m>")]
    )
    assert not {"a", "u", "m"} & set(Read(drawn).tags)
    assert {"<a>", "<u>", "<m>"} <= set(Read(drawn).words)


def test_a_picture_is_light_where_it_is_loud_and_has_low_pitch_at_the_bottom():
    level = np.full((8, 20), -120.0)
    level[0, 10:] = -6.0
    drawn = picture("before", tone_picture(level), -6.0)
    data = re.search(r"base64,([^\"]+)", drawn)
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))).convert("L"))
    assert image.shape == (8, 20)
    assert image[-1, 10:].min() > 230
    assert image[:-1].max() < 10
    assert image[-1, :10].max() < 10
