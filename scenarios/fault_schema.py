"""What goes wrong on purpose: the entries of `faults`, each of exactly one kind, most at a time of the run."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from scenarios.entry import Entry
from scenarios.errors import BadValueError
from scenarios.fields import Cores, Duration, DurationLaw, ExitCode, HangSpan, MemLimit, Name, Share, SomeMemory, Span

FAULTS_COUNT_MAX = 1000
# These hold for the whole run, and have no time of their own.
TIMELESS = ("slow_start", "notices")


class Crash(Entry):
    """A container's first process ends by itself."""

    container: Name = Field(description="Which container.", examples=["agents"])
    exit_code: ExitCode = Field(default=1, description="Its exit code, 1 to 255; default 1.")


class Hang(Entry):
    """A container's first process stands still, deaf to probes, orders and SIGTERM."""

    container: Name = Field(description="Which container.", examples=["agents"])
    for_: HangSpan = Field(alias="for", description="How long, a day at most.", examples=["5s"])


class MemoryLeak(Entry):
    """One more process in a container takes memory, evenly, and never gives it back."""

    container: Name = Field(description="Which container.", examples=["agents"])
    memory: SomeMemory = Field(description="How much in the end.", examples=["100m"])
    over: Span = Field(description="How long it takes to get there.", examples=["10s"])


class NewLimits(Entry):
    """Other limits for a container that runs."""

    container: Name = Field(description="Which container.", examples=["agents"])
    cpus: Cores | None = Field(default=None, description="Its new CPU quota in cores. Left out: as it is.")
    mem_limit: MemLimit | None = Field(default=None, description="Its new memory limit. Left out: as it is.")

    @model_validator(mode="after")
    def _something_new(self) -> Self:
        if self.cpus is None and self.mem_limit is None:
            raise BadValueError("given, or mem_limit, or both", "0.5", at=("cpus",))
        return self


class Outage(Entry):
    """A host's engine, or the host itself, is away."""

    host: Name | None = Field(default=None, description="Which host; needed where there are several.")
    for_: Span | None = Field(
        default=None, alias="for", description="How long, until it is started again. Left out: for good."
    )


class SlowStart(Entry):
    """A container's own program takes a while before it is ready."""

    container: Name = Field(description="Which container.", examples=["agents"])
    delay: Duration = Field(description="How long, asleep.", examples=["3s"])


class Rudeness(Entry):
    """How the engine tells of what happened: late, twice, too early, or never. Shares of all it tells."""

    late: DurationLaw | None = Field(default=None, description="How much later.", examples=["2s"])
    late_ratio: Share | None = Field(default=None, description="Share that is late; all of it by default.")
    twice: Share = Field(default=0.0, description="Share that is told a second time.")
    early: Share = Field(
        default=0.0,
        description="Share that is told at once, before the answer it belongs to (a real engine's notices are never "
        "held back, so it changes nothing there).",
    )
    lost: Share = Field(default=0.0, description="Share that is never told.")

    @model_validator(mode="after")
    def _something_rude(self) -> Self:
        if not self.model_fields_set:
            raise BadValueError("given, or another of late, twice and early", "0.1", at=("lost",))
        if self.late is None and self.late_ratio is not None:
            raise BadValueError("given where late_ratio is", "2s", at=("late",))
        return self


def _container_in_full(value: object) -> object:
    return value if isinstance(value, dict) else {"container": value}


def _host_in_full(value: object) -> object:
    return value if isinstance(value, dict) else {"host": value}


CrashInFull = Annotated[Crash, BeforeValidator(_container_in_full, json_schema_input_type=Crash | Name)]
OutageInFull = Annotated[Outage, BeforeValidator(_host_in_full, json_schema_input_type=Outage | Name)]


class Fault(Entry):
    """One thing that goes wrong on purpose: exactly one kind, and when."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 3})

    at: DurationLaw | None = Field(default=None, description="When, from the beginning of the run's window.")
    every: DurationLaw | None = Field(default=None, description="And again so much later, over and over.")
    kill: Name | None = Field(default=None, description="SIGKILL a container through the engine, as docker kill.")
    crash: CrashInFull | None = Field(
        default=None,
        description="A container's first process ends by itself: agents, {container: agents, exit_code: 3}.",
    )
    hang: Hang | None = Field(default=None, description="A container stands still: {container: agents, for: 5s}.")
    kill_process: Name | None = Field(default=None, description="SIGKILL the process of one agent of a group.")
    leak: MemoryLeak | None = Field(
        default=None, description="A container's memory is taken: {container: agents, memory: 100m, over: 10s}."
    )
    fill_disk: Name | None = Field(default=None, description="Fill a container's first tmpfs.")
    limit: NewLimits | None = Field(default=None, description="Change limits: {container: agents, cpus: 0.5}.")
    stop_engine: OutageInFull | None = Field(
        default=None, description="The engine ends in order, and its containers with it: local, {for: 5s}."
    )
    crash_engine: OutageInFull | None = Field(
        default=None,
        description="The engine is killed, and its containers live on until it is back: local, {for: 5s}.",
    )
    lose_host: OutageInFull | None = Field(
        default=None, description="A host is gone at once with all that runs on it: local, {host: local, for: 5s}."
    )
    slow_start: SlowStart | None = Field(
        default=None, description="A container takes longer to be ready: {container: agents, delay: 3s}."
    )
    notices: Rudeness | None = Field(
        default=None, description="What the engine tells comes late, twice, early or never: {late: 2s, lost: 0.1}."
    )

    @property
    def kind(self) -> str:
        """Which of the kinds it is."""
        return next(name for name in type(self).model_fields if name in self.model_fields_set - {"at", "every"})

    @model_validator(mode="after")
    def _exactly_one_kind(self) -> Self:
        kinds = [name for name in type(self).model_fields if name not in {"at", "every"}]
        if len(self.model_fields_set.intersection(kinds)) != 1:
            raise BadValueError(f"exactly one kind out of {', '.join(kinds)}", "{kill: agents, at: 10s}")
        return self

    @model_validator(mode="after")
    def _at_a_time(self) -> Self:
        if self.kind in TIMELESS:
            for name in ("at", "every"):
                if getattr(self, name) is not None:
                    raise BadValueError(f"left out, because {self.kind} holds for the whole run", at=(name,))
        elif self.at is None:
            raise BadValueError("the time of the run at which it happens", "10s", at=("at",))
        return self
