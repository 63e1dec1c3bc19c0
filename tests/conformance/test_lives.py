"""How a container comes and goes, and what its name is worth meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.machine import Compute, Died, Lost, Refused, Sample, Sleep, Started, Stopped
from tests.conformance.bench import container, program

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from tests.conformance.bench import Bench


def test_start_and_stop(bench: Bench) -> None:
    """A container starts, answers, and stops with exit code 0."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        outcomes.append((yield bench.machine.start(container())))
        outcomes.append((yield bench.machine.stop("a")))

    bench.play(script)
    started, stopped = outcomes
    assert isinstance(started, Started)
    assert 0 < started.start_s < started.ready_s <= bench.env.now
    assert Stopped("a", 0) == stopped


def test_name_is_taken_once(bench: Bench) -> None:
    """A second container of the same name is refused as a value, and the first lives on."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        outcomes.append((yield bench.machine.start(container())))
        outcomes.append((yield bench.machine.sample("a")))

    bench.play(script)
    assert isinstance(outcomes[0], Refused)
    assert isinstance(outcomes[1], Sample)


def test_name_of_a_coming_container_is_taken(bench: Bench) -> None:
    """Of two containers of one name asked for at once, the second is refused and the first comes up."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        starts = [bench.machine.start(container()) for _ in range(2)]
        yield bench.env.all_of(starts)
        outcomes.extend(start.value for start in starts)

    bench.play(script)
    assert [Started, Refused] == [type(outcome) for outcome in outcomes]


def test_unknown_container_is_refused(bench: Bench) -> None:
    """Every verb on a container that is not up is a value that names it."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        outcomes.append((yield bench.machine.stop("x")))
        outcomes.append((yield bench.machine.kill("x")))
        outcomes.append((yield bench.machine.sample("x")))
        outcomes.append((yield bench.machine.limit("x", cpus_limit=1.0, memory_bytes_limit=None)))
        outcomes.append((yield bench.machine.submit("x", program(Compute(0.01, 1)))))

    bench.play(script)
    assert ["x"] * 5 == [outcome.container for outcome in outcomes if isinstance(outcome, Refused)]


def test_killed_container_is_noticed(bench: Bench) -> None:
    """A SIGKILL of PID 1 loses what ran and is noticed as a kill, not as memory."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        running = bench.machine.submit("a", program(Sleep(30.0)))
        yield bench.env.timeout(0.5)
        outcomes.append((yield bench.machine.kill("a")))
        outcomes.append((yield running))
        outcomes.append((yield from bench.hear(Died)))

    bench.play(script)
    stopped, lost, died = outcomes
    assert Stopped("a", 137) == stopped
    assert isinstance(lost, Lost)
    assert "container" == lost.cause
    assert isinstance(died, Died)
    assert ("killed", 137) == (died.cause, died.exit_code)


def test_throttled_container_answers_when_it_is_killed(bench: Bench) -> None:
    """A sample asked of a container that stands still is answered at the latest when the container dies."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.limit("a", cpus_limit=0.05, memory_bytes_limit=None)
        running = bench.machine.submit("a", program(Compute(60.0, 2)))
        yield bench.env.timeout(0.53)
        asked = bench.machine.sample("a")
        yield bench.machine.kill("a")
        yield bench.env.any_of([bench.env.all_of([asked, running]), bench.env.timeout(10.0)])
        outcomes.extend(event.value for event in (asked, running) if event.triggered)

    bench.play(script)
    sampled, lost = outcomes
    assert isinstance(sampled, (Sample, Refused))
    assert isinstance(lost, Lost)


def test_dead_container_is_refused(bench: Bench) -> None:
    """A container that died without a restart policy is gone: no verb finds it, `stop` included."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.kill("a")
        yield from bench.hear(Died)
        outcomes.append((yield bench.machine.stop("a")))
        outcomes.append((yield bench.machine.kill("a")))
        outcomes.append((yield bench.machine.limit("a", cpus_limit=0.5, memory_bytes_limit=None)))
        outcomes.append((yield bench.machine.sample("a")))
        outcomes.append((yield bench.machine.submit("a", program(Compute(0.01, 1)))))

    bench.play(script)
    assert ["a"] * 5 == [outcome.container for outcome in outcomes if isinstance(outcome, Refused)]


def test_container_samples_itself(bench: Bench) -> None:
    """Samples come unasked on the story's grid, their counters never fall."""

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.env.timeout(2.2)

    bench.play(script)
    samples = bench.heard.samples
    assert 4 <= len(samples) <= 5
    assert all(0.0 <= sample.at_s % 0.5 < 0.1 for sample in samples)
    assert sorted(sample.cpu_s for sample in samples) == [sample.cpu_s for sample in samples]
