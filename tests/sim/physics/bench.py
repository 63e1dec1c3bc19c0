"""A simulated machine on the bench: round constants, so that every moment of a test can be worked out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from scenarios import Story
from scenarios import story as told
from sim.machine import Notice, Program, Refused, Sample, Step, StepDone, Work
from sim.physics.cpu import Task
from sim.physics.host_profile import load_profile
from sim.physics.processor_sharing import ProcessorSharing
from sim.physics.simulated_machine import SimulatedMachine

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from sim.physics.cpu import Cpu
    from sim.physics.host_profile import HostProfile

MIB = 1 << 20
# PID 1 needs 0.5 s of CPU to be ready, a restart takes the engine no time, and telling takes none either. Idle cores
# are seen, so that who finds one waits for nothing.
ROUND = dataclasses.replace(
    load_profile(None),
    idle_seen_ratio=1.0,
    create_s_mean=0.0,
    start_s_by_concurrency={1: 1.0},
    restart_s_mean=0.0,
    attach_s_mean=0.0,
    ready_s_mean=0.5,
    stop_s_mean=0.25,
    submit_cpu_s=0.0,
    respawn_s_mean=0.0,
    supervisor_memory_bytes=10 * MIB,
    agent_memory_bytes=MIB,
    touch_s_per_byte=0.0,
    release_s_per_byte=0.0,
    write_s_per_byte=0.0,
    oom_kill_cpu_s=0.0,
    step_cpu_s=0.0,
    sample_cpu_s=0.0,
    wake_s_mean=0.0,
    notice_s_mean=0.0,
    probe_cpu_s=0.0,
    engine_start_s_mean=1.0,
    start_cpu_s=0.0,
    thread_memory_bytes=0,
    hire_memory_bytes=0,
    probe_memory_bytes=0,
)
NOTHING_S = 1e-6
HOST = told.Host("h", 2, 4096 * MIB, 0, 0, None)
NO = told.RestartPolicy("no")
ALWAYS = told.RestartPolicy("always")
UNLESS_STOPPED = told.RestartPolicy("unless-stopped")
ON_FAILURE = told.RestartPolicy("on-failure")


class Heard:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self.steps: list[StepDone] = []
        self.samples: list[Sample] = []

    def step(self, done: StepDone) -> None:
        """Keep a step."""
        self.steps.append(done)

    def sample(self, sample: Sample) -> None:
        """Keep a sample."""
        self.samples.append(sample)


def container(name: str = "a", **keys: object) -> told.Container:
    """A container without a quota, of 100 MiB and 2 s of grace; `keys` change what is to be different."""
    plain = told.Container(name, "h", None, 100 * MIB, 100 * MIB, 1024, None, 100, 2.0)
    return dataclasses.replace(plain, **keys)  # type: ignore[arg-type]  # Each test knows the keys it changes.


def program(*work: Work, agent: str = "w/0", index: int = 0, process: str = "own") -> Program:
    """A program of one step that is due at once."""
    return Program(agent, (Step(index, 0.0, 0.0, work),), 1e6, "main" if process == "main" else "own")


def machine_of(
    env: simpy.Environment,
    *,
    heard: Heard | None = None,
    profile: HostProfile = ROUND,
    hosts: tuple[told.Host, ...] = (HOST,),
    faults: tuple[told.Fault, ...] = (),
    containers: tuple[told.Container, ...] = (),
) -> SimulatedMachine:
    """A machine of one host of two cores, unless said otherwise, with nothing on it; it samples every half second."""
    scale = told.LiveScale(1, 1, 1)
    story = Story(
        "bench",
        "p",
        "s",
        1,
        60.0,
        0.5,
        hosts,
        containers,
        (),
        (),
        (),
        (),
        (),
        scale,
        live_able=True,
        faults=faults,
    )
    return SimulatedMachine(env, story, heard or Heard(), profile=profile, physics_seed=1)


def notices(machine: SimulatedMachine, *kinds: type) -> list[Notice]:
    """What was noticed so far, of some kinds or (none given) of all."""
    return [notice for notice in machine.notices.items if not kinds or isinstance(notice, kinds)]


def reasons(events: list[simpy.Event]) -> list[str]:
    """Why each of these was refused; an empty text for one that was not."""
    return [event.value.reason if isinstance(event.value, Refused) else "" for event in events]


def fluid_cpu(env: simpy.Environment, cores_count: int) -> ProcessorSharing:
    """Cores that containers share by weight, a quota being a rate."""
    return ProcessorSharing(env, cores_count, period_s=0.1, phase=lambda _name: 0.0, is_quota_rate=True)


def burn(env: simpy.Environment, cpu: Cpu, demands: list[tuple[str, float]]) -> list[float]:
    """Wake one task per demand at time zero; when each finished is returned, to the nanosecond, in their order."""
    times = [0.0] * len(demands)

    def note(position: int) -> Callable[[], None]:
        def finished() -> None:
            times[position] = round(env.now, 9)

        return finished

    for position, (group, cpu_s) in enumerate(demands):
        cpu.run(Task(group), cpu_s, note(position))
    env.run(until=100)
    return times
