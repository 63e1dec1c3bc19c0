"""What a story's agents ask for, in closed form: nobody waits for a CPU, limits on tokens hold back on average.

Formula: a closed loop of `count` agents, each think time plus step time long, finishes count / (think + step) steps a
second; a token bucket or window bounds that by its rate over the tokens a step takes, a provider by its requests and
tokens per minute. It is an upper bound: waiting for the CPU, retries and kills make real loops slower.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenarios.laws import law_max, law_mean
from scenarios.story import Call, Compute, Hold, Leak, Release, RollingWindow, Sleep, Take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenarios.story import AgentGroup, Law, RateLimit, Stage, Story

# The kernel's quota period, which Docker leaves at its default.
PERIOD_S = 0.1
# What one more forked agent process adds (measured 2026-11-21: about 1 MB); for proportions and warnings only, the
# physics takes its own figure from the host profile.
AGENT_PROCESS_BYTES = 1_000_000
# The worker image's supervisor (measured 2026-11-21: about 4 MB).
SUPERVISOR_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class GroupDemand:
    """What one group asks for. Means are over time; `held_bytes_max` counts every agent at its largest at once.

    `step_s_mean` is the length of a step with its think time where nobody waits; `steps_per_s` is of the whole group,
    with rate limits taken into account; `bound_by` names the rate limit or provider that holds it back, if one does.
    """

    step_s_mean: float
    steps_per_s: float
    bound_by: str | None
    cpu_s_mean: float
    cpus_mean: float
    burst_s_mean: float
    threads_max: int
    held_bytes_mean: float
    held_bytes_max_mean: float
    held_bytes_max: float
    leaked_bytes_per_s: float


def group_demand(story: Story, group: AgentGroup) -> GroupDemand:
    """Return what a group asks for."""
    step_s = law_mean(group.think_s) + math.fsum(stage_s_mean(story, stage) for stage in group.stages)
    bounds = [(group.count / step_s if step_s else math.inf, None), *_bounds(story, group)]
    steps_per_s, bound_by = min(bounds, key=lambda bound: bound[0])
    computes = [stage for stage in group.stages if isinstance(stage, Compute)]
    cpu_s = math.fsum(law_mean(stage.cpu_s) for stage in computes)
    held_byte_s, held_max_mean = _held(story, group, law_mean)
    leaked = math.fsum(law_mean(stage.memory_bytes) for stage in group.stages if isinstance(stage, Leak))
    return GroupDemand(
        step_s_mean=step_s,
        steps_per_s=steps_per_s,
        bound_by=bound_by,
        cpu_s_mean=cpu_s,
        cpus_mean=cpu_s * steps_per_s,
        burst_s_mean=max((law_mean(stage.cpu_s) for stage in computes), default=0.0),
        threads_max=max((stage.threads for stage in computes), default=1),
        held_bytes_mean=held_byte_s * steps_per_s,
        held_bytes_max_mean=held_max_mean,
        held_bytes_max=group.count * _held(story, group, law_max)[1],
        leaked_bytes_per_s=leaked * steps_per_s,
    )


def stage_s_mean(story: Story, stage: Stage) -> float:
    """Return how long a stage takes on average where nobody waits; memory and files take no time."""
    if isinstance(stage, Sleep):
        return law_mean(stage.duration_s)
    if isinstance(stage, Compute):
        return law_mean(stage.cpu_s) / stage.threads
    if isinstance(stage, Call):
        return next(law_mean(one.latency_s) for one in story.providers if one.name == stage.provider)
    return 0.0


def tokens_per_s(limit: RateLimit) -> float:
    """Return how many tokens a rate limit grants in the long run, to one agent or to all that share it."""
    return limit.limit_tokens / limit.window_s if isinstance(limit, RollingWindow) else limit.rate_tokens_per_s


def tokens_per_step(group: AgentGroup, rate_limit: str) -> float:
    """Return how many tokens one step of the group takes from a rate limit on average."""
    takes = [stage for stage in group.stages if isinstance(stage, Take) and stage.rate_limit == rate_limit]
    return math.fsum(law_mean(take.tokens) for take in takes)


def _bounds(story: Story, group: AgentGroup) -> Iterator[tuple[float, str | None]]:
    """Yield the steps per second that each rate limit and provider allows the group if nobody else uses it."""
    for limit in story.rate_limits:
        tokens = tokens_per_step(group, limit.name)
        if tokens:
            sharers = group.count if limit.scope == "agent" else 1
            yield sharers * tokens_per_s(limit) / tokens, f"rate_limits.{limit.name}"
    for provider in story.providers:
        calls = [stage for stage in group.stages if isinstance(stage, Call) and stage.provider == provider.name]
        tokens = math.fsum(law_mean(call.input_tokens) + law_mean(call.output_tokens) for call in calls)
        if calls and provider.requests_per_minute is not None:
            yield provider.requests_per_minute / provider.window_s / len(calls), f"providers.{provider.name}"
        if tokens and provider.tokens_per_minute is not None:
            yield provider.tokens_per_minute / provider.window_s / tokens, f"providers.{provider.name}"


def _held(story: Story, group: AgentGroup, size_of: Callable[[Law], float]) -> tuple[float, float]:
    """Walk through a step: the memory it holds times how long (byte-seconds), and the most it holds at once."""
    held, held_max, byte_s = 0.0, 0.0, 0.0
    for stage in group.stages:
        if isinstance(stage, Hold):
            held += size_of(stage.memory_bytes)
            held_max = max(held_max, held)
        elif isinstance(stage, Release):
            held = 0.0
        elif held:
            byte_s += held * stage_s_mean(story, stage)
    return byte_s, held_max
