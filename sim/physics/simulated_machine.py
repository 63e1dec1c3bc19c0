"""The port in virtual time: containers on hosts made of models.

Fulfils `sim.machine.Machine`. Every verb schedules its own event; there is no process per verb.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import simpy

from sim.machine import Limited, Notice, Observer, Program, Refused, Sample, Started, Stopped
from sim.physics.container import SIGKILL_EXIT, SimulatedContainer
from sim.physics.cpu import Cpu, GroupLimits
from sim.physics.fluid_cpu import FluidCpu
from sim.physics.kernel_cpu import KernelCpu
from sim.physics.other_load import OtherLoad
from sim.physics.run_queue import DEFAULT_SHARES
from sim.randomness import Stream
from sim.timers import after

if TYPE_CHECKING:
    from scenarios.story import Container, Host, Story
    from sim.physics.host_profile import HostProfile
    from sim.physics.variant import Variant

# Two starts of the same container differ by about this much (standard deviation over mean; measured on the reference
# machine, `docs/physics.md`, section Container life).
_START_SPREAD_RATIO = 0.08


class SimulatedMachine:
    """All hosts of a story, simulated; fulfils `sim.machine.Machine`."""

    def __init__(  # One composition site calls it, by keyword.
        self,
        env: simpy.Environment,
        story: Story,
        observer: Observer,
        *,
        profile: HostProfile,
        physics_seed: int,
        variant: Variant = "kernel",
        other_load_cores: float = 0.0,
    ) -> None:
        """Have every host idle, but for `other_load_cores` of load that is not the story's."""
        self._env = env
        self._story = story
        self._observer = observer
        self._profile = profile
        self._seed = physics_seed
        self._variant = variant
        self._containers: dict[str, SimulatedContainer] = {}
        self._starting: set[str] = set()
        self._cpus: dict[str, Cpu] = {host.name: self._new_cpu(host) for host in story.hosts}
        self.notices = simpy.Store(env)
        if other_load_cores > 0:
            for host in story.hosts:
                OtherLoad(env, self._cpus[host.name], other_load_cores, Stream(physics_seed, host.name, "other load"))

    def _new_cpu(self, host: Host) -> Cpu:
        cores_count = max(1, math.ceil(host.cpus_count))
        if self._variant == "fluid_quota":
            return FluidCpu(self._env, cores_count)
        seed = self._seed
        return KernelCpu(
            self._env,
            self._profile,
            cores_count,
            phase=lambda name: Stream(seed, host.name, f"phase/{name}").uniform(0),
            luck=Stream(seed, host.name, "idle pull").uniform,
        )

    # The port.

    def start(self, container: Container) -> simpy.Event:
        """Create and start: `Started` once the supervisor answers, or `Refused`: name taken, or it died."""
        answer = self._env.event()
        if container.name in self._containers or container.name in self._starting:
            return answer.succeed(Refused(container.name, "a container of that name exists already"))
        self._starting.add(container.name)
        # Starts asked for in the same instant slow each other, so the count is taken at its end.
        after(self._env, 0, lambda: self._create(container, answer))
        return answer

    def _create(self, container: Container, answer: simpy.Event) -> None:
        """Let the engine create and start; how long that takes depends on how many starts are under way."""
        spread = 1 + _START_SPREAD_RATIO * (
            2 * math.sqrt(3) * (Stream(self._seed, container.name, "start").uniform(0) - 0.5)
        )
        start_s = (self._profile.create_s_mean + self._profile.start_s(len(self._starting))) * spread
        after(self._env, start_s + self._profile.attach_s_mean, lambda: self._boot(container, start_s, answer))

    def _boot(self, container: Container, start_s: float, answer: simpy.Event) -> None:
        """Let PID 1 come up: an interpreter's start is CPU work, charged to the container's own quota."""
        self._starting.remove(container.name)
        cpu = self._cpus[container.host]
        started = SimulatedContainer(
            self._env,
            container,
            cpu,
            self._profile,
            self._observer,
            self._notify,
            self._memory_limit(container.memory_bytes_limit),
        )
        if not started.alive:
            answer.succeed(Refused(container.name, "its memory limit is below what its first process needs"))
            return
        cpu.add_group(container.name, self._cpu_limits(container, container.cpus_limit))
        self._containers[container.name] = started

        def ready() -> None:
            started.sample_each(self._story.sample_interval_s)
            answer.succeed(Started(container.name, start_s, self._env.now))

        def lost() -> None:
            answer.succeed(Refused(container.name, "it died before its supervisor answered"))

        started.errand(self._profile.ready_s_mean, ready, lost)

    def stop(self, name: str) -> simpy.Event:
        """Stop and remove: the supervisor ends at once when asked."""
        return self._end(name, 0, self._profile.stop_s_mean)

    def kill(self, name: str) -> simpy.Event:
        """SIGKILL PID 1; its death is noticed as any other."""
        container = self._up(name)
        if container is None:
            return self._refuse(name)
        container.die("killed")
        return self._env.timeout(self._profile.stop_s_mean, Stopped(name, SIGKILL_EXIT))

    def limit(self, name: str, *, cpus_limit: float | None, memory_bytes_limit: int | None) -> simpy.Event:
        """Change limits while the container runs."""
        container = self._up(name)
        if container is None:
            return self._refuse(name)
        if cpus_limit is not None:
            self._cpus[container.spec.host].set_limits(name, self._cpu_limits(container.spec, cpus_limit))
        if memory_bytes_limit is not None:
            container.set_memory_limit(self._memory_limit(memory_bytes_limit))
        return self._env.event().succeed(Limited(name))

    def sample(self, name: str) -> simpy.Event:
        """Read counters: the supervisor does it, so a container that stands still answers late."""
        container = self._up(name)
        if container is None:
            return self._refuse(name)
        answer = self._env.event()

        def read() -> None:
            sample: Sample = container.read()
            after(self._env, self._profile.notice_s_mean, lambda: answer.succeed(sample))

        def lost() -> None:
            answer.succeed(Refused(name, "it died before it could answer"))

        container.errand(self._profile.sample_cpu_s, read, lost)
        return answer

    def submit(self, name: str, program: Program) -> simpy.Event:
        """Run a program: `Finished`, `Lost`, or `Refused` if the container is not up."""
        container = self._up(name)
        if container is None:
            return self._refuse(name)
        answer = self._env.event()
        container.submit(program, answer)
        return answer

    # Below the port.

    def _up(self, name: str) -> SimulatedContainer | None:
        """The living container of a name; one that died stays, for `stop` to remove, but does nothing more."""
        container = self._containers.get(name)
        return container if container is not None and container.alive else None

    def _end(self, name: str, exit_code: int, delay_s: float) -> simpy.Event:
        container = self._containers.pop(name, None)
        if container is None:
            return self._refuse(name)
        if container.alive:
            container.end()
        self._cpus[container.spec.host].remove_group(name)
        return self._env.timeout(delay_s, Stopped(name, exit_code))

    def _refuse(self, name: str) -> simpy.Event:
        return self._env.event().succeed(Refused(name, "no container of that name is up"))

    def _notify(self, notice: Notice) -> None:
        self.notices.put(notice)

    def _cpu_limits(self, container: Container, cpus_limit: float | None) -> GroupLimits:
        shares = DEFAULT_SHARES if self._variant == "wrong_weights" else container.cpu_shares
        return GroupLimits(cpus_limit, shares, container.cpuset_cpus)

    def _memory_limit(self, memory_bytes_limit: int | None) -> int | None:
        return None if self._variant == "no_oom" else memory_bytes_limit
