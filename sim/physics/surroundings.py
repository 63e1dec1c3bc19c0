"""What all containers of one simulated host have in common: the clock, the CPUs, the constants, and who is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sim.physics.cpu import GroupLimits
from sim.physics.run_queue import DEFAULT_SHARES
from sim.physics.volume import SimulatedVolume
from sim.timers import after

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from scenarios.story import Container
    from sim.machine import Notice, Observer
    from sim.physics.cpu import Cpu
    from sim.physics.disk import SimulatedDisk
    from sim.physics.host_profile import HostProfile
    from sim.physics.variant import Variant


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One host as its containers see it; `tell` passes a notice on after a delay.

    `jobs` are the containers that another waits for until they have completed. `volumes` are there from the first use
    of their name to the end of the run.
    """

    env: simpy.Environment
    cpu: Cpu
    disk: SimulatedDisk
    profile: HostProfile
    observer: Observer
    tell: Callable[[Notice, float], None]
    sample_interval_s: float
    seed: int = 0
    variant: Variant = "kernel"
    jobs: frozenset[str] = frozenset()
    volumes: dict[str, SimulatedVolume] = field(default_factory=dict)

    @property
    def now(self) -> float:
        """The run's clock."""
        return float(self.env.now)

    def after(self, delay_s: float, act: Callable[[], object]) -> None:
        """Call `act` after a delay."""
        after(self.env, delay_s, act)

    def cpu_limits(self, container: Container, cpus_limit: float | None) -> GroupLimits:
        """What the CPU model is told of a container's limits."""
        shares = DEFAULT_SHARES if self.variant == "wrong_weights" else container.cpu_shares
        return GroupLimits(cpus_limit, shares, container.cpuset_cpus)

    def volume(self, container: Container) -> SimulatedVolume | None:
        """The volume of a container's agents, as its lives before left it; None where it has none."""
        if container.volume is None:
            return None
        return self.volumes.setdefault(container.volume.name, SimulatedVolume())

    def memory_limit(self, memory_bytes_limit: int | None) -> int | None:
        """What the memory model is told of a container's limit."""
        return None if self.variant == "no_oom" else memory_bytes_limit
