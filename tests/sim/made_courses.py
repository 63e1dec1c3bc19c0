"""Small made-up courses of calibrations, and comparisons of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.story import Calibrate
from sim.course_comparison import CourseComparison, compare_courses
from sim.policies.calibration import Course, Round

if TYPE_CHECKING:
    from sim.policies.calibration import Verdict

TERMS = Calibrate(
    rate_limit="llm",
    container="agents",
    window_s=12.0,
    settle_s=2.0,
    cpu_ratio_low=0.7,
    cpu_ratio_high=0.8,
    reduce_above_ratio=0.85,
    reduce_by_ratio=0.8,
    raise_below_ratio=0.5,
    raise_by_ratio=1.25,
    memory_ratio_max=0.9,
    rule="as_written",
    rounds_count_max=6,
    confirm_count=2,
)


def course(outcome: Verdict, *tried: tuple[float, float] | None, found: float = 10.0) -> Course:
    """A course of these rates and the CPU at each; None is a window that could not be judged.

    The rate in force at the end is that of the last window, or `found` where there is none.
    """
    rounds = tuple(_round(index, *one) for index, one in enumerate(tried, start=1) if one is not None)
    rate = rounds[-1].rate_tokens_per_s if rounds else found
    return Course(outcome, rate, "as_written", tried.count(None), rounds)


def _round(index: int, rate: float, cpu_ratio: float) -> Round:
    """A window in which memory was a quarter of its limit, every tenth period throttled, and half the time waited."""
    return Round(
        index=index,
        began_s=12.0 * index - 10.0,
        ended_s=12.0 * index,
        rate_tokens_per_s=rate,
        cpu_ratio=cpu_ratio,
        memory_ratio=0.25,
        throttled_period_ratio=0.1,
        waited_ratio=0.5,
        oom_kills_count=0,
        action="reduce" if cpu_ratio > TERMS.reduce_above_ratio else "keep",
    )


# Two real courses and three simulated ones of the same outcome and rate.
REAL = (course("converged", (10, 0.92), (8, 0.74)), course("converged", (10, 0.94), (8, 0.76)))
SIMULATED = (course("converged", (10, 0.95), (8, 0.74)),) * 3
OSCILLATING = course("oscillating", (10, 0.95), (8, 0.45))

SAME = compare_courses(TERMS, REAL, SIMULATED)
OTHER_OUTCOME = compare_courses(TERMS, REAL, (OSCILLATING,) * 3)


def found_at(real: float, simulated: float, terms: Calibrate = TERMS) -> CourseComparison:
    """A run of each world that converged at once, at these rates."""
    return compare_courses(terms, [course("converged", (real, 0.75))], [course("converged", (simulated, 0.75))])
