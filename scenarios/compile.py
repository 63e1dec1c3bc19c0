"""Turns a validated scenario into a `Story`, filling in what follows from the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios import story
from scenarios.fields import MEMSWAP_UNLIMITED

if TYPE_CHECKING:
    from scenarios.schema import AgentGroup, Container, Goal, RateLimit, Scenario, Stage
    from scenarios.schema import Provider as ProviderEntry

# The supervisor, its threads, and room for a shell to look in.
PIDS_SPARE_COUNT = 256
TOKENS_PER_MILLION = 1e6


def compile_story(scenario: Scenario, name: str) -> story.Story:
    """Compile a scenario that `coherence.findings` has nothing against."""
    only_host = next(iter(scenario.hosts))
    only_container = next(iter(scenario.containers))
    scale = scenario.live.scale
    return story.Story(
        name=name,
        purpose=scenario.purpose,
        source=scenario.source or "",
        seed=scenario.seed,
        duration_s=scenario.duration,
        sample_interval_s=scenario.sample_interval,
        hosts=tuple(
            story.Host(key, float(host.cpus), host.memory, host.swap, host.reserve, host.context)
            for key, host in scenario.hosts.items()
        ),
        containers=tuple(
            _container(key, entry, only_host, _pids_count(scenario, key)) for key, entry in scenario.containers.items()
        ),
        agents=tuple(_agents(key, group, only_container) for key, group in scenario.agents.items()),
        rate_limits=tuple(_rate_limit(key, limit) for key, limit in scenario.rate_limits.items()),
        providers=tuple(_provider(key, provider) for key, provider in scenario.providers.items()),
        goals=tuple(_goal(key, goal) for key, goal in scenario.goals.items()),
        headline=scenario.headline,
        live_scale=story.LiveScale(scale.memory, scale.time, scale.cpus),
        live_able=scenario.live.possible,
    )


def _pids_count(scenario: Scenario, container: str) -> int:
    """How many processes and threads a container may need: by default its limit must not be what binds."""
    return PIDS_SPARE_COUNT + sum(
        group.count * (1 + max((stage.compute.threads for stage in group.steps if stage.compute), default=1))
        for group in scenario.agents.values()
        if group.container in {container, None}
    )


def _container(name: str, entry: Container, only_host: str, pids_count: int) -> story.Container:
    return story.Container(
        name=name,
        host=entry.host or only_host,
        cpus_limit=entry.cpus,
        memory_bytes_limit=entry.mem_limit,
        memory_swap_bytes_limit=_memory_swap(entry),
        cpu_shares=entry.cpu_shares,
        cpuset_cpus=entry.cpuset,
        pids_count_limit=entry.pids_limit or pids_count,
        stop_grace_s=entry.stop_grace_period,
    )


def _memory_swap(entry: Container) -> int | None:
    """Docker's default is as much swap again as memory; None is no limit of its own."""
    if entry.memswap_limit == MEMSWAP_UNLIMITED or entry.mem_limit is None:
        return None
    return entry.memswap_limit or 2 * entry.mem_limit


def _agents(name: str, group: AgentGroup, only_container: str) -> story.AgentGroup:
    return story.AgentGroup(
        name=name,
        count=group.count,
        container=group.container or only_container,
        think_s=group.think,
        stages=tuple(_stage(stage) for stage in group.steps),
        process=group.process,
        on_kill=group.on_kill,
        restart_delay_s=group.restart_delay,
    )


def _stage(stage: Stage) -> story.Stage:
    if stage.take is not None:
        return story.Take(stage.take.from_, stage.take.tokens)
    if stage.call is not None:
        return story.Call(stage.call.provider, stage.call.input_tokens, stage.call.output_tokens)
    if stage.compute is not None:
        return story.Compute(stage.compute.cpu, stage.compute.threads)
    if stage.hold is not None:
        return story.Hold(stage.hold)
    if stage.leak is not None:
        return story.Leak(stage.leak)
    return story.Sleep(stage.sleep) if stage.sleep is not None else story.Release()


def _rate_limit(name: str, limit: RateLimit) -> story.RateLimit:
    if limit.rate is not None and limit.capacity is not None:
        level = limit.capacity if limit.level is None else limit.level
        return story.TokenBucket(name, limit.rate, limit.capacity, level, limit.per, limit.debt)
    assert limit.limit is not None, "the schema lets no rolling window pass without its limit"
    return story.RollingWindow(name, limit.limit, limit.window, limit.per)


def _provider(name: str, provider: ProviderEntry) -> story.Provider:
    return story.Provider(
        name=name,
        latency_s=provider.latency,
        requests_per_minute=provider.requests_per_minute,
        tokens_per_minute=provider.tokens_per_minute,
        retry_after_s=provider.retry_after,
        jitter_ratio=provider.jitter,
        retries_max=provider.retries,
        input_usd_per_token=provider.price.input_usd_per_million_tokens / TOKENS_PER_MILLION,
        output_usd_per_token=provider.price.output_usd_per_million_tokens / TOKENS_PER_MILLION,
    )


def _goal(key: str, goal: Goal) -> story.Goal:
    """A goal in a list is called by its own name, or by its metric; in a mapping by its key."""
    name = goal.name or (goal.metric if key.isdigit() else key)
    return story.Goal(name, goal.metric, goal.container, goal.min, goal.max)
