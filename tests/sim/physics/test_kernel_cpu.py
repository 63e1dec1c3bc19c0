"""The CPUs at kernel resolution: quota, slices, weights, pulling, counters."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from sim.physics.cpu import GroupLimits, Task
from sim.physics.host_profile import HostProfile, load_profile
from sim.physics.kernel_cpu import KernelCpu
from tests.sim.physics.bench import burn

if TYPE_CHECKING:
    import simpy


# The closed forms below are for a kernel without granularity: fine ticks and slices stand in for it.
PLAIN = dataclasses.replace(load_profile(None), idle_seen_ratio=1.0)
FINE = dataclasses.replace(PLAIN, tick_s=1e-4, slice_s=1e-3, base_slice_s=1e-4)
REAL = dataclasses.replace(PLAIN, tick_s=0.004, slice_s=0.005, base_slice_s=0.0014)


def no_phase(_name: str) -> float:
    """Let every grid begin at zero."""
    return 0.0


def machine(env: simpy.Environment, cores_count: int, profile: HostProfile = FINE) -> KernelCpu:
    """Cores whose ticks and periods begin at time zero."""
    return KernelCpu(env, profile, cores_count, no_phase, lambda _number: 0.5)


@pytest.mark.parametrize(("need_s", "finish_s"), [(0.010, 0.010), (0.050, 0.210), (0.100, 0.420)])
def test_quota_stops_until_the_next_period(env: simpy.Environment, need_s: float, finish_s: float) -> None:
    """One thread under 20 ms each 100 ms in a fresh period: full speed until spent, then a standstill."""
    cpu = machine(env, 1)
    cpu.add_group("a", GroupLimits(0.2, 1024, None))

    assert [pytest.approx(finish_s, abs=0.0015 if need_s < 0.1 else 0.021)] == burn(env, cpu, [("a", need_s)])


def test_overrun_at_a_coarse_tick_is_paid_back(env: simpy.Environment) -> None:
    """With 4 ms ticks a period may run over its quota, but ten periods together do not."""
    cpu = machine(env, 1, REAL)
    cpu.add_group("a", GroupLimits(0.2, 1024, None))
    cpu.run(Task("a"), 10.0, lambda: None)
    env.run(until=1.0)

    assert 0.2 == pytest.approx(cpu.counters("a").cpu_s, abs=0.005)


def test_throttling_is_counted(env: simpy.Environment) -> None:
    """A thread that always wants more is throttled in every period, for all the time it does not run."""
    cpu = machine(env, 1)
    cpu.add_group("a", GroupLimits(0.3, 1024, None))
    cpu.run(Task("a"), 10.0, lambda: None)
    env.run(until=2.05)
    counters = cpu.counters("a")

    assert (20, 20) == (counters.periods_count, counters.throttled_periods_count)
    assert 1.4 == pytest.approx(counters.throttled_s, abs=0.02)


def test_idle_container_counts_no_periods(env: simpy.Environment) -> None:
    """The period timer rests while nobody draws on the quota."""
    cpu = machine(env, 1)
    cpu.add_group("a", GroupLimits(0.5, 1024, None))
    burn(env, cpu, [("a", 0.01)])

    assert 2 >= cpu.counters("a").periods_count


def test_unlimited_tasks_share_a_core_equally(env: simpy.Environment) -> None:
    """Two equal demands on one core finish together, within a tick of twice the time."""
    cpu = machine(env, 1, REAL)
    cpu.add_group("a", GroupLimits(None, 1024, None))

    first, second = sorted(burn(env, cpu, [("a", 0.1), ("a", 0.1)]))
    assert 0.2 == pytest.approx(second)
    assert 0.2 - first <= 0.005


def test_weights_share_a_core(env: simpy.Environment) -> None:
    """On one core 1024 against 256 shares is four to one while both want it."""
    cpu = machine(env, 1, REAL)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    cpu.add_group("b", GroupLimits(None, 256, None))
    cpu.run(Task("a"), 10.0, lambda: None)
    cpu.run(Task("b"), 10.0, lambda: None)
    env.run(until=4.0)

    assert 0.8 == pytest.approx(cpu.counters("a").cpu_s / 4.0, abs=0.01)


def test_woken_tasks_take_idle_cores(env: simpy.Environment) -> None:
    """Two tasks on two cores do not wait for each other; a third shares, and a core that falls idle pulls it over."""
    cpu = machine(env, 2, REAL)
    cpu.add_group("a", GroupLimits(None, 1024, None))

    assert 0.15 == pytest.approx(max(burn(env, cpu, [("a", 0.1), ("a", 0.1), ("a", 0.1)])), abs=0.01)


@pytest.mark.parametrize(
    ("wake_s", "finish_s"),
    [(0.002, 0.003), (0.001, 0.005), (0.005, 0.009), (0.006, 0.007), (0.041, 0.045), (0.042, 0.043)],
)
def test_a_newcomer_that_is_level_takes_the_core_from_a_spent_slice(
    env: simpy.Environment, wake_s: float, finish_s: float
) -> None:
    """A woken task runs at once beside one whose slice of 1.4 ms is over, and else from the next tick of 4 ms on.

    Whoever runs alone gets a new slice at each tick.
    """
    cpu = machine(env, 1, REAL)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    times: list[float] = []
    cpu.run(Task("a"), 0.1, lambda: None)
    env.run(until=wake_s)
    cpu.run(Task("a"), 0.001, lambda: times.append(env.now))
    env.run(until=1)

    assert [pytest.approx(finish_s)] == times


@pytest.mark.parametrize(("group", "finish_s"), [("running", 0.005), ("newcomer", 0.003)])
def test_a_container_s_slice_goes_on_when_its_next_task_runs(
    env: simpy.Environment, group: str, finish_s: float
) -> None:
    """A task whose own slice is not over gives way to another container at 2 ms, whose rival's is, and to no sibling.

    Its container has had the core since 0, it itself since 1 ms, when the task before it ended.
    """
    cpu = machine(env, 1, REAL)
    cpu.add_group("running", GroupLimits(None, 1024, None))
    cpu.add_group("newcomer", GroupLimits(None, 1024, None))
    times: list[float] = []
    cpu.run(Task("running"), 0.001, lambda: None)
    cpu.run(Task("running"), 0.1, lambda: None)
    env.run(until=0.002)
    cpu.run(Task(group), 0.001, lambda: times.append(env.now))
    env.run(until=1)

    assert [pytest.approx(finish_s)] == times


@pytest.mark.parametrize(("shares", "finish_s"), [(2048, 0.003), (1024, 0.003), (256, 0.005)])
def test_a_lighter_container_does_not_take_the_core_when_level(
    env: simpy.Environment, shares: int, finish_s: float
) -> None:
    """Its deadline is later than that of the heavier one which runs, so it waits for the tick."""
    cpu = machine(env, 1, REAL)
    cpu.add_group("running", GroupLimits(None, 1024, None))
    cpu.add_group("newcomer", GroupLimits(None, shares, None))
    times: list[float] = []
    cpu.run(Task("running"), 0.1, lambda: None)
    env.run(until=0.002)
    cpu.run(Task("newcomer"), 0.001, lambda: times.append(env.now))
    env.run(until=1)

    assert [pytest.approx(finish_s)] == times


@pytest.mark.parametrize(
    ("shares", "wake_s", "finish_s"),
    [
        *((2048, 0.0003, 0.005), (2048, 0.0043, 0.0053), (2048, 0.0049, 0.009), (2048, 0.0055, 0.0065)),
        (1024, 0.0043, 0.009),
    ],
)
def test_a_heavier_container_takes_the_core_from_a_renewed_slice(
    env: simpy.Environment, shares: int, wake_s: float, finish_s: float
) -> None:
    """With twice the weight its deadline is the earlier one within the first half of a slice renewed at 4 ms.

    Within the second half it is the later one, and the first slice after a switch is protected to its end.
    """
    cpu = machine(env, 1, REAL)
    cpu.add_group("running", GroupLimits(None, 1024, None))
    cpu.add_group("newcomer", GroupLimits(None, shares, None))
    times: list[float] = []
    cpu.run(Task("running"), 0.1, lambda: None)
    env.run(until=wake_s)
    cpu.run(Task("newcomer"), 0.001, lambda: times.append(env.now))
    env.run(until=1)

    assert [pytest.approx(finish_s)] == times


def test_who_is_owed_cpu_takes_it_from_who_is_ahead(env: simpy.Environment) -> None:
    """A task that waited a whole tick is owed CPU when it sleeps, and runs at once when it wakes, slice or not.

    It wakes at 0.2 ms beside one that runs to the tick at 4 ms; has then had its 1 ms, and is owed 1.4 of the 2.8 that
    the other is ahead. So at 8.1 ms, in a slice that was renewed at 8, it is let in.
    """
    cpu = machine(env, 1, REAL)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    times: list[float] = []
    patient = Task("a")
    cpu.run(Task("a"), 0.1, lambda: None)
    env.run(until=0.0002)
    cpu.run(patient, 0.001, lambda: times.append(env.now))
    env.run(until=0.0081)
    cpu.run(patient, 0.0005, lambda: times.append(env.now))
    env.run(until=1)

    assert [pytest.approx(0.005), pytest.approx(0.0086)] == times


def test_who_woke_while_its_container_stood_still_runs_in_turn(env: simpy.Environment) -> None:
    """After a refill the task that was stopped and those that came meanwhile take turns in the order they came."""
    cpu = machine(env, 1, dataclasses.replace(REAL, tick_s=0.001))
    cpu.add_group("a", GroupLimits(0.2, 1024, None))
    ended: list[str] = []

    def wake(name: str, at_s: float, cpu_s: float) -> None:
        env.run(until=at_s)
        cpu.run(Task("a"), cpu_s, lambda: ended.append(name))

    # The first has spent the 20 ms of its container when the others come; all are level then.
    wake("first", 0.001, 0.03)
    wake("second", 0.05, 0.002)
    wake("third", 0.06, 0.002)
    env.run(until=3)

    assert ["second", "third", "first"] == ended


def test_cpuset_is_kept(env: simpy.Environment) -> None:
    """Two tasks bound to one core of two need the sum of their times."""
    cpu = machine(env, 2, REAL)
    cpu.add_group("a", GroupLimits(None, 1024, (1,)))

    assert 0.2 == pytest.approx(max(burn(env, cpu, [("a", 0.1), ("a", 0.1)])))


def test_cancelled_task_is_not_heard_of_again(env: simpy.Environment) -> None:
    """A cancelled task gives its core away and is never done."""
    cpu = machine(env, 1, REAL)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    log: list[str] = []
    doomed = Task("a")
    cpu.run(doomed, 1.0, lambda: log.append("doomed"))
    cpu.run(Task("a"), 0.1, lambda: log.append(f"other at {env.now:.2f}"))
    cpu.cancel(doomed)
    env.run(until=5)

    assert ["other at 0.10"] == log


def test_new_limit_holds_from_now_on(env: simpy.Environment) -> None:
    """Halving a quota while it runs halves what is used from then on, and the counters go on."""
    cpu = machine(env, 1)
    cpu.add_group("a", GroupLimits(0.4, 1024, None))
    cpu.run(Task("a"), 100.0, lambda: None)
    env.run(until=10)
    before = cpu.counters("a")
    cpu.set_limits("a", GroupLimits(0.2, 1024, None))
    env.run(until=20)
    after = cpu.counters("a")

    assert 4.0 == pytest.approx(before.cpu_s, rel=0.01)
    assert 2.0 == pytest.approx(after.cpu_s - before.cpu_s, rel=0.03)
    assert after.periods_count > before.periods_count


def test_first_quota_holds_from_now_on(env: simpy.Environment) -> None:
    """A lone task that ran without a quota is throttled as soon as there is one."""
    cpu = machine(env, 1)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    cpu.run(Task("a"), 100.0, lambda: None)
    env.run(until=10)
    cpu.set_limits("a", GroupLimits(0.2, 1024, None))
    env.run(until=20)
    counters = cpu.counters("a")

    assert 12.0 == pytest.approx(counters.cpu_s, rel=0.01)
    assert 99 <= counters.throttled_periods_count


def test_lifted_quota_frees_a_standing_task(env: simpy.Environment) -> None:
    """Without its quota a throttled task has the core to itself from then on."""
    cpu = machine(env, 1)
    cpu.add_group("a", GroupLimits(0.2, 1024, None))
    cpu.run(Task("a"), 100.0, lambda: None)
    env.run(until=10.05)
    cpu.set_limits("a", GroupLimits(None, 1024, None))
    env.run(until=20.05)

    assert 12.0 == pytest.approx(cpu.counters("a").cpu_s, rel=0.01)


def test_cpu_time_is_conserved(env: simpy.Environment) -> None:
    """What finishes has burnt exactly its demand, throttled and moved about as it may have been."""
    cpu = machine(env, 2, REAL)
    cpu.add_group("a", GroupLimits(0.7, 1024, None))
    demands = [0.013 * (1 + position % 7) for position in range(40)]
    finished = burn(env, cpu, [("a", need) for need in demands])

    assert all(time > 0 for time in finished)
    assert sum(demands) == pytest.approx(cpu.counters("a").cpu_s, abs=1e-6)
