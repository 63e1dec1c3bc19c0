"""Bands over time, from tables whose lines are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.bands import SERIES, BandRun, bands


def run_of(
    cpu_s: list[float],
    *,
    container: str = "api",
    interval_s: float = 0.5,
    first_s: float = 0.0,
    memory_bytes: int = 100,
    finishes_s: tuple[float, ...] = (),
    window: tuple[float, float] | None = None,
) -> BandRun:
    """A run of one container with these CPU counters, sampled on a grid."""
    at_s = [first_s + number * interval_s for number in range(len(cpu_s))]
    start_s, end_s = window or (at_s[0], at_s[-1])
    return BandRun(
        samples={
            "container": [container] * len(cpu_s),
            "at_s": at_s,
            "cpu_s": cpu_s,
            "throttled_s": [2.0 * value for value in cpu_s],
            "memory_bytes": [memory_bytes] * len(cpu_s),
        },
        steps={"container": [container] * len(finishes_s), "finish_s": list(finishes_s)},
        window_start_s=start_s,
        window_end_s=end_s,
    )


def test_a_steady_counter_is_a_flat_rate() -> None:
    """A quarter of a second of CPU in each half is half a core, throughout."""
    run = run_of([0.0, 0.25, 0.5, 0.75])
    shown = bands([run], [run], interval_s=0.5)["api"]["cpu_cores"]

    assert shown["t_s"] == [0.5, 1.0, 1.5]
    assert shown["live"] == [0.5, 0.5, 0.5]
    assert shown["sim"] == [0.5, 0.5, 0.5]


def test_every_series_is_there() -> None:
    """Throttled cores come from throttled time, memory as it stands, steps from their finishes."""
    run = run_of([0.0, 0.25, 0.5], finishes_s=(0.1, 0.2, 0.9, 7.0))
    shown = bands([run], [], interval_s=0.5)["api"]

    assert {series: lines["live"] for series, lines in shown.items()} == {
        "cpu_cores": [0.5, 0.5],
        "throttled_cores": [1.0, 1.0],
        "memory_bytes": [100.0, 100.0],
        "steps_per_s": [4.0, 2.0],
    }


def test_few_runs_show_their_extremes() -> None:
    """With three runs the band is the lowest to the highest, and the line the one between."""
    runs = [run_of([0.0, 0.5 * cores, 1.0 * cores]) for cores in (0.2, 0.9, 0.3)]
    shown = bands(runs, [], interval_s=0.5)["api"]["cpu_cores"]

    assert shown["live_low"] == pytest.approx([0.2, 0.2])
    assert shown["live"] == pytest.approx([0.3, 0.3])
    assert shown["live_high"] == pytest.approx([0.9, 0.9])


def test_many_runs_show_their_quantiles() -> None:
    """Of 21 runs from 0 to 20, the band goes from 1 to 19: one in twenty lies beyond either edge."""
    runs = [run_of([0.0, 0.5 * cores]) for cores in range(21)]
    shown = bands([], runs, interval_s=0.5)["api"]["cpu_cores"]

    assert (shown["sim_low"], shown["sim"], shown["sim_high"]) == ([1.0], [10.0], [19.0])


def test_a_world_without_runs_has_no_lines() -> None:
    """What was never measured is null, not zero."""
    shown = bands([run_of([0.0, 0.25])], [], interval_s=0.5)["api"]["cpu_cores"]

    assert (shown["live"], shown["sim"], shown["sim_low"]) == ([0.5], [None], [None])


def test_no_run_at_all_has_no_bands() -> None:
    """Without runs there is no grid."""
    assert bands([], [], interval_s=0.5) == {}


def test_times_count_from_each_runs_own_window() -> None:
    """Runs whose windows began at different moments lie on one grid."""
    early = run_of([0.0, 0.1, 0.2, 0.3])
    late = run_of([5.0, 5.1, 5.2, 5.3], first_s=7.25)
    shown = bands([early], [late], interval_s=0.5)["api"]["cpu_cores"]

    assert shown["t_s"] == [0.5, 1.0, 1.5]
    assert shown["live"] == shown["sim"]


def test_samples_beside_the_grid_are_read_between() -> None:
    """A window that began between two samples still sees the rate that went on through it."""
    run = run_of([0.0, 0.25, 0.5, 0.75, 1.0], window=(0.2, 1.7))
    shown = bands([run], [], interval_s=0.5)["api"]["cpu_cores"]

    assert shown["live"] == pytest.approx([0.5, 0.5, 0.5])


def test_a_window_a_little_longer_than_the_samples_keeps_the_rate() -> None:
    """The last sample may come just before the window ends, and the first just after it began."""
    run = run_of([0.25, 0.5, 0.75], first_s=0.3, window=(0.0, 1.5))
    shown = bands([run], [], interval_s=0.5)["api"]["cpu_cores"]

    assert shown["live"] == pytest.approx([0.5, 0.5, 0.5])


def test_a_container_that_died_uses_nothing() -> None:
    """After its last sample a container's lines fall to zero, while the window goes on."""
    run = run_of([0.0, 0.25, 0.5], window=(0.0, 3.0))
    shown = bands([run], [], interval_s=0.5)["api"]

    assert shown["cpu_cores"]["live"] == [0.5, 0.5, 0.5, 0.0, 0.0, 0.0]
    assert shown["memory_bytes"]["live"] == [100.0, 100.0, 100.0, 0.0, 0.0, 0.0]


def test_a_counter_that_began_anew_is_joined_up() -> None:
    """A restarted container's counters start at zero: no rate is negative, and none of the use is lost."""
    shown = bands([run_of([0.0, 0.25, 0.1, 0.35])], [], interval_s=0.5)["api"]["cpu_cores"]

    assert shown["live"] == pytest.approx([0.5, 0.2, 0.5])


def test_samples_may_stand_out_of_order() -> None:
    """Rows are laid along their times, not along the order in which they were heard of."""
    run = run_of([0.0, 0.25, 0.5, 0.75])
    for column in run.samples.values():
        assert isinstance(column, list)
        column[1], column[2] = column[2], column[1]

    assert bands([run], [], interval_s=0.5)["api"]["cpu_cores"]["live"] == [0.5, 0.5, 0.5]


def test_containers_are_kept_apart() -> None:
    """A container that only one world has still has its lines there."""
    shown = bands([run_of([0.0, 0.5])], [run_of([0.0, 0.25], container="db")], interval_s=0.5)

    assert shown["api"]["cpu_cores"]["live"] == [1.0]
    assert shown["db"]["cpu_cores"]["sim"] == [0.5]
    assert shown["db"]["cpu_cores"]["live"] == [None]


def test_the_shortest_window_ends_the_grid() -> None:
    """No line runs on where one of the runs has ended."""
    shown = bands([run_of([0.0, 0.1, 0.2])], [run_of([0.0, 0.1, 0.2, 0.3, 0.4])], interval_s=0.5)

    assert shown["api"]["cpu_cores"]["t_s"] == [0.5, 1.0]


def test_a_long_story_gets_wider_intervals() -> None:
    """Charts stay below two thousand points, and rates stay rates."""
    shown = bands([run_of([0.25 * number for number in range(5001)])], [], interval_s=0.5)["api"]["cpu_cores"]

    assert len(shown["t_s"]) == 1666
    assert shown["t_s"][0] == 1.5
    assert shown["live"] == pytest.approx([0.5] * 1666)


@given(st.lists(st.lists(st.floats(min_value=0.0, max_value=1.0), min_size=4, max_size=4), min_size=1, max_size=25))
def test_the_line_lies_in_its_band(growths: list[list[float]]) -> None:
    """Low is never above the middle, nor the middle above high, in any series."""
    runs = []
    for growth in growths:
        counter = [sum(growth[:number]) for number in range(len(growth) + 1)]
        runs.append(run_of(counter, finishes_s=tuple(growth)))
    shown = bands(runs, [], interval_s=0.5)["api"]
    edges = [
        (low, middle, high)
        for series in SERIES
        for low, middle, high in zip(
            shown[series]["live_low"], shown[series]["live"], shown[series]["live_high"], strict=True
        )
    ]

    assert all(
        low is not None and middle is not None and high is not None and low <= middle <= high
        for low, middle, high in edges
    )
