"""A simulated container's supervisor: one errand after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scenarios import story as told
from sim.physics.container import SimulatedContainer
from sim.physics.cpu import GroupLimits, Task
from sim.physics.fluid_cpu import FluidCpu
from sim.physics.host_profile import load_profile

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from sim.machine import Notice, Sample, StepDone

MIB = 1 << 20


class Deaf:
    """An observer that keeps nothing."""

    def step(self, _done: StepDone) -> None:
        """Take a step."""

    def sample(self, _sample: Sample) -> None:
        """Take a sample."""


class CountingCpu(FluidCpu):
    """A CPU that remembers what it was asked to run."""

    def __init__(self, env: simpy.Environment) -> None:
        """Have one core."""
        super().__init__(env, 1)
        self.asked_s: list[float] = []

    def run(self, task: Task, cpu_s: float, done: Callable[[], object]) -> None:
        """Remember and run."""
        self.asked_s.append(cpu_s)
        super().run(task, cpu_s, done)


def ignore(_notice: Notice) -> None:
    """Hear of nothing."""


def test_errand_queued_by_an_errand_is_run_once(env: simpy.Environment) -> None:
    """What an errand's end queues is begun once, after it, and in its turn."""
    cpu = CountingCpu(env)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    spec = told.Container("a", "h", None, 64 * MIB, 64 * MIB, 1024, None, 100, 2.0)
    container = SimulatedContainer(env, spec, cpu, load_profile(None), Deaf(), ignore, None)
    ended: list[float] = []
    container.errand(1.0, lambda: container.errand(2.0, lambda: ended.append(env.now)))
    env.run(until=10)

    assert [1.0, 2.0] == cpu.asked_s
    assert [pytest.approx(3.0)] == ended
