"""What `stop` does: ask, wait for the grace, kill, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.machine import Compute, Died, Lost, Refused, Sleep, Started, Stopped, Struck
from tests.conformance.bench import container, program

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from tests.conformance.bench import Bench


def test_what_runs_is_lost_with_a_stop(bench: Bench) -> None:
    """A stop waits for no program: each ends as lost with its container, which exits with 0."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container())
        running = [
            bench.machine.submit("a", program(Sleep(30.0), agent="w/0", index=2)),
            bench.machine.submit("a", program(Compute(30.0, 1), agent="w/1", index=5)),
        ]
        yield bench.env.timeout(0.5)
        stopped = yield bench.machine.stop("a")
        yield bench.env.all_of(running)
        return [stopped, *(lost.value for lost in running)]

    stopped, *lost = bench.play(script)
    assert Stopped("a", 0) == stopped
    assert [("w/0", 2, "container"), ("w/1", 5, "container")] == [
        (outcome.agent, outcome.step_index, outcome.cause) for outcome in lost if isinstance(outcome, Lost)
    ]


def test_a_hung_container_is_killed_after_its_grace(bench: Bench) -> None:
    """PID 1 that hears no SIGTERM has its grace, no less, and is then killed; a stop is never news."""

    def script() -> Generator[simpy.Event, Any, tuple[object, object, float]]:
        yield bench.machine.start(container(stop_grace_s=1.0))
        yield bench.env.timeout(0.2)
        struck = yield bench.machine.hang("a", 30.0)
        yield bench.env.timeout(0.2)
        asked_s = bench.env.now
        stopped = yield bench.machine.stop("a")
        took_s = bench.env.now - asked_s
        yield bench.env.timeout(0.5)
        return struck, stopped, took_s

    struck, stopped, took_s = bench.play(script)
    assert Struck("a") == struck
    assert Stopped("a", 137) == stopped
    assert 1.0 <= took_s < 20.0
    assert [] == bench.told(Died)


def test_a_name_is_free_after_a_stop(bench: Bench) -> None:
    """What was stopped is removed: no verb finds it, and its name can be had again."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container())
        yield bench.machine.stop("a")
        return [(yield bench.machine.stop("a")), (yield bench.machine.start(container()))]

    again, anew = bench.play(script)
    assert isinstance(again, Refused)
    assert "a" == again.container
    assert isinstance(anew, Started)


def test_a_kill_cuts_a_grace_short(bench: Bench) -> None:
    """Killed while a stop waits for it, a container is down at once, and both who asked are told with 137."""

    def script() -> Generator[simpy.Event, Any, tuple[list[object], float]]:
        yield bench.machine.start(container(stop_grace_s=30.0))
        yield bench.env.timeout(0.2)
        yield bench.machine.hang("a", 60.0)
        yield bench.env.timeout(0.2)
        stopping = bench.machine.stop("a")
        yield bench.env.timeout(0.5)
        asked_s = bench.env.now
        killed = yield bench.machine.kill("a")
        return [killed, (yield stopping)], bench.env.now - asked_s

    outcomes, took_s = bench.play(script)
    assert [Stopped("a", 137)] * 2 == outcomes
    assert took_s < 20.0


def test_every_stop_is_answered(bench: Bench) -> None:
    """Of two stops asked for at once one at least takes place, and the other says the same or that nobody is there."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container())
        yield bench.env.timeout(0.2)
        stops = [bench.machine.stop("a") for _ in range(2)]
        yield bench.env.all_of(stops)
        return [stop.value for stop in stops]

    outcomes = bench.play(script)
    assert Stopped("a", 0) in outcomes
    assert 2 == len([outcome for outcome in outcomes if outcome == Stopped("a", 0) or isinstance(outcome, Refused)])
