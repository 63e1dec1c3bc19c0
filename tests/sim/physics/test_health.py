"""Health checks: when probes come, what they cost, and which of them change a container's health."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from scenarios.story import Foreign, HealthCheck
from sim.machine import Died, HealthChanged, Sample
from sim.physics.container import SimulatedContainer
from sim.physics.cpu import GroupLimits
from sim.physics.disk import SimulatedDisk
from sim.physics.health import HealthWatch
from sim.physics.surroundings import Surroundings
from tests.sim.physics.bench import MIB, ROUND, Heard, container, fluid_cpu, machine_of, notices

if TYPE_CHECKING:
    import simpy

    from scenarios.story import Container
    from sim.physics.simulated_machine import SimulatedMachine

CHECK = HealthCheck(interval_s=10.0, timeout_s=2.0, retries_max=3)
# A probe of half a second of CPU.
SLOW_PROBE = dataclasses.replace(ROUND, probe_cpu_s=0.5)


def started(env: simpy.Environment, machine: SimulatedMachine, spec: Container) -> float:
    """When the container's PID 1 began, which is half a second before it is ready; a foreign one is ready at once."""
    env.run(until=machine.start(spec))
    return env.now - (0.0 if spec.foreign is not None else ROUND.ready_s_mean)


def changes(machine: SimulatedMachine, began_s: float) -> list[tuple[bool, object]]:
    """Each change of health, and how long after the container's start it happened."""
    told = notices(machine, HealthChanged)
    return [
        (notice.healthy, pytest.approx(notice.happened_s - began_s, abs=1e-6))
        for notice in told
        if isinstance(notice, HealthChanged)
    ]


def test_first_probe_comes_after_one_interval(env: simpy.Environment) -> None:
    """The first pass makes it healthy: an interval after the start, and the probe's own CPU."""
    machine = machine_of(env, profile=SLOW_PROBE)
    began_s = started(env, machine, container(health=CHECK))
    env.run(until=env.now + 60)

    assert [(True, 10.5)] == changes(machine, began_s)


def test_probes_cost_the_container_cpu_from_the_end_of_the_last(env: simpy.Environment) -> None:
    """Each costs half a second, and the next comes 10 s after it ended: at 10, 20.5 and 31 s."""
    machine = machine_of(env, profile=SLOW_PROBE)
    began_s = started(env, machine, container(health=CHECK))
    spent_s = []
    for at_s in (30.9, 31.6):
        env.run(until=began_s + at_s)
        sample = env.run(until=machine.sample("a"))
        assert isinstance(sample, Sample)
        spent_s.append(sample.cpu_s)

    assert [pytest.approx(0.5 + 1.0, abs=1e-6), pytest.approx(0.5 + 1.5, abs=1e-6)] == spent_s


def test_probe_waits_for_the_quota(env: simpy.Environment) -> None:
    """At a tenth of a core, half a second of CPU takes longer than the time-out: it never becomes healthy."""
    machine = machine_of(env, profile=SLOW_PROBE)
    env.run(until=machine.start(container(health=CHECK, cpus_limit=0.1)))
    env.run(until=env.now + 120)

    assert [False] == [notice.healthy for notice in notices(machine) if isinstance(notice, HealthChanged)]


def test_hang_makes_it_unhealthy_and_going_on_healthy(env: simpy.Environment) -> None:
    """Probes at 20, 32 and 44 s time out 2 s later each; the third is one too many, the first after the hang passes."""
    machine = machine_of(env)
    began_s = started(env, machine, container(health=CHECK))
    env.run(until=began_s + 15)
    machine.hang("a", 35.0)
    env.run(until=began_s + 100)

    assert [(True, 10.0), (False, 46.0), (True, 56.0)] == changes(machine, began_s)
    assert [] == notices(machine, Died)


def test_two_failures_are_forgiven(env: simpy.Environment) -> None:
    """A pass begins the count anew: a hang over two probes changes nothing."""
    machine = machine_of(env)
    began_s = started(env, machine, container(health=CHECK))
    for at_s in (15.0, 50.0):
        env.run(until=began_s + at_s)
        machine.hang("a", 20.0)
    env.run(until=began_s + 200)

    assert [(True, 10.0)] == changes(machine, began_s)


@pytest.mark.parametrize(("start_period_s", "unhealthy_s"), [(0.0, 30.0), (25.0, 50.0)])
def test_failures_in_the_start_period_do_not_count(
    env: simpy.Environment, start_period_s: float, unhealthy_s: float
) -> None:
    """A program that is not there yet refuses its probes at 10, 20, 30 ... s; those within 25 s are forgiven."""
    machine = machine_of(env)
    check = dataclasses.replace(CHECK, start_period_s=start_period_s)
    starting = machine.start(container(health=check, start_delay_s=1000.0))
    env.run(until=200)

    assert not starting.triggered
    # The engine's own start is what came before the first half second of CPU.
    told = [notice.happened_s for notice in notices(machine, HealthChanged) if isinstance(notice, HealthChanged)]
    first_start_s = machine._names.containers["a"]._up_since_s
    assert [pytest.approx(first_start_s + unhealthy_s, abs=1e-6)] == told


def test_the_first_interval_counts_from_the_engine_s_start(env: simpy.Environment) -> None:
    """Attaching takes 4 s, which are part of the first ten, and of a start period of nine.

    So none of the probes that fail 10, 20 and 30 s after the start is forgiven, and the last is one too many.
    """
    machine = machine_of(env, profile=dataclasses.replace(ROUND, attach_s_mean=4.0))
    check = dataclasses.replace(CHECK, start_period_s=9.0)
    env.run(until=machine.start(container("quick", health=check)))
    machine.start(container("slow", health=check, start_delay_s=1000.0))
    env.run(until=env.now + 100)
    told = [notice for notice in notices(machine, HealthChanged) if isinstance(notice, HealthChanged)]
    began_s = {name: machine._names.containers[name]._up_since_s for name in ("quick", "slow")}

    assert [("quick", True, 10.0), ("slow", False, 30.0)] == [
        (notice.container, notice.healthy, round(notice.happened_s - began_s[notice.container], 6)) for notice in told
    ]


def test_a_probe_that_is_due_before_anybody_attached_comes_then(env: simpy.Environment) -> None:
    """Attaching takes 4 s and the interval is one: probes come at 4 s, before the program is there, and at 5."""
    machine = machine_of(env, profile=dataclasses.replace(ROUND, attach_s_mean=4.0))
    check = dataclasses.replace(CHECK, interval_s=1.0)
    env.run(until=machine.start(container(health=check)))
    env.run(until=env.now + 10)

    (told,) = notices(machine, HealthChanged)
    assert isinstance(told, HealthChanged)
    assert pytest.approx(5.0, abs=1e-6) == told.happened_s - machine._names.containers["a"]._up_since_s


def test_a_foreign_program_passes(env: simpy.Environment) -> None:
    """Nobody knows it, so it is taken to be well."""
    machine = machine_of(env, profile=SLOW_PROBE)
    began_s = started(env, machine, container(health=CHECK, foreign=Foreign("nginx")))
    env.run(until=env.now + 60)

    assert [(True, 10.5)] == changes(machine, began_s)


def test_a_dead_container_is_not_probed(env: simpy.Environment) -> None:
    """Its end ends the probe under way, and no more is heard of its health."""
    machine = machine_of(env, profile=SLOW_PROBE)
    began_s = started(env, machine, container(health=CHECK))
    env.run(until=began_s + 10.2)
    env.run(until=machine.kill("a"))
    env.run(until=began_s + 60)

    assert [] == changes(machine, began_s)


def test_a_probe_occupies_memory_while_it_runs(env: simpy.Environment) -> None:
    """10 MiB of the first process and 5 of a probe that takes half a second: seen in the middle, and not after."""
    machine = machine_of(env, profile=dataclasses.replace(SLOW_PROBE, probe_memory_bytes=5 * MIB))
    began_s = started(env, machine, container(health=CHECK))
    seen = []
    for at_s in (9.9, 10.2, 10.9):
        env.run(until=began_s + at_s)
        sample = env.run(until=machine.sample("a"))
        assert isinstance(sample, Sample)
        seen.append((sample.memory_bytes // MIB, sample.memory_peak_bytes // MIB))

    assert [(10, 10), (15, 15), (10, 15)] == seen


def test_a_killed_probe_has_failed(env: simpy.Environment) -> None:
    """A probe larger than the first process is what dies when the limit is lowered meanwhile."""
    profile = dataclasses.replace(SLOW_PROBE, probe_memory_bytes=11 * MIB, cgroup_version=2)
    machine = machine_of(env, profile=profile)
    began_s = started(env, machine, container(health=dataclasses.replace(CHECK, retries_max=1)))
    env.run(until=began_s + 10.2)
    machine.limit("a", cpus_limit=None, memory_bytes_limit=15 * MIB)
    env.run(until=began_s + 15)
    sample = env.run(until=machine.sample("a"))

    assert [(False, 10.5)] == changes(machine, began_s)
    assert isinstance(sample, Sample)
    assert (10 * MIB, 1) == (sample.memory_bytes, sample.oom_kills_count)


def test_a_probe_can_be_the_end_of_the_container(env: simpy.Environment) -> None:
    """Where there is no room for it, the kernel kills the largest, the first process: with it the container dies."""
    machine = machine_of(env, profile=dataclasses.replace(SLOW_PROBE, probe_memory_bytes=9 * MIB))
    started(env, machine, container(health=CHECK, memory_bytes_limit=15 * MIB))
    env.run(until=env.now + 60)

    assert ["oom"] == [notice.cause for notice in notices(machine) if isinstance(notice, Died)]


def test_a_probe_that_is_given_up_leaves_no_memory(env: simpy.Environment) -> None:
    """Where the engine that asked is gone, so is its probe: 10 MiB of the first process, 15 with it, 10 again."""
    profile = dataclasses.replace(SLOW_PROBE, probe_memory_bytes=5 * MIB)
    cpu = fluid_cpu(env, 2)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    disk = SimulatedDisk(profile, lambda: float(env.now))
    around = Surroundings(env, cpu, disk, profile, Heard(), lambda *_: None, 1.0)
    life = SimulatedContainer(around, container(), None, lambda *_: None)
    watch = HealthWatch(around, life, CHECK, 0.0)
    seen_bytes = []
    for at_s in (9.9, 10.2):
        env.run(until=at_s)
        seen_bytes.append(life.memory.used_bytes)
    watch.end()

    assert [10 * MIB, 15 * MIB, 10 * MIB] == [*seen_bytes, life.memory.used_bytes]
