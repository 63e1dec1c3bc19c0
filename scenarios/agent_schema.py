"""What agents do: the stages of a step, as bare words, short forms and mappings, and the groups that repeat them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from scenarios.entry import Entry
from scenarios.errors import BadValueError
from scenarios.fields import (
    AgentsCount,
    Duration,
    DurationLaw,
    Name,
    SizeLaw,
    ThreadsCount,
    TokensLaw,
)
from scenarios.law_reader import KINDS
from scenarios.story import Law

STEPS_COUNT_MAX = 100
# Stages that say everything by their name may stand as a bare word.
BARE_WORDS = ("release", "erase")

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


class Erase(Entry):
    """Delete what the agent wrote to its container's disk."""


def _compute_in_full(value: object) -> object:
    """Turn the short form (`compute: 20ms`, `compute: {exponential: 20ms}`) into the long one."""
    if isinstance(value, dict) and not any(kind in value for kind in KINDS):
        return value
    return {"cpu": value}


def _bare_in_full(value: object) -> object:
    return {} if value is None else value


class Stage(Entry):
    """One stage of a step: a mapping of exactly one key, or one of the bare words `release` and `erase`."""

    reserved = ("call_service", "gpu")
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
    release: Annotated[Release, BeforeValidator(_bare_in_full, json_schema_input_type=Release | None)] | None = Field(
        default=None, description="Give back all memory that the step holds."
    )
    sleep: DurationLaw | None = Field(default=None, description="Wait without using the CPU.")
    write: SizeLaw | None = Field(
        default=None, description="Append this much to the agent's file on the container's first tmpfs or its volume."
    )
    read: SizeLaw | None = Field(
        default=None, description="Read the agent's file from its beginning: this much, or as much as there is."
    )
    erase: Annotated[Erase, BeforeValidator(_bare_in_full, json_schema_input_type=Erase | None)] | None = Field(
        default=None, description="Delete the agent's file."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise BadValueError(f"exactly one stage out of {', '.join(type(self).model_fields)}", "{compute: 20ms}")
        return self


def _stage_in_full(value: object) -> object:
    return {value: {}} if isinstance(value, str) and value in BARE_WORDS else value


StageInFull = Annotated[
    Stage, BeforeValidator(_stage_in_full, json_schema_input_type=Stage | Literal["release", "erase"])
]


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
