"""Whether frames hold one moment or two, found in pictures whose truth was made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import made
import pytest

from encore.facts import FieldOrder
from encore.fields import distances
from encore.frames import open_frames
from encore.progress import reporter
from encore.structure import RUN, Finding, Kind, judge, judge_run, places
from encore.survey import survey

_COUNT = 4 * RUN


def found(
    frames: Sequence[made.Picture],
    flagged: Kind | None = "interlaced",
    flagged_order: FieldOrder | None = "top",
) -> Finding:
    runs = []
    for start in range(0, len(frames) - RUN + 1, RUN):
        run = frames[start : start + RUN]
        pairs = [distances(one, other) for one, other in pairwise(run)]
        runs.append(judge_run(start, pairs))
    return judge(runs, flagged, flagged_order)


def truth(finding: Finding, *, seen: bool = True) -> tuple[str, str | None]:
    """What was found; `seen` tells that it was in the pictures, and not in the flags."""
    assert (finding.confidence > 0.5) == seen, finding
    return finding.structure, finding.field_order


@pytest.mark.parametrize("scene", [made.pan(), made.walker()], ids=["pan", "walker"])
class TestPlain:
    def test_whole_frames_are_progressive_whatever_the_flags_say(self, scene: made.Scene) -> None:
        finding = found(made.progressive(scene, _COUNT))
        assert truth(finding) == ("progressive", None)
        assert "flagged interlaced" in finding.why

    @pytest.mark.parametrize("first", ["top", "bottom"])
    def test_two_moments_in_a_frame_are_interlaced(self, scene: made.Scene, first: str) -> None:
        assert truth(found(made.interlaced(scene, _COUNT, first))) == ("interlaced", first)

    @pytest.mark.parametrize("first", ["top", "bottom"])
    def test_film_with_3_2_pulldown_is_telecine(self, scene: made.Scene, first: str) -> None:
        assert truth(found(made.telecined(scene, _COUNT, first))) == ("telecine", first)


@pytest.mark.parametrize("sigma", [4.0, 8.0])
@pytest.mark.parametrize("kind", ["progressive", "top", "bottom"])
def test_dark_and_noisy_stage_is_told_right(kind: str, sigma: float) -> None:
    scene = made.lit(made.walker(), lambda moment: 0.35)
    frames = made.noisy(_frames(scene, kind), sigma)
    assert truth(found(frames)) == _truth(kind)


@pytest.mark.parametrize("kind", ["progressive", "top", "bottom"])
def test_half_a_pixel_of_motion_a_frame_is_enough(kind: str) -> None:
    frames = made.letterboxed(_frames(made.pan(right=0.25, down=0.0), kind), 16)
    assert truth(found(made.noisy(frames, 1.0))) == _truth(kind)


@pytest.mark.parametrize("kind", ["progressive", "top", "bottom"])
def test_fall_down_the_picture_is_not_taken_for_fields(kind: str) -> None:
    scene = made.pan(right=0.0, down=1.0)
    assert truth(found(_frames(scene, kind))) == _truth(kind)


@pytest.mark.parametrize("kind", ["progressive", "top", "bottom"])
def test_flash_of_one_field_does_not_fool_it(kind: str) -> None:
    flashes = {7, 8, 26, 41, 42, 43, 60}
    scene = made.lit(made.walker(), lambda moment: 1.8 if moment in flashes else 0.8)
    assert truth(found(_frames(scene, kind))) == _truth(kind)


@pytest.mark.parametrize("kind", ["progressive", "top", "bottom"])
def test_light_that_breathes_does_not_fool_it(kind: str) -> None:
    scene = made.lit(made.walker(), lambda moment: 0.7 + 0.25 * ((moment * 0.13) % 1))
    assert truth(found(_frames(scene, kind))) == _truth(kind)


@pytest.mark.parametrize("kind", ["progressive", "top", "telecine"])
def test_letterbox_changes_nothing(kind: str) -> None:
    frames = made.letterboxed(_frames(made.walker(), kind), 30)
    assert truth(found(frames)) == _truth(kind)


@pytest.mark.parametrize("kind", ["progressive", "top"])
def test_cuts_change_nothing(kind: str) -> None:
    shots = [made.walker(seed=seed) for seed in range(3, 12)]
    frames = _frames(lambda moment: shots[int(moment) // 10](moment), kind)
    assert truth(found(frames)) == _truth(kind)


def test_runs_that_disagree_firmly_are_mixed() -> None:
    scene = made.pan()
    frames = made.progressive(scene, 4 * RUN) + made.interlaced(scene, 3 * RUN)
    assert truth(found(frames)) == ("mixed", "top")


def test_whole_pictures_across_the_frames_are_a_sequence_of_fields() -> None:
    whole = made.progressive(made.pan(), _COUNT + 1)
    across = [made.woven(late, early) for early, late in pairwise(whole)]
    assert truth(found(across + whole[: 2 * RUN])) == ("interlaced", "bottom")


@pytest.mark.parametrize("sigma", [0.0, 6.0])
def test_where_nothing_moves_the_flags_decide_and_it_is_said(sigma: float) -> None:
    still = made.noisy([made.texture(made.HEIGHT, made.WIDTH, 5)] * (2 * RUN), sigma)
    finding = found(still)
    assert truth(finding, seen=False) == ("interlaced", "top")
    assert "nothing moves" in finding.why
    assert truth(found(still, "progressive", None), seen=False) == ("progressive", None)


def test_one_frame_has_no_motion() -> None:
    assert truth(judge([judge_run(0, [])], None, None), seen=False) == ("progressive", None)


def test_runs_lie_within_the_film_and_apart() -> None:
    for frames in (1, 5, 11, 12, 62, 1000, 180_000):
        starts = places(frames, 20)
        assert starts[0] >= 0
        assert starts[-1] + min(RUN, frames) <= frames
        assert all(later - one >= RUN for one, later in pairwise(starts))


@pytest.mark.parametrize("kind", ["progressive", "top", "bottom", "telecine"])
def test_mpeg2_at_4_mbit_is_told_right_though_all_is_flagged_the_same(
    kind: str, tmp_path: Path
) -> None:
    scene = made.walker(height=288, width=352)
    frames = made.noisy(_frames(scene, kind), 3.0)
    first = ("-vf", f"setfield={'bff' if kind == 'bottom' else 'tff'}")
    path = made.write(tmp_path / "a.mkv", frames, *made.MPEG2_FIELDS, "-b:v", "1.5M", *first)
    opened = open_frames(path, 0, tmp_path, reporter("none"))
    seen = survey(opened, black=16.0, full=False, reporter=reporter("none"))
    assert truth(seen.finding) == _truth(kind)
    assert seen.flagged == "interlaced"


def _frames(scene: made.Scene, kind: str) -> list[made.Picture]:
    if kind == "progressive":
        return made.progressive(scene, _COUNT)
    if kind == "telecine":
        return made.telecined(scene, _COUNT)
    return made.interlaced(scene, _COUNT, kind)


def _truth(kind: str) -> tuple[str, str | None]:
    truths = {"progressive": ("progressive", None), "telecine": ("telecine", "top")}
    return truths.get(kind, ("interlaced", kind))
