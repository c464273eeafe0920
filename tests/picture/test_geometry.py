"""Sizes of square-pixel pictures, by the standards' examples and by arithmetic."""

from fractions import Fraction

import pytest
import vapoursynth as vs
from hypothesis import given
from hypothesis import strategies as st

from vsencore.geometry import doublings, sample_aspect, square_width

sizes = st.integers(1, 8192)
aspects = st.fractions(min_value=Fraction(1, 4), max_value=4, max_denominator=200)


@pytest.mark.parametrize(
    ("size", "aspect", "target", "width"),
    [
        ((720, 576), (64, 45), 1080, 1920),
        ((720, 576), (16, 15), 1080, 1440),
        ((720, 480), (32, 27), 1080, 1920),
        ((720, 480), (8, 9), 1080, 1440),
        ((1440, 1080), (4, 3), 1080, 1920),
        ((1920, 1080), (1, 1), 2160, 3840),
        ((720, 576), (64, 45), 2160, 3840),
        ((704, 576), (12, 11), 576, 768),
    ],
)
def test_the_usual_discs_come_out_exact(
    size: tuple[int, int], aspect: tuple[int, int], target: int, width: int
) -> None:
    assert square_width(*size, Fraction(*aspect), target) == width


@given(sizes, sizes, aspects, st.integers(8, 4320).map(lambda half: 2 * half))
def test_the_width_is_the_nearest_even_one(
    width: int, height: int, aspect: Fraction, target: int
) -> None:
    exact = width * aspect * target / height
    got = square_width(width, height, aspect, target)
    assert got % 2 == 0
    assert got == 2 or abs(got - exact) <= 1


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_doubling_stops_as_soon_as_it_is_enough(source: int, target: int) -> None:
    count = doublings(source, target)
    assert source * 2**count >= target
    assert count == 0 or source * 2 ** (count - 1) < target


@pytest.mark.parametrize("told", [None, (0, 0), (0, 1), (1, 0), (-64, 45)], ids=str)
def test_an_aspect_that_is_missing_or_nonsense_is_square(told: tuple[int, int] | None) -> None:
    clip = vs.core.std.BlankClip(length=1)
    if told:
        clip = clip.std.SetFrameProps(_SARNum=told[0], _SARDen=told[1])
    assert sample_aspect(clip) == 1


def test_an_aspect_is_read_from_the_frame() -> None:
    clip = vs.core.std.BlankClip(length=1).std.SetFrameProps(_SARNum=64, _SARDen=45)
    assert sample_aspect(clip) == Fraction(64, 45)
