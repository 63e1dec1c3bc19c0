"""What a container runs on its own: steps, their times, their CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sim.machine import Compute, Finished, Program, Sample, Sleep, Started, Step
from tests.conformance.bench import FAR_S, container, program

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from tests.conformance.bench import Bench

# Times are told to the microsecond, and three of them are compared.
ROUNDED_S = 1.5e-6


def test_program_runs_on_its_own(bench: Bench) -> None:
    """Three steps of think, compute and sleep: each is reported once, in order, no sooner than it can be done."""
    outcomes: list[Finished] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        begin_s = bench.env.now
        steps = (
            Step(0, begin_s + 0.1, 0.0, (Compute(0.02, 1),)),
            Step(1, None, 0.05, (Compute(0.03, 1), Sleep(0.1), Compute(0.01, 1))),
            Step(2, None, 0.05, (Compute(0.01, 1),)),
        )
        outcomes.append((yield bench.machine.submit("a", Program("w/0", steps, FAR_S))))

    bench.play(script)
    steps = bench.heard.steps
    assert [0, 1, 2] == [done.index for done in steps]
    assert [("w/0", 3)] == [(outcome.agent, outcome.steps_count) for outcome in outcomes]
    assert outcomes[0].finish_s == steps[-1].finish_s <= bench.env.now
    assert [pytest.approx(cpu_s, abs=0.003) for cpu_s in (0.02, 0.04, 0.01)] == [done.cpu_s for done in steps]
    for done in steps:
        assert done.cpu_s <= done.latency_s + 0.002
        assert done.latency_s <= done.finish_s - done.due_s + ROUNDED_S
    assert steps[1].finish_s - steps[1].due_s >= 0.14
    assert steps[1].latency_s < 0.12
    assert steps[0].finish_s + 0.05 == pytest.approx(steps[1].due_s, abs=ROUNDED_S)


def test_no_step_begins_past_the_end(bench: Bench) -> None:
    """A step that would be due at the program's end ends it at once, without waiting."""
    outcomes: list[Finished] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        now = bench.env.now
        steps = (Step(0, now, 0.0, (Compute(0.01, 1),)), Step(1, None, 5.0, (Compute(0.01, 1),)))
        outcomes.append((yield bench.machine.submit("a", Program("w/0", steps, now + 1.0))))
        assert bench.env.now < now + 1.0

    bench.play(script)
    assert [1] == [outcome.steps_count for outcome in outcomes]


def test_quota_stretches_work(bench: Bench) -> None:
    """A tenth of a second of CPU under a fifth of a core takes three to six tenths, and throttling is counted."""
    samples: list[Sample] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container(cpus=0.2))
        yield bench.env.timeout(1.0)
        samples.append((yield bench.machine.sample("a")))
        yield bench.machine.submit("a", program(Compute(0.1, 1), due_s=bench.env.now))
        samples.append((yield bench.machine.sample("a")))

    bench.play(script)
    before, after = samples
    assert 0.3 <= bench.heard.steps[0].latency_s <= 0.65
    assert 0.2 <= bench.heard.steps[0].cpu_wait_s
    assert after.throttled_periods_count - before.throttled_periods_count >= 3
    assert after.throttled_s - before.throttled_s > 0.15
    assert 0.1 <= after.cpu_s - before.cpu_s <= 0.14


def test_threads_share_a_demand(bench: Bench) -> None:
    """Two threads on two cores need little more than half the time of one, and as much CPU.

    The best of twenty counts: on a machine with other work to do a core may be taken for a while.
    """

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container(cpus=None))
        for index in range(20):
            yield bench.machine.submit("a", program(Compute(0.3, 2), index=index, due_s=bench.env.now))

    bench.play(script)
    assert [pytest.approx(0.3, abs=0.01)] * 20 == [done.cpu_s for done in bench.heard.steps]
    assert 0.15 <= min(done.latency_s for done in bench.heard.steps) < 0.225


def test_several_containers_at_once(bench: Bench) -> None:
    """Containers started together are all up, and each keeps to its own programs."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        names = ("a", "b", "c")
        starts = yield bench.env.all_of([bench.machine.start(container(name)) for name in names])
        outcomes.extend(starts.values())
        runs = [bench.machine.submit(name, program(Compute(0.02, 1), agent=f"{name}/0")) for name in names]
        yield bench.env.all_of(runs)
        yield bench.env.all_of([bench.machine.stop(name) for name in names])

    bench.play(script)
    assert ["a", "b", "c"] == sorted(outcome.container for outcome in outcomes if isinstance(outcome, Started))
    assert [("a", "a/0"), ("b", "b/0"), ("c", "c/0")] == sorted(
        (done.container, done.agent) for done in bench.heard.steps
    )
