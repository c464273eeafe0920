"""Cuts are told from flashes, lamps and motion."""

from __future__ import annotations

import made
import pytest

from encore.cuts import cuts_in, sketch


def found(frames: list[made.Picture], start: int = 0) -> list[int]:
    return cuts_in(start, [sketch(frame) for frame in frames])


@pytest.mark.parametrize("sigma", [0.0, 6.0])
def test_cut_is_found_at_its_frame(sigma: float) -> None:
    shots = made.progressive(made.pan(seed=1), 8) + made.progressive(made.pan(seed=40), 8)
    assert found(made.noisy(shots, sigma), start=100) == [108]


def test_cut_between_fields_is_found_once() -> None:
    one, other = made.pan(seed=1), made.pan(seed=40)
    frames = made.interlaced(lambda moment: (one if moment < 15 else other)(moment), 16)
    assert found(frames) in ([7], [8])


def test_flash_is_no_cut() -> None:
    scene = made.lit(made.walker(), lambda moment: 2.0 if moment in (16, 17) else 0.6)
    assert found(made.progressive(scene, 16)) == []


def test_lamp_that_comes_up_at_once_is_no_cut() -> None:
    scene = made.lit(made.walker(), lambda moment: 0.3 if moment < 16 else 1.0)
    assert found(made.progressive(scene, 16)) == []


def test_quick_pan_is_no_cut() -> None:
    assert found(made.progressive(made.pan(right=4.0, down=1.0), 16)) == []


def test_a_strobe_is_no_cut_wherever_the_run_ends() -> None:
    scene = made.lit(made.walker(), lambda moment: 2.2 if moment // 2 % 3 == 0 else 0.5)
    frames = made.progressive(scene, 18)
    assert [found(frames[:count]) for count in range(8, 19)] == [[]] * 11


def test_a_run_of_no_or_one_frame_has_no_cut() -> None:
    assert found([]) == []
    assert found(made.progressive(made.pan(), 1)) == []
