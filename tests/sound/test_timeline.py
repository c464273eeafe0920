"""Placing frames by their stamps."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoreaudio.timeline import Placement, Timeline, anchor

RATE = 48000


def place_all(stamps, samples, start=None, rate=RATE, restarts=False):
    timeline = Timeline(stamps[0] if start is None else start, rate, restarts=restarts)
    after = [*stamps[1:], None]
    return [timeline.place(at, samples, next_at) for at, next_at in zip(stamps, after, strict=True)]


@given(
    rate=st.sampled_from([8000, 22050, 44100, 48000, 96000]),
    samples=st.sampled_from([128, 576, 960, 1024, 1152, 1536, 4096]),
    ticks=st.sampled_from([1000, 90000, 14112000]),
    first=st.fractions(-5, 60000),
)
def test_rounded_stamps_never_insert_or_drop_a_sample(rate, samples, ticks, first):
    stamps = [
        Fraction(round((first + Fraction(n * samples, rate)) * ticks), ticks) for n in range(400)
    ]
    assert all(placement == Placement() for placement in place_all(stamps, samples, rate=rate))


@given(lost=st.integers(1, 40), at=st.integers(2, 20))
def test_lost_packets_become_exactly_their_length_of_silence(lost, at):
    stamps = [Fraction(n * 1024, RATE) for n in range(80) if not at <= n < at + lost]
    placements = place_all(stamps, 1024)
    assert [p.gap for p in placements if p != Placement()] == [lost * 1024]


def test_what_comes_twice_is_dropped():
    stamps = [Fraction(n * 1024, RATE) for n in (0, 1, 2, 3, 2, 3, 4, 5)]
    drops = [placement.drop for placement in place_all(stamps, 1024)]
    assert drops == [0, 0, 0, 0, 1024, 1024, 0, 0]


def test_one_odd_stamp_is_not_believed():
    stamps = [Fraction(n * 1024, RATE) for n in range(10)]
    stamps[5] += Fraction(3, 100)
    assert all(placement == Placement() for placement in place_all(stamps, 1024))


def test_frames_without_a_stamp_follow_on():
    assert place_all([Fraction(1), None, None], 1024) == [Placement()] * 3


def test_a_clock_that_leaps_is_followed_only_where_clocks_may_leap():
    stamps = [Fraction(n * 1024, RATE) + (3600 if n > 4 else 0) for n in range(10)]
    leaps = [placement.new_clock for placement in place_all(stamps, 1024, restarts=True)]
    assert leaps == [n == 5 for n in range(10)]
    gaps = [placement.gap for placement in place_all(stamps, 1024, restarts=False)]
    assert gaps == [3600 * RATE if n == 5 else 0 for n in range(10)]


def test_a_clock_that_falls_back_does_not_lose_what_follows():
    stamps = [Fraction(3600) + Fraction(n * 1024, RATE) for n in range(5)]
    stamps += [Fraction(n * 1024, RATE) for n in range(5)]
    placements = place_all(stamps, 1024)
    assert sum(placement.drop for placement in placements) == 0
    assert placements[5].new_clock


def test_an_edit_inside_a_packet_moves_the_anchor():
    # The first packet's stamp is where the edit begins, later ones are right.
    frames = [(Fraction(0), 1024)]
    frames += [(Fraction(n * 1024 - 765, RATE), 1024) for n in range(1, 16)]
    assert anchor(frames, RATE) == Fraction(-765, RATE)


@pytest.mark.parametrize("ticks", [1000, 90000])
def test_rounding_does_not_move_the_anchor(ticks):
    frames = [(Fraction(round(Fraction(n * 1024, RATE) * ticks), ticks), 1024) for n in range(16)]
    assert anchor(frames, RATE) == 0
