"""What is held, released, leaked, and what goes over the limit."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from sim.machine import Compute, Died, Finished, Hold, Lost, ProcessKilled, Program, Refused, Release, Sample, Sleep
from tests.conformance.bench import FAR_S, MIB, container, program

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from tests.conformance.bench import Bench


def test_memory_is_held_and_released(bench: Bench) -> None:
    """What a step holds is counted while it holds it and gone when it releases it; the peak remembers."""
    samples: list[Sample] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.submit("a", program(Sleep(0.0)))
        samples.append((yield bench.machine.sample("a")))
        running = bench.machine.submit("a", program(Hold(64 * MIB, leak=False), Sleep(1.0), Release(), index=1))
        yield bench.env.timeout(0.7)
        samples.append((yield bench.machine.sample("a")))
        yield running
        samples.append((yield bench.machine.sample("a")))

    bench.play(script)
    empty, full, after = samples
    assert 64 == pytest.approx((full.memory_bytes - empty.memory_bytes) / MIB, abs=1.5)
    assert 0 == pytest.approx((after.memory_bytes - empty.memory_bytes) / MIB, abs=1.5)
    assert after.memory_peak_bytes >= full.memory_bytes - MIB


def test_held_memory_lasts_over_the_parts_of_a_step(bench: Bench) -> None:
    """A step in two parts keeps what the first part held, until the second releases it."""
    samples: list[Sample] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.submit("a", program(Sleep(0.0)))
        samples.append((yield bench.machine.sample("a")))
        part = dataclasses.replace(program(Hold(64 * MIB, leak=False), index=1).steps[0], last=False)
        yield bench.machine.submit("a", Program("w/0", (part,), FAR_S))
        samples.append((yield bench.machine.sample("a")))
        yield bench.machine.submit("a", program(Release(), index=1))
        samples.append((yield bench.machine.sample("a")))

    bench.play(script)
    empty, between, after = samples
    assert [True, False, True] == [done.last for done in bench.heard.steps]
    assert 64 == pytest.approx((between.memory_bytes - empty.memory_bytes) / MIB, abs=1.5)
    assert 0 == pytest.approx((after.memory_bytes - empty.memory_bytes) / MIB, abs=1.5)


def test_leak_stays(bench: Bench) -> None:
    """What leaks outlives its step and any release."""
    samples: list[Sample] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.submit("a", program(Sleep(0.0)))
        samples.append((yield bench.machine.sample("a")))
        yield bench.machine.submit("a", program(Hold(32 * MIB, leak=True), Release(), index=1))
        samples.append((yield bench.machine.sample("a")))

    bench.play(script)
    assert 32 == pytest.approx((samples[1].memory_bytes - samples[0].memory_bytes) / MIB, abs=1.5)


def test_largest_process_is_killed_and_the_container_lives(bench: Bench) -> None:
    """Over the limit one process dies, its program is lost, and the next program of that agent runs."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container(memory_mib=128))
        big = program(Hold(150 * MIB, leak=False), agent="w/1", index=4)
        small = program(Hold(16 * MIB, leak=False), Sleep(1.0), agent="w/2", index=9)
        running = bench.machine.submit("a", small)
        outcomes.append((yield bench.machine.submit("a", big)))
        outcomes.append((yield running))
        outcomes.append((yield bench.machine.submit("a", program(Compute(0.01, 1), agent="w/1", index=5))))
        outcomes.append((yield from bench.hear(ProcessKilled)))
        outcomes.append((yield bench.machine.sample("a")))

    bench.play(script)
    lost, small, again, notice, sample = outcomes
    assert isinstance(lost, Lost)
    assert ("w/1", 4, "oom") == (lost.agent, lost.step_index, lost.cause)
    assert isinstance(small, Finished)
    assert isinstance(again, Finished)
    assert isinstance(notice, ProcessKilled)
    assert ("a", "w/1", "oom") == (notice.container, notice.agent, notice.cause)
    assert notice.happened_s <= notice.noticed_s + 0.005
    assert isinstance(sample, Sample)
    assert 1 == sample.oom_kills_count


def test_main_process_over_the_limit_ends_the_container(bench: Bench) -> None:
    """Memory that belongs to PID 1 takes the container with it: exit 137, and every program in it is lost."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container(memory_mib=128))
        big = program(Hold(150 * MIB, leak=False), process="main")
        outcomes.append((yield bench.machine.submit("a", big)))
        outcomes.append((yield from bench.hear(Died)))
        outcomes.append((yield bench.machine.submit("a", program(Compute(0.01, 1), index=1))))

    bench.play(script)
    lost, died, refused = outcomes
    assert isinstance(lost, Lost)
    assert "container" == lost.cause
    assert isinstance(died, Died)
    assert ("a", "oom", 137) == (died.container, died.cause, died.exit_code)
    assert isinstance(refused, Refused)
