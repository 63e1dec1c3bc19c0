"""A story: one scenario after validation, compiled to small slotted classes the hot path can afford.

`schema.py` says what a user may write, `compile.py` turns it into these.
Everything is in base units: seconds, bytes, cores (1.0 is one whole CPU), tokens, US dollars.
Both worlds run a `Story`; neither sees YAML or pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LawKind = Literal["constant", "uniform", "exponential", "lognormal", "gamma", "empirical"]


@dataclass(frozen=True, slots=True)
class Law:
    """A distribution of a non-negative quantity, in the base unit of the field that holds it.

    Parameters by kind, in `numbers`:
    constant (value), uniform (low, high), exponential (mean), lognormal (mean, cv),
    gamma (mean, cv), empirical (the observed values, drawn with equal weight).
    `cv` is the coefficient of variation: standard deviation over mean.
    """

    kind: LawKind
    numbers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Take:
    """Take tokens from a rate limit and wait until they are granted: a shared decision."""

    rate_limit: str
    tokens: Law


@dataclass(frozen=True, slots=True)
class Call:
    """Call an LLM provider: its latency law, its limits, its price: a shared decision."""

    provider: str
    input_tokens: Law
    output_tokens: Law


@dataclass(frozen=True, slots=True)
class Compute:
    """Burn CPU: `cpu_s` seconds of CPU time in total, spread evenly over `threads` threads."""

    cpu_s: Law
    threads: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Touch this much memory and keep it until the step's `Release`, or the step's end."""

    memory_bytes: Law


@dataclass(frozen=True, slots=True)
class Leak:
    """Touch this much memory and never give it back while the process lives."""

    memory_bytes: Law


@dataclass(frozen=True, slots=True)
class Release:
    """Give back all memory that the step holds."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait without using CPU."""

    duration_s: Law


@dataclass(frozen=True, slots=True)
class Write:
    """Append this much to the agent's file on the container's first tmpfs or volume; what does not fit is refused."""

    size_bytes: Law


@dataclass(frozen=True, slots=True)
class Read:
    """Read the agent's file from its beginning: this much, or as much as there is."""

    size_bytes: Law


@dataclass(frozen=True, slots=True)
class Erase:
    """Delete the agent's file."""


Stage = Take | Call | Compute | Hold | Leak | Release | Sleep | Write | Read | Erase


# A probe that comes more often would be a load itself.
PROBE_EVERY_S_MIN = 0.02
# Whoever keeps a probe's times has room for so many; at ten a second they last nearly three hours.
PROBES_COUNT_MAX = 100_000


@dataclass(frozen=True, slots=True)
class HostProbe:
    """A task on a host outside all containers: each `every_s` it wants `compute_s` of CPU, on any of the cores."""

    every_s: float
    compute_s: float


@dataclass(frozen=True, slots=True)
class Host:
    """A machine as the engine reports it. `context` names a Docker context; None is the default engine."""

    name: str
    cpus_count: float
    memory_bytes: int
    swap_bytes: int
    reserve_bytes: int
    context: str | None
    probe: HostProbe | None = None


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When the engine starts a container anew that ended unasked, in Docker's words.

    `retries_max` bounds the restarts of "on-failure"; 0 is no bound.
    """

    condition: Literal["no", "on-failure", "always", "unless-stopped"] = "no"
    retries_max: int = 0


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How often the engine asks a container how it is, and when it takes it for unhealthy.

    The first probe comes one interval after the start. `retries_max` failed probes in a row, each longer than
    `timeout_s` or refused, make it unhealthy; those within `start_period_s` do not count.
    `command` is what an image of the user's own is asked with; none asks our worker's supervisor.
    """

    interval_s: float = 30.0
    timeout_s: float = 30.0
    retries_max: int = 3
    start_period_s: float = 0.0
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dependency:
    """A container that must have started, be healthy, or have ended with exit code 0 before another is started."""

    container: str
    condition: Literal["started", "healthy", "completed"]


@dataclass(frozen=True, slots=True)
class Tmpfs:
    """A file system in memory: what is written to it is charged to the container. None is no limit of its own."""

    path: str
    bytes_limit: int | None


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume on the host's disk that one container's agents write to; it is made for the run and goes with it.

    What lies on it outlives the container's lives. Pages of it in memory are page cache, charged to the container.
    """

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Mount:
    """A path of the host or a named volume, seen in a container at `target`."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Foreign:
    """A program of the user's own in the place of our worker: it is started, watched and stopped, and runs no agents.

    An empty `command` is the image's own; `user` None is ours, which is nobody.
    """

    image: str
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    user: str | None = None
    capabilities: tuple[str, ...] = ()
    privileged: bool = False
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """A network of the story's own; an `internal` one leads nowhere else."""

    name: str
    internal: bool


@dataclass(frozen=True, slots=True)
class Container:
    """One container with its limits; None means no limit of its own. Names are unique in a story.

    `cpuset_cpus` are core numbers. `memory_swap_bytes_limit` is memory plus swap, as Docker counts it.
    `start_delay_s` is what its own program takes, asleep, before it is ready. A container in no network has none.
    """

    name: str
    host: str
    cpus_limit: float | None
    memory_bytes_limit: int | None
    memory_swap_bytes_limit: int | None
    cpu_shares: int
    cpuset_cpus: tuple[int, ...] | None
    pids_count_limit: int
    stop_grace_s: float
    restart: RestartPolicy = RestartPolicy()
    health: HealthCheck | None = None
    dependencies: tuple[Dependency, ...] = ()
    networks: tuple[str, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    start_delay_s: float = 0.0
    foreign: Foreign | None = None
    volume: Volume | None = None


@dataclass(frozen=True, slots=True)
class AgentGroup:
    """`count` equal agents in one container, each a closed loop: think, then the stages of one step.

    `process` is "own" (a process per agent) or "main" (the agent's memory belongs to PID 1, as in a
    single-process asyncio program: going over the limit then ends the container, not one agent).
    `on_kill` says what an agent does when its process is killed: start anew after `restart_delay_s`, or stop.
    """

    name: str
    count: int
    container: str
    think_s: Law
    stages: tuple[Stage, ...]
    process: Literal["own", "main"]
    on_kill: Literal["restart", "stop"]
    restart_delay_s: float


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """`rate_tokens_per_s` drip into a bucket of `capacity_tokens`; `level_tokens` lie in it at the start.

    With `debt`, an agent acts whenever the level is not negative and the spend is always deducted
    (100 in hand, 150 spent: -50). Without, it waits until the bucket holds the whole amount.
    """

    name: str
    rate_tokens_per_s: float
    capacity_tokens: float
    level_tokens: float
    scope: Literal["agent", "shared"]
    debt: bool


@dataclass(frozen=True, slots=True)
class RollingWindow:
    """At most `limit_tokens` within any `window_s`; an amount frees exactly `window_s` after it was spent."""

    name: str
    limit_tokens: float
    window_s: float
    scope: Literal["agent", "shared"]


RateLimit = TokenBucket | RollingWindow


@dataclass(frozen=True, slots=True)
class Provider:
    """An LLM provider: latency law, requests and tokens per minute (429 beyond them), price.

    A refused request is tried again after `retry_after_s`, doubling each time, plus up to `jitter_ratio` of it,
    at most `retries_max` times; then the step fails. `window_s` is what "per minute" means: 60 s, less in a story that
    was shrunk in time, so that the limits themselves stay as they are.
    """

    name: str
    latency_s: Law
    requests_per_minute: float | None
    tokens_per_minute: float | None
    retry_after_s: float
    jitter_ratio: float
    retries_max: int
    input_usd_per_token: float
    output_usd_per_token: float
    window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Calibrate:
    """Turn the rate of a token bucket until the CPU of a container lies in a band.

    Each rate is tried for `window_s`, whose first `settle_s` are not judged. CPU and memory are parts of the
    container's limits, the two `by` are factors of the rate. At most `rounds_count_max` windows are run;
    `confirm_count` in a row must say the same before a rate that is kept is final.
    """

    rate_limit: str
    container: str
    window_s: float
    settle_s: float
    cpu_ratio_low: float
    cpu_ratio_high: float
    reduce_above_ratio: float
    reduce_by_ratio: float
    raise_below_ratio: float
    raise_by_ratio: float
    memory_ratio_max: float
    rule: Literal["as_written", "damped"]
    rounds_count_max: int
    confirm_count: int


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one metric, of one container or (None) of the whole story. A missing bound is None."""

    name: str
    metric: str
    container: str | None
    value_min: float | None
    value_max: float | None


@dataclass(frozen=True, slots=True)
class When:
    """At `first_s` of the run's window and then again and again `every_s` later; both drawn by the story's seed."""

    first_s: Law
    every_s: Law | None


@dataclass(frozen=True, slots=True)
class KillContainer:
    """SIGKILL through the engine, as `docker kill`: no restart policy follows it."""

    when: When
    container: str


@dataclass(frozen=True, slots=True)
class CrashContainer:
    """The container's first process ends by itself with `exit_code`; its restart policy decides what follows."""

    when: When
    container: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class HangContainer:
    """The container's first process stands still for `duration_s`: it answers no probe, no order and no SIGTERM."""

    when: When
    container: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class KillAgent:
    """SIGKILL one agent's process of a group, another by each draw; the container lives on."""

    when: When
    group: str


@dataclass(frozen=True, slots=True)
class LeakMemory:
    """One more process in the container touches `memory_bytes` evenly over `duration_s` and never gives it back."""

    when: When
    container: str
    memory_bytes: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class FillDisk:
    """One more process in the container writes to its first tmpfs until that is full."""

    when: When
    container: str


@dataclass(frozen=True, slots=True)
class ChangeLimits:
    """New limits for a running container; None leaves one as it is."""

    when: When
    container: str
    cpus_limit: float | None
    memory_bytes_limit: int | None


@dataclass(frozen=True, slots=True)
class StrikeHost:
    """A blow to a whole host; after `down_s` its engine is there again, or never where that is None.

    "stop": the engine ends in order and stops its containers. "crash": the engine is killed, its containers live on
    until it is back and ends them. "loss": engine and containers are gone in the same instant.
    """

    when: When
    host: str
    blow: Literal["stop", "crash", "loss"]
    down_s: float | None


@dataclass(frozen=True, slots=True)
class RudeNotices:
    """What the machine says unasked comes late, twice, at once before the answer it belongs to, or never."""

    late_s: Law
    late_ratio: float
    twice_ratio: float
    early_ratio: float
    lost_ratio: float


Fault = (
    KillContainer
    | CrashContainer
    | HangContainer
    | KillAgent
    | LeakMemory
    | FillDisk
    | ChangeLimits
    | StrikeHost
    | RudeNotices
)


@dataclass(frozen=True, slots=True)
class LiveScale:
    """How a story is shrunk to a small machine; 1.0 leaves it as it is."""

    memory_ratio: float
    time_ratio: float
    cpus_ratio: float


@dataclass(frozen=True, slots=True)
class Story:
    """One validated scenario. `duration_s` counts from the moment all containers are ready.

    `vary` is the path that a search for its capacity varies: a question about the story and no part of what happens,
    so that stories which differ in nothing else are the same story.
    """

    name: str
    purpose: str
    source: str
    seed: int
    duration_s: float
    sample_interval_s: float
    hosts: tuple[Host, ...]
    containers: tuple[Container, ...]
    agents: tuple[AgentGroup, ...]
    rate_limits: tuple[RateLimit, ...]
    providers: tuple[Provider, ...]
    goals: tuple[Goal, ...]
    headline: tuple[str, ...]
    live_scale: LiveScale
    live_able: bool
    networks: tuple[Network, ...] = ()
    faults: tuple[Fault, ...] = ()
    calibrate: Calibrate | None = None
    vary: str | None = field(default=None, compare=False)

    def container(self, name: str) -> Container:
        """The container of that name; KeyError if there is none."""
        for container in self.containers:
            if container.name == name:
                return container
        raise KeyError(name)
