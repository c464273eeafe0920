"""Cuts are written so that other programs read them back to the frame."""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encore.cut_lists import check, export, timecode
from encore.errors import RequestError
from encore.lights import Event, Timeline, Track

NTSC, NTSC_FIELDS = Fraction(30000, 1001), Fraction(60000, 1001)
RATES = [Fraction(25), NTSC, Fraction(50), NTSC_FIELDS]


def made(cuts: list[int], frames: int, rate: Fraction) -> Timeline:
    events = [
        Event(kind="cut", first=cut, last=cut, start_s=float(cut / rate), end_s=float(cut / rate))
        for cut in cuts
    ]
    strobe = Event(kind="strobe", first=5, last=9, start_s=0.2, end_s=0.4, rate_hz=8.0, flashes=4)
    return Timeline(
        frames=frames,
        rate=rate,
        start_s=0.0,
        events=[strobe, *events],
        states=[],
        track=Track(every=1, low=[], mean=[], high=[], colour=[]),
    )


def counted(code: str, rate: Fraction) -> int:
    """The frame of a time code by the rule of SMPTE ST 12-1, written the other way round."""
    hours, minutes, seconds, frames = (int(part) for part in re.split("[:;]", code))
    whole = round(rate)
    number = ((hours * 60 + minutes) * 60 + seconds) * whole + frames
    if ";" in code:
        all_minutes = hours * 60 + minutes
        number -= (whole // 15) * (all_minutes - all_minutes // 10)
    return number


# SMPTE ST 12-1: two numbers are left out at each minute but each tenth, four at twice the rate.
@pytest.mark.parametrize(
    ("frame", "rate", "code"),
    [
        (0, Fraction(25), "00:00:00:00"),
        (25 * 3600 - 1, Fraction(25), "00:59:59:24"),
        (1799, NTSC, "00:00:59;29"),
        (1800, NTSC, "00:01:00;02"),
        (17981, NTSC, "00:09:59;29"),
        (17982, NTSC, "00:10:00;00"),
        (107892, NTSC, "01:00:00;00"),
        (3599, NTSC_FIELDS, "00:00:59;59"),
        (3600, NTSC_FIELDS, "00:01:00;04"),
        (215784, NTSC_FIELDS, "01:00:00;00"),
        (50 * 60, Fraction(50), "00:01:00:00"),
        (24 * 60, Fraction(24000, 1001), "00:01:00:00"),
    ],
)
def test_time_code_is_that_of_the_standard(frame: int, rate: Fraction, code: str) -> None:
    assert timecode(frame, rate) == code


@given(frame=st.integers(0, 24 * 3600 * 25 - 1), rate=st.sampled_from(RATES))
def test_time_code_counts_back_to_its_frame(frame: int, rate: Fraction) -> None:
    assert counted(timecode(frame, rate), rate) == frame


@given(frame=st.integers(0, 3 * 3600 * 30), rate=st.sampled_from([NTSC, NTSC_FIELDS]))
def test_drop_frame_keeps_to_the_clock(frame: int, rate: Fraction) -> None:
    hours, minutes, seconds, _ = (int(p) for p in re.split("[:;]", timecode(frame, rate)))
    assert abs((hours * 60 + minutes) * 60 + seconds - float(frame / rate)) < 1.1


def test_json_is_the_timeline(tmp_path: Path) -> None:
    told = made([30, 76], 100, Fraction(25))
    export(told, tmp_path / "cuts.json")
    assert Timeline.model_validate_json((tmp_path / "cuts.json").read_text()) == told


def test_text_has_a_line_for_each_cut(tmp_path: Path) -> None:
    export(made([30, 1800], 2000, NTSC), tmp_path / "cuts.txt")
    assert (tmp_path / "cuts.txt").read_text().splitlines() == [
        "30 00:00:01;00",
        "1800 00:01:00;02",
    ]


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_the_shots_of_an_edl_join_without_a_gap(tmp_path: Path, rate: Fraction) -> None:
    cuts, frames = [30, 1798, 1802, 40000], 50000
    export(made(cuts, frames, rate), tmp_path / "show.EDL", source=Path("a show – live.mkv"))
    text = (tmp_path / "show.EDL").read_text("ascii")
    drop = rate in (NTSC, NTSC_FIELDS)
    assert f"FCM: {'DROP FRAME' if drop else 'NON-DROP FRAME'}" in text.splitlines()
    line = re.compile(r"^(\d{3})  (\S+) +V +C +(\S+) (\S+) (\S+) (\S+)$", re.MULTILINE)
    found = line.findall(text)
    assert [int(number) for number, *_ in found] == [1, 2, 3, 4, 5]
    spans = [[counted(code, rate) for code in codes] for _, _, *codes in found]
    edges = [0, *cuts, frames]
    assert spans == [[a, b, a, b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_opentimelineio_reads_the_shots_back(tmp_path: Path, rate: Fraction) -> None:
    otio = pytest.importorskip("opentimelineio")
    export(made([30, 76], 100, rate), tmp_path / "cuts.otio", source=tmp_path / "show.mkv")
    read = otio.adapters.read_from_file(str(tmp_path / "cuts.otio"))
    (track,) = read.video_tracks()
    spans = [clip.source_range for clip in track.find_clips()]
    assert [span.start_time.to_frames() for span in spans] == [0, 30, 76]
    assert [span.duration.to_frames() for span in spans] == [30, 46, 24]
    assert all(abs(span.start_time.rate - float(rate)) < 1e-9 for span in spans)
    assert read.duration().to_frames() == 100
    assert [clip.media_reference.target_url for clip in track.find_clips()] == [
        (tmp_path / "show.mkv").as_uri()
    ] * 3
    assert [marker.name for marker in track.markers] == ["strobe, 8.0 Hz"]


def test_without_opentimelineio_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    with pytest.raises(RequestError, match=r"encore-remaster\[otio\]"):
        check(tmp_path / "cuts.otio")


def test_another_ending_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"\.edl"):
        check(tmp_path / "cuts.xml")
