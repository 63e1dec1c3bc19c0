"""A container's volume: files on the host's disk, of which what is in memory gives way before anybody is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scenarios import story as told
from sim.machine import (
    DiskFull,
    Erase,
    Finished,
    Hold,
    Limited,
    ProcessKilled,
    Read,
    Release,
    Restarted,
    Sample,
    Sleep,
    Started,
    Stopped,
    Struck,
    Write,
)
from tests.conformance.bench import ALWAYS, MIB, container, program

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from sim.machine import Work
    from tests.conformance.bench import Bench

VOLUME = told.Volume("data", "/data")
# What the kernel keeps free of a limit, what it charges in batches, and pages of the programs themselves.
SLACK_MIB = 2.5
# Counters of the lists are exact to a batch of pages on each core, which is what the tolerances of 1 MiB are for.


def mib(size_bytes: int) -> float:
    """Bytes as MiB, for tolerances that can be read."""
    return size_bytes / MIB


def cache_mib(sample: Sample) -> float:
    """Inactive page cache in MiB: what is charged beyond the working set."""
    return mib(sample.memory_raw_bytes - sample.memory_bytes)


def lived(bench: Bench, memory_mib: int, works: list[Work]) -> list[Sample]:
    """A sample before and after each of these stages, each a program of its own, in a container that lives on."""

    def script() -> Generator[simpy.Event, Any, list[Sample]]:
        assert isinstance((yield bench.machine.start(container(memory_mib=memory_mib, volume=VOLUME))), Started)
        samples: list[Sample] = []
        for index, work in enumerate([Sleep(0.0), *works]):
            assert isinstance((yield bench.machine.submit("a", program(work, index=index))), Finished)
            samples.append((yield bench.machine.sample("a")))
        return samples

    samples = bench.play(script)
    assert [] == bench.told(ProcessKilled)
    assert [] == bench.told(DiskFull)
    return samples


def test_what_is_written_is_page_cache_until_it_is_erased(bench: Bench) -> None:
    """Bytes on the volume are charged and no part of the working set but for their block records of 2.5 %."""
    before, *samples = lived(bench, 128, [Write(24 * MIB), Write(8 * MIB), Erase(), Erase()])
    written_mib = (24.0, 32.0, 0.0, 0.0)
    assert [pytest.approx(size_mib, abs=0.1) for size_mib in written_mib] == [mib(one.disk_bytes) for one in samples]
    assert [pytest.approx(size_mib, abs=1.0) for size_mib in written_mib] == [
        cache_mib(one) - cache_mib(before) for one in samples
    ]
    assert [pytest.approx(0.0254 * size_mib, abs=0.5) for size_mib in written_mib] == [
        mib(one.memory_bytes - before.memory_bytes) for one in samples
    ]


def test_what_is_read_twice_is_working_set(bench: Bench) -> None:
    """The first reading of what was written leaves it inactive, the second makes it active."""
    before, once, twice = lived(bench, 128, [Write(16 * MIB), Read(16 * MIB), Read(16 * MIB)])[1:]
    assert cache_mib(before) == pytest.approx(cache_mib(once), abs=1.0)
    assert 16.0 == pytest.approx(cache_mib(once) - cache_mib(twice), abs=1.0)
    assert 16.0 == pytest.approx(mib(twice.memory_bytes - once.memory_bytes), abs=1.0)


def test_files_larger_than_the_memory_kill_nobody(bench: Bench) -> None:
    """Written and read, a file of twice the limit fills the memory up to it, and stays whole on the disk."""
    _, written, read = lived(bench, 48, [Write(96 * MIB), Read(96 * MIB)])
    for sample in (written, read):
        assert 96.0 == pytest.approx(mib(sample.disk_bytes), abs=0.1)
        assert 48.0 == pytest.approx(mib(sample.memory_raw_bytes), abs=SLACK_MIB)
        assert 48.0 == pytest.approx(mib(sample.memory_peak_bytes), abs=SLACK_MIB)
        assert 0 == sample.oom_kills_count


def test_page_cache_gives_way_to_memory(bench: Bench) -> None:
    """What is held takes the place of page cache, which does not come back by itself; nobody dies."""
    before, full, held, released = lived(bench, 64, [Write(80 * MIB), Hold(32 * MIB, leak=False), Release()])
    assert 64.0 == pytest.approx(mib(full.memory_raw_bytes), abs=SLACK_MIB)
    assert 64.0 == pytest.approx(mib(held.memory_raw_bytes), abs=SLACK_MIB)
    assert 32.0 == pytest.approx(cache_mib(full) - cache_mib(held), abs=2 * SLACK_MIB)
    assert cache_mib(held) == pytest.approx(cache_mib(released), abs=SLACK_MIB)
    assert mib(before.memory_bytes) == pytest.approx(mib(released.memory_bytes), abs=2 * SLACK_MIB)


def test_memory_that_nothing_can_give_way_to_kills(bench: Bench) -> None:
    """With all page cache gone, what is still too much is an OOM kill, and the file stays."""

    def script() -> Generator[simpy.Event, Any, Sample]:
        yield bench.machine.start(container(memory_mib=64, volume=VOLUME))
        yield bench.machine.submit("a", program(Write(48 * MIB)))
        yield bench.machine.submit("a", program(Hold(100 * MIB, leak=False), agent="w/1"))
        killed = yield from bench.hear(ProcessKilled)
        assert ("w/1", "oom") == (killed.agent, killed.cause)
        sample = yield bench.machine.sample("a")
        assert isinstance(sample, Sample)
        return sample

    sample = bench.play(script)
    assert 48.0 == pytest.approx(mib(sample.disk_bytes), abs=0.1)
    assert 1 == sample.oom_kills_count


def test_a_file_outlives_the_container_and_its_pages_are_nobodys(bench: Bench) -> None:
    """After a restart the file is there, its next reader is charged for none of it, and it can be erased."""

    def script() -> Generator[simpy.Event, Any, list[Sample]]:
        yield bench.machine.start(container(volume=VOLUME, restart=ALWAYS))
        written = yield bench.machine.submit("a", program(Write(32 * MIB)))
        assert isinstance(written, Finished), written
        struck = yield bench.machine.crash("a", 1)
        assert isinstance(struck, Struck), struck
        yield from bench.hear(Restarted)
        samples: list[Sample] = []
        works: list[Work] = [Sleep(0.0), Read(32 * MIB), Erase()]
        for index, work in enumerate(works):
            outcome = yield bench.machine.submit("a", program(work, index=index))
            assert isinstance(outcome, Finished), outcome
            sample = yield bench.machine.sample("a")
            assert isinstance(sample, Sample), sample
            samples.append(sample)
        return samples

    back, read, erased = bench.play(script)
    assert [32.0, 32.0, 0.0] == [pytest.approx(mib(one.disk_bytes), abs=0.1) for one in (back, read, erased)]
    assert mib(back.memory_raw_bytes) == pytest.approx(mib(read.memory_raw_bytes), abs=SLACK_MIB)


def test_who_reads_nothing_finishes(bench: Bench) -> None:
    """A file that is not there, and a container without a disk, have nothing to read and refuse nothing."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container("a", volume=VOLUME))
        yield bench.machine.start(container("b"))
        first = yield bench.machine.submit("a", program(Read(MIB)))
        return [first, (yield bench.machine.submit("b", program(Read(MIB))))]

    assert all(isinstance(outcome, Finished) for outcome in bench.play(script))


def test_a_memory_limit_can_be_lowered_to_where_page_cache_gives_way(bench: Bench) -> None:
    """What is on the disk as well is no hindrance: it goes, and nobody is killed."""

    def script() -> Generator[simpy.Event, Any, tuple[object, Sample]]:
        yield bench.machine.start(container(memory_mib=128, volume=VOLUME))
        # More than fits, so that what is in memory is being written back and can go.
        yield bench.machine.submit("a", program(Write(160 * MIB)))
        limited = yield bench.machine.limit("a", cpus_limit=None, memory_bytes_limit=64 * MIB)
        sample = yield bench.machine.sample("a")
        assert isinstance(sample, Sample)
        return limited, sample

    limited, sample = bench.play(script)
    assert isinstance(limited, Limited)
    assert 64.0 == pytest.approx(mib(sample.memory_raw_bytes), abs=SLACK_MIB)
    assert 160.0 == pytest.approx(mib(sample.disk_bytes), abs=0.1)
    assert [] == bench.told(ProcessKilled)


def test_a_volume_is_there_for_the_next_container_of_the_name(bench: Bench) -> None:
    """Stopped, removed and started again within a run, a container finds the files of its agents."""

    def script() -> Generator[simpy.Event, Any, Sample]:
        yield bench.machine.start(container(volume=VOLUME))
        yield bench.machine.submit("a", program(Write(8 * MIB)))
        assert isinstance((yield bench.machine.stop("a")), Stopped)
        yield bench.machine.start(container(volume=VOLUME))
        sample = yield bench.machine.sample("a")
        assert isinstance(sample, Sample)
        return sample

    assert 8.0 == pytest.approx(mib(bench.play(script).disk_bytes), abs=0.1)


@pytest.mark.parametrize("process", ["own", "main"])
def test_each_agent_has_a_file_of_its_own(bench: Bench, process: str) -> None:
    """Two agents write on one volume; one of them is killed, and the other erases nothing of its."""

    def script() -> Generator[simpy.Event, Any, list[Sample]]:
        yield bench.machine.start(container(volume=VOLUME))
        yield bench.machine.submit("a", program(Write(8 * MIB), agent="w/0", process=process))
        yield bench.machine.submit("a", program(Write(4 * MIB), agent="w/1", process=process))
        assert isinstance((yield bench.machine.kill_agent("a", "w/0")), Struck)
        yield from bench.hear(ProcessKilled)
        samples: list[Sample] = []
        for agent in ("w/1", "w/0"):
            yield bench.machine.submit("a", program(Erase(), agent=agent, index=1, process=process))
            samples.append((yield bench.machine.sample("a")))
        return samples

    assert [8.0, 0.0] == [pytest.approx(mib(one.disk_bytes), abs=0.1) for one in bench.play(script)]
