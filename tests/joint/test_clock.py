"""The rate, and whether it is constant, from timestamps whose truth is arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encore.clock import clock_of

_FILM, _NTSC = Fraction(24000, 1001), Fraction(30000, 1001)


def times(rate: Fraction, count: int, start: Fraction = Fraction(0)) -> list[Fraction]:
    return [start + n / rate for n in range(count)]


def in_ms(exact: list[Fraction]) -> list[Fraction]:
    """As Matroska stores them."""
    return [Fraction(round(at * 1000), 1000) for at in exact]


@given(
    rate=st.sampled_from([_FILM, Fraction(24), Fraction(25), _NTSC, Fraction(50), Fraction(60)]),
    count=st.integers(2, 400),
    start=st.fractions(0, 95443, max_denominator=90000),
)
def test_rounding_to_milliseconds_leaves_a_claimed_rate_constant(
    rate: Fraction, count: int, start: Fraction
) -> None:
    clock = clock_of(in_ms(times(rate, count, start)), [rate])
    assert clock.constant
    assert clock.rate == rate
    assert clock.start_s == pytest.approx(float(start), abs=0.00051)


def test_odd_rate_stays_exact() -> None:
    odd = Fraction(10900, 439)
    assert clock_of(times(odd, 871), []).rate == odd


def test_wrong_claim_is_not_believed() -> None:
    clock = clock_of(in_ms(times(_NTSC, 900)), [Fraction(145, 6), Fraction(25)])
    assert (clock.rate, clock.constant) == (_NTSC, True)


def test_field_rate_that_is_claimed_as_well_does_not_win() -> None:
    assert clock_of(times(Fraction(25), 50), [Fraction(50), Fraction(25)]).rate == 25


def test_soft_pulldown_is_constant_film() -> None:
    field = Fraction(1001, 60000)
    alternating = [(5 * n // 2) * field for n in range(200)]
    clock = clock_of(alternating, [_NTSC, _FILM])
    assert (clock.rate, clock.constant) == (_FILM, True)


def test_gap_is_told_with_its_time_and_its_frames() -> None:
    whole = times(Fraction(25), 500, Fraction(10))
    clock = clock_of(whole[:100] + whole[150:], [Fraction(25)])
    assert not clock.constant
    assert clock.rate == 25
    assert [(loss.at_s, loss.what) for loss in clock.damage] == [
        (pytest.approx(14.0), "picture: 50 frames missing")
    ]


def test_rate_that_varies_is_not_taken_for_gaps() -> None:
    varying, at = [], Fraction(0)
    for n in range(200):
        varying.append(at)
        at += Fraction(20 + 37 * n % 41, 1000)
    clock = clock_of(varying, [Fraction(30)])
    assert not clock.constant
    assert not clock.damage
    assert "vary" in clock.why


def test_clock_that_jumps_back_is_said_and_frames_are_counted() -> None:
    clock = clock_of(times(Fraction(25), 50) + times(Fraction(25), 50), [Fraction(25)])
    assert (clock.rate, clock.kind) == (25, "none")
    assert "jumps back" in clock.damage[0].what


def test_without_timestamps_the_claim_is_all_there_is() -> None:
    clock = clock_of(None, [Fraction(30)])
    assert (clock.rate, clock.start_s, clock.kind) == (30, 0.0, "none")


def test_one_frame_has_a_rate_too() -> None:
    clock = clock_of([Fraction(3)], [Fraction(25)])
    assert (clock.rate, clock.start_s, clock.constant) == (25, 3.0, True)
