"""Threads beside a stream: the order of blocks is kept, errors arrive, and nothing is left over."""

import threading
import time

import numpy as np
import pytest

from encoreaudio.side_by_side import Together, ahead


def numbered(count):
    return [np.full((1, 1), number, dtype=np.float64) for number in range(count)]


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self):
        self.blocks = []

    def add(self, block):
        self.blocks.append(block[0, 0])


def test_blocks_come_in_the_order_in_which_they_are_made():
    made = numbered(200)
    assert [block is one for block, one in zip(ahead(iter(made)), made, strict=True)] == [
        True
    ] * 200


def test_threads_in_a_row_keep_the_order_too():
    doubled = (block * 2 for block in ahead(iter(numbered(50))))
    assert [block[0, 0] for block in ahead(doubled)] == [2 * number for number in range(50)]


def test_no_blocks_are_none():
    assert list(ahead(iter(()))) == []


def test_an_error_of_the_producer_is_raised_at_the_consumer_behind_what_was_made():
    def broken():
        yield from numbered(3)
        raise ValueError("the tape is torn")

    got = []
    with pytest.raises(ValueError, match="the tape is torn"):
        got.extend(block[0, 0] for block in ahead(broken()))
    # A list that is being extended keeps what came before the error.
    assert got == [0, 1, 2]


def test_a_consumer_that_stops_early_ends_the_thread():
    def endless():
        while True:
            yield np.zeros((1, 1))

    before = set(threading.enumerate())
    blocks = ahead(endless())
    next(blocks)
    assert set(threading.enumerate()) - before
    blocks.close()
    assert not set(threading.enumerate()) - before


def test_a_consumer_that_fails_ends_the_thread():
    def consume():
        for _ in ahead(iter(numbered(100))):
            raise KeyError

    before = set(threading.enumerate())
    with pytest.raises(KeyError):
        consume()
    assert not set(threading.enumerate()) - before


def test_only_a_few_blocks_are_made_ahead():
    made = []

    def slow_to_be_used():
        for block in numbered(100):
            made.append(block)
            yield block

    blocks = ahead(slow_to_be_used())
    next(blocks)
    time.sleep(0.25)
    assert 2 <= len(made) <= 8
    blocks.close()


def test_every_listener_hears_every_block_in_order():
    listeners = [Heard() for _ in range(5)]
    with Together(listeners) as together:
        for block in numbered(100):
            together.add(block)
            # What was added has been heard by all of them, so it may be changed now.
            assert all(listener.blocks[-1] == block[0, 0] for listener in listeners)
    assert all(listener.blocks == list(range(100)) for listener in listeners)


def test_listeners_hear_a_block_at_the_same_time():
    meeting = threading.Barrier(2)

    class Waits:
        def add(self, block):
            meeting.wait(timeout=10)

    with Together([Waits(), Waits()]) as together:
        together.add(np.zeros((1, 1)))
    assert not meeting.broken


def test_an_error_of_a_listener_is_raised_where_the_block_was_added():
    class Deaf:
        def add(self, block):
            raise ValueError("too loud")

    with pytest.raises(ValueError, match="too loud"), Together([Heard(), Deaf()]) as together:
        together.add(np.zeros((1, 1)))


def test_no_thread_is_left_of_listeners():
    before = set(threading.enumerate())
    with Together([Heard(), Heard()]) as together:
        together.add(np.zeros((1, 1)))
    assert not set(threading.enumerate()) - before


def test_a_listener_may_lag_and_hears_all_in_the_end():
    may_go_on = threading.Event()

    class Slow(Heard):
        def add(self, block):
            assert may_go_on.wait(timeout=10)
            super().add(block)

    slow = Slow()
    with Together([slow], behind=3) as together:
        for block in numbered(3):
            together.add(block)
        assert slow.blocks == []
        may_go_on.set()
        together.add(np.full((1, 1), 3.0))
    assert slow.blocks == [0, 1, 2, 3]


def test_an_error_of_a_listener_that_lags_is_raised_at_the_end():
    class Deaf:
        def add(self, block):
            raise ValueError("too loud")

    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="too loud"), Together([Deaf()], behind=3) as together:
        together.add(np.zeros((1, 1)))
    assert not set(threading.enumerate()) - before
