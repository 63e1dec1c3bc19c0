"""The textbook CPU: shares, quotas as rates, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sim.physics.cpu import GroupLimits, Task
from sim.physics.fluid_cpu import FluidCpu

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy


def burn(env: simpy.Environment, cpu: FluidCpu, demands: list[tuple[str, float]]) -> list[float]:
    """Wake one task per demand at time zero; when each finished is returned."""
    times = [0.0] * len(demands)

    def note(position: int) -> Callable[[], None]:
        def finished() -> None:
            times[position] = env.now

        return finished

    for position, (group, cpu_s) in enumerate(demands):
        cpu.run(Task(group), cpu_s, note(position))
    env.run(until=100)
    return [round(time, 9) for time in times]


def test_quota_is_a_rate(env: simpy.Environment) -> None:
    """Under a fifth of a core a demand takes five times as long, however short it is."""
    cpu = FluidCpu(env, 2)
    cpu.add_group("a", GroupLimits(0.2, 1024, None))

    assert [0.05] == burn(env, cpu, [("a", 0.01)])
    assert 0.01 == pytest.approx(cpu.counters("a").cpu_s)


def test_unused_weight_goes_to_the_others(env: simpy.Environment) -> None:
    """Four to one while both run; the rest alone once the other is done."""
    cpu = FluidCpu(env, 1)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    cpu.add_group("b", GroupLimits(None, 256, None))

    assert [0.5, 0.8] == burn(env, cpu, [("a", 0.4), ("b", 0.4)])


@pytest.mark.parametrize(("threads_count", "finish_s"), [(1, 1.0), (4, 1.0), (6, 1.5)])
def test_one_thread_never_gets_more_than_a_core(env: simpy.Environment, threads_count: int, finish_s: float) -> None:
    """On four cores up to four threads need their demand in time; six share what four cores give."""
    cpu = FluidCpu(env, 4)
    cpu.add_group("a", GroupLimits(None, 1024, None))

    assert [finish_s] * threads_count == burn(env, cpu, [("a", 1.0)] * threads_count)


def test_cancelled_task_frees_its_share(env: simpy.Environment) -> None:
    """Who stays gets what the cancelled one had."""
    cpu = FluidCpu(env, 1)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    log: list[float] = []
    doomed = Task("a")
    cpu.run(doomed, 1.0, lambda: log.append(-1.0))
    cpu.run(Task("a"), 1.0, lambda: log.append(round(env.now, 6)))
    env.run(until=1)
    cpu.cancel(doomed)
    env.run()

    assert [1.5] == log


def test_a_task_taken_away_by_another_s_end_is_not_done(env: simpy.Environment) -> None:
    """Of two that finish in the same instant, the first may end the second's container: its end is told to nobody."""
    cpu = FluidCpu(env, 2)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    first, second, done = Task("a"), Task("a"), []

    def end_both() -> None:
        done.append("first")
        cpu.cancel(second)
        cpu.remove_group("a")

    cpu.run(first, 1.0, end_both)
    cpu.run(second, 1.0, lambda: done.append("second"))
    env.run(until=10)

    assert ["first"] == done
