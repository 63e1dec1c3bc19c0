"""The port: what any machine can do for the agents and policies above it, in either world.

`sim/physics/simulated_machine.py` fulfils it in virtual time, `live/docker_machine.py` on a real Docker engine.
Every verb returns a bare SimPy event whose value is an *outcome*, one of the small classes below.
What can be expected to go wrong (a start refused, a process killed) is such a value; an exception means a bug.
All times are seconds of the run's clock, which is `env.now` of the environment the machine was made with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import simpy

    from scenarios.story import Container

# Kinds of blow to a host's engine: ended in order, killed, or gone together with all its containers.
Blow = Literal["stop", "crash", "loss"]

# What a container runs on its own.


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait `duration_s` without using CPU."""

    duration_s: float


@dataclass(frozen=True, slots=True)
class Compute:
    """Burn `cpu_s` seconds of CPU time in total, evenly over `threads` threads."""

    cpu_s: float
    threads: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Touch `memory_bytes`; kept until `Release`, or for good where `leak` is set."""

    memory_bytes: int
    leak: bool


@dataclass(frozen=True, slots=True)
class Release:
    """Give back all the memory the agent holds, leaks excepted."""


@dataclass(frozen=True, slots=True)
class Write:
    """Append `size_bytes` to the agent's file on the container's first tmpfs or its volume.

    What does not fit is refused: the step goes on, and a `DiskFull` notice says so.
    """

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Read:
    """Read the agent's file from its beginning: `size_bytes`, or as much as there is."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Erase:
    """Delete the agent's file, if there is one."""


Work = Sleep | Compute | Hold | Release | Write | Read | Erase


@dataclass(frozen=True, slots=True)
class Step:
    """One step, its demands already drawn.

    It is due at `due_s`, or, where that is None, `think_s` after the step before it in the program finished.
    A step that must stop for a shared decision comes in several parts of the same index, each a program of its own;
    only the one with `last` set ends it. Memory held stays held until a `Release`, across parts.
    """

    index: int
    due_s: float | None
    think_s: float
    work: tuple[Work, ...]
    last: bool = True


@dataclass(frozen=True, slots=True)
class Program:
    """Steps that one agent's process runs one after another without asking anybody.

    No step begins whose due time is at or after `until_s`; one under way then is finished.
    `process` "main" means that the memory belongs to PID 1.
    """

    agent: str
    steps: tuple[Step, ...]
    until_s: float
    process: Literal["own", "main"] = "own"


# Outcomes: the values of the verbs' events.


@dataclass(frozen=True, slots=True)
class Started:
    """The container is up and its supervisor answered at `ready_s`; the engine took `start_s` for create and start."""

    container: str
    start_s: float
    ready_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The machine did not do it; `reason` says why in one line."""

    container: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The container is down; `exit_code` is 137 where it had to be killed."""

    container: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Limited:
    """The new limits hold."""

    container: str


@dataclass(frozen=True, slots=True)
class Struck:
    """The blow was dealt to a container or a host; what follows from it is noticed."""

    target: str


@dataclass(frozen=True, slots=True)
class Probed:
    """A host's probe has ended: when each time it was due and when it had its CPU, one by one and in this order."""

    host: str
    due_s: tuple[float, ...]
    finish_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """A program ran to its end: `finish_s` is when its last step finished, on the worker's clock."""

    agent: str
    steps_count: int
    finish_s: float


@dataclass(frozen=True, slots=True)
class Lost:
    """A program ended early because its process died; `step_index` is the first step nobody was told of.

    Steps are reported together, about once a second. A process that dies in a living container has its finished steps
    reported by the supervisor, so the step lost is the one under way; with the container all are lost since the last
    report, and a program that goes on goes on after the first of them.
    `cause`: "oom" (the kernel's OOM killer), "killed" (another SIGKILL), "container" (the whole container went).
    """

    agent: str
    step_index: int
    cause: Literal["oom", "killed", "container"]
    happened_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A container's counters at `at_s`, cumulative since its start but for the memory gauges.

    `throttled_s` adds the CPUs up, as the kernel's own counter does: two cores stopped for 10 ms are 20 ms.
    `memory_bytes` is usage less inactive page cache; `memory_raw_bytes` is what the limit is held against;
    `memory_peak_bytes` is the highest raw usage so far. `disk_bytes` is what lies on the container's first
    tmpfs or its volume.
    A container that the engine starts anew counts from zero again.
    """

    container: str
    at_s: float
    cpu_s: float
    periods_count: int
    throttled_periods_count: int
    throttled_s: float
    memory_bytes: int
    memory_raw_bytes: int
    memory_peak_bytes: int
    oom_kills_count: int
    disk_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StepDone:
    """One finished step, or (where `last` is not set) one part of it, reported to the observer.

    `latency_s` is the time from when each working stage was due to when it finished, added up over the step:
    the step's span less the sleeping it asked for. `cpu_wait_s` is the part of it that computing stages
    spent, from when they were due, beyond the CPU time each of their threads needed.
    """

    container: str
    agent: str
    index: int
    due_s: float
    finish_s: float
    latency_s: float
    cpu_s: float
    cpu_wait_s: float
    last: bool = True


# Notices: what the machine says unasked. Whoever takes them must bear them late, twice, before the answer of the verb
# that caused them, and never.


@dataclass(frozen=True, slots=True)
class Died:
    """The container's PID 1 ended. `cause` is "oom", "killed", "exited" or "engine_lost".

    Every program in it is lost. Where its restart policy says so, the engine starts it anew, and `Restarted` follows;
    until then its name is taken and only `stop` acts on it. Else it is gone, and its name free.
    """

    container: str
    cause: Literal["oom", "killed", "exited", "engine_lost"]
    exit_code: int
    happened_s: float
    noticed_s: float


@dataclass(frozen=True, slots=True)
class Restarted:
    """The engine started a container anew, and its supervisor answered at `ready_s`: it takes programs again.

    `restarts_count` counts from 1 in the life of the container; `happened_s` is when the engine had started it.
    """

    container: str
    restarts_count: int
    happened_s: float
    ready_s: float
    noticed_s: float


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """A container's health check passed for the first time since its start, or failed or passed after the opposite."""

    container: str
    healthy: bool
    happened_s: float
    noticed_s: float


@dataclass(frozen=True, slots=True)
class ProcessKilled:
    """One process in a living container was killed; `cause` is "oom" or "killed"."""

    container: str
    agent: str
    cause: Literal["oom", "killed"]
    happened_s: float
    noticed_s: float


@dataclass(frozen=True, slots=True)
class DiskFull:
    """A write was refused, because the container's disk was full."""

    container: str
    agent: str
    happened_s: float
    noticed_s: float


@dataclass(frozen=True, slots=True)
class EngineLost:
    """A host's engine answers no more; each of its containers has a `Died` of cause "engine_lost" of its own."""

    host: str
    happened_s: float
    noticed_s: float


@dataclass(frozen=True, slots=True)
class EngineBack:
    """A host's engine answers again; what it starts anew by restart policy is noticed as `Restarted`."""

    host: str
    happened_s: float
    noticed_s: float


Notice = Died | Restarted | HealthChanged | ProcessKilled | DiskFull | EngineLost | EngineBack


class Observer(Protocol):
    """What a machine reports to while it runs: the recorder, in either world."""

    def step(self, done: StepDone) -> None:
        """Take one finished step."""

    def sample(self, sample: Sample) -> None:
        """Take one sample of a container."""


class Machine(Protocol):
    """Any machine: containers are started, given programs, sampled, limited and ended.

    A container samples itself every `story.sample_interval_s` while it is up and reports to the observer.
    """

    @property
    def notices(self) -> simpy.Store:
        """What happened unasked, as `Notice` objects in the order they were noticed."""

    def start(self, container: Container) -> simpy.Event:
        """Create and start a container, and the networks it is in: `Started` or `Refused`."""

    def stop(self, name: str) -> simpy.Event:
        """SIGTERM, SIGKILL after the container's grace, and remove: `Stopped` or `Refused`.

        No restart policy follows it; a container that waits for its restart is removed too.
        """

    def kill(self, name: str) -> simpy.Event:
        """SIGKILL a container's PID 1 through the engine and remove it: `Stopped` (137) or `Refused`.

        No restart policy follows it. Its `Died` is noticed, before or after the answer.
        """

    def limit(self, name: str, *, cpus_limit: float | None, memory_bytes_limit: int | None) -> simpy.Event:
        """Change limits of a running container; None leaves one as it is: `Limited` or `Refused`."""

    def sample(self, name: str) -> simpy.Event:
        """Read a container's counters now: `Sample` or `Refused`."""

    def submit(self, name: str, program: Program) -> simpy.Event:
        """Run a program in a container: `Finished` or `Lost`, or `Refused` if the container is not up."""

    def probe(self, host: str, every_s: float, compute_s: float, until: simpy.Event) -> simpy.Event:
        """Have a task outside all containers want so much CPU at regular times: `Probed` after `until`, or `Refused`.

        It is first due at a moment of the first interval that has nothing to do with the run. Where it is still busy
        when it is due again, it begins anew right after; due times are never put off. A host has one probe at a time.
        """

    # Blows: what goes wrong on purpose.

    def crash(self, name: str, exit_code: int) -> simpy.Event:
        """Have a container's PID 1 end by itself with this exit code: `Struck` or `Refused`."""

    def hang(self, name: str, duration_s: float) -> simpy.Event:
        """Have a container's PID 1 stand still, deaf even to SIGTERM: `Struck` or `Refused`."""

    def kill_agent(self, name: str, agent: str) -> simpy.Event:
        """SIGKILL one agent's process in a container: `Struck`, or `Refused` if it has none."""

    def strike_host(self, host: str, blow: Blow, down_s: float | None) -> simpy.Event:
        """Stop, crash or lose a host's engine for `down_s` or (None) for good: `Struck` or `Refused`."""
