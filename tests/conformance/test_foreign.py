"""Programs of the user's own: started, watched and ended like any container, but no place for agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scenarios import story as told
from sim.machine import Compute, Died, Refused, Restarted, Sample, Started, Stopped
from tests.conformance.bench import CLOCK_SLACK_S, bench_story, container, program, real

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from tests.conformance.bench import World

PYTHON = ("python3", "-S", "-c")
POLITE = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
IDLE = POLITE + "while True: signal.pause()"
BUSY = POLITE + "while True: pass"
BRIEF = "import time\ntime.sleep(0.8)\nraise SystemExit(3)"


def foreign(image: str, code: str) -> told.Foreign:
    """A Python program of the user's own."""
    return told.Foreign(image, (*PYTHON, code))


def test_a_foreign_container_takes_no_programs(world: World) -> None:
    """It starts, is sampled when asked and unasked, refuses agents' work, and stops with its own exit code."""
    with world.set_up(bench_story()) as bench:

        def script() -> Generator[simpy.Event, Any, list[object]]:
            started = yield bench.machine.start(container(foreign=foreign(world.image(), IDLE)))
            refused = yield bench.machine.submit("a", program(Compute(0.01, 1)))
            yield bench.env.timeout(3.5)
            sample = yield bench.machine.sample("a")
            return [started, refused, sample, (yield bench.machine.stop("a"))]

        started, refused, sample, stopped = bench.play(script)
    assert isinstance(started, Started)
    assert isinstance(refused, Refused)
    assert "a" == refused.container
    assert isinstance(sample, Sample)
    assert sample.memory_bytes > 0
    assert Stopped("a", 0) == stopped
    assert {"a"} == {seen.container for seen in bench.heard.samples}
    assert [] == bench.said


def test_a_foreign_container_takes_no_blows_of_a_worker(world: World) -> None:
    """Nobody can tell a program of the user's own to crash or hang, and it has no agents; it lives on."""
    with world.set_up(bench_story()) as bench:

        def script() -> Generator[simpy.Event, Any, list[object]]:
            machine = bench.machine
            yield machine.start(container(foreign=foreign(world.image(), IDLE)))
            refused = [
                (yield machine.crash("a", 1)),
                (yield machine.hang("a", 1.0)),
                (yield machine.kill_agent("a", "w/0")),
            ]
            return [*refused, (yield machine.stop("a"))]

        *refused, stopped = bench.play(script)
    assert ["a"] * 3 == [outcome.container for outcome in refused if isinstance(outcome, Refused)]
    # Asked to stop before it listens to signals, a real program is killed.
    assert isinstance(stopped, Stopped)
    assert [] == bench.said


def test_a_foreign_container_is_killed_as_any(world: World) -> None:
    """A kill ends it with 137 and is noticed, and its name is free."""
    with world.set_up(bench_story()) as bench:

        def script() -> Generator[simpy.Event, Any, list[object]]:
            yield bench.machine.start(container(foreign=foreign(world.image(), IDLE)))
            killed = yield bench.machine.kill("a")
            yield from bench.hear(Died)
            return [killed, (yield bench.machine.start(container()))]

        killed, anew = bench.play(script)
    assert Stopped("a", 137) == killed
    assert isinstance(anew, Started)
    assert [("killed", 137)] == [(died.cause, died.exit_code) for died in bench.told(Died)]


@pytest.mark.docker
@pytest.mark.timeout(60)
def test_a_foreign_program_ends_by_itself(foreign_image: str) -> None:
    """Its end is noticed with its own exit code, and its restart policy holds as for any container."""
    with real(bench_story()) as bench:

        def script() -> Generator[simpy.Event, Any, None]:
            once = told.RestartPolicy("on-failure", retries_max=1)
            coming = container(foreign=foreign(foreign_image, BRIEF), restart=once)
            assert isinstance((yield bench.machine.start(coming)), Started)
            yield from bench.hear(Died, count=2)
            yield bench.env.timeout(1.0)

        bench.play(script)
    assert [("exited", 3)] * 2 == [(died.cause, died.exit_code) for died in bench.told(Died)]
    (restarted,) = bench.told(Restarted)
    first, second = bench.told(Died)
    assert first.happened_s < restarted.happened_s <= restarted.ready_s + CLOCK_SLACK_S
    assert restarted.ready_s < second.happened_s


@pytest.mark.docker
@pytest.mark.timeout(60)
def test_a_foreign_program_is_measured(foreign_image: str) -> None:
    """What it burns is counted, held against its quota, and never falls from sample to sample."""
    with real(bench_story()) as bench:

        def script() -> Generator[simpy.Event, Any, None]:
            yield bench.machine.start(container(cpus=0.5, foreign=foreign(foreign_image, BUSY)))
            yield bench.env.timeout(5.0)
            yield bench.machine.kill("a")

        bench.play(script)
    first, *_, last = bench.heard.samples
    assert last.cpu_s - first.cpu_s > 0.5 * 0.5 * (last.at_s - first.at_s)
    assert last.throttled_periods_count > first.throttled_periods_count
    assert sorted(sample.cpu_s for sample in bench.heard.samples) == [sample.cpu_s for sample in bench.heard.samples]
