"""Courses compared: the calibrations of one story in both worlds, by what they came to and window by window.

A window is known by its number in its run, so that one that could not be judged leaves a gap and shifts nothing. Late
windows are those of the runs that were not done before; each says of how many runs it is.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from scenarios.story import Calibrate
from sim.calibration_course import CALIBRATION, course_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sim.policies.calibration import Course, Round, Verdict

# What is compared of each window, by its name in a round.
QUANTITIES = ("rate_tokens_per_s", "cpu_ratio", "memory_ratio", "throttled_period_ratio", "waited_ratio")


@dataclass(frozen=True, slots=True)
class Reading:
    """One quantity in both worlds: the mean over the runs of each, and their range; None where a world has none.

    `difference` is simulated less real in the quantity's own unit; of a share, 0.01 is one point.
    """

    live: float | None
    live_low: float | None
    live_high: float | None
    sim: float | None
    sim_low: float | None
    sim_high: float | None
    difference: float | None


@dataclass(frozen=True, slots=True)
class WindowComparison:
    """One window in both worlds, and in how many runs of each it was judged."""

    index: int
    live_count: int
    sim_count: int
    rate_tokens_per_s: Reading
    cpu_ratio: Reading
    memory_ratio: Reading
    throttled_period_ratio: Reading
    waited_ratio: Reading


@dataclass(frozen=True, slots=True)
class CourseComparison:
    """The calibrations of one story in both worlds: how often each outcome, the rates found, and the windows.

    `terms` are those of the story as it was run; a rate found is the one in force when its run ended.
    """

    terms: Calibrate
    live_outcomes: Mapping[Verdict, int]
    sim_outcomes: Mapping[Verdict, int]
    rate_tokens_per_s: Reading
    windows: tuple[WindowComparison, ...]

    @property
    def same_outcome(self) -> bool:
        """Whether the most frequent outcome is the same in both worlds; of several that are, one is enough."""
        return bool(_most_frequent(self.live_outcomes) & _most_frequent(self.sim_outcomes))

    @property
    def step_ratio(self) -> float:
        """The smaller of the rule's two steps, as a factor above 1."""
        return min(self.terms.raise_by_ratio, 1.0 / self.terms.reduce_by_ratio)

    @property
    def rate_within_step(self) -> bool:
        """Whether the mean rates found lie less than a step apart; a whole step, but for rounding, is not less."""
        live, sim = self.rate_tokens_per_s.live, self.rate_tokens_per_s.sim
        if live is None or sim is None:
            return False
        lower, higher = sorted((live, sim))
        stepped = lower * self.step_ratio
        return higher < stepped and not math.isclose(higher, stepped)

    @property
    def agree(self) -> bool:
        """Whether both worlds come to the same: outcome and rate."""
        return self.same_outcome and self.rate_within_step

    def to_json(self) -> dict[str, Any]:
        """The object that a comparison's JSON holds; `courses_of` reads it back."""
        return {
            **asdict(self),
            "windows": [asdict(window) for window in self.windows],
            "same_outcome": self.same_outcome,
            "rate_within_step": self.rate_within_step,
        }


def compare_findings(
    terms: Calibrate | None, live: Iterable[Mapping[str, Any]], sim: Iterable[Mapping[str, Any]]
) -> CourseComparison | None:
    """The calibrations among the findings of runs in both worlds compared; None where the story or a world has none."""
    courses = [[found for told in findings if (found := course_of(told))] for findings in (live, sim)]
    return compare_courses(terms, *courses) if terms is not None and all(courses) else None


def compare_courses(terms: Calibrate, live: Sequence[Course], simulated: Sequence[Course]) -> CourseComparison:
    """Compare the courses of real and simulated runs of a story that calibrates on these terms."""
    indices = {found.index for course in (*live, *simulated) for found in course.rounds}
    return CourseComparison(
        terms=terms,
        live_outcomes=_outcomes(live),
        sim_outcomes=_outcomes(simulated),
        rate_tokens_per_s=_reading(
            [course.rate_tokens_per_s for course in live], [course.rate_tokens_per_s for course in simulated]
        ),
        windows=tuple(_window(index, _rounds(live, index), _rounds(simulated, index)) for index in sorted(indices)),
    )


def courses_of(comparison: Mapping[str, Any]) -> CourseComparison | None:
    """The courses that a `comparison.json` tells of; None where the story calibrates nothing.

    KeyError and TypeError mean that it was changed by hand.
    """
    told = comparison.get(CALIBRATION)
    if told is None:
        return None
    return CourseComparison(
        terms=Calibrate(**told["terms"]),
        live_outcomes=told["live_outcomes"],
        sim_outcomes=told["sim_outcomes"],
        rate_tokens_per_s=Reading(**told["rate_tokens_per_s"]),
        windows=tuple(_window_of(window) for window in told["windows"]),
    )


def _window_of(told: Mapping[str, Any]) -> WindowComparison:
    return WindowComparison(**{**told, **{name: Reading(**told[name]) for name in QUANTITIES}})


def _outcomes(courses: Sequence[Course]) -> dict[Verdict, int]:
    # A plain dict: `asdict` cannot copy a Counter.
    return dict(Counter(course.outcome for course in courses))


def _most_frequent(outcomes: Mapping[Verdict, int]) -> set[Verdict]:
    most = max(outcomes.values(), default=0)
    return {outcome for outcome, count in outcomes.items() if count == most}


def _rounds(courses: Sequence[Course], index: int) -> list[Round]:
    return [found for course in courses for found in course.rounds if found.index == index]


def _window(index: int, live: Sequence[Round], simulated: Sequence[Round]) -> WindowComparison:
    readings = {
        name: _reading([getattr(found, name) for found in live], [getattr(found, name) for found in simulated])
        for name in QUANTITIES
    }
    return WindowComparison(index, len(live), len(simulated), **readings)


def _reading(live: Sequence[float], simulated: Sequence[float]) -> Reading:
    difference = fmean(simulated) - fmean(live) if live and simulated else None
    return Reading(*_spread(live), *_spread(simulated), difference)


def _spread(values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Mean, lowest and highest."""
    return (fmean(values), min(values), max(values)) if values else (None, None, None)
