"""In which order containers are started, on a machine whose starts take a second each."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

import pytest

from scenarios import story as told
from sim.machine import Died, HealthChanged, Machine, Refused, Restarted, Started
from sim.presence import Presence
from sim.record import Recorder
from sim.start_order import COMPLETION_S_MAX, PATIENCE_S, StartOrder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    import simpy

    from sim.machine import Notice

    Condition = Literal["started", "healthy", "completed"]

CHECK = told.HealthCheck(interval_s=5.0, timeout_s=1.0, retries_max=3, start_period_s=2.0)
# Two seconds of grace, five tries of six seconds, and the patience on top.
VERDICT_S_MAX = 2.0 + 5 * 6.0 + PATIENCE_S


def container(name: str, *needs: str, condition: Condition = "started", health: bool = False) -> told.Container:
    """A container that needs others, with or without a health check."""
    dependencies = tuple(told.Dependency(other, condition) for other in needs)
    bare = told.Container(name, "h", None, None, None, 1024, None, 100, 1.0, dependencies=dependencies)
    return dataclasses.replace(bare, health=CHECK if health else None)


def story(*containers: told.Container) -> told.Story:
    """A story of these containers alone."""
    return told.Story(
        name="s",
        purpose="",
        source="",
        seed=1,
        duration_s=10.0,
        sample_interval_s=1.0,
        hosts=(),
        containers=containers,
        agents=(),
        rate_limits=(),
        providers=(),
        goals=(),
        headline=(),
        live_scale=told.LiveScale(1.0, 1.0, 1.0),
        live_able=True,
    )


class Starter:
    """A machine that starts each container in a second, unless it is to refuse it; it keeps when it was asked."""

    def __init__(self, env: simpy.Environment, refused: Mapping[str, str]) -> None:
        """Have been asked for nothing."""
        self.asked_s: dict[str, float] = {}
        self._env = env
        self._refused = refused

    def start(self, container: told.Container) -> simpy.Event:
        """Start, or refuse, one second later; what starts is ready a tenth before the answer."""
        assert container.name not in self.asked_s
        self.asked_s[container.name] = self._env.now
        if container.name in self._refused:
            return self._env.timeout(1.0, Refused(container.name, self._refused[container.name]))
        return self._env.timeout(1.0, Started(container.name, 0.8, self._env.now + 0.9))


@dataclasses.dataclass(frozen=True)
class Start:
    """How a story's start went: who was asked for when, what was recorded, and when it was over."""

    asked_s: dict[str, float]
    recorder: Recorder
    over_s: float

    def events(self, what: str) -> list[tuple[float, str, str]]:
        """Time, container and detail of all events of a kind."""
        events = self.recorder.tables["events"]
        rows = zip(events["what"], events["at_s"], events["container"], events["detail"], strict=True)
        return [(at_s, name, detail) for kind, at_s, name, detail in rows if kind == what]

    @property
    def gauges(self) -> dict[str, float]:
        """Each gauge's value."""
        gauges = self.recorder.tables["gauges"]
        return dict(zip(gauges["name"], gauges["value"], strict=True))


def started(
    env: simpy.Environment,
    *containers: told.Container,
    notices: tuple[Notice, ...] = (),
    refused: Mapping[str, str] | None = None,
) -> Start:
    """A story's start from zero on, with notices that are heard at their times."""
    one = story(*containers)
    presence, machine = Presence(env, [each.name for each in containers]), Starter(env, refused or {})

    def tell() -> simpy.events.ProcessGenerator:
        for notice in sorted(notices, key=lambda each: each.noticed_s):
            yield env.timeout(notice.noticed_s - env.now)
            presence.hear(notice)

    recorder = Recorder(None)
    env.process(tell())
    order = StartOrder(env, one, cast("Machine", machine), presence, recorder)
    env.run(until=env.process(order.bring_up()))
    return Start(machine.asked_s, recorder, env.now)


def found(name: str, at_s: float, *, healthy: bool) -> HealthChanged:
    """A verdict of a health check."""
    return HealthChanged(name, healthy, at_s, at_s)


def ended(name: str, at_s: float, exit_code: int) -> Died:
    """An end of a container."""
    return Died(name, "exited", exit_code, at_s, at_s)


# In order.


def test_what_needs_nobody_is_started_at_once(env: simpy.Environment) -> None:
    """Containers without dependencies start together; times are recorded for each, and for all of them."""
    start = started(env, container("a"), container("b"))

    assert {"a": 0.0, "b": 0.0} == start.asked_s
    assert [(0.9, "a", ""), (0.9, "b", "")] == start.events("started")
    assert {"start_s.a": 0.8, "start_s.b": 0.8, "ready_s": 1.0} == start.gauges


def test_a_chain_is_started_link_by_link(env: simpy.Environment) -> None:
    """Each starts when the one it needs has started, in whatever order the story names them."""
    start = started(env, container("c", "b"), container("b", "a"), container("a"))

    assert {"a": 0.0, "b": 1.0, "c": 2.0} == start.asked_s
    assert 3.0 == start.gauges["ready_s"]


def test_all_dependencies_are_waited_for(env: simpy.Environment) -> None:
    """What needs two others starts after the later of them."""
    start = started(env, container("d", "a", "c"), container("c", "b"), container("b"), container("a"))

    assert 2.0 == start.asked_s["d"]


def test_long_chains_are_waited_for_however_long_they_take(env: simpy.Environment) -> None:
    """A hundred links take a hundred seconds, longer than anyone's patience with a single one."""
    links = [container("0"), *(container(f"{number}", f"{number - 1}") for number in range(1, 100))]
    start = started(env, *links)

    assert (99.0, []) == (start.asked_s["99"], start.events("refused"))


# Health.


def test_a_healthy_verdict_is_waited_for(env: simpy.Environment) -> None:
    """What needs a healthy container starts at its verdict, and the story is ready no earlier than all verdicts."""
    verdicts = (found("a", 6.0, healthy=True), found("b", 12.0, healthy=True))
    start = started(
        env, container("a", health=True), container("b", "a", condition="healthy", health=True), notices=verdicts
    )

    assert ({"a": 0.0, "b": 6.0}, 12.0) == (start.asked_s, start.over_s)


def test_started_is_enough_where_no_health_is_asked_for(env: simpy.Environment) -> None:
    """A dependant that asks only for the start does not wait for the verdict."""
    verdict = found("a", 6.0, healthy=True)
    start = started(env, container("a", health=True), container("b", "a"), notices=(verdict,))

    assert ({"a": 0.0, "b": 1.0}, 6.0) == (start.asked_s, start.over_s)


def test_a_verdict_from_before_the_answer_counts(env: simpy.Environment) -> None:
    """Health that was told before the start was answered is not waited for again."""
    early = found("a", 0.5, healthy=True)
    start = started(env, container("a", health=True), container("b", "a", condition="healthy"), notices=(early,))

    assert {"a": 0.0, "b": 1.0} == start.asked_s


def test_an_unhealthy_dependency_is_not_waited_for(env: simpy.Environment) -> None:
    """At the verdict the dependant is refused and never started; the unhealthy one itself is up and no refusal."""
    verdict = found("a", 16.0, healthy=False)
    start = started(env, container("a", health=True), container("b", "a", condition="healthy"), notices=(verdict,))

    assert ({"a": 0.0}, 16.0) == (start.asked_s, start.over_s)
    assert [(16.0, "b", "a is not healthy")] == start.events("refused")


def test_a_dependency_that_ended_is_not_waited_for(env: simpy.Environment) -> None:
    """A container that died for good before its verdict cannot become healthy."""
    start = started(
        env,
        container("a", health=True),
        container("b", "a", condition="healthy"),
        notices=(ended("a", 3.0, 1),),
    )

    assert [(3.0, "b", "a is not healthy")] == start.events("refused")
    assert 3.0 == start.over_s


def test_a_dependency_that_returns_may_still_become_healthy(env: simpy.Environment) -> None:
    """Where the engine starts it anew, a death is not the end of waiting."""
    returning = dataclasses.replace(container("a", health=True), restart=told.RestartPolicy("always"))
    notices = (ended("a", 3.0, 1), Restarted("a", 1, 3.1, 4.0, 4.0), found("a", 9.0, healthy=True))
    start = started(env, returning, container("b", "a", condition="healthy"), notices=notices)

    assert {"a": 0.0, "b": 9.0} == start.asked_s


# Completion.


def test_completion_is_waited_for(env: simpy.Environment) -> None:
    """What needs a container to end well starts at its end, not at its start."""
    start = started(env, container("a"), container("b", "a", condition="completed"), notices=(ended("a", 30.0, 0),))

    assert {"a": 0.0, "b": 30.0} == start.asked_s


def test_an_end_from_before_the_answer_of_the_start_counts(env: simpy.Environment) -> None:
    """A program that is over at once is noticed before its start is answered, and has completed all the same."""
    start = started(env, container("a"), container("b", "a", condition="completed"), notices=(ended("a", 0.95, 0),))

    assert {"a": 0.0, "b": 1.0} == start.asked_s


def test_what_completed_and_was_started_anew_has_completed(env: simpy.Environment) -> None:
    """An end with exit code 0 counts, though its return is heard of in the same instant."""
    returning = dataclasses.replace(container("a"), restart=told.RestartPolicy("always"))
    notices = (Died("a", "exited", 0, 5.0, 6.0), Restarted("a", 1, 5.1, 5.5, 6.0))
    start = started(env, returning, container("b", "a", condition="completed"), notices=notices)

    assert {"a": 0.0, "b": 6.0} == start.asked_s


def test_an_end_with_another_exit_code_is_no_completion(env: simpy.Environment) -> None:
    """The dependant is refused at the end, in words that say why."""
    start = started(env, container("a"), container("b", "a", condition="completed"), notices=(ended("a", 5.0, 3),))

    assert [(5.0, "b", "a did not end with exit code 0")] == start.events("refused")
    assert {"a": 0.0} == start.asked_s


def test_a_second_try_may_complete(env: simpy.Environment) -> None:
    """Failed once, started anew and ended with 0 is completed where the policy says to try again."""
    returning = dataclasses.replace(container("a"), restart=told.RestartPolicy("on-failure", 3))
    notices = (ended("a", 5.0, 3), Restarted("a", 1, 5.1, 5.5, 5.5), ended("a", 8.0, 0))
    start = started(env, returning, container("b", "a", condition="completed"), notices=notices)

    assert {"a": 0.0, "b": 8.0} == start.asked_s


# What cannot be.


@pytest.mark.parametrize(
    ("condition", "why"),
    [("started", "did not start"), ("healthy", "is not healthy"), ("completed", "did not end with exit code 0")],
)
def test_a_refusal_goes_down_the_chain(env: simpy.Environment, condition: Condition, why: str) -> None:
    """What depends on a refused container is refused in the same instant, and what depends on that one too."""
    chain = (container("c", "b", condition=condition), container("b", "a", condition=condition), container("a"))
    start = started(env, *chain, container("d"), refused={"a": "no such image"})

    assert {"a": 0.0, "d": 0.0} == start.asked_s
    assert [(1.0, "a", "no such image"), (1.0, "b", f"a {why}"), (1.0, "c", f"b {why}")] == start.events("refused")
    assert [(0.9, "d", "")] == start.events("started")
    assert 1.0 == start.over_s


def test_one_refused_dependency_of_two_is_enough(env: simpy.Environment) -> None:
    """What needs a good and a bad one is not started."""
    start = started(env, container("a"), container("b"), container("c", "a", "b"), refused={"b": "no room"})

    assert [(1.0, "b", "no room"), (1.0, "c", "b did not start")] == start.events("refused")


@pytest.mark.parametrize(
    ("condition", "s_max"), [("healthy", VERDICT_S_MAX), ("completed", COMPLETION_S_MAX)], ids=["healthy", "completed"]
)
def test_a_lost_notice_is_not_waited_for_for_ever(env: simpy.Environment, condition: Condition, s_max: float) -> None:
    """Where no verdict is told, the dependant is refused after what it may take at most, counted from the start."""
    start = started(env, container("a", health=condition == "healthy"), container("b", "a", condition=condition))

    ((at_s, name, _),) = start.events("refused")
    assert "b" == name
    assert pytest.approx(1.0 + s_max) == at_s
    assert pytest.approx(1.0 + s_max) == start.over_s


def test_a_lost_notice_delays_readiness_and_no_more(env: simpy.Environment) -> None:
    """A container of whose health nobody tells is taken as it is after the same time."""
    start = started(env, container("a", health=True))

    assert pytest.approx(1.0 + VERDICT_S_MAX) == start.gauges["ready_s"]
    assert [] == start.events("refused")
