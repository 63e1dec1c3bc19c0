"""What the engine's health checks say of a container, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenarios import story as told
from sim.machine import Died, HealthChanged, Restarted, Sample
from tests.conformance.bench import ALWAYS, CLOCK_SLACK_S, container

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from tests.conformance.bench import Bench

QUICK = told.HealthCheck(interval_s=0.5, timeout_s=1.0, retries_max=2)


def test_health_is_known_after_the_first_interval(bench: Bench) -> None:
    """The first probe comes one interval after the start, and a container that passes it is healthy; once."""

    def script() -> Generator[simpy.Event, Any, float]:
        asked_s = bench.env.now
        yield bench.machine.start(container(health=told.HealthCheck(interval_s=1.5, timeout_s=2.0)))
        yield from bench.hear(HealthChanged)
        yield bench.env.timeout(2.0)
        return asked_s

    asked_s = bench.play(script)
    assert [("a", True)] == [(change.container, change.healthy) for change in bench.told(HealthChanged)]
    assert asked_s + 1.5 <= bench.told(HealthChanged)[0].happened_s


def test_nobody_asks_a_container_without_a_check(bench: Bench) -> None:
    """Where a container has no health check, nothing is said about its health."""

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.start(container("b", health=QUICK))
        yield from bench.hear(HealthChanged, "b")

    bench.play(script)
    assert ["b"] == [change.container for change in bench.told(HealthChanged)]


def test_a_container_that_stands_still_is_unhealthy_and_lives(bench: Bench) -> None:
    """Two failed probes make it unhealthy, its policy restarts it none the less not, and it is healthy after that."""
    hang_s = 5.0

    def script() -> Generator[simpy.Event, Any, tuple[float, object]]:
        yield bench.machine.start(container(health=QUICK, restart=ALWAYS))
        yield from bench.hear(HealthChanged)
        hung_s = bench.env.now
        yield bench.machine.hang("a", hang_s)
        yield from bench.hear(HealthChanged, count=3)
        return hung_s, (yield bench.machine.sample("a"))

    hung_s, sample = bench.play(script)
    _, unhealthy, healthy = bench.told(HealthChanged)
    assert [True, False, True] == [change.healthy for change in bench.told(HealthChanged)]
    # Each of the two fails at its time-out; an interval lies between them, of which a probe under way may take a part.
    assert hung_s + 2 * QUICK.timeout_s <= unhealthy.happened_s + CLOCK_SLACK_S
    assert hung_s + hang_s <= healthy.happened_s + CLOCK_SLACK_S
    assert isinstance(sample, Sample)
    assert ([], []) == (bench.told(Died), bench.told(Restarted))


def test_failures_while_it_starts_do_not_count(bench: Bench) -> None:
    """Of two containers that are slow to be ready, only the one without a start period is unhealthy meanwhile."""
    impatient = told.HealthCheck(interval_s=0.5, timeout_s=0.5, retries_max=1)
    patient = told.HealthCheck(interval_s=0.5, timeout_s=0.5, retries_max=1, start_period_s=10.0)

    def script() -> Generator[simpy.Event, Any, None]:
        slow = [
            container("impatient", health=impatient, start_delay_s=2.5),
            container("patient", health=patient, start_delay_s=2.5),
        ]
        yield bench.env.all_of([bench.machine.start(spec) for spec in slow])
        yield from bench.hear(HealthChanged, "impatient", count=2)
        yield from bench.hear(HealthChanged, "patient")

    bench.play(script)
    assert [False, True] == [change.healthy for change in bench.told(HealthChanged, "impatient")][:2]
    assert [True] == [change.healthy for change in bench.told(HealthChanged, "patient")][:1]


def test_each_life_is_asked_anew(bench: Bench) -> None:
    """A container that was healthy and is started anew says so again, one interval after its new start."""

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container(health=QUICK, restart=ALWAYS))
        yield from bench.hear(HealthChanged)
        yield bench.machine.crash("a", 1)
        yield from bench.hear(HealthChanged, count=2)

    bench.play(script)
    assert [True, True] == [change.healthy for change in bench.told(HealthChanged)]
    (restarted,) = bench.told(Restarted)
    assert restarted.happened_s + QUICK.interval_s <= bench.told(HealthChanged)[1].happened_s + CLOCK_SLACK_S
