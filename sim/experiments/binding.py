"""What binds: the goal that is missed first when a value grows, told as the resource that runs out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.report_text import metric_label

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from sim.goals import GoalResult

# The beginning of a metric's name -> the resource that a missed goal on it tells of. The first that fits holds.
RESOURCES = (
    ("memory_", "memory"),
    ("oom_kill", "memory"),
    ("host_", "host memory"),
    ("cpu_", "CPU"),
    ("throttled_", "CPU"),
    # Latency is working time: beyond the demand itself it is waiting for the CPU.
    ("step_latency_", "CPU"),
    ("token_", "tokens"),
    ("debt_", "tokens"),
    ("provider_", "provider limits"),
    ("cost_", "cost"),
    ("disk_", "disk"),
    ("start_", "starts"),
    ("ready_", "starts"),
    ("restart_", "restarts"),
    ("recovery_", "restarts"),
    ("unhealthy_", "health"),
    ("gpu_", "GPU"),
    ("vram_", "GPU memory"),
    ("network_", "network"),
    # These tell of no one resource, but "breaks next" must be said of something.
    ("completion_", "completion"),
    ("steps_per_s", "throughput"),
    ("agents_up_", "availability"),
    ("containers_up_", "availability"),
)


@dataclass(frozen=True, slots=True)
class Missed:
    """One goal that a run missed: its place among the story's goals, its name, its metric, and in which container."""

    goal_index: int
    goal: str
    metric: str
    container: str | None

    @property
    def resource(self) -> str:
        """What ran out, in a word or two; the metric itself where it tells of no resource."""
        found = (resource for beginning, resource in RESOURCES if self.metric.startswith(beginning))
        return next(found, metric_label(self.metric))

    @property
    def words(self) -> str:
        """What ran out and where: "memory of `agents`"."""
        return f"{self.resource} of `{self.container}`" if self.container else f"{self.resource} of the whole story"

    def is_same_resource(self, other: Missed) -> bool:
        """Whether both tell of one resource; a goal on the whole story tells of every container's."""
        places = {self.container, other.container}
        return self.resource == other.resource and (len(places) == 1 or None in places)

    def to_json(self) -> dict[str, Any]:
        """The goal and what it tells of, ready for JSON."""
        return {"goal": self.goal, "metric": self.metric, "container": self.container, "resource": self.resource}


def missed_goals(results: Sequence[GoalResult]) -> tuple[Missed, ...]:
    """The goals a run missed, in the story's order; goals of one name are told apart by their place."""
    names = [result.name for result in results]
    return tuple(
        Missed(
            goal_index=index,
            goal=result.name if names.count(result.name) == 1 else f"{result.name} ({index + 1})",
            metric=result.metric,
            container=result.container,
        )
        for index, result in enumerate(results)
        if not result.met
    )


def most_missed(missed: Counter[Missed]) -> Missed | None:
    """The goal missed most; of several the story's first."""
    ranked = sorted(missed, key=lambda one: (-missed[one], one.goal_index, one.container or ""))
    return ranked[0] if ranked else None


def by_goal(missed: Counter[Missed]) -> dict[str, int]:
    """How often each goal was missed, in the story's order."""
    counts: dict[str, int] = {}
    for one in sorted(missed, key=lambda one: one.goal_index):
        counts[one.goal] = counts.get(one.goal, 0) + missed[one]
    return counts
