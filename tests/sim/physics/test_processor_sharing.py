"""Cores shared by weight: quotas as rates, as in textbooks, and as budgets of periods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sim.physics.cpu import GroupLimits, Task
from sim.physics.processor_sharing import ProcessorSharing
from tests.sim.physics.bench import burn, fluid_cpu

if TYPE_CHECKING:
    import simpy


def periods(env: simpy.Environment, cores_count: int) -> ProcessorSharing:
    """Cores on which each period of 100 ms has its budget; all periods begin at whole tenths of a second."""
    return ProcessorSharing(env, cores_count, period_s=0.1, phase=lambda _name: 0.0)


def test_quota_is_a_rate(env: simpy.Environment) -> None:
    """Under a fifth of a core a demand takes five times as long, however short it is."""
    cpu = fluid_cpu(env, 2)
    cpu.add_group("a", GroupLimits(0.2, 1024, None))

    assert [0.05] == burn(env, cpu, [("a", 0.01)])
    assert 0.01 == pytest.approx(cpu.counters("a").cpu_s)


def test_unused_weight_goes_to_the_others(env: simpy.Environment) -> None:
    """Four to one while both run; the rest alone once the other is done."""
    cpu = fluid_cpu(env, 1)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    cpu.add_group("b", GroupLimits(None, 256, None))

    assert [0.5, 0.8] == burn(env, cpu, [("a", 0.4), ("b", 0.4)])


@pytest.mark.parametrize(("threads_count", "finish_s"), [(1, 1.0), (4, 1.0), (6, 1.5)])
def test_one_thread_never_gets_more_than_a_core(env: simpy.Environment, threads_count: int, finish_s: float) -> None:
    """On four cores up to four threads need their demand in time; six share what four cores give."""
    cpu = fluid_cpu(env, 4)
    cpu.add_group("a", GroupLimits(None, 1024, None))

    assert [finish_s] * threads_count == burn(env, cpu, [("a", 1.0)] * threads_count)


def test_cancelled_task_frees_its_share(env: simpy.Environment) -> None:
    """Who stays gets what the cancelled one had."""
    cpu = fluid_cpu(env, 1)
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
    cpu = fluid_cpu(env, 2)
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


# Quotas as budgets of periods.


def test_a_budget_is_burnt_at_full_speed(env: simpy.Environment) -> None:
    """With 20 ms in 100 ms, 50 ms of CPU are 20 ms, 20 ms and 10 ms at the beginnings of three periods."""
    cpu = periods(env, 2)
    cpu.add_group("a", GroupLimits(0.2, 1024, None))

    assert [0.21] == burn(env, cpu, [("a", 0.05)])
    counters = cpu.counters("a")
    assert (0.05, 2, 0.16) == (counters.cpu_s, counters.throttled_periods_count, counters.throttled_s)


def test_threads_spend_a_budget_sooner(env: simpy.Environment) -> None:
    """Two threads on two cores have spent 60 ms after 30; the other 70 ms are two cores that stand still."""
    cpu = periods(env, 2)
    cpu.add_group("a", GroupLimits(0.6, 1024, None))

    assert [0.12, 0.12] == burn(env, cpu, [("a", 0.05), ("a", 0.05)])
    assert 0.14 == pytest.approx(cpu.counters("a").throttled_s)


def test_an_hour_of_periods_is_one_event(env: simpy.Environment) -> None:
    """A demand of an hour under a tenth of a core takes ten hours less what the last period does not need."""
    cpu = periods(env, 1)
    cpu.add_group("a", GroupLimits(0.1, 1024, None))
    log: list[float] = []
    cpu.run(Task("a"), 3600.0, lambda: log.append(env.now))
    events_count = 0
    while env.peek() < float("inf"):
        env.step()
        events_count += 1

    assert [36_000 - 0.09] == pytest.approx(log)
    assert (1, 359_999) == (events_count, cpu.counters("a").throttled_periods_count)


def test_who_has_a_budget_is_as_fast_as_the_others_leave_it(env: simpy.Environment) -> None:
    """Beside one that uses 0.4 of the only core on the average, a budget of 0.3 is burnt at 0.6 and lasts 50 ms."""
    cpu = periods(env, 1)
    cpu.add_group("a", GroupLimits(0.3, 1024, None))
    cpu.add_group("b", GroupLimits(0.4, 1024, None))
    log: list[float] = []
    cpu.run(Task("b"), 100.0, lambda: None)
    cpu.run(Task("a"), 0.033, lambda: log.append(round(env.now, 9)))
    env.run(until=1)

    assert [0.105] == log


def test_new_limits_hold_at_once_and_counters_go_on(env: simpy.Environment) -> None:
    """After a second at 0.2 the quota is 0.5: ten throttled periods, and then others."""
    cpu = periods(env, 1)
    cpu.add_group("a", GroupLimits(0.2, 1024, None))
    cpu.run(Task("a"), 100.0, lambda: None)
    env.run(until=1)
    cpu.set_limits("a", GroupLimits(0.5, 1024, None))
    env.run(until=2)

    counters = cpu.counters("a")
    assert counters.cpu_s == pytest.approx(0.7)
    assert (20, 20) == (counters.periods_count, counters.throttled_periods_count)
    assert 10 * 0.08 + 10 * 0.05 == pytest.approx(counters.throttled_s)


def test_a_quota_that_is_just_enough_throttles_nobody(env: simpy.Environment) -> None:
    """One thread under a whole core never stands still."""
    cpu = periods(env, 2)
    cpu.add_group("a", GroupLimits(1.0, 1024, None))

    assert [3.0] == burn(env, cpu, [("a", 3.0)])
    assert (0, 0.0) == (cpu.counters("a").throttled_periods_count, cpu.counters("a").throttled_s)


def test_a_task_that_was_taken_away_may_come_back(env: simpy.Environment) -> None:
    """What was left of its old demand is forgotten."""
    cpu = periods(env, 1)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    task = Task("a")
    log: list[float] = []
    cpu.run(task, 5.0, lambda: log.append(-1.0))
    env.run(until=1)
    cpu.cancel(task)
    cpu.run(task, 0.5, lambda: log.append(env.now))
    env.run()

    assert [1.5] == log


def test_a_budget_is_burnt_by_weight_where_nothing_is_free(env: simpy.Environment) -> None:
    """Beside two threads that never sleep on two cores, 20 ms of budget are burnt at a whole core."""
    cpu = periods(env, 2)
    cpu.add_group("a", GroupLimits(0.2, 1024, None))
    cpu.add_group("greedy", GroupLimits(None, 1024, None))
    for _ in range(2):
        cpu.run(Task("greedy"), 100.0, lambda: None)
    log: list[float] = []
    cpu.run(Task("a"), 0.03, lambda: log.append(round(env.now, 9)))
    env.run(until=1)

    assert [0.11] == log
    assert 1 == cpu.counters("a").throttled_periods_count


@pytest.mark.parametrize(
    ("cpus", "shares", "others"), [(0.28, 28, 72), (0.29, 29, 71), (0.7 / 3, 7, 23), (1 / 3, 1, 2)]
)
def test_a_fraction_of_a_core_is_no_standstill(env: simpy.Environment, cpus: float, shares: int, others: int) -> None:
    """Whose share of the core is its quota, to the rounding of whole nanoseconds, is never throttled."""
    cpu = periods(env, 1)
    cpu.add_group("a", GroupLimits(cpus, 100 * shares, None))
    cpu.add_group("greedy", GroupLimits(None, 100 * others, None))
    cpu.run(Task("greedy"), 100.0, lambda: None)
    cpu.run(Task("a"), 100.0, lambda: None)
    env.run(until=10)

    counters = cpu.counters("a")
    assert counters.cpu_s == pytest.approx(10 * cpus)
    assert (0, 0.0) == (counters.throttled_periods_count, counters.throttled_s)


def test_short_work_beside_long_leaves_no_timers(env: simpy.Environment) -> None:
    """A demand of an hour beside a thousand short ones has one look ahead, not a thousand."""
    cpu = periods(env, 2)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    cpu.run(Task("a"), 3600.0, lambda: None)
    short = Task("a")
    for _ in range(1000):
        cpu.run(short, 0.001, lambda: None)
        env.run(until=env.now + 0.01)

    assert 3 > len(env._queue)


def test_who_is_given_more_by_another_s_end_burns_it(env: simpy.Environment) -> None:
    """Of two that finish at once the first gives the second more to do: that is told when it is burnt."""
    cpu = periods(env, 2)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    first, second = Task("a"), Task("a")
    log: list[float] = []
    cpu.run(first, 1.0, lambda: cpu.run(second, 0.5, lambda: log.append(env.now)))
    cpu.run(second, 1.0, lambda: log.append(-1.0))
    env.run(until=10)

    assert [1.5] == log


def test_limits_may_change_in_a_standstill(env: simpy.Environment) -> None:
    """Whoever stands still at 20 ms of 100 has a new budget at 50, which is burnt at once."""
    cpu = periods(env, 1)
    cpu.add_group("a", GroupLimits(0.2, 1024, None))
    log: list[float] = []
    cpu.run(Task("a"), 0.03, lambda: log.append(round(env.now, 9)))
    env.run(until=0.05)
    cpu.set_limits("a", GroupLimits(0.5, 1024, None))
    env.run(until=1)

    assert [0.06] == log
    assert cpu.counters("a").throttled_s == pytest.approx(0.03)


def test_a_cpuset_bounds_the_cores(env: simpy.Environment) -> None:
    """Two threads that may use one core of four share it."""
    cpu = periods(env, 4)
    cpu.add_group("a", GroupLimits(None, 1024, (1,)))

    assert [2.0, 2.0] == burn(env, cpu, [("a", 1.0), ("a", 1.0)])
