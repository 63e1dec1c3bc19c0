"""The scenario language: what a user may write, as frozen pydantic models.

The fields carry the names of the language, which are Compose's own wherever Compose has the key; the unit is in the
field's type (`fields.py`). `coherence.py` checks what spans several fields, `compile.py` turns it all into a `Story`.
`reserved` lists the keys that are kept for coming versions: they are refused with a line that says so.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from scenarios.entry import Entry
from scenarios.errors import BadValueError
from scenarios.fields import (
    AgentsCount,
    Cores,
    Cpuset,
    Duration,
    DurationLaw,
    Flag,
    HostCores,
    HostMemory,
    Jitter,
    Level,
    MemLimit,
    MemSwapLimit,
    MetricName,
    Name,
    PidsCount,
    Ratio,
    RetriesCount,
    RunDuration,
    SampleInterval,
    Seed,
    Shares,
    Size,
    SizeLaw,
    Text,
    ThreadsCount,
    Tokens,
    TokensLaw,
    UsdPrice,
    Window,
)
from scenarios.law_reader import KINDS
from scenarios.metric_names import METRICS, read_bound
from scenarios.story import Law

# More of anything is a slip, or a machine writing scenarios for nobody to read.
NAMES_COUNT_MAX = 10_000
STEPS_COUNT_MAX = 100
HEADLINE_COUNT_MAX = 40

HEADLINE_DEFAULT = (
    "steps_per_s",
    "cpu_cores_mean",
    "memory_bytes_max",
    "step_latency_s_mean",
    "step_latency_s_p95",
    "oom_kill_count",
)


class Host(Entry):
    """A machine: what its Docker engine may give to containers."""

    reserved = ("gpus", "numa", "address_pools", "disk", "background")

    cpus: HostCores = Field(description="Cores, as `docker info` counts them.", examples=[4])
    memory: HostMemory = Field(description="Memory of the machine.", examples=["16g"])
    swap: Size = Field(default=0, description="Swap space of the machine.")
    reserve: Size = Field(default=0, description="Memory that the system itself needs and containers cannot have.")
    context: Text | None = Field(default=None, description="Docker context of the engine; none is the default engine.")


class Container(Entry):
    """A container and its limits, under Compose's names."""

    reserved = (
        *("build", "cap_add", "cap_drop", "command", "depends_on", "deploy", "devices", "entrypoint", "environment"),
        *("gpus", "healthcheck", "image", "mem_reservation", "networks", "ports", "privileged", "read_only"),
        *("replicas", "restart", "security_opt", "storage_opt", "tmpfs", "user", "volumes"),
    )

    host: Name | None = Field(
        default=None, description="Which host runs it; needed where there are several.", examples=["local"]
    )
    cpus: Cores | None = Field(
        default=None, description="CPU quota in cores: 0.5 is 50 ms in each 100 ms. Left out: no quota."
    )
    mem_limit: MemLimit | None = Field(default=None, description="Memory limit, 6m or more. Left out: no limit.")
    memswap_limit: MemSwapLimit | None = Field(
        default=None,
        description="Memory plus swap. Left out: twice mem_limit, as Docker does; equal to mem_limit: no swap.",
    )
    cpu_shares: Shares = Field(
        default=1024, description="Weight against other containers when the cores are contended."
    )
    cpuset: Cpuset | None = Field(
        default=None, description="Cores it may use, such as 0-3,5. Left out: all of the host."
    )
    pids_limit: PidsCount | None = Field(
        default=None, description="Most processes and threads. Left out: enough for its agents."
    )
    stop_grace_period: Duration = Field(default=10.0, description="Time between SIGTERM and SIGKILL.")


# The stages of a step.


def _nothing() -> Law:
    return Law("constant", (0.0,))


class Take(Entry):
    """Take tokens from a rate limit, and wait until they are granted."""

    from_: Name = Field(alias="from", description="Which of rate_limits.", examples=["llm"])
    tokens: TokensLaw = Field(description="Tokens per step.", examples=[60])


class Call(Entry):
    """Call an LLM provider and wait for its answer."""

    provider: Name = Field(description="Which of providers.", examples=["llm"])
    input_tokens: TokensLaw = Field(default_factory=_nothing, description="Tokens sent; default 0.")
    output_tokens: TokensLaw = Field(default_factory=_nothing, description="Tokens received; default 0.")


class Compute(Entry):
    """Use the CPU."""

    cpu: DurationLaw = Field(description="CPU time in total, over all threads.", examples=["20ms"])
    threads: ThreadsCount = Field(default=1, description="Threads the CPU time is spread over evenly.")


class Release(Entry):
    """Give back all memory that the step holds."""


def _compute_in_full(value: object) -> object:
    """Turn the short form (`compute: 20ms`, `compute: {exponential: 20ms}`) into the long one."""
    if isinstance(value, dict) and not any(kind in value for kind in KINDS):
        return value
    return {"cpu": value}


def _release_in_full(value: object) -> object:
    return {} if value is None else value


class Stage(Entry):
    """One stage of a step: a mapping of exactly one key, or the bare word `release`."""

    reserved = ("write", "call_service", "gpu")
    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    take: Take | None = Field(default=None, description="Take tokens from a rate limit: {from: llm, tokens: 60}.")
    call: Call | None = Field(default=None, description="Call an LLM provider: {provider: llm, input_tokens: 1500}.")
    compute: (
        Annotated[Compute, BeforeValidator(_compute_in_full, json_schema_input_type=Compute | DurationLaw)] | None
    ) = Field(default=None, description="Use the CPU: 20ms, or {cpu: {exponential: 20ms}, threads: 2}.")
    hold: SizeLaw | None = Field(
        default=None, description="Touch this much memory, and keep it until release or the step's end."
    )
    leak: SizeLaw | None = Field(default=None, description="Touch this much memory, and never give it back.")
    release: Annotated[Release, BeforeValidator(_release_in_full, json_schema_input_type=Release | None)] | None = (
        Field(default=None, description="Give back all memory that the step holds.")
    )
    sleep: DurationLaw | None = Field(default=None, description="Wait without using the CPU.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise BadValueError(f"exactly one stage out of {', '.join(type(self).model_fields)}", "{compute: 20ms}")
        return self


def _stage_in_full(value: object) -> object:
    return {"release": {}} if value == "release" else value


StageInFull = Annotated[Stage, BeforeValidator(_stage_in_full, json_schema_input_type=Stage | Literal["release"])]


class AgentGroup(Entry):
    """Equal agents in one container, each a closed loop: think, then the stages of one step, for ever."""

    reserved = ("pool", "tasks", "trace")

    count: AgentsCount = Field(default=1, description="How many agents.")
    container: Name | None = Field(
        default=None,
        description="Which container they live in; needed where there are several.",
        examples=["agents"],
    )
    think: DurationLaw = Field(default_factory=_nothing, description="Pause before each step, without CPU; default 0.")
    steps: tuple[StageInFull, ...] = Field(
        min_length=1,
        max_length=STEPS_COUNT_MAX,
        description="The stages of one step, one after another.",
        examples=[[{"compute": "20ms"}]],
    )
    process: Literal["own", "main"] = Field(
        default="own",
        description="own: a process per agent. main: all in the container's first process, which dies as one.",
    )
    on_kill: Literal["restart", "stop"] = Field(
        default="restart", description="What an agent does when its process is killed."
    )
    restart_delay: Duration = Field(default=1.0, description="Pause before an agent starts anew.")


class RateLimit(Entry):
    """A limit on tokens: a bucket that refills steadily, or a window that rolls."""

    kind: Literal["token_bucket", "rolling_window"] = Field(
        description="token_bucket: rate and capacity. rolling_window: limit and window.",
        examples=["token_bucket"],
    )
    rate: Tokens | None = Field(default=None, description="Bucket: tokens per second that drip in.")
    capacity: Tokens | None = Field(default=None, description="Bucket: tokens it holds at most.")
    level: Level | None = Field(default=None, description="Bucket: tokens in it at the start. Left out: full.")
    debt: Flag = Field(
        default=False, description="Bucket: spend beyond what is there, then wait until it is paid back."
    )
    limit: Tokens | None = Field(default=None, description="Window: tokens within any one window.")
    window: Window = Field(default=60.0, description="Window: its length.")
    per: Literal["agent", "shared"] = Field(default="shared", description="One for each agent, or one that all share.")

    @model_validator(mode="after")
    def _fields_of_its_kind(self) -> Self:
        own = _FIELDS_OF_KIND[self.kind]
        for name in sorted(self.model_fields_set - {"kind", "per", *own}):
            raise BadValueError(f"left out, because a {self.kind} has {', '.join(own)} and per", at=(name,))
        for name, example in _FIELDS_NEEDED[self.kind].items():
            if getattr(self, name) is None:
                raise BadValueError(f"a number of tokens: a {self.kind} needs it", f"{example}", at=(name,))
        if self.level is not None and self.capacity is not None and self.level > self.capacity:
            raise BadValueError(f"at most the capacity, {self.capacity:g}", f"{self.capacity:g}", at=("level",))
        return self


_FIELDS_OF_KIND = {"token_bucket": ("rate", "capacity", "level", "debt"), "rolling_window": ("limit", "window")}
_FIELDS_NEEDED = {"token_bucket": {"rate": 10, "capacity": 100}, "rolling_window": {"limit": 600}}


class Price(Entry):
    """What a provider charges."""

    input_usd_per_million_tokens: UsdPrice = Field(default=0.0, description="US dollars per million tokens sent.")
    output_usd_per_million_tokens: UsdPrice = Field(default=0.0, description="US dollars per million tokens received.")


class Provider(Entry):
    """An LLM provider: how long it takes, what it allows, what it costs."""

    latency: DurationLaw = Field(
        description="Time from request to answer.", examples=[{"lognormal": {"mean": "4s", "cv": 0.5}}]
    )
    requests_per_minute: Tokens | None = Field(
        default=None, description="Requests beyond this get a 429. Left out: no limit."
    )
    tokens_per_minute: Tokens | None = Field(
        default=None, description="Tokens beyond this get a 429. Left out: no limit."
    )
    # As a window, never nothing: a wait of no time would ask again in the same instant.
    retry_after: Window = Field(default=1.0, description="Wait after the first 429; it doubles with each further one.")
    jitter: Jitter = Field(
        default=0.0, description="Up to this share is added to each wait, so that retries spread out."
    )
    retries: RetriesCount = Field(default=5, description="Further attempts after a 429; then the step fails.")
    price: Price = Field(default_factory=Price, description="What it charges.")


class Goal(Entry):
    """A bound on a metric: what it means that the story fits."""

    name: Text | None = Field(default=None, description="What to call the goal, where goals are a list.")
    metric: MetricName = Field(description="Which metric is bounded.", examples=["oom_kill_count"])
    container: Name | None = Field(default=None, description="Of which container. Left out: of the whole story.")
    min: float | None = Field(default=None, description="Lowest good value, in the metric's unit: 0.7, 200ms, 3g.")
    max: float | None = Field(default=None, description="Highest good value, in the metric's unit: 0.8, 200ms, 3g.")

    @field_validator("min", "max", mode="plain", json_schema_input_type=float | str)
    @classmethod
    def _in_the_unit_of_the_metric(cls, value: object, info: ValidationInfo) -> float | None:
        metric = METRICS.get(info.data.get("metric", ""))
        return None if value is None or metric is None else read_bound(metric, value)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise BadValueError("given, or min, or both", "0", at=("max",))
        if self.min is not None and self.max is not None and self.min > self.max:
            raise BadValueError("at least min", at=("max",))
        return self


def _goals_by_name(value: object) -> object:
    """Turn a list of goals into a mapping, so that both forms are one from here on."""
    return {str(index): goal for index, goal in enumerate(value)} if isinstance(value, list) else value


class Scale(Entry):
    """How far a story is shrunk for a small machine; it says nothing of the full-size story's physics."""

    memory: Ratio = Field(default=1.0, description="Sizes and limits are multiplied by this.")
    time: Ratio = Field(default=1.0, description="Durations and CPU times are multiplied by this, rates divided.")
    cpus: Ratio = Field(default=1.0, description="Quotas and the host's cores are multiplied by this.")


class Live(Entry):
    """How the story runs on a real Docker engine."""

    reserved = ("cpuset",)

    scale: Scale = Field(default_factory=Scale, description="How it is shrunk, in both worlds.")
    possible: Flag = Field(default=True, description="Whether a small machine with Docker can run it at all.")
    reason: Text | None = Field(default=None, description="Why it is not possible live.")


class Scenario(Entry):
    """A scenario as written: machines, containers, agents, limits, and what it means that they fit."""

    model_config = ConfigDict(title="A Tonnage scenario")
    reserved = (
        *("links", "tasks", "pools", "autoscalers", "admission", "schedulers", "routing", "placement", "failover"),
        *("faults", "calibrate", "capacity", "networks", "services", "volumes"),
    )

    purpose: Text = Field(
        description="One sentence: what this story shows.", examples=["Five agents share half a core."]
    )
    source: Text | None = Field(default=None, description="Where the story or its figures come from.")
    seed: Seed = Field(
        default=1, description="The workload's seed: the same seed draws the same demands in both worlds."
    )
    duration: RunDuration = Field(
        description="How long it runs, from the moment all containers are ready.", examples=["30s"]
    )
    sample_interval: SampleInterval = Field(default=0.5, description="How often containers are sampled; 100ms or more.")
    hosts: dict[Name, Host] = Field(
        min_length=1,
        max_length=NAMES_COUNT_MAX,
        description="The machines, by name.",
        examples=[{"local": {"cpus": 4, "memory": "16g"}}],
    )
    containers: dict[Name, Container] = Field(
        min_length=1,
        max_length=NAMES_COUNT_MAX,
        description="The containers, by name.",
        examples=[{"agents": {"cpus": 0.5, "mem_limit": "512m"}}],
    )
    agents: dict[Name, AgentGroup] = Field(
        default_factory=dict, max_length=NAMES_COUNT_MAX, description="The groups of equal agents, by name."
    )
    rate_limits: dict[Name, RateLimit] = Field(
        default_factory=dict, max_length=NAMES_COUNT_MAX, description="Token buckets and rolling windows, by name."
    )
    providers: dict[Name, Provider] = Field(
        default_factory=dict, max_length=NAMES_COUNT_MAX, description="LLM providers, by name."
    )
    goals: Annotated[
        dict[Name, Goal], BeforeValidator(_goals_by_name, json_schema_input_type=dict[Name, Goal] | list[Goal])
    ] = Field(
        default_factory=dict, max_length=NAMES_COUNT_MAX, description="What it means that the story fits, by name."
    )
    headline: tuple[MetricName, ...] = Field(
        default=HEADLINE_DEFAULT,
        min_length=1,
        max_length=HEADLINE_COUNT_MAX,
        description="The metrics that count, named before the run.",
    )
    live: Live = Field(default_factory=Live, description="Whether and how a real Docker engine can run it.")
