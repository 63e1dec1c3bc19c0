"""A container's memory: the limit, and who dies over it."""

from __future__ import annotations

from sim.physics.memory import INIT, ContainerMemory

MIB = 1 << 20


def filled(limit: int | None, **processes: int) -> ContainerMemory:
    """A container with PID 1 of 10 MiB and processes of the given MiB, their kill score raised as workers do."""
    memory = ContainerMemory(limit)
    memory.enter(INIT, 10 * MIB, 0.0)
    for name, size in processes.items():
        memory.enter(name, size * MIB, 0.5)
    return memory


def test_largest_process_dies_whoever_asked() -> None:
    """The kernel takes the largest, and the one that asked lives and gets its memory."""
    memory = filled(100 * MIB, big=50, small=30)

    assert ["big"] == memory.charge("small", 20 * MIB)
    assert (60 * MIB, 1) == (memory.used_bytes, memory.kills_count)


def test_asking_process_may_be_the_one() -> None:
    """A process that outgrows the limit alone is killed itself, and nothing of it stays."""
    memory = filled(100 * MIB, only=50)

    assert ["only"] == memory.charge("only", 60 * MIB)
    assert 10 * MIB == memory.used_bytes


def test_nobody_else_dies_for_a_dead_process() -> None:
    """Once the asking process is killed its charge is void, so the others need not make room for it."""
    memory = filled(100 * MIB, a=50, b=31)

    assert ["a"] == memory.charge("a", 60 * MIB)
    assert 41 * MIB == memory.used_bytes


def test_raised_scores_protect_the_first_process() -> None:
    """PID 1 outlives its children although it is larger, while their score is raised."""
    memory = filled(100 * MIB, child=20)
    assert [] == memory.charge(INIT, 50 * MIB)

    assert ["child"] == memory.charge(INIT, 30 * MIB)


def test_first_process_dies_when_nobody_else_is_left() -> None:
    """With no child to take, PID 1 is killed: the container's death."""
    memory = filled(100 * MIB)

    assert [INIT] == memory.charge(INIT, 100 * MIB)
    assert 0 == memory.used_bytes


def test_no_limit_kills_nobody() -> None:
    """Without a limit everything fits."""
    memory = filled(None, one=50)

    assert [] == memory.charge("one", 10_000 * MIB)


def test_peak_never_passes_the_limit() -> None:
    """The peak after an out-of-memory kill is the limit."""
    memory = filled(100 * MIB, one=80)
    memory.charge("one", 50 * MIB)

    assert 100 * MIB == memory.peak_bytes


def test_lowering_the_limit_kills_until_it_fits() -> None:
    """A limit below what is used takes the largest first, as many as it needs."""
    memory = filled(None, one=10, two=30, three=20)

    assert ["two", "three"] == memory.set_limit(25 * MIB)


def test_lowering_the_limit_keeps_the_peak() -> None:
    """What was once charged stays the peak, whatever the limit becomes."""
    memory = filled(100 * MIB, one=80)
    memory.set_limit(50 * MIB)

    assert 90 * MIB == memory.peak_bytes


def test_files_are_charged_and_no_kill_frees_them() -> None:
    """What a process wrote stays charged when it is killed, and goes when it is erased."""
    memory = filled(100 * MIB, writer=20)
    assert [] == memory.write("writer", 30 * MIB)
    assert ["writer"] == memory.charge("writer", 60 * MIB)
    assert 40 * MIB == memory.used_bytes

    memory.erase(30 * MIB)
    assert 10 * MIB == memory.used_bytes


def test_files_count_for_the_peak() -> None:
    """What was written and erased again is remembered as the highest use."""
    memory = filled(None)
    memory.write(INIT, 30 * MIB)
    memory.erase(30 * MIB)

    assert 40 * MIB == memory.peak_bytes


def test_writing_may_kill_another_or_the_writer() -> None:
    """The largest process makes room for a file; where that is the writer, its pages are not charged."""
    memory = filled(100 * MIB, big=50, writer=20)

    assert ["big"] == memory.write("writer", 30 * MIB)
    assert ["writer"] == memory.write("writer", 50 * MIB)
    assert (40 * MIB, 100 * MIB) == (memory.used_bytes, memory.peak_bytes)


def test_files_alone_kill_the_first_process() -> None:
    """With nobody else to take, PID 1 dies of a file that does not fit."""
    memory = filled(100 * MIB)
    memory.write(INIT, 80 * MIB)

    assert [INIT] == memory.write(INIT, 20 * MIB)
