"""One run, for people and for programs: its metrics, its goals, its broken laws, where its record lies."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sim.report_text import metric_label, value_text

if TYPE_CHECKING:
    from scenarios.story import Story
    from sim.goals import GoalResult
    from sim.run import Outcome

_WHERE = {"sim": "simulated", "docker": "run on Docker"}


def outcome_json(story: Story, outcome: Outcome) -> dict[str, Any]:
    """The object that `tonnage run --json` prints."""
    return {
        "kind": "run",
        "scenario": story.name,
        "world": outcome.world,
        "metrics": [asdict(metric) for metric in outcome.metrics],
        "goals": [asdict(goal) for goal in outcome.goals],
        "checks": [asdict(check) for check in outcome.checks],
        "comparable": outcome.comparable,
        "reasons": list(outcome.reasons),
        "record": None if outcome.record is None else str(outcome.record),
    }


def outcome_text(story: Story, outcome: Outcome) -> str:
    """A run as plain aligned text: the metrics first, then what the goals say."""
    named = len(story.containers) > 1
    agents = sum(group.count for group in story.agents)
    lines = [
        f"{story.name} {_WHERE[outcome.world]}: {agents} agent{'' if agents == 1 else 's'} for {story.duration_s:g} s",
        "",
    ]
    rows = [
        (
            metric_label(metric.name) + (f" · {metric.container or 'all'}" if named else ""),
            value_text(metric.value, metric.name, metric.unit),
        )
        for metric in outcome.metrics
    ]
    width = max((len(label) for label, _ in rows), default=0)
    lines += [f"{label:<{width}}  {value:>12}" for label, value in rows]
    lines += ["", *(_goal_line(goal) for goal in outcome.goals)]
    lines += [f"law broken: {check.name}: {check.detail}" for check in outcome.checks if not check.ok]
    if not outcome.comparable:
        lines.append(f"not comparable: {'; '.join(outcome.reasons)}")
    if outcome.record is not None:
        lines.append(f"record: {outcome.record}")
    return "\n".join(lines)


def _goal_line(goal: GoalResult) -> str:
    value = "not measured" if goal.value is None else value_text(goal.value, goal.metric, goal.unit)
    return f"{'met   ' if goal.met else 'MISSED'}  {goal.name}: {metric_label(goal.metric)} is {value}, {goal.bound}"
