"""A history is bounded, and its rows still stand where they were."""

import numpy as np
import pytest

from encoreaudio.trace import Trace


def test_a_short_history_is_kept_as_it_is():
    trace = Trace(0.5)
    for value in (1.0, 4.0, 2.0):
        trace.add(value)
    assert trace.history().values == (1.0, 4.0, 2.0)
    assert trace.history().step_s == 0.5


@pytest.mark.parametrize("count", [2047, 2048, 5000, 70001])
def test_a_long_history_is_bounded_and_covers_all_of_it(count):
    trace = Trace(1.0)
    for value in range(count):
        trace.add(value)
    step, rows = trace.rows()
    assert len(rows) <= 2048
    assert 0 <= len(rows) * step - count < step
    at = np.arange(len(rows)) * step + (step - 1) / 2
    assert np.allclose(rows[:-1, 0], at[:-1])


def test_a_peak_stays_a_peak():
    trace = Trace(1.0, width=2, keep="max")
    for value in range(10000):
        trace.add((7.0 if value == 5001 else 1.0, -1.0))
    step, rows = trace.rows()
    assert rows[int(5001 // step), 0] == 7.0
    assert rows[:, 0].sum() == 7.0 + len(rows) - 1
