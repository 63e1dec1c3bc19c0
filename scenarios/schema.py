"""The scenario language: what a user may write, as frozen pydantic models.

The fields carry the names of the language, which are Compose's own wherever Compose has the key; the unit is in the
field's type (`fields.py`). Containers, agents, faults, calibration and capacity have files of their own.
`coherence.py` checks what spans several fields, `compile.py` turns it all into a `Story`.
`reserved` lists the keys that are kept for coming versions: they are refused with a line that says so.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)

from scenarios.agent_schema import AgentGroup  # noqa: TC001 - Pydantic reads it when the class is made.
from scenarios.calibrate_schema import Calibrate  # noqa: TC001 - As above.
from scenarios.capacity_schema import Capacity, refuse_unvariable
from scenarios.container_schema import Container, NetworkInFull  # noqa: TC001 - As above.
from scenarios.entry import Entry
from scenarios.errors import BadValueError
from scenarios.fault_schema import FAULTS_COUNT_MAX, Fault
from scenarios.fields import (
    NAMES_COUNT_MAX,
    DurationLaw,
    Flag,
    HostCores,
    HostMemory,
    Jitter,
    Level,
    MetricName,
    Name,
    Ratio,
    RetriesCount,
    RunDuration,
    SampleInterval,
    Seed,
    Size,
    Span,
    Text,
    Tokens,
    UsdPrice,
    Window,
)
from scenarios.metric_names import METRICS, read_bound

HEADLINE_COUNT_MAX = 40

HEADLINE_DEFAULT = (
    "steps_per_s",
    "cpu_cores_mean",
    "memory_bytes_max",
    "step_latency_s_mean",
    "step_latency_s_p95",
    "oom_kill_count",
)


class Probe(Entry):
    """A small task on a machine outside all containers: how soon does the machine itself get its CPU?"""

    # At a multiple of a tick or of a quota period it would meet these at the same moment each time.
    every: Span = Field(
        description="From one time it is due to the next; 20ms or more, and best no multiple of 4ms.",
        examples=["97.3ms"],
    )
    compute: Span = Field(description="CPU time it needs each time; less than `every`.", examples=["2ms"])


class Host(Entry):
    """A machine: what its Docker engine may give to containers."""

    reserved = ("gpus", "numa", "address_pools", "disk", "background")

    cpus: HostCores = Field(description="Cores, as `docker info` counts them.", examples=[4])
    memory: HostMemory = Field(description="Memory of the machine.", examples=["16g"])
    swap: Size = Field(default=0, description="Swap space of the machine.")
    reserve: Size = Field(default=0, description="Memory that the system itself needs and containers cannot have.")
    context: Text | None = Field(default=None, description="Docker context of the engine; none is the default engine.")
    probe: Probe | None = Field(
        default=None,
        description="A task outside all containers, whose latency is measured: {every: 97.3ms, compute: 2ms}.",
    )


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
        *("services", "volumes"),
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
    networks: dict[Name, NetworkInFull] = Field(
        default_factory=dict, max_length=NAMES_COUNT_MAX, description="The networks between containers, by name."
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
    faults: tuple[Fault, ...] = Field(
        default=(), max_length=FAULTS_COUNT_MAX, description="What goes wrong on purpose, and when: a list."
    )
    calibrate: Calibrate | None = Field(
        default=None,
        description="Turn a token bucket's rate until a container's CPU lies in a band: {turn: llm, watch: agents}.",
    )
    capacity: Capacity | None = Field(
        default=None,
        description="What `tonnage capacity` varies where nobody says otherwise: {vary: agents.worker.count}.",
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

    @model_validator(mode="wrap")
    @classmethod
    def _what_capacity_varies_is_written(cls, written: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 - YAML holds anything.
        # Here and not with the coherent rest, because the path is one of the file and not of the models.
        scenario = handler(written)
        if scenario.capacity is not None:
            refuse_unvariable(written, scenario.capacity.vary)
        return scenario
