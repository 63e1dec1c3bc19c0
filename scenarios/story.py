"""A story: one scenario after validation, compiled to small slotted classes the hot path can afford.

`schema.py` says what a user may write, `compile.py` turns it into these.
Everything is in base units: seconds, bytes, cores (1.0 is one whole CPU), tokens, US dollars.
Both worlds run a `Story`; neither sees YAML or pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass
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


Stage = Take | Call | Compute | Hold | Leak | Release | Sleep


@dataclass(frozen=True, slots=True)
class Host:
    """A machine as the engine reports it. `context` names a Docker context; None is the default engine."""

    name: str
    cpus_count: float
    memory_bytes: int
    swap_bytes: int
    reserve_bytes: int
    context: str | None


@dataclass(frozen=True, slots=True)
class Container:
    """One container with its limits; None means no limit of its own. Names are unique in a story.

    `cpuset_cpus` are core numbers. `memory_swap_bytes_limit` is memory plus swap, as Docker counts it.
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
class Goal:
    """A bound on one metric, of one container or (None) of the whole story. A missing bound is None."""

    name: str
    metric: str
    container: str | None
    value_min: float | None
    value_max: float | None


@dataclass(frozen=True, slots=True)
class LiveScale:
    """How a story is shrunk to a small machine; 1.0 leaves it as it is."""

    memory_ratio: float
    time_ratio: float
    cpus_ratio: float


@dataclass(frozen=True, slots=True)
class Story:
    """One validated scenario. `duration_s` counts from the moment all containers are ready."""

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

    def container(self, name: str) -> Container:
        """The container of that name; KeyError if there is none."""
        for container in self.containers:
            if container.name == name:
                return container
        raise KeyError(name)
