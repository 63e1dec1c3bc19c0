"""A container's tmpfs: a disk that is memory, with a size of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scenarios import story as told
from sim.machine import (
    Compute,
    DiskFull,
    Erase,
    Finished,
    Lost,
    ProcessKilled,
    Sample,
    Sleep,
    Struck,
    Write,
)
from tests.conformance.bench import CLOCK_SLACK_S, DISK, MIB, container, program

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from sim.machine import Work
    from tests.conformance.bench import Bench


def mib(size_bytes: int) -> float:
    """Bytes as MiB, for tolerances that can be read."""
    return size_bytes / MIB


def test_what_is_written_is_memory_until_it_is_erased(bench: Bench) -> None:
    """Bytes on the disk count on it and in the container's memory; erased, they count in neither."""

    def script() -> Generator[simpy.Event, Any, list[Sample]]:
        yield bench.machine.start(container(tmpfs=DISK))
        samples: list[Sample] = []
        works: list[Work] = [Sleep(0.0), Write(24 * MIB), Write(8 * MIB), Erase(), Erase()]
        for index, work in enumerate(works):
            assert isinstance((yield bench.machine.submit("a", program(work, index=index))), Finished)
            samples.append((yield bench.machine.sample("a")))
        return samples

    samples = bench.play(script)
    written_mib = (0.0, 24.0, 32.0, 0.0, 0.0)
    assert [pytest.approx(size_mib, abs=0.1) for size_mib in written_mib] == [mib(now.disk_bytes) for now in samples]
    assert [pytest.approx(size_mib, abs=1.5) for size_mib in written_mib] == [
        mib(now.memory_bytes - samples[0].memory_bytes) for now in samples
    ]


def test_each_agent_erases_its_own(bench: Bench) -> None:
    """Two agents write on one disk, and what each of them erases is its own file."""

    def script() -> Generator[simpy.Event, Any, list[Sample]]:
        yield bench.machine.start(container(tmpfs=DISK))
        yield bench.machine.submit("a", program(Write(8 * MIB), agent="w/0"))
        yield bench.machine.submit("a", program(Write(4 * MIB), agent="w/1"))
        samples: list[Sample] = []
        for agent in ("w/0", "w/1"):
            yield bench.machine.submit("a", program(Erase(), agent=agent, index=1))
            samples.append((yield bench.machine.sample("a")))
        return samples

    assert [pytest.approx(4.0, abs=0.1), 0.0] == [mib(sample.disk_bytes) for sample in bench.play(script)]


def test_a_full_disk_is_a_notice_and_no_end(bench: Bench) -> None:
    """What does not fit is refused and noticed with its agent; the step goes on, and what fitted stays."""
    small = (told.Tmpfs("/scratch", 8 * MIB),)

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container(tmpfs=small))
        began_s = bench.env.now
        finished = yield bench.machine.submit("a", program(Write(12 * MIB), Compute(0.02, 1), agent="w/3"))
        full = yield from bench.hear(DiskFull)
        assert began_s - CLOCK_SLACK_S <= full.happened_s <= full.noticed_s + CLOCK_SLACK_S
        return [finished, full.container, full.agent, (yield bench.machine.sample("a"))]

    finished, container_name, agent, sample = bench.play(script)
    assert isinstance(finished, Finished)
    assert ("a", "w/3") == (container_name, agent)
    assert [0.02] == [pytest.approx(done.cpu_s, abs=0.015) for done in bench.heard.steps]
    assert isinstance(sample, Sample)
    assert 8.0 == pytest.approx(mib(sample.disk_bytes), abs=0.1)
    assert [] == bench.told(ProcessKilled)


def test_memory_ends_before_a_disk_that_is_larger(bench: Bench) -> None:
    """More than the memory limit on a larger tmpfs: the writer is OOM-killed, and what it wrote stays charged."""
    large = (told.Tmpfs("/scratch", 256 * MIB),)

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container(memory_mib=64, tmpfs=large))
        lost = yield bench.machine.submit("a", program(Write(100 * MIB), index=2))
        killed = yield from bench.hear(ProcessKilled)
        assert ("a", "w/0", "oom") == (killed.container, killed.agent, killed.cause)
        return [lost, (yield bench.machine.sample("a"))]

    lost, sample = bench.play(script)
    assert isinstance(lost, Lost)
    assert ("w/0", 2, "oom") == (lost.agent, lost.step_index, lost.cause)
    assert isinstance(sample, Sample)
    assert 30 <= mib(sample.disk_bytes) <= 64
    assert sample.disk_bytes <= sample.memory_bytes <= 64 * MIB
    assert 1 == sample.oom_kills_count
    assert [] == bench.told(DiskFull)


def test_a_file_outlives_its_process(bench: Bench) -> None:
    """After a kill of the agent its bytes are there and charged, and the agent's next process can erase them."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container(tmpfs=DISK))
        yield bench.machine.submit("a", program(Write(16 * MIB)))
        struck = yield bench.machine.kill_agent("a", "w/0")
        yield from bench.hear(ProcessKilled)
        between = yield bench.machine.sample("a")
        yield bench.machine.submit("a", program(Erase(), index=1))
        return [struck, between, (yield bench.machine.sample("a"))]

    struck, between, after = bench.play(script)
    assert isinstance(struck, Struck)
    assert isinstance(between, Sample)
    assert isinstance(after, Sample)
    assert 16.0 == pytest.approx(mib(between.disk_bytes), abs=0.1)
    assert 0 == after.disk_bytes
    assert between.memory_bytes >= 16 * MIB
