"""Curves: rates from counters, and thinning that keeps what matters."""

from __future__ import annotations

from typing import Any

from dashboard.series import POINTS_MAX, Curve, rate, rows_where


def test_a_rate_is_the_growth_per_second_up_to_each_sample() -> None:
    """A counter read at 0, 1 and 3 s yields one rate per interval, at its end."""
    curve = rate([0.0, 1.0, 3.0], [0.0, 0.5, 2.5])

    assert Curve([1.0, 3.0], [0.5, 1.0]) == curve


def test_a_counter_that_fell_began_anew() -> None:
    """What a restarted container's counter shows is what it grew by."""
    curve = rate([0.0, 1.0, 2.0], [5.0, 6.0, 0.4])

    assert [1.0, 0.4] == curve.values


def test_two_samples_at_one_time_leave_a_gap() -> None:
    """Nothing is divided by zero."""
    assert [None] == rate([1.0, 1.0], [2.0, 3.0]).values


def test_a_single_sample_has_no_rate() -> None:
    """One reading of a counter says nothing."""
    assert Curve([], []) == rate([1.0], [2.0])


def test_thinning_keeps_the_extremes() -> None:
    """One spike and one dip among a hundred thousand points are still drawn."""
    values: list[float | None] = [1.0] * 100_000
    values[54_321], values[77_777] = 9.0, -3.0
    curve = Curve([float(index) for index in range(100_000)], values).thinned()

    assert len(curve.values) <= POINTS_MAX
    assert {54_321.0: 9.0, 77_777.0: -3.0} == {
        time: value for time, value in zip(curve.times_s, curve.values, strict=True) if value != 1.0
    }


def test_thinning_keeps_gaps_and_order() -> None:
    """A long gap is still a gap, and time never runs backwards."""
    values: list[float | None] = [1.0] * 5_000 + [None] * 5_000 + [1.0] * 5_000
    curve = Curve([float(index) for index in range(15_000)], values).thinned()

    assert None in curve.values
    assert sorted(curve.times_s) == curve.times_s


def test_a_short_curve_is_left_as_it_is() -> None:
    """Nothing is thinned that can be drawn whole."""
    curve = Curve([0.0, 1.0], [2.0, None])

    assert curve == curve.thinned()


def test_the_highest_of_nothing_is_zero() -> None:
    """A curve of gaps has a highest value all the same."""
    assert Curve([0.0], [None]).highest() == 0.0


def test_rows_are_chosen_from_columns() -> None:
    """A table of columns keeps its columns and loses the rows of others."""
    table: dict[str, list[Any]] = {"container": ["a", "b", "a"], "at_s": [1.0, 2.0, 3.0]}

    assert {"container": ["a", "a"], "at_s": [1.0, 3.0]} == rows_where(table, "container", "a")
