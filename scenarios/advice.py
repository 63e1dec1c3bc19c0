"""Warnings of what a sound scenario will probably run into, each one sentence with its figures.

Limits may be over-committed, demand may not: the two are kept apart. The figures are the closed forms of `demand.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenarios.demand import (
    AGENT_PROCESS_BYTES,
    PERIOD_S,
    SUPERVISOR_BYTES,
    GroupDemand,
    group_demand,
    tokens_per_s,
    tokens_per_step,
)
from scenarios.laws import law_max, law_mean
from scenarios.life_advice import crowded, life_warnings, loop_of, restarts
from scenarios.metric_names import METRICS
from scenarios.story import Call, Erase, Hold, Read, Release, RollingWindow, Take, Write
from scenarios.units import show_duration, show_number, show_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios.story import AgentGroup, Container, Host, RateLimit, Story

# Below this share of what a limit grants, nobody ever waits for it.
NEVER_BINDS_RATIO = 0.8
# A 99th percentile of fewer steps is the worst step and little else.
STEPS_COUNT_MIN = 100


@dataclass(frozen=True, slots=True)
class Advice:
    """One warning: the dotted path of what it is about, and one sentence."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


def advise(story: Story) -> tuple[Advice, ...]:
    """Return every warning about a story, in the order hosts, containers, agents, rate limits, providers, goals."""
    demands = {group.name: group_demand(story, group) for group in story.agents}
    return tuple(_all(story, demands))


def _all(story: Story, demands: dict[str, GroupDemand]) -> Iterator[Advice]:
    for host in story.hosts:
        yield from _host(story, host, demands)
    for container in story.containers:
        yield from _container(story, container, demands)
    for group in story.agents:
        yield from _agents(story, group, demands[group.name])
    for limit in story.rate_limits:
        yield from _rate_limit(story, limit, demands)
    yield from _providers(story)
    yield from _goals(story)
    yield from _length(story, demands)


# Hosts: what their containers may take together, and what they will ask for.


def _host(story: Story, host: Host, demands: dict[str, GroupDemand]) -> Iterator[Advice]:
    path = f"hosts.{host.name}"
    yield from (Advice(path, text) for text in crowded(story, host))
    here = [container for container in story.containers if container.host == host.name]
    free = host.memory_bytes - host.reserve_bytes
    limits = sum(container.memory_bytes_limit or 0 for container in here)
    if limits > free:
        yield Advice(
            path,
            f"memory limits add up to {show_size(limits)} of {show_size(free)}: over-committed, which holds only "
            "while not all use theirs.",
        )
    cpus = math.fsum(container.cpus_limit or 0.0 for container in here)
    if cpus > host.cpus_count:
        yield Advice(
            path,
            f"CPU limits add up to {show_number(cpus)} of {show_number(host.cpus_count)} cores: over-committed, "
            "which holds only while not all use theirs.",
        )
    asked = math.fsum(_cpus_asked(story, container, demands) for container in here)
    if asked > host.cpus_count:
        yield Advice(
            path,
            f"agents ask for {show_number(asked)} cores of {show_number(host.cpus_count)} on average: cores are "
            "the bottleneck, and steps take longer until the demand fits.",
        )
    held = math.fsum(
        min(_memory_mean(story, container, demands), container.memory_bytes_limit or math.inf) for container in here
    )
    if held > free:
        yield Advice(
            path,
            f"agents hold {show_size(held)} of {show_size(free)} on average: the host itself runs out of memory.",
        )


def _cpus_asked(story: Story, container: Container, demands: dict[str, GroupDemand]) -> float:
    """What the container's agents ask for, less what its own quota keeps from the host."""
    asked = math.fsum(demands[group.name].cpus_mean for group in _groups(story, container))
    return min(asked, container.cpus_limit or math.inf)


def _groups(story: Story, container: Container) -> list[AgentGroup]:
    return [group for group in story.agents if group.container == container.name]


def _base_bytes(story: Story, container: Container) -> float:
    """What its processes need before they do anything; of a program of the user's own nothing is known."""
    if container.foreign is not None:
        return 0.0
    processes = sum(group.count for group in _groups(story, container) if group.process == "own")
    return SUPERVISOR_BYTES + processes * AGENT_PROCESS_BYTES


def _memory_mean(story: Story, container: Container, demands: dict[str, GroupDemand]) -> float:
    held = math.fsum(demands[group.name].held_bytes_mean for group in _groups(story, container))
    return _base_bytes(story, container) + held


# Containers: demand against their own limits.


def _container(story: Story, container: Container, demands: dict[str, GroupDemand]) -> Iterator[Advice]:
    path = f"containers.{container.name}"
    groups = _groups(story, container)
    yield from (Advice(path, text) for text in life_warnings(story, container))
    yield from _tmpfs(story, path, container, demands)
    yield from _page_cache(story, path, container, demands)
    if not groups:
        if container.foreign is None:
            yield Advice(path, "no agents live in it, so it only starts and idles.")
        return
    yield from _cpu(path, container, [(group, demands[group.name]) for group in groups])
    yield from _memory(story, path, container, demands)
    yield from _swap(story, path, container)
    needed = sum(group.count * demands[group.name].threads_max for group in groups)
    if needed >= container.pids_count_limit:
        yield Advice(
            path,
            f"its agents need about {needed:,} processes and pids_limit is {container.pids_count_limit:,}: some "
            "cannot start.",
        )


def _cpu(path: str, container: Container, groups: list[tuple[AgentGroup, GroupDemand]]) -> Iterator[Advice]:
    if container.cpus_limit is None:
        return
    asked = math.fsum(demand.cpus_mean for _, demand in groups)
    limit = container.cpus_limit
    if asked > limit:
        yield Advice(
            path,
            f"agents ask for {show_number(asked)} CPUs of {show_number(limit)} on average: the quota is the "
            "bottleneck, and steps take longer until the demand fits.",
        )
    else:
        yield from _bursts(path, limit, asked, groups)


def _bursts(path: str, limit: float, asked: float, groups: list[tuple[AgentGroup, GroupDemand]]) -> Iterator[Advice]:
    """Warn of steps that spend a period's quota long before the period ends (kubernetes-mixin#108)."""
    quota_s = limit * PERIOD_S
    burst_s = max(min(demand.burst_s_mean, demand.threads_max * PERIOD_S) for _, demand in groups)
    agents_count = sum(group.count for group, demand in groups if demand.burst_s_mean)
    together = math.floor(quota_s / burst_s) + 1 if burst_s else math.inf
    share = f"although agents ask for {100 * asked / limit:.0f} % of the limit on average"
    quota = f"the quota of {show_duration(quota_s)} in each {show_duration(PERIOD_S)}"
    if burst_s > quota_s:
        yield Advice(
            path, f"one step alone needs {show_duration(burst_s)} of CPU in one go and {quota} stops it, {share}."
        )
    elif together <= agents_count:
        yield Advice(
            path, f"{together} of {agents_count} agents computing at once use up {quota} and are stopped, {share}."
        )


def _memory(story: Story, path: str, container: Container, demands: dict[str, GroupDemand]) -> Iterator[Advice]:
    limit, base = container.memory_bytes_limit, _base_bytes(story, container)
    if limit is None:
        return
    mine = [demands[group.name] for group in _groups(story, container)]
    mean, most = _memory_mean(story, container, demands), base + math.fsum(demand.held_bytes_max for demand in mine)
    leaked = math.fsum(demand.leaked_bytes_per_s for demand in mine)
    if mean > limit:
        yield Advice(
            path,
            f"agents hold about {show_size(mean)} on average and mem_limit is {show_size(limit)}: the kernel will "
            "kill all the time.",
        )
    elif most > limit:
        shown = show_size(most) if math.isfinite(most) else "without bound"
        yield Advice(
            path,
            f"agents hold about {show_size(mean)} on average but {shown} when all are at their largest, and "
            f"mem_limit is {show_size(limit)}: expect OOM kills now and then.",
        )
    if leaked and mean + leaked * story.duration_s > limit:
        # Two digits are all that an estimate from means deserves.
        left_s = float(f"{(limit - min(mean, limit)) / leaked:.2g}")
        yield Advice(
            path, f"leaks add {show_size(leaked)} a second and reach mem_limit after about {show_duration(left_s)}."
        )


def _tmpfs(story: Story, path: str, container: Container, demands: dict[str, GroupDemand]) -> Iterator[Advice]:
    """Warn of file systems in memory that have no room in the memory limit beside the processes."""
    limit = container.memory_bytes_limit
    if limit is None or not container.tmpfs:
        return
    host = next(host for host in story.hosts if host.name == container.host)
    # The kernel's own default size of a tmpfs is half of the machine's memory.
    disk = sum(one.bytes_limit or host.memory_bytes // 2 for one in container.tmpfs)
    held = _memory_mean(story, container, demands)
    if disk + held > limit:
        yield Advice(
            path,
            f"its tmpfs may hold {show_size(disk)} and its processes about {show_size(held)}, both charged to "
            f"mem_limit, {show_size(limit)}: the kernel kills before the disk is full.",
        )


def _page_cache(story: Story, path: str, container: Container, demands: dict[str, GroupDemand]) -> Iterator[Advice]:
    """Warn of files that are read again and again and have no room: the kernel keeps hardly any of them then."""
    limit = container.memory_bytes_limit
    if limit is None or container.volume is None:
        return
    groups = _groups(story, container)
    files = math.fsum(group.count * _read_again_bytes(story, group, demands[group.name]) for group in groups)
    room = max(0.0, limit - _memory_mean(story, container, demands))
    if files > room:
        yield Advice(
            path,
            f"its agents read {show_size(files)} of files again and again and mem_limit leaves about "
            f"{show_size(room)} for page cache: most of it comes from the disk each time.",
        )


def _read_again_bytes(story: Story, group: AgentGroup, demand: GroupDemand) -> float:
    """What one agent reads in a step, as far as it can have written so much by the end of the run."""
    read = max((law_mean(stage.size_bytes) for stage in group.stages if isinstance(stage, Read)), default=0.0)
    written = math.fsum(law_mean(stage.size_bytes) for stage in group.stages if isinstance(stage, Write))
    if not any(isinstance(stage, Erase) for stage in group.stages):
        written *= max(1.0, demand.steps_per_s * story.duration_s / group.count)
    return min(read, written)


def _swap(story: Story, path: str, container: Container) -> Iterator[Advice]:
    host = next(host for host in story.hosts if host.name == container.host)
    limit, with_swap = container.memory_bytes_limit, container.memory_swap_bytes_limit
    if limit is None or not host.swap_bytes or with_swap == limit:
        return
    spare = host.swap_bytes if with_swap is None else min(host.swap_bytes, with_swap - limit)
    yield Advice(
        path,
        f"beyond mem_limit it may use {show_size(spare)} of swap and crawl instead of being killed; set "
        f"memswap_limit to {show_size(limit)} to forbid it.",
    )


# Agents and what they wait for.


def _agents(story: Story, group: AgentGroup, demand: GroupDemand) -> Iterator[Advice]:
    path = f"agents.{group.name}"
    if demand.bound_by is not None:
        free = group.count / demand.step_s_mean if demand.step_s_mean else math.inf
        yield Advice(
            path,
            f"{demand.bound_by} holds them to {show_number(demand.steps_per_s)} steps/s; without it "
            f"{show_number(free)} at most.",
        )
    if group.process == "main" and any(isinstance(stage, Hold) for stage in group.stages):
        limit = story.container(group.container).memory_bytes_limit
        base = SUPERVISOR_BYTES + demand.held_bytes_max
        if limit is not None and base > limit:
            loop = loop_of(story.container(group.container).restart)
            ends = "they share the container's first process, so one OOM kill ends the whole container"
            yield Advice(path, f"{ends}; {loop}." if loop else f"{ends}.")
    kinds = [type(stage) for stage in group.stages]
    if Release in kinds and Hold not in kinds[: kinds.index(Release)]:
        yield Advice(path, "release comes before any hold, so there is nothing to give back.")


def _rate_limit(story: Story, limit: RateLimit, demands: dict[str, GroupDemand]) -> Iterator[Advice]:
    path = f"rate_limits.{limit.name}"
    takers = [group for group in story.agents if tokens_per_step(group, limit.name)]
    if not takers:
        yield Advice(path, "nobody takes tokens from it, so it limits nothing.")
        return
    asked = [tokens_per_step(group, limit.name) / max(demands[group.name].step_s_mean, 1e-9) for group in takers]
    if limit.scope == "shared":
        asked = [math.fsum(rate * group.count for rate, group in zip(asked, takers, strict=True))]
    if max(asked) < NEVER_BINDS_RATIO * tokens_per_s(limit):
        who = "an agent takes" if limit.scope == "agent" else "agents together take"
        yield Advice(
            path,
            f"{who} at most {show_number(max(asked))} tokens/s and it grants {show_number(tokens_per_s(limit))}, so "
            "it hardly ever makes anyone wait.",
        )
    yield from _too_large(path, limit, takers)


def _too_large(path: str, limit: RateLimit, takers: list[AgentGroup]) -> Iterator[Advice]:
    """Warn of single takes above what the limit holds: they pass, but not as within it."""
    if not isinstance(limit, RollingWindow) and limit.debt:
        return
    if isinstance(limit, RollingWindow):
        tokens_max, passes = limit.limit_tokens, "such a take passes alone, with the window empty"
    else:
        tokens_max, passes = limit.capacity_tokens, "such a take passes with the bucket full and leaves it in debt"
    for group in takers:
        takes = [stage for stage in group.stages if isinstance(stage, Take) and stage.rate_limit == limit.name]
        if any(law_max(take.tokens) > tokens_max for take in takes):
            yield Advice(
                path,
                f"agents.{group.name} may want more than {show_number(tokens_max)} tokens at once, more than it "
                f"holds: {passes}.",
            )


def _providers(story: Story) -> Iterator[Advice]:
    called = {stage.provider for group in story.agents for stage in group.stages if isinstance(stage, Call)}
    for provider in story.providers:
        if provider.name not in called:
            yield Advice(f"providers.{provider.name}", "nobody calls it.")


# Goals and the run itself.


def _goals(story: Story) -> Iterator[Advice]:
    for goal in story.goals:
        reason = _never_measured(story, goal.metric, goal.container)
        if reason:
            yield Advice(
                f"goals.{goal.name}", f"{goal.metric} is not measured here, because {reason}; the goal cannot be met."
            )


def _never_measured(story: Story, metric: str, container: str | None) -> str:
    needs = METRICS[metric].needs
    chosen = [one for one in story.containers if container in {None, one.name}]
    if needs == "cpus" and all(one.cpus_limit is None for one in chosen):
        return "no container it covers has a CPU limit"
    if needs == "rate_limits" and not story.rate_limits:
        return "the story has no rate limits"
    if needs == "providers" and not story.providers:
        return "the story has no providers"
    if needs == "probe" and all(one.probe is None for one in story.hosts):
        return "no host has a probe"
    return _no_life(needs, chosen)


def _no_life(needs: str, chosen: list[Container]) -> str:
    if needs == "restart" and not restarts(chosen):
        return "no container it covers has a restart policy"
    if needs == "disk" and not any(one.tmpfs or one.volume for one in chosen):
        return "no container it covers has a tmpfs or a volume"
    if needs == "volume" and not any(one.volume for one in chosen):
        return "no container it covers has a volume"
    unhealthy = needs == "healthcheck" and all(one.health is None for one in chosen)
    return "no container it covers has a healthcheck" if unhealthy else ""


def _length(story: Story, demands: dict[str, GroupDemand]) -> Iterator[Advice]:
    steps = math.fsum(demand.steps_per_s for demand in demands.values()) * story.duration_s
    if demands and steps < STEPS_COUNT_MIN:
        yield Advice(
            "duration",
            f"{show_duration(story.duration_s)} are enough for about {steps:.0f} steps, too few for a steady 95th or "
            "99th percentile.",
        )
