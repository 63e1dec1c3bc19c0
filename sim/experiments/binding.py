"""What binds: the goal that is missed first when a value grows, told as the resource that runs out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sim.report_text import metric_label

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from sim.goals import GoalResult
    from sim.record import Table

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


# What every story demands without saying so: that the engine starts its containers.
ALL_START, START_REFUSED = "every container starts", "start_refused"


@dataclass(frozen=True, slots=True)
class Missed:
    """One goal that a run missed: its place among the story's goals, its name, its metric, and in which container.

    `detail` is what the world itself said to it, which may be worded anew each time.
    """

    goal_index: int
    goal: str
    metric: str
    container: str | None
    detail: str = field(default="", compare=False)

    @property
    def resource(self) -> str:
        """What ran out, in a word or two; the metric itself where it tells of no resource."""
        found = (resource for beginning, resource in RESOURCES if self.metric.startswith(beginning))
        return next(found, metric_label(self.metric))

    @property
    def words(self) -> str:
        """What ran out and where: "memory of `agents`"."""
        if self.metric == START_REFUSED:
            return f"the start of `{self.container}`" if self.container else "the start of containers"
        return f"{self.resource} of `{self.container}`" if self.container else f"{self.resource} of the whole story"

    def is_same_resource(self, other: Missed) -> bool:
        """Whether both tell of one resource; a goal on the whole story tells of every container's."""
        places = {self.container, other.container}
        return self.resource == other.resource and (len(places) == 1 or None in places)

    def to_json(self) -> dict[str, Any]:
        """The goal and what it tells of, ready for JSON."""
        return {
            "goal": self.goal,
            "metric": self.metric,
            "container": self.container,
            "resource": self.resource,
            "detail": self.detail,
        }


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


def refused(container: str | None, reason: str) -> Missed:
    """A start that the engine refused: no goal of the story's own, and missed before any of them."""
    return Missed(-1, ALL_START, START_REFUSED, container, reason)


def refused_starts(events: Table) -> tuple[Missed, ...]:
    """The containers of a run that the engine did not start; refusals of an agent's work are not among them."""
    rows = zip(events["what"], events["container"], events["agent"], events["detail"], strict=True)
    return tuple(refused(name, why) for what, name, agent, why in rows if what == "refused" and agent is None)


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
