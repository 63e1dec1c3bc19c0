"""Counters of containers that begin anew."""

from __future__ import annotations

import numpy as np
import pytest

from sim.lives import falls, grown, life_begins

TIMES = np.array([1.0, 2.0, 3.0, 4.0, 5.0])


@pytest.mark.parametrize(
    ("renewals_s", "rows"),
    [
        ((), [0]),
        ((0.5,), [0]),
        ((1.0,), [0]),
        ((2.5,), [0, 2]),
        ((3.0,), [0, 2]),
        ((2.2, 2.4), [0, 2]),
        ((4.5, 1.5), [0, 1, 4]),
        ((5.5,), [0]),
    ],
    ids=["none", "before all", "at the first", "between", "at a sample", "end and return", "out of order", "after all"],
)
def test_a_life_begins_with_the_first_sample_after_a_renewal(renewals_s: tuple[float, ...], rows: list[int]) -> None:
    """The first row always begins one; an end and a return between two samples begin one together."""
    assert rows == life_begins(TIMES, renewals_s)


def test_a_fall_of_any_counter_begins_a_life() -> None:
    """Where one counter is lower than before, a life has begun, whatever the others do; standing still is no fall."""
    cpu_s, periods = np.array([1.0, 2.0, 0.5, 0.5, 3.0]), np.array([10.0, 20.0, 30.0, 30.0, 5.0])

    assert [2] == falls([cpu_s])
    assert [2, 4] == falls([cpu_s, periods])
    assert [] == falls([np.array([1.0])])


def test_a_counter_of_one_life_is_left_alone() -> None:
    """Without a new life a counter is what it was."""
    counter = np.array([1.0, 1.5, 4.0])

    assert counter.tolist() == grown(counter, [0]).tolist()


def test_lives_are_added_up() -> None:
    """Lives of 1 to 3, 0.5 to 2 and 4: 3 before the second, 5 at its end, and 9 with the third."""
    counter = np.array([1.0, 3.0, 0.5, 2.0, 4.0])

    assert [1.0, 3.0, 3.5, 5.0, 9.0] == grown(counter, [0, 2, 4]).tolist()


def test_a_life_that_passed_the_one_before_is_added_whole() -> None:
    """A new life seen first at 5 where the last stood at 3 used 5 of its own, not 2."""
    assert [1.0, 3.0, 8.0] == grown(np.array([1.0, 3.0, 5.0]), [0, 2]).tolist()
