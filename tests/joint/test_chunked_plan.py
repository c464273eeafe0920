"""Where chunks begin: every frame in just one, bounded, at chapters, at cuts that are near."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from encore.chunked.plan import borders_wanted, chunks_of


@some.composite
def shows(draw):
    """Frames, length of a chunk, cuts and chapters: also beside the picture, double, unsorted."""
    frames = draw(some.integers(1, 3000))
    length = draw(some.integers(1, 400))
    marks = some.lists(some.integers(-5, frames + 5), max_size=20)
    return frames, length, draw(marks), draw(marks)


def begins(chunks):
    return [chunk.first for chunk in chunks]


@given(shows())
def test_chunks_hold_every_frame_once_and_in_order(show):
    frames, length, cuts, chapters = show
    chunks = chunks_of(frames, length, cuts=cuts, chapters=chapters)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert chunks[0].first == 0
    assert chunks[-1].last == frames
    assert all(before.last == after.first for before, after in pairwise(chunks))
    assert all(chunk.frames == chunk.last - chunk.first > 0 for chunk in chunks)


@given(shows())
def test_no_chunk_is_longer_than_one_and_a_half_lengths(show):
    frames, length, cuts, chapters = show
    chunks = chunks_of(frames, length, cuts=cuts, chapters=chapters)
    assert max(chunk.frames for chunk in chunks) <= 1.5 * length


@given(shows())
def test_every_chapter_begins_a_chunk_or_is_a_key_frame_inside_one(show):
    frames, length, cuts, chapters = show
    chunks = chunks_of(frames, length, cuts=cuts, chapters=chapters)
    keys = [chunk.first + key for chunk in chunks for key in chunk.keys]
    inside = {mark for mark in chapters if 0 < mark < frames}
    assert set(keys) == inside - set(begins(chunks))
    assert len(keys) == len(set(keys))
    assert all(0 < key < chunk.frames for chunk in chunks for key in chunk.keys)


@given(shows())
def test_a_chapter_a_quarter_length_from_all_others_begins_a_chunk(show):
    frames, length, cuts, chapters = show
    chunks = chunks_of(frames, length, cuts=cuts, chapters=chapters)
    for mark in chapters:
        others = {0, frames, *(one for one in chapters if 0 < one < frames)} - {mark}
        if 0 < mark < frames and all(abs(mark - one) > length / 4 for one in others):
            assert mark in begins(chunks)


@given(shows())
def test_a_chunk_begins_only_at_a_chapter_at_a_cut_or_at_an_even_step(show):
    frames, length, cuts, chapters = show
    wanted = borders_wanted(frames, length, [mark for mark in chapters if 0 < mark < frames])
    chunks = chunks_of(frames, length, cuts=cuts, chapters=chapters)
    assert set(begins(chunks)) <= {0, *wanted, *cuts, *chapters}
    assert len(chunks) == len(wanted) + 1


@given(shows())
def test_without_cuts_chunks_begin_where_borders_are_wanted(show):
    frames, length, _, chapters = show
    wanted = borders_wanted(frames, length, [mark for mark in chapters if 0 < mark < frames])
    assert begins(chunks_of(frames, length, chapters=chapters)) == [0, *wanted]


@given(some.integers(20, 400), some.integers(2, 9), some.data())
def test_a_cut_near_a_border_moves_that_border_and_no_other(length, pieces, data):
    frames = length * pieces
    number = data.draw(some.integers(1, pieces - 1))
    cut = length * number + data.draw(some.integers(-(length // 4), length // 4))
    expected = [length * n for n in range(pieces)]
    assert begins(chunks_of(frames, length)) == expected
    expected[number] = cut
    assert begins(chunks_of(frames, length, cuts=[cut])) == expected


@given(some.integers(20, 400), some.integers(2, 9), some.data())
def test_a_cut_far_from_every_border_moves_none(length, pieces, data):
    frames = length * pieces
    far = some.integers(length // 4 + 1, length - length // 4 - 1)
    cuts = [length * n + data.draw(far) for n in range(pieces)]
    assert begins(chunks_of(frames, length, cuts=cuts)) == [length * n for n in range(pieces)]


def test_the_nearest_of_several_cuts_is_taken():
    assert begins(chunks_of(200, 100, cuts=[80, 97, 104, 120])) == [0, 97]


def test_a_chapter_stays_where_it_is_though_a_cut_is_beside_it():
    chunks = chunks_of(200, 100, cuts=[98], chapters=[100])
    assert begins(chunks) == [0, 100]


def test_a_chapter_too_near_to_another_is_a_key_frame():
    first, second, third = chunks_of(300, 100, chapters=[100, 110, 200])
    assert (second.first, second.keys, third.first) == (100, (10,), 200)
    assert first.keys == third.keys == ()


def test_a_short_show_is_one_chunk():
    (only,) = chunks_of(99, 100, cuts=[10, 50])
    assert (only.number, only.first, only.last, only.keys) == (0, 0, 99, ())


@pytest.mark.parametrize(("frames", "length"), [(0, 10), (-1, 10), (10, 0), (10, -3)])
def test_no_frames_or_no_length_is_refused(frames, length):
    with pytest.raises(ValueError, match="1 or more"):
        chunks_of(frames, length)
