"""Other load on a host: how much CPU it asks for, in which bursts and threads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import pytest

from sim.physics.cpu import Cpu, GroupLimits, Task
from sim.physics.other_load import OtherLoad
from sim.randomness import Stream
from sim.timers import after
from tests.sim.physics.bench import fluid_cpu

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy


class FreeCpu:
    """A CPU with a core for everybody, which keeps what it was asked for; a stuck one never finishes anything."""

    def __init__(self, env: simpy.Environment, *, stuck: bool = False) -> None:
        """Have been asked for nothing."""
        self.groups: dict[str, GroupLimits] = {}
        self.begun: list[tuple[float, float, Task]] = []
        self._env = env
        self._stuck = stuck

    def add_group(self, name: str, limits: GroupLimits) -> None:
        """Keep a container's limits."""
        self.groups[name] = limits

    def run(self, task: Task, cpu_s: float, done: Callable[[], object]) -> None:
        """Burn at full speed."""
        self.begun.append((self._env.now, cpu_s, task))
        if not self._stuck:
            after(self._env, cpu_s, done)


class MeanStream:
    """A stream whose every number makes an exponential draw its own mean; keeps the indices it was asked for."""

    def __init__(self) -> None:
        """Have been asked for nothing."""
        self.indices: list[int] = []

    def uniform(self, index: int) -> float:
        """The number whose negative logarithm is 1."""
        self.indices.append(index)
        return math.exp(-1)


def loaded(env: simpy.Environment, cores: float, cpu: FreeCpu, stream: MeanStream | None = None) -> FreeCpu:
    """A CPU under other load whose gaps are all of their mean length."""
    OtherLoad(env, cast("Cpu", cpu), cores, cast("Stream", stream or MeanStream()))
    return cpu


def test_a_quarter_of_a_core_is_a_millisecond_in_four(env: simpy.Environment) -> None:
    """At 0.25 cores bursts of 1 ms come 3 ms apart: the first after 3 ms, and 250 in a second."""
    cpu = loaded(env, 0.25, FreeCpu(env))
    env.run(until=1.0005)

    assert [pytest.approx(0.003), pytest.approx(0.007), pytest.approx(0.011)] == [at_s for at_s, _, _ in cpu.begun[:3]]
    assert {0.001} == {cpu_s for _, cpu_s, _ in cpu.begun}
    assert 250 == len(cpu.begun)


@pytest.mark.parametrize(("cores", "threads_count"), [(0.5, 1), (0.95, 1), (1.0, 2), (1.5, 2), (2.5, 3)])
def test_more_than_a_core_comes_in_several_threads(env: simpy.Environment, cores: float, threads_count: int) -> None:
    """One thread cannot burn a whole core and have gaps too; together the threads still burn what was asked."""
    cpu = loaded(env, cores, FreeCpu(env))
    env.run(until=10.0)

    assert threads_count == len({id(task) for _, _, task in cpu.begun})
    assert cores == pytest.approx(sum(cpu_s for _, cpu_s, _ in cpu.begun) / 10.0, rel=0.001)


def test_no_two_bursts_share_a_draw(env: simpy.Environment) -> None:
    """Each gap has a number of its own, in every thread, or threads would wake in step."""
    stream = MeanStream()
    loaded(env, 2.5, FreeCpu(env), stream)
    env.run(until=0.1)

    assert len(stream.indices) > 200
    assert len(stream.indices) == len(set(stream.indices))


def test_a_burst_waits_for_the_one_before(env: simpy.Environment) -> None:
    """Where the cores are taken, load does not pile up: each thread asks for one burst at a time."""
    cpu = loaded(env, 1.5, FreeCpu(env, stuck=True))
    env.run(until=10.0)

    assert 2 == len(cpu.begun)


def test_the_load_is_a_container_of_default_weight_without_limits(env: simpy.Environment) -> None:
    """No quota, 1024 shares, every core: what runs outside of containers."""
    cpu = loaded(env, 0.5, FreeCpu(env))

    assert [GroupLimits(None, 1024, None)] == list(cpu.groups.values())


def test_random_gaps_burn_the_mean(env: simpy.Environment) -> None:
    """Over 60 s and 18,000 bursts 0.3 cores are burnt: a relative standard deviation of 0.5 %, four of them allowed."""
    cpu = fluid_cpu(env, 2)
    OtherLoad(env, cpu, 0.3, Stream(1, "h", "other load"))
    env.run(until=60.0)

    assert 0.3 == pytest.approx(cpu.counters("(other load)").cpu_s / 60.0, rel=0.02)


def test_a_busy_host_gives_the_load_its_share(env: simpy.Environment) -> None:
    """Beside a container of the same weight that never sleeps, load that wants 0.9 of the only core gets at most half.

    The container gets all that the load leaves.
    """
    cpu = fluid_cpu(env, 1)
    cpu.add_group("greedy", GroupLimits(None, 1024, None))
    OtherLoad(env, cpu, 0.9, Stream(1, "h", "other load"))
    cpu.run(Task("greedy"), 100.0, lambda: None)
    env.run(until=10.0)
    taken_s = cpu.counters("(other load)").cpu_s

    assert 0 < taken_s <= 5.0
    assert 10.0 == pytest.approx(taken_s + cpu.counters("greedy").cpu_s)
