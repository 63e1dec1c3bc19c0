"""Spreading over cores: which idle cores are seen, what they fetch and when.

Ticks are at multiples of 4 ms, slices last 1.4 ms, and a task is hot for half a millisecond after it ran.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import simpy

from sim.physics.cpu import GroupLimits, Task
from sim.physics.host_profile import HostProfile, load_profile
from sim.physics.kernel_cpu import KernelCpu

if TYPE_CHECKING:
    from collections.abc import Callable

REAL = dataclasses.replace(
    load_profile(None),
    tick_s=0.004,
    slice_s=0.005,
    base_slice_s=0.0014,
    # Never within a test: what is looked at is what idle cores do.
    balance_interval_s=1e3,
)
UNSEEN = dataclasses.replace(REAL, idle_seen_ratio=0.0)
HALF = dataclasses.replace(REAL, idle_seen_ratio=0.5)
PLAIN = dataclasses.replace(REAL, idle_seen_ratio=1.0)
WORK_S = 0.1


class Bench:
    """Two cores of one container, whose tasks note when they end."""

    def __init__(self, profile: HostProfile, luck: float = 0.5) -> None:
        """Have idle cores; `luck` is what every chance comes out as."""
        self.env = simpy.Environment()
        self.cpu = KernelCpu(self.env, profile, 2, lambda _name: 0.0, lambda _number: luck)
        self.cpu.add_group("a", GroupLimits(None, 1024, None))
        self.ends_s: dict[str, float] = {}

    def wake(self, name: str, at_s: float, work_s: float = WORK_S, last_core: int | None = 0) -> None:
        """Wake a task that ran on a core before, long ago."""
        if at_s > self.env.now:
            self.env.run(until=at_s)
        task = Task("a")
        task.core = last_core
        # Before the clock began.
        task.ran_ns = -1_000_000_000
        self.cpu.run(task, work_s, self._ended(name))

    def _ended(self, name: str) -> Callable[[], None]:
        def end() -> None:
            self.ends_s[name] = self.env.now

        return end

    def run(self) -> dict[str, float]:
        """Let all of them end."""
        self.env.run(until=2)
        return self.ends_s


@pytest.mark.parametrize(("luck", "ends_s"), [(0.4, (0.1, 0.1)), (0.6, (0.104, 0.108))])
def test_an_idle_core_is_seen_as_often_as_the_profile_says(luck: float, ends_s: tuple[float, float]) -> None:
    """With a chance below the ratio a task wakes on the idle core; else beside another, until a tick parts them."""
    bench = Bench(HALF, luck)
    bench.wake("first", 0.0)
    bench.wake("second", 0.0)

    assert pytest.approx(ends_s) == sorted(bench.run().values())


def test_who_has_waited_is_fetched_at_the_next_tick() -> None:
    """Woken at 3.2 ms the newcomer runs at once; the other has been off for 0.8 ms at the tick and is fetched."""
    bench = Bench(UNSEEN)
    bench.wake("first", 0.0)
    bench.wake("second", 0.0032)

    assert {"first": pytest.approx(0.1008), "second": pytest.approx(0.1032)} == bench.run()


def test_a_hot_task_is_fetched_at_the_third_tick() -> None:
    """Both take turns at ticks, so that whoever waits has just run: an idle core comes twice in vain, then takes it.

    From 0 to 4, 4 to 8 and 8 to 12 ms they share a core; at 12 one of them has had 8 ms and the other 4.
    """
    bench = Bench(UNSEEN)
    bench.wake("first", 0.0)
    bench.wake("second", 0.0)

    assert [pytest.approx(0.104), pytest.approx(0.108)] == sorted(bench.run().values())


def test_after_a_fetch_the_count_of_vain_tries_begins_anew() -> None:
    """A second pair that shares a core after the first was parted takes as long as that did."""
    bench = Bench(UNSEEN)
    bench.wake("first", 0.0)
    bench.wake("second", 0.0)
    bench.run()
    later = Bench(UNSEEN)
    later.wake("first", 0.0, 0.01)
    later.wake("second", 0.0, 0.01)
    later.wake("third", 0.2)
    later.wake("fourth", 0.2)
    ends_s = later.run()

    assert bench.ends_s["first"] == pytest.approx(ends_s["third"] - 0.2)
    assert bench.ends_s["second"] == pytest.approx(ends_s["fourth"] - 0.2)


@pytest.mark.parametrize(("profile", "parted"), [(PLAIN, True), (UNSEEN, False)])
def test_a_core_that_falls_idle_fetches_where_it_looks(profile: HostProfile, *, parted: bool) -> None:
    """One core is left at 5.5 ms while a task has waited on the other since the tick at 4 ms."""
    bench = Bench(profile)
    bench.wake("short", 0.0, 0.0055, last_core=1)
    bench.wake("first", 0.0)
    bench.wake("second", 0.0)
    ends_s = bench.run()

    # Parted at 5.5 ms, one has had 4 ms and the other 1.5; else a tick parts them later.
    assert parted == (sorted(ends_s.values())[1:] == [pytest.approx(0.1015), pytest.approx(0.104)])


def test_a_core_that_falls_idle_leaves_a_hot_task() -> None:
    """One core is left at 4.2 ms, just after the tick took a task off the other: it stays there until a tick."""
    bench = Bench(PLAIN)
    bench.wake("short", 0.0, 0.0042, last_core=1)
    bench.wake("first", 0.0)
    bench.wake("second", 0.0)
    ends_s = bench.run()

    assert min(ends_s["first"], ends_s["second"]) > 0.1035


def test_a_standing_container_is_not_fetched_to_where_it_stands_still() -> None:
    """An idle core whose queue of a container has spent its quota fetches nothing of it, however long that has waited.

    On core 0 `waiting` runs from 4 to 8 ms and then waits behind a container of eight times the weight, with a rest of
    its slice. On core 1 its sibling has spent the quota at 16 ms, and from then on that core is idle.
    """
    bench = Bench(UNSEEN)
    bench.cpu.add_group("heavy", GroupLimits(None, 8192, (0,)))
    bench.cpu.add_group("limited", GroupLimits(0.2, 1024, None))
    tasks = {"heavy": Task("heavy"), "spending": Task("limited"), "waiting": Task("limited")}
    tasks["heavy"].core = tasks["waiting"].core = 0
    tasks["spending"].core = 1
    bench.cpu.run(tasks["heavy"], 1.0, lambda: None)
    bench.cpu.run(tasks["spending"], 1.0, lambda: None)
    bench.env.run(until=0.001)
    bench.cpu.run(tasks["waiting"], 1.0, lambda: None)
    bench.env.run(until=0.06)

    assert 0 == tasks["waiting"].core
    assert pytest.approx(0.02, abs=0.001) == bench.cpu.counters("limited").cpu_s
