"""Goals: what "fits" means in a story, held against a run's metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.report_text import value_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenarios.story import Goal, Story
    from sim.metrics import Metric


@dataclass(frozen=True, slots=True)
class GoalResult:
    """One goal and what came of it; `value` is None where the run has no such figure, and then it is not met."""

    name: str
    metric: str
    container: str | None
    value: float | None
    unit: str
    bound: str
    met: bool


def judge_goals(story: Story, metrics: Sequence[Metric]) -> list[GoalResult]:
    """Hold every goal of the story against the metrics of a run."""
    return [_judge(goal, metrics) for goal in story.goals]


def _judge(goal: Goal, metrics: Sequence[Metric]) -> GoalResult:
    """One goal; where it names no container, the story's own figure counts, else the worst of its containers."""
    named = [metric for metric in metrics if metric.name == goal.metric]
    chosen = [metric for metric in named if metric.container == goal.container] or (
        named if goal.container is None else []
    )
    bound = " and ".join(
        text
        for text in (
            f"at least {_bound(goal, goal.value_min)}" if goal.value_min is not None else "",
            f"at most {_bound(goal, goal.value_max)}" if goal.value_max is not None else "",
        )
        if text
    )
    if not chosen:
        return GoalResult(goal.name, goal.metric, goal.container, None, "", bound, met=False)
    worst = max(chosen, key=lambda metric: _miss(goal, metric.value))
    return GoalResult(
        goal.name, goal.metric, worst.container, worst.value, worst.unit, bound, met=_miss(goal, worst.value) <= 0
    )


def _bound(goal: Goal, value: float) -> str:
    return value_text(value, goal.metric)


def _miss(goal: Goal, value: float) -> float:
    """By how much a value misses a goal; not above zero if it meets it."""
    below = goal.value_min - value if goal.value_min is not None else float("-inf")
    above = value - goal.value_max if goal.value_max is not None else float("-inf")
    return max(below, above)
