"""Goals held against metrics."""

from __future__ import annotations

import dataclasses

import pytest

from scenarios import load
from scenarios.story import Goal
from sim.goals import GoalResult, judge_goals
from sim.metrics import Metric

METRICS = (
    Metric("oom_kill_count", "a", "physics", "count", 0.0),
    Metric("oom_kill_count", "b", "physics", "count", 3.0),
    Metric("cpu_cores_mean", "a", "physics", "cores", 0.5),
    Metric("cpu_cores_mean", None, "physics", "cores", 0.9),
    Metric("cpu_cores_mean", "b", "physics", "cores", 0.4),
)


def judged(metric: str, container: str | None, low: float | None, high: float | None) -> GoalResult:
    """One goal's result."""
    story = dataclasses.replace(load("memory-oom").story, goals=(Goal("g", metric, container, low, high),))
    return judge_goals(story, METRICS)[0]


@pytest.mark.parametrize(
    ("low", "high", "met"), [(0.4, 0.6, True), (0.5, None, True), (None, 0.4, False), (0.6, 0.7, False)]
)
def test_bounds(low: float | None, high: float | None, *, met: bool) -> None:
    """A goal is met from its lower bound to its upper one, both included."""
    assert met == judged("cpu_cores_mean", "a", low, high).met


def test_story_figure_counts_where_no_container_is_named() -> None:
    """The total is judged where there is one."""
    assert (None, 0.9) == dataclasses.astuple(judged("cpu_cores_mean", None, None, 1.0))[2:4]


def test_worst_container_counts_without_a_total() -> None:
    """Without a total the container that is furthest from the goal is named."""
    result = judged("oom_kill_count", None, None, 0.0)

    assert ("b", 3.0, False, "at most 0") == (result.container, result.value, result.met, result.bound)


def test_missing_figure_is_a_missed_goal() -> None:
    """What was not measured is not met."""
    result = judged("ready_s", None, None, 10.0)

    assert (None, False) == (result.value, result.met)
