"""Courses of calibrations compared, made by hand with known answers."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from sim.calibration_course import CALIBRATION
from sim.course_comparison import Reading, compare_courses, courses_of
from tests.sim.made_courses import OSCILLATING, OTHER_OUTCOME, REAL, SAME, SIMULATED, TERMS, course, found_at

SETTLED = course("settled_outside_band", (8, 0.6))
NOTHING = (None, None, None)


def test_the_same_course_in_both_worlds_agrees() -> None:
    """Outcomes are counted, and each window has its means, their range, and simulated less real."""
    first = SAME.windows[0]
    cpu = first.cpu_ratio

    assert ({"converged": 2}, {"converged": 3}) == (SAME.live_outcomes, SAME.sim_outcomes)
    assert (True, True, True) == (SAME.same_outcome, SAME.rate_within_step, SAME.agree)
    assert [(1, 2, 3), (2, 2, 3)] == [(one.index, one.live_count, one.sim_count) for one in SAME.windows]
    assert Reading(8, 8, 8, 8, 8, 8, 0) == SAME.rate_tokens_per_s
    assert Reading(10, 10, 10, 10, 10, 10, 0) == first.rate_tokens_per_s
    assert [0.93, 0.92, 0.94, 0.95, 0.02] == [
        pytest.approx(value) for value in (cpu.live, cpu.live_low, cpu.live_high, cpu.sim, cpu.difference)
    ]
    assert [0.25, 0.1, 0.5] == [
        reading.live for reading in (first.memory_ratio, first.throttled_period_ratio, first.waited_ratio)
    ]


def test_another_outcome_does_not_agree() -> None:
    """However near the rates are."""
    assert (False, True, False) == (OTHER_OUTCOME.same_outcome, OTHER_OUTCOME.rate_within_step, OTHER_OUTCOME.agree)


def test_the_most_frequent_outcome_counts() -> None:
    """A run in three that comes to something else changes nothing, two in three do."""
    seldom = compare_courses(TERMS, REAL, [*SIMULATED[:2], OSCILLATING])
    often = compare_courses(TERMS, REAL, [*SIMULATED[:1], OSCILLATING, OSCILLATING])

    assert (True, False) == (seldom.same_outcome, often.same_outcome)


def test_of_outcomes_that_are_equally_frequent_one_in_common_is_enough() -> None:
    """The order of the runs decides nothing."""
    mixed = [REAL[0], OSCILLATING]

    assert [True, True] == [compare_courses(TERMS, order, [OSCILLATING]).same_outcome for order in (mixed, mixed[::-1])]
    assert not compare_courses(TERMS, mixed, [SETTLED]).same_outcome


@pytest.mark.parametrize(
    ("real", "simulated", "is_within"),
    [(8.0, 8.0, True), (8.0, 9.9, True), (9.9, 8.0, True), (8.0, 10.0, False), (10.0, 8.0, False), (8.0, 12.0, False)],
)
def test_rates_are_to_be_less_than_a_step_apart(real: float, simulated: float, *, is_within: bool) -> None:
    """In either direction; a whole step is too much."""
    found = found_at(real, simulated)

    assert (is_within, is_within) == (found.rate_within_step, found.agree)


def test_the_smaller_of_two_steps_is_the_measure() -> None:
    """A tenth off is a factor of 1.11 back, which is less than three tenths more."""
    terms = replace(TERMS, raise_by_ratio=1.3, reduce_by_ratio=0.9)

    assert pytest.approx(1 / 0.9) == found_at(8, 8, terms).step_ratio
    assert (True, False) == (found_at(9, 9.9, terms).rate_within_step, found_at(9, 10.1, terms).rate_within_step)


def test_a_whole_step_is_one_in_spite_of_rounding() -> None:
    """A rate that was multiplied up and down may be off in its last digit."""
    terms = replace(TERMS, raise_by_ratio=1.1, reduce_by_ratio=0.8)
    rates = [10.0 * 1.1**steps for steps in range(20)]

    assert not any(found_at(*pair, terms).rate_within_step for pair in pairwise(rates))


def test_a_window_that_one_world_could_not_judge_is_kept() -> None:
    """Its place stays empty, and the windows after it are compared with their own."""
    gap = course("converged", (10, 0.93), None, (8, 0.75))
    whole = course("converged", (10, 0.93), (8, 0.74), (8, 0.76))
    found = compare_courses(TERMS, [gap], [whole])
    second = found.windows[1].cpu_ratio

    assert [(1, 1, 1), (2, 0, 1), (3, 1, 1)] == [(one.index, one.live_count, one.sim_count) for one in found.windows]
    assert (*NOTHING, 0.74, 0.74, 0.74, None) == (
        second.live,
        second.live_low,
        second.live_high,
        second.sim,
        second.sim_low,
        second.sim_high,
        second.difference,
    )
    assert (0.75, 0.76) == (found.windows[2].cpu_ratio.live, found.windows[2].cpu_ratio.sim)


def test_a_window_that_only_some_runs_reached_is_of_those() -> None:
    """A run that was done before does not count in it."""
    longer = course("converged", (10, 0.92), (8, 0.74), (8, 0.77))
    last = compare_courses(TERMS, [*REAL, longer], SIMULATED).windows[2]

    assert (1, 0, 0.77, None) == (last.live_count, last.sim_count, last.cpu_ratio.live, last.cpu_ratio.sim)


def test_courses_without_a_window_have_an_outcome_and_a_rate() -> None:
    """Nothing could be judged in either world, which is the same."""
    nothing = [course("out_of_rounds", None, None, None)]
    found = compare_courses(TERMS, nothing, nothing)

    assert ((), {"out_of_rounds": 1}, 10.0, True) == (
        found.windows,
        found.live_outcomes,
        found.rate_tokens_per_s.live,
        found.agree,
    )


def test_a_world_without_runs_agrees_with_nothing() -> None:
    """There is no rate and no outcome to be the same as."""
    found = compare_courses(TERMS, [], SIMULATED)

    assert (False, False, None) == (found.same_outcome, found.rate_within_step, found.rate_tokens_per_s.live)


def test_json_reads_back() -> None:
    """Strict JSON and back is the same comparison, with what follows from it written out beside."""
    gap = compare_courses(TERMS, [course("converged", (10, 0.93), None, (8, 0.75))], SIMULATED)
    for courses in (SAME, OTHER_OUTCOME, gap):
        written = json.loads(json.dumps(courses.to_json(), allow_nan=False))

        assert written == courses.to_json()
        assert courses == courses_of({CALIBRATION: written})
        assert courses.same_outcome == written["same_outcome"]
        assert courses.rate_within_step == written["rate_within_step"]


def test_a_comparison_without_calibrations_has_no_courses() -> None:
    """An older comparison, or one of a story that calibrates nothing."""
    assert courses_of({"scenario": "a"}) is None
