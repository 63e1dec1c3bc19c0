"""What a missed goal tells of, and which of several binds."""

from __future__ import annotations

from collections import Counter

import pytest

from scenarios.metric_names import METRICS
from sim.experiments.binding import RESOURCES, Missed, by_goal, missed_goals, most_missed, refused, refused_starts
from sim.goals import GoalResult
from sim.record import Recorder


def missed(metric: str, container: str | None = "agents", index: int = 0) -> Missed:
    """A missed goal on a metric."""
    return Missed(index, f"goal-{index}", metric, container)


def result(name: str, *, met: bool, container: str | None = "agents") -> GoalResult:
    """What came of a goal."""
    return GoalResult(name, "oom_kill_count", container, 1.0, "count", "at most 0", met)


@pytest.mark.parametrize(
    ("metric", "container", "words"),
    [
        ("memory_bytes_max", "agents", "memory of `agents`"),
        ("oom_kill_count", "db", "memory of `db`"),
        ("cpu_cores_mean", None, "CPU of the whole story"),
        ("step_latency_s_p95", "agents", "CPU of `agents`"),
        ("token_wait_s_mean", None, "tokens of the whole story"),
        ("ready_s", None, "starts of the whole story"),
        ("completion_ratio", "agents", "completion of `agents`"),
        ("containers_up_count", None, "availability of the whole story"),
        ("makespan_s", None, "time to finish of the whole story"),
    ],
)
def test_a_metric_tells_of_a_resource(metric: str, container: str | None, words: str) -> None:
    """The resource is named with the container; a metric that tells of none is named itself."""
    assert words == missed(metric, container).words


def test_every_resource_is_told_by_some_metric_or_will_be() -> None:
    """No beginning is hidden behind an earlier one that fits all its metrics."""
    beginnings = [beginning for beginning, _ in RESOURCES]

    assert not [
        (earlier, later)
        for index, later in enumerate(beginnings)
        for earlier in beginnings[:index]
        if later.startswith(earlier)
    ]
    assert {"memory", "CPU", "tokens", "starts", "disk", "cost"} <= {missed(name).resource for name in METRICS}


def test_one_resource_may_be_watched_by_several_goals() -> None:
    """Memory's peak and its kills are one resource, of one container or of the whole story, but not of two."""
    peak = missed("memory_bytes_max")

    assert peak.is_same_resource(missed("oom_kill_count"))
    assert peak.is_same_resource(missed("oom_kill_count", None))
    assert not peak.is_same_resource(missed("oom_kill_count", "db"))
    assert not peak.is_same_resource(missed("cpu_cores_mean"))


def test_only_what_was_not_met_is_missed() -> None:
    """The story's order is kept, and each goal knows its place in it."""
    found = missed_goals([result("a", met=False), result("b", met=True), result("c", met=False, container=None)])

    assert [(0, "a", "agents"), (2, "c", None)] == [(one.goal_index, one.goal, one.container) for one in found]


def test_goals_of_one_name_are_told_apart() -> None:
    """Two goals that a list left without names are called by their metric and their place."""
    found = missed_goals([result("oom_kill_count", met=False)] * 2)

    assert ["oom_kill_count (1)", "oom_kill_count (2)"] == [one.goal for one in found]


def test_the_goal_missed_most_binds() -> None:
    """The count decides, and of equals the story's first; without a miss nothing binds."""
    first, second, third = (missed("cpu_wait_s", index=index) for index in range(3))

    assert second == most_missed(Counter({first: 1, second: 3, third: 2}))
    assert first == most_missed(Counter({third: 2, first: 2}))
    assert most_missed(Counter()) is None


def test_misses_of_a_goal_add_up_over_containers() -> None:
    """A goal that names no container is missed in one or the other; it is one goal all the same."""
    counts = by_goal(Counter({missed("cpu_wait_s", "b", 1): 2, missed("cpu_wait_s", "a"): 1, missed("cpu_wait_s"): 4}))

    assert [("goal-0", 5), ("goal-1", 2)] == list(counts.items())


def test_what_binds_is_told_to_programs() -> None:
    """The goal and its metric are there as they stand in the story, the resource in a word."""
    expected = {"goal": "goal-0", "metric": "oom_kill_count", "container": "agents", "resource": "memory", "detail": ""}
    assert expected == missed("oom_kill_count").to_json()


def test_a_refused_start_is_a_goal_of_every_story() -> None:
    """The engine's words are told, but two refusals differ by the container and not by their wording."""
    first, second = refused("db", "no address for run 1"), refused("db", "no address for run 2")

    assert ("the start of `db`", "no address for run 1") == (first.words, first.to_json()["detail"])
    assert ("the start of containers", "starts") == (refused(None, "full").words, refused(None, "full").resource)
    assert first == most_missed(Counter([first, second, missed("oom_kill_count")]))
    assert {"every container starts": 2} == by_goal(Counter([first, second]))


def test_only_refused_containers_are_refused_starts() -> None:
    """What an agent could not do in a container that is there is its own loss, and no refused start."""
    recorder = Recorder(None)
    recorder.event(1.0, "started", "agents", None, "")
    recorder.event(1.0, "refused", "agents", "worker-0", "not up")
    recorder.event(2.0, "refused", "db", None, "no address is left")

    assert [("db", "no address is left")] == [
        (one.container, one.detail) for one in refused_starts(recorder.tables["events"])
    ]
