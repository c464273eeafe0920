"""Chapters on the output's clock: none is lost to a picture that begins a little late."""

from hypothesis import given
from hypothesis import strategies as some

from encore.facts import Chapter
from encore.mux import chapters_within


def test_a_chapter_that_began_before_the_picture_is_cut_and_kept():
    chapters = [Chapter(start_s=0.0, end_s=60.0, title="one"), Chapter(start_s=60.0, title="two")]
    found = chapters_within(chapters, 0.28, 100.0)
    assert [(c.start_s, c.title) for c in found] == [(0.0, "one"), (59.72, "two")]
    assert found[1].end_s == 100.0


def test_a_range_keeps_just_the_chapters_in_it():
    chapters = [Chapter(start_s=10.0 * n, title=str(n)) for n in range(6)]
    found = chapters_within(chapters, 25.0, 10.0)
    assert [c.title for c in found] == ["2", "3"]


@given(
    some.lists(some.floats(0, 7200), min_size=1, max_size=40),
    some.floats(0, 7200),
    some.floats(0.04, 7200),
)
def test_chapters_lie_in_the_output_in_order_and_do_not_overlap(starts, start_s, duration_s):
    chapters = [Chapter(start_s=at) for at in sorted(starts)]
    found = chapters_within(chapters, start_s, duration_s)
    edges = [edge for c in found for edge in (c.start_s, c.end_s)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= duration_s for edge in edges)
