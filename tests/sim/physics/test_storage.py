"""Where agents write: what a tmpfs and a volume cost, in CPU, in memory and in waits for the disk."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

import pytest

from scenarios import story as told
from sim.machine import Erase, Finished, Hold, Lost, Notice, Program, Read, Sample, Step, Work, Write
from sim.physics.disk import SimulatedDisk
from sim.physics.memory import INIT, ContainerMemory
from sim.physics.page_cache import PageCache
from sim.physics.storage import Storage, TmpfsStorage, VolumeStorage, storage_of
from sim.physics.surroundings import Surroundings
from sim.physics.volume import SimulatedVolume
from tests.sim.physics.bench import ALWAYS, MIB, ROUND, Heard, container, fluid_cpu, machine_of, notices, program

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy


# Seconds per MiB, each another power of two, so that every sum is exact and says what it is made of.
DEAR = dataclasses.replace(
    ROUND,
    write_s_per_byte=64 / MIB,
    release_s_per_byte=32 / MIB,
    append_s_per_byte=16 / MIB,
    read_s_per_byte=8 / MIB,
    fetch_s_per_byte=4 / MIB,
    drop_s_per_byte=2 / MIB,
    disk_read_s_per_byte=1 / MIB,
    disk_write_s_per_byte=1 / 2 / MIB,
    disk_free_s_per_byte=1 / 4 / MIB,
)
# Only the disk takes time.
SLOW_DISK = dataclasses.replace(
    ROUND,
    append_s_per_byte=0.0,
    read_s_per_byte=0.0,
    fetch_s_per_byte=0.0,
    drop_s_per_byte=0.0,
    disk_read_s_per_byte=1 / MIB,
    disk_write_s_per_byte=1 / 2 / MIB,
    disk_free_s_per_byte=1 / 4 / MIB,
)
VOLUME = told.Volume("data", "/data")
# Long enough for whatever was written to be clean.
LATER_S = 100.0
# The block records of a written MiB: 256 pages, 104 bytes each.
RECORDS = 26_624
# What PID 1 and one agent have.
BASE_BYTES = 11 * MIB
AGENT = "w/0"

Life = tuple[ContainerMemory, Storage]


def ignore(_what: Notice | str, _how: float) -> None:
    """Hear of nothing."""


@pytest.fixture(name="around")
def _around(env: simpy.Environment) -> Surroundings:
    """A host with a disk on which everything takes its time."""
    disk = SimulatedDisk(DEAR, lambda: float(env.now))
    return Surroundings(env, fluid_cpu(env, 1), disk, DEAR, Heard(), ignore, 1.0)


def life(
    around: Surroundings,
    limit: int | None = None,
    *,
    volume: told.Volume | None = VOLUME,
    tmpfs: tuple[told.Tmpfs, ...] = (),
) -> Life:
    """A life of a container with a volume, unless said otherwise: PID 1 and one agent, 11 MiB together."""
    memory, storage = storage_of(container(volume=volume, tmpfs=tmpfs), limit, around)
    assert storage is not None
    assert [] == memory.enter(INIT, 10 * MIB, 0.0) + memory.enter(AGENT, MIB, 1.0)
    return memory, storage


def written(storage: Storage, size_bytes: int, agent: str = AGENT) -> None:
    """Append so much, all of it and without a victim."""
    assert (size_bytes, []) == storage.append(agent, AGENT, size_bytes)


# Which it is.


def test_a_container_has_a_tmpfs_or_a_volume_or_nothing(around: Surroundings) -> None:
    """As its story says; memory is there in any case, under its limit."""
    specs = (container(), container(tmpfs=(told.Tmpfs("/scratch", MIB),)), container(volume=VOLUME))
    found = [storage_of(spec, MIB, around) for spec in specs]

    assert [type(None), TmpfsStorage, VolumeStorage] == [type(storage) for _, storage in found]
    assert [[INIT], [INIT], [INIT]] == [memory.enter(INIT, 2 * MIB, 0.0) for memory, _ in found]


# A tmpfs.


def test_files_of_a_tmpfs_are_memory(around: Surroundings) -> None:
    """Charged in whole pages when they are written, given back when they are erased; the disk has no part in it."""
    memory, storage = life(around, volume=None, tmpfs=(told.Tmpfs("/scratch", 4 * MIB),))
    written(storage, MIB + 1)
    assert (MIB + 4096, BASE_BYTES + MIB + 4096) == (storage.used_bytes, memory.used_bytes)
    assert memory.used_bytes == memory.working_set_bytes

    assert (8.0, 0.0) == storage.read(AGENT, 0, MIB)
    assert (64.0, 32.0 + 32 / 256) == (storage.append_cpu_s(MIB), storage.erase_cpu_s(AGENT))
    assert 0.0 == storage.erase(AGENT)
    assert (0, BASE_BYTES, 0.0) == (storage.used_bytes, memory.used_bytes, storage.room_s)


def test_a_full_tmpfs_takes_what_fits(around: Surroundings) -> None:
    """And is full then, whoever writes."""
    memory, storage = life(around, volume=None, tmpfs=(told.Tmpfs("/scratch", 4 * MIB),))

    assert [(4 * MIB, []), (0, [])] == [storage.append(agent, AGENT, 5 * MIB) for agent in (AGENT, "w/1")]
    assert [4 * MIB, 0] == [storage.file_bytes(agent) for agent in (AGENT, "w/1")]
    assert BASE_BYTES + 4 * MIB == memory.used_bytes


def test_a_tmpfs_kills_where_a_volume_gives_way(around: Surroundings) -> None:
    """The writer dies of 5 MiB in 16 with 11 in use, and what does not come to be charged is not there."""
    memory, storage = life(around, 16 * MIB, volume=None, tmpfs=(told.Tmpfs("/scratch", None),))
    written(storage, 5 * MIB)

    assert [AGENT] == storage.append(AGENT, AGENT, 4096)[1]
    assert (5 * MIB, 15 * MIB, 1) == (storage.used_bytes, memory.used_bytes, memory.kills_count)


def test_a_tmpfs_ends_with_its_life(around: Surroundings) -> None:
    """The next one begins empty."""
    tmpfs = (told.Tmpfs("/scratch", None),)
    written(life(around, volume=None, tmpfs=tmpfs)[1], MIB)
    memory, storage = life(around, volume=None, tmpfs=tmpfs)

    assert (0, 0, BASE_BYTES) == (storage.used_bytes, storage.file_bytes(AGENT), memory.used_bytes)


# A volume: what is in memory.


def test_what_is_written_to_a_volume_is_page_cache(around: Surroundings) -> None:
    """In whole pages, each with its record of 104 bytes; only the records are working set."""
    memory, storage = life(around)
    written(storage, MIB - 1)
    written(storage, 1)
    written(storage, MIB)

    assert 2 * MIB == storage.used_bytes == storage.file_bytes(AGENT)
    assert BASE_BYTES + 2 * (MIB + RECORDS) == memory.used_bytes
    assert BASE_BYTES + 2 * RECORDS == memory.working_set_bytes
    assert 32.0 == storage.append_cpu_s(2 * MIB)


def test_what_is_in_memory_is_read_without_a_wait(around: Surroundings) -> None:
    """At the CPU of reading alone; the second time it becomes working set."""
    memory, storage = life(around)
    written(storage, 2 * MIB)

    assert [(16.0, 0.0), (16.0, 0.0)] == [storage.read(AGENT, 0, 2 * MIB) for _ in range(2)]
    assert memory.used_bytes == memory.working_set_bytes == BASE_BYTES + 2 * (MIB + RECORDS)


def test_a_file_that_is_not_there_has_nothing_to_read(around: Surroundings) -> None:
    """Nor anything to erase: it costs nothing, and nobody waits."""
    _, storage = life(around)

    assert (0, (0.0, 0.0)) == (storage.file_bytes(AGENT), storage.read(AGENT, 0, 0))
    assert (0.0, 0.0) == (storage.erase_cpu_s(AGENT), storage.erase(AGENT))


def test_what_is_not_in_memory_is_fetched(env: simpy.Environment, around: Surroundings) -> None:
    """That costs more CPU, a wait for the disk and the place of the page cache that gives way to it."""
    memory, storage = life(around, BASE_BYTES + 2 * MIB)
    written(storage, 4 * MIB)
    env.run(until=LATER_S)

    # Of the first half nothing is in memory any more.
    assert (8.0 * 2 + 4.0 * 2, LATER_S + 2.0) == storage.read(AGENT, 0, 2 * MIB)
    assert (8.0 * 2, 0.0) == storage.read(AGENT, 0, 2 * MIB)
    assert BASE_BYTES + 2 * MIB == memory.used_bytes


@pytest.mark.parametrize("size_mib", [6, 7, 12, 40])
def test_a_file_larger_than_the_memory_is_fetched_whole_each_time(
    env: simpy.Environment, around: Surroundings, size_mib: int
) -> None:
    """Its end pushes out its beginning, so that read from there again and again nothing of it is found."""
    memory, storage = life(around, BASE_BYTES + 5 * MIB)
    written(storage, size_mib * MIB)
    env.run(until=LATER_S)
    told_s = [storage.read(AGENT, 0, size_mib * MIB) for _ in range(3)]

    assert [12.0 * size_mib] * 3 == [cpu_s for cpu_s, _ in told_s]
    assert [LATER_S + size_mib * count for count in (1, 2, 3)] == [ready_s for _, ready_s in told_s]
    assert BASE_BYTES + 5 * MIB == memory.used_bytes
    assert 0 == memory.kills_count


def test_a_file_that_just_fits_is_fetched_once(env: simpy.Environment, around: Surroundings) -> None:
    """What was fetched has no block records, so that five MiB need no more."""
    _, storage = life(around, BASE_BYTES + 5 * MIB)
    written(storage, 5 * MIB)
    written(storage, 5 * MIB, "w/1")
    env.run(until=LATER_S)

    assert [60.0, 40.0, 40.0] == [storage.read(AGENT, 0, 5 * MIB)[0] for _ in range(3)]


def test_where_there_is_no_room_at_all_everything_is_fetched(env: simpy.Environment, around: Surroundings) -> None:
    """With memory full of what cannot give way nothing is kept, and nobody dies of that."""
    memory, storage = life(around, BASE_BYTES)
    written(storage, 2 * MIB)
    env.run(until=LATER_S)

    assert [24.0, 24.0] == [storage.read(AGENT, 0, 2 * MIB)[0] for _ in range(2)]
    assert (2 * MIB, BASE_BYTES, 0) == (storage.used_bytes, memory.used_bytes, memory.kills_count)


def test_a_dead_writer_writes_nothing(around: Surroundings) -> None:
    """Whose process is gone when the bytes are to be there."""
    memory, storage = life(around)
    memory.leave(AGENT)

    assert (0, []) == storage.append(AGENT, AGENT, MIB)
    assert (0, 10 * MIB) == (storage.used_bytes, memory.used_bytes)


# A volume: who gives way.


@pytest.mark.parametrize("has_cache", [True, False])
@pytest.mark.parametrize(
    ("limit", "asked_bytes", "expected_bytes"),
    [
        (None, 100 * MIB, 100 * MIB),
        (16 * MIB, 4 * MIB, 4 * MIB),
        (16 * MIB, 100 * MIB, 5 * MIB),
        (11 * MIB, MIB, 0),
        (11 * MIB, 0, 0),
    ],
)
def test_no_more_is_let_in_than_fits(
    around: Surroundings,
    has_cache: bool,  # noqa: FBT001
    limit: int | None,
    asked_bytes: int,
    expected_bytes: int,
) -> None:
    """Page cache has what others leave, up to the limit, and nobody dies of the rest."""
    cache = PageCache(SimulatedVolume(), around.disk) if has_cache else None
    memory = ContainerMemory(limit, cache)
    memory.enter(INIT, 11 * MIB, 0.0)

    assert expected_bytes == memory.admit(asked_bytes)
    assert memory.has(INIT)
    assert (11 * MIB, 0, 11 * MIB + expected_bytes) == (memory.used_bytes, memory.kills_count, memory.peak_bytes)


def test_older_page_cache_makes_room_for_newer(around: Surroundings) -> None:
    """As much as is asked for fits each time, and with it the limit is not passed."""
    cache = PageCache(SimulatedVolume(), around.disk)
    memory = ContainerMemory(16 * MIB, cache)
    memory.enter(INIT, 11 * MIB, 0.0)
    for number in range(20):
        fitting_bytes = memory.admit(MIB)
        assert MIB == fitting_bytes
        assert memory.used_bytes + fitting_bytes <= 16 * MIB
        cache.read((AGENT, number), fitting_bytes)

    assert (16 * MIB, 16 * MIB, 0) == (memory.used_bytes, memory.peak_bytes, memory.kills_count)


def test_no_file_is_too_large(around: Surroundings) -> None:
    """Twenty times what fits is written whole, by however large pieces, and nobody dies."""
    memory, storage = life(around, BASE_BYTES + 5 * MIB)
    for size_bytes in (70 * MIB, 30 * MIB - 1, 1):
        written(storage, size_bytes)

    assert 100 * MIB == storage.used_bytes
    assert memory.has(AGENT)
    assert (0, 16 * MIB) == (memory.kills_count, memory.peak_bytes)


@pytest.mark.parametrize("limit", [None, BASE_BYTES + 5 * MIB])
def test_block_records_are_charged_within_the_limit(around: Surroundings, limit: int | None) -> None:
    """They are kernel memory like any other: what is charged is never above the limit, nor above its own peak."""
    memory, storage = life(around, limit)
    seen = []
    for _ in range(8):
        written(storage, MIB)
        seen.append((memory.used_bytes, memory.peak_bytes))

    assert [] == [used_bytes for used_bytes, _ in seen if limit is not None and used_bytes > limit]
    assert [] == [(used_bytes, peak_bytes) for used_bytes, peak_bytes in seen if used_bytes > peak_bytes]


@pytest.mark.parametrize("seed", range(10))
def test_whatever_agents_do_with_files_kills_nobody(env: simpy.Environment, around: Surroundings, seed: int) -> None:
    """And fills the memory at most up to its limit."""
    draw = random.Random(seed)
    limit = BASE_BYTES + draw.randrange(1, 2048) * 4096
    memory, storage = life(around, limit)
    for _ in range(200):
        agent = draw.choice((AGENT, "w/1"))
        match draw.choice(("write", "write", "read", "read", "wait", "erase")):
            case "write":
                written(storage, draw.randrange(1, MIB), agent)
            case "read":
                size_bytes = min(storage.file_bytes(agent), draw.randrange(1, 8) * MIB)
                cpu_s, ready_s = storage.read(agent, 0, size_bytes)
                assert 8.0 * size_bytes / MIB <= cpu_s <= 12.0 * size_bytes / MIB
                assert ready_s == 0.0 or ready_s > env.now
            case "erase" if draw.random() < 0.2:
                assert env.now <= storage.erase(agent)
                assert 0.0 == storage.erase_cpu_s(agent)
            case _:
                env.run(until=env.now + draw.expovariate(0.1))
        assert BASE_BYTES <= memory.used_bytes <= limit
        assert memory.peak_bytes <= limit
        assert storage.used_bytes == storage.file_bytes(AGENT) + storage.file_bytes("w/1")
    for agent in (AGENT, "w/1"):
        storage.erase(agent)

    assert (0, BASE_BYTES, 0) == (storage.used_bytes, memory.used_bytes, memory.kills_count)


def test_page_cache_gives_way_before_anybody_dies(around: Surroundings) -> None:
    """Down to its last page; a kill happens only when what is no page cache is too much by itself."""
    memory, storage = life(around, 16 * MIB)
    written(storage, 8 * MIB)
    assert [] == memory.charge(AGENT, 2 * MIB)
    assert 16 * MIB >= memory.used_bytes > 15 * MIB

    assert [] == memory.charge(AGENT, 3 * MIB)
    assert (16 * MIB, 16 * MIB, 0) == (memory.used_bytes, memory.peak_bytes, memory.kills_count)
    assert memory.used_bytes == memory.working_set_bytes

    assert [AGENT] == memory.charge(AGENT, 1)
    assert (10 * MIB, 1, 8 * MIB) == (memory.used_bytes, memory.kills_count, storage.used_bytes)


@pytest.mark.parametrize(
    "ask",
    [
        lambda memory: memory.charge(AGENT, 4 * MIB),
        lambda memory: memory.enter("w/1", 4 * MIB, 0.5),
        lambda memory: memory.set_limit(12 * MIB),
    ],
    ids=["charge", "enter", "limit"],
)
def test_whatever_needs_room_gets_it_of_page_cache(
    around: Surroundings, ask: Callable[[ContainerMemory], list[str]]
) -> None:
    """Memory of a process, a process that begins, and a limit that is lowered; a MiB at most is left."""
    memory, storage = life(around, 16 * MIB)
    written(storage, 8 * MIB)

    assert [] == ask(memory)
    assert 0 == memory.kills_count
    assert 0 < memory.used_bytes - memory.working_set_bytes < MIB


def test_room_that_was_dirty_is_there_when_it_is_written_back(env: simpy.Environment, around: Surroundings) -> None:
    """Of four dirty MiB the oldest has to go, which takes the disk half a second; clean ones go at once."""
    memory, storage = life(around, BASE_BYTES + 5 * MIB)
    written(storage, 4 * MIB)
    assert 0.0 == storage.room_s

    memory.charge(AGENT, MIB)
    assert 0.5 == storage.room_s
    env.run(until=LATER_S)
    memory.charge(AGENT, MIB)
    assert 0.5 == storage.room_s


def test_who_fetches_waits_for_what_is_written_back_before(env: simpy.Environment, around: Surroundings) -> None:
    """The disk has one queue: two dirty MiB of another agent's file come first, and then the one that is wanted."""
    memory, storage = life(around, BASE_BYTES + 2 * (MIB + RECORDS))
    written(storage, MIB)
    env.run(until=LATER_S)
    written(storage, 2 * MIB, "w/1")
    assert 0.0 == storage.room_s

    assert (12.0, LATER_S + 1.0 + 1.0) == storage.read(AGENT, 0, MIB)
    # Only the first of the two had to make room.
    assert LATER_S + 0.5 == storage.room_s
    assert BASE_BYTES + 2 * MIB + RECORDS == memory.used_bytes


# A volume: files that go.


def test_erasing_costs_what_is_in_memory_and_waits_for_what_is_on_the_disk(
    env: simpy.Environment, around: Surroundings
) -> None:
    """Once written back, a file's place is given back at a quarter of a second a MiB; another's is not."""
    memory, storage = life(around)
    written(storage, 4 * MIB)
    written(storage, MIB, "w/1")
    env.run(until=LATER_S)

    assert 8.0 == storage.erase_cpu_s(AGENT)
    assert LATER_S + 1.0 == storage.erase(AGENT)
    assert (MIB, BASE_BYTES + MIB + RECORDS) == (storage.used_bytes, memory.used_bytes)


def test_a_dirty_file_has_no_place_to_give_back(env: simpy.Environment, around: Surroundings) -> None:
    """What never came to the disk goes at once; of a file of which one half did, that half is waited for."""
    _, storage = life(around)
    written(storage, 4 * MIB)
    assert 0.0 == storage.erase(AGENT)

    written(storage, 2 * MIB)
    env.run(until=30.0)
    written(storage, 2 * MIB)
    env.run(until=40.0)
    assert 40.5 == storage.erase(AGENT)


def test_what_is_erased_is_not_there_for_the_next_reader(env: simpy.Environment, around: Surroundings) -> None:
    """A new file begins empty, in memory and on the disk."""
    memory, storage = life(around)
    written(storage, 2 * MIB)
    storage.read(AGENT, 0, 2 * MIB)
    storage.erase(AGENT)
    written(storage, MIB)
    storage.read(AGENT, 0, MIB)

    assert MIB == storage.file_bytes(AGENT)
    # Read once since it was written, so it is no working set yet.
    assert BASE_BYTES + RECORDS == memory.working_set_bytes


# A volume: lives that end.


def test_files_outlive_the_life_that_wrote_them(around: Surroundings) -> None:
    """They are as long as they were; the next life is charged for none of it and writes on behind them."""
    _, first = life(around)
    written(first, 3 * MIB)
    first.abandon()
    memory, second = life(around)
    assert (3 * MIB, 3 * MIB, BASE_BYTES) == (second.used_bytes, second.file_bytes(AGENT), memory.used_bytes)

    written(second, MIB)
    assert (4 * MIB, BASE_BYTES + MIB + RECORDS) == (second.used_bytes, memory.used_bytes)


def test_another_volume_has_other_files(around: Surroundings) -> None:
    """A volume is known by its name, not by the container's nor by its place."""
    written(life(around)[1], MIB)
    same = life(around, volume=told.Volume("data", "/elsewhere"))[1]
    other = life(around, volume=told.Volume("other", "/data"))[1]

    assert [MIB, 0] == [same.used_bytes, other.used_bytes]


def test_pages_that_a_life_left_are_read_free_of_charge(env: simpy.Environment, around: Surroundings) -> None:
    """From memory, without a wait, however often: nobody is charged for them, and they are no one's working set."""
    written_to = life(around)[1]
    written(written_to, 3 * MIB)
    env.run(until=LATER_S)
    written_to.abandon()
    memory, storage = life(around, BASE_BYTES + MIB)

    assert [(24.0, 0.0)] * 3 == [storage.read(AGENT, 0, 3 * MIB) for _ in range(3)]
    assert (BASE_BYTES, BASE_BYTES) == (memory.used_bytes, memory.working_set_bytes)
    # They are in memory still, so that deleting them costs as much as ever.
    assert (6.0, LATER_S + 0.75) == (storage.erase_cpu_s(AGENT), storage.erase(AGENT))
    assert (0.0, 0) == (storage.erase_cpu_s(AGENT), storage.used_bytes)


def test_what_a_life_did_not_leave_in_memory_is_fetched(env: simpy.Environment, around: Surroundings) -> None:
    """The beginning of a file that was too large: whoever fetches it is charged for it."""
    first = life(around, BASE_BYTES + 2 * MIB)[1]
    written(first, 4 * MIB)
    env.run(until=LATER_S)
    first.abandon()
    memory, second = life(around)

    assert (24.0, LATER_S + 2.0) == second.read(AGENT, 0, 2 * MIB)
    assert BASE_BYTES + 2 * MIB == memory.used_bytes


# As a machine runs it.


class Bench:
    """A machine with a slow disk, and on it a container with a volume, of which 11 MiB are taken by one agent."""

    def __init__(self, env: simpy.Environment, memory_mib: int) -> None:
        """Have started it."""
        self.env = env
        self.heard = Heard()
        self.machine = machine_of(env, heard=self.heard, profile=SLOW_DISK)
        limit = memory_mib * MIB
        spec = container(volume=VOLUME, memory_bytes_limit=limit, memory_swap_bytes_limit=limit, restart=ALWAYS)
        env.run(until=self.machine.start(spec))

    def submit(self, *work: Work) -> simpy.Event:
        """Begin a step of these stages, which is due now."""
        return self.machine.submit("a", Program(AGENT, (Step(0, float(self.env.now), 0.0, work),), 1e6))

    def latency_s(self, *work: Work) -> float:
        """The latency of such a step, to the microsecond."""
        self.env.run(until=self.submit(*work))
        return round(self.heard.steps[-1].latency_s, 6)

    def later(self) -> None:
        """Wait until whatever was written is clean."""
        self.env.run(until=self.env.now + LATER_S)

    def sample(self) -> Sample:
        """The container's counters now."""
        sample = self.env.run(until=self.machine.sample("a"))
        assert isinstance(sample, Sample)
        return sample


def test_reading_waits_for_the_disk(env: simpy.Environment) -> None:
    """A file larger than the memory takes a second a MiB each time, and no more is read than there is."""
    bench = Bench(env, 16)
    bench.latency_s(Write(16 * MIB))
    bench.later()

    assert [16.0, 16.0, 8.0] == [bench.latency_s(Read(size_mib * MIB)) for size_mib in (16, 100, 8)]


@pytest.mark.parametrize("size_mib", [25, 40])
def test_a_file_of_any_size_is_fetched_whole(env: simpy.Environment, size_mib: int) -> None:
    """Also where what is read at a time is not whole pieces."""
    bench = Bench(env, 16)
    bench.latency_s(Write(size_mib * MIB))
    bench.later()

    assert [float(size_mib)] * 2 == [bench.latency_s(Read(size_mib * MIB)) for _ in range(2)]


@pytest.mark.parametrize("half_mib_count", range(1, 40))
def test_a_file_that_never_fitted_is_fetched_whole_each_time(env: simpy.Environment, half_mib_count: int) -> None:
    """And one that fits not at all, also where the difference is part of a piece."""
    bench = Bench(env, 16)
    size_bytes = half_mib_count * MIB // 2
    bench.latency_s(Write(size_bytes))
    bench.later()
    bench.latency_s(Read(size_bytes))
    first_s, second_s = (bench.latency_s(Read(size_bytes)) for _ in range(2))

    assert first_s == second_s
    assert first_s in {0.0, size_bytes / MIB}


@pytest.mark.parametrize("size_mib", [16, 25])
def test_one_reading_makes_nothing_active(env: simpy.Environment, size_mib: int) -> None:
    """A file that was written is inactive after it was read once, whatever its size."""
    bench = Bench(env, 64)
    bench.latency_s(Write(size_mib * MIB), Read(size_mib * MIB))
    sample = bench.sample()

    assert size_mib * MIB == sample.memory_raw_bytes - sample.memory_bytes


def test_writing_waits_for_room_and_erasing_for_the_disk(env: simpy.Environment) -> None:
    """What fits is written at once; what is more waits until what gives way to it is on the disk."""
    bench = Bench(env, 21)
    within_s = bench.latency_s(Write(8 * MIB))
    beyond_s = bench.latency_s(Write(8 * MIB))
    bench.later()

    assert 0.0 == within_s
    # Of 16 MiB ten fit with their records, or nearly so: six or seven have to go, at half a second each.
    assert 3.0 <= beyond_s <= 3.5
    assert 4.0 == bench.latency_s(Erase())


def test_holding_memory_waits_for_dirty_pages(env: simpy.Environment) -> None:
    """Who holds memory has it when the page cache that gave way is on the disk; nobody is killed."""
    bench = Bench(env, 21)
    bench.latency_s(Write(8 * MIB))

    # Beside 8 MiB and their records there are nearly two to hold; the oldest six or seven go, at half a second each.
    assert 3.0 <= bench.latency_s(Hold(8 * MIB, leak=False)) <= 3.5
    assert (0, 8 * MIB) == (bench.sample().oom_kills_count, bench.sample().disk_bytes)


def test_a_reader_that_dies_waits_no_more(env: simpy.Environment) -> None:
    """A kill while the disk is at work ends the program; what comes from the disk then is nobody's."""
    bench = Bench(env, 16)
    bench.latency_s(Write(16 * MIB))
    bench.later()
    reading = bench.submit(Read(16 * MIB))
    env.run(until=env.now + 2.5)
    bench.machine.kill_agent("a", AGENT)
    bench.later()

    assert isinstance(reading.value, Lost)
    assert ("killed", 1) == (reading.value.cause, len(bench.heard.steps))


def test_a_restart_leaves_the_volume_as_it_was(env: simpy.Environment) -> None:
    """The file is there, its pages are nobody's, and reading it waits for nothing."""
    bench = Bench(env, 64)
    bench.latency_s(Write(16 * MIB))
    bench.machine.crash("a", 1)
    bench.later()
    waited_s = bench.latency_s(Read(16 * MIB))
    sample = bench.sample()

    assert (0.0, 16 * MIB) == (waited_s, sample.disk_bytes)
    assert (BASE_BYTES, BASE_BYTES) == (sample.memory_bytes, sample.memory_raw_bytes)


def test_without_a_disk_there_is_nothing_to_read(env: simpy.Environment) -> None:
    """Reading and erasing are over at once, and nothing is refused."""
    machine = machine_of(env, heard=(heard := Heard()))
    env.run(until=machine.start(container()))
    finished = env.run(until=machine.submit("a", program(Read(MIB), Erase())))

    assert isinstance(finished, Finished)
    assert 1 == len(heard.steps)
    assert [] == notices(machine)
