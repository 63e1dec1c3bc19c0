"""The port in virtual time: containers on hosts made of models.

Fulfils `sim.machine.Machine`. Every verb schedules its own event; there is no process per verb.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scenarios.story import HostProbe, RudeNotices
from sim.machine import Blow, Observer, Program, Refused, Struck
from sim.notices import Notices
from sim.physics.disk import SimulatedDisk
from sim.physics.engine import Names, SimulatedEngine
from sim.physics.host_probe import SimulatedProbe
from sim.physics.kernel_cpu import KernelCpu
from sim.physics.lifecycle import ENGINE_LOST, NOT_UP, Lifecycle
from sim.physics.other_load import OtherLoad
from sim.physics.processor_sharing import ProcessorSharing
from sim.physics.surroundings import Surroundings
from sim.randomness import Stream
from sim.timers import after

if TYPE_CHECKING:
    import simpy

    from scenarios.story import Container, Host, Story
    from sim.machine import Sample
    from sim.physics.container import SimulatedContainer
    from sim.physics.cpu import Cpu
    from sim.physics.host_profile import HostProfile
    from sim.physics.variant import Variant

FOREIGN = "it runs a program of its own"
NO_HOST = "no host of that name is there"


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
        self._profile = profile
        self._seed = physics_seed
        self._variant = variant
        self._names = Names()
        self._probes: dict[str, SimulatedProbe] = {}
        rude = next((fault for fault in story.faults if isinstance(fault, RudeNotices)), None)
        self._notices = Notices(env, rude, story.seed)
        self._engines = {host.name: self._new_engine(host, story, observer) for host in story.hosts}
        if other_load_cores > 0:
            for name, engine in self._engines.items():
                OtherLoad(env, engine.around.cpu, other_load_cores, Stream(physics_seed, name, "other load"))

    def _new_engine(self, host: Host, story: Story, observer: Observer) -> SimulatedEngine:
        around = Surroundings(
            self._env,
            self._new_cpu(host),
            SimulatedDisk(self._profile, lambda: float(self._env.now)),
            self._profile,
            observer,
            self._notices.put,
            story.sample_interval_s,
            self._seed,
            self._variant,
            _jobs_of(story),
        )
        return SimulatedEngine(host.name, around, self._names)

    def _new_cpu(self, host: Host) -> Cpu:
        cores_count = max(1, math.ceil(host.cpus_count))
        seed = self._seed

        def phase(name: str) -> float:
            return Stream(seed, host.name, f"phase/{name}").uniform(0)

        if self._variant in {"periods", "fluid_quota"}:
            return ProcessorSharing(
                self._env,
                cores_count,
                period_s=self._profile.period_s,
                phase=phase,
                is_quota_rate=self._variant == "fluid_quota",
            )
        luck = Stream(seed, host.name, "idle pull").uniform
        return KernelCpu(self._env, self._profile, cores_count, phase=phase, luck=luck)

    # The port.

    @property
    def notices(self) -> simpy.Store:
        """What happened unasked."""
        return self._notices.store

    def start(self, container: Container) -> simpy.Event:
        """Create and start: `Started` once the supervisor answers, or `Refused`: name taken, no room, or it died."""
        engine = self._engines[container.host]
        if engine.lost:
            return self._refuse(container.name, ENGINE_LOST)
        if container.name in self._names.containers:
            return self._refuse(container.name, "a container of that name exists already")
        answer = self._env.event()
        engine.start(container, answer)
        return answer

    def stop(self, name: str) -> simpy.Event:
        """Stop and remove: the supervisor ends when it has the CPU to notice, or is killed after its grace."""
        kept = self._kept(name)
        if isinstance(kept, str):
            return self._refuse(name, kept)
        answer = self._env.event()
        kept.stop(answer)
        return answer

    def kill(self, name: str) -> simpy.Event:
        """SIGKILL PID 1 and remove; its death is noticed as any other."""
        kept = self._kept(name)
        if isinstance(kept, str) or kept.up is None:
            return self._refuse(name, kept if isinstance(kept, str) else NOT_UP)
        answer = self._env.event()
        kept.kill(answer)
        return answer

    def limit(self, name: str, *, cpus_limit: float | None, memory_bytes_limit: int | None) -> simpy.Event:
        """Change limits while the container runs."""
        kept = self._kept(name)
        if isinstance(kept, str) or kept.up is None:
            return self._refuse(name, kept if isinstance(kept, str) else NOT_UP)
        return self._env.event().succeed(kept.limit(cpus_limit, memory_bytes_limit))

    def sample(self, name: str) -> simpy.Event:
        """Read counters: the supervisor does it, so a container that stands still answers late."""
        container = self._up(name)
        if isinstance(container, str):
            return self._refuse(name, container)
        answer = self._env.event()

        def tell(sample: Sample) -> None:
            after(self._env, self._profile.notice_s_mean, lambda: answer.succeed(sample))

        container.read_with(tell, lambda: answer.succeed(Refused(name, "it died before it could answer")))
        return answer

    def submit(self, name: str, program: Program) -> simpy.Event:
        """Run a program: `Finished`, `Lost`, or `Refused` if the container is not up or not ours."""
        container = self._ours(name)
        if isinstance(container, str):
            return self._refuse(name, container)
        answer = self._env.event()
        container.submit(program, answer)
        return answer

    def probe(self, host: str, every_s: float, compute_s: float, until: simpy.Event) -> simpy.Event:
        """Have a task outside all containers want CPU until an event: `Probed`, or `Refused` if one does already."""
        engine = self._engines.get(host)
        if engine is None or host in self._probes:
            return self._refuse(host, NO_HOST if engine is None else "it is probed already")
        phase_ratio = Stream(self._seed, host, "host probe").uniform(0)
        self._probes[host] = SimulatedProbe(engine.around, HostProbe(every_s, compute_s), phase_ratio)
        answer = self._env.event()

        def end(_: simpy.Event) -> None:
            answer.succeed(self._probes.pop(host).end(host))

        assert until.callbacks is not None, "a probe ends with an event that is still to come"
        until.callbacks.append(end)
        return answer

    # Blows.

    def crash(self, name: str, exit_code: int) -> simpy.Event:
        """Have PID 1 end by itself: it is struck at once, and ends when it has the CPU to."""
        container = self._ours(name)
        if isinstance(container, str):
            return self._refuse(name, container)
        container.crash(exit_code)
        return self._env.event().succeed(Struck(name))

    def hang(self, name: str, duration_s: float) -> simpy.Event:
        """Have PID 1 stand still: no errand is done, no probe answered, no SIGTERM noticed; agents go on."""
        container = self._ours(name)
        if isinstance(container, str):
            return self._refuse(name, container)
        container.hang(duration_s)
        return self._env.event().succeed(Struck(name))

    def kill_agent(self, name: str, agent: str) -> simpy.Event:
        """SIGKILL one agent's process."""
        container = self._ours(name)
        if isinstance(container, str):
            return self._refuse(name, container)
        answer = self._env.event()
        container.kill_agent(agent, answer)
        return answer

    def strike_host(self, host: str, blow: Blow, down_s: float | None) -> simpy.Event:
        """Stop, crash or lose a host's engine."""
        engine = self._engines.get(host)
        if engine is None or engine.lost:
            return self._refuse(host, NO_HOST if engine is None else ENGINE_LOST)
        engine.strike(blow, down_s)
        return self._env.event().succeed(Struck(host))

    # Below the port.

    def _kept(self, name: str) -> Lifecycle | str:
        """The container of a name, up or waiting for its restart; else why nothing can be done with it."""
        lifecycle = self._names.containers.get(name)
        if lifecycle is None:
            return NOT_UP
        return ENGINE_LOST if self._engines[lifecycle.spec.host].lost else lifecycle

    def _up(self, name: str) -> SimulatedContainer | str:
        """The living container of a name; else why there is none."""
        kept = self._kept(name)
        return kept if isinstance(kept, str) else kept.up or NOT_UP

    def _ours(self, name: str) -> SimulatedContainer | str:
        """The living container of a name, with our worker in it; else why there is none."""
        container = self._up(name)
        if isinstance(container, str):
            return container
        return FOREIGN if container.spec.foreign is not None else container

    def _refuse(self, name: str, reason: str) -> simpy.Event:
        return self._env.event().succeed(Refused(name, reason))


def _jobs_of(story: Story) -> frozenset[str]:
    """The containers that another waits for until they have completed."""
    waits = (wait for container in story.containers for wait in container.dependencies)
    return frozenset(wait.container for wait in waits if wait.condition == "completed")
