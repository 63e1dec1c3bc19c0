"""Shrinks a story to a small machine, and says which physical ratios that changes.

`shrink` is a pure function: the shrunk story is what both worlds run. What belongs to the story is scaled (sizes,
limits, quotas, durations, CPU times, rates, the bounds of goals); what belongs to the kernel and the engine is not
(the 100 ms period, ticks, page size, a process's own memory, start-up and grace times, health intervals, restart
back-off, how long an engine is away). Their proportions therefore
change, `changed_ratios` lists them, and a shrunk run says nothing certain about the full-size story.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scenarios.demand import AGENT_PROCESS_BYTES, PERIOD_S, group_demand
from scenarios.laws import law_mean, law_scaled
from scenarios.metric_names import METRICS
from scenarios.story import (
    PROBE_EVERY_S_MIN,
    AgentGroup,
    Calibrate,
    Call,
    ChangeLimits,
    Compute,
    Container,
    Erase,
    Fault,
    Goal,
    HangContainer,
    Hold,
    Host,
    HostProbe,
    Leak,
    LeakMemory,
    LiveScale,
    Provider,
    RateLimit,
    Read,
    Release,
    RollingWindow,
    RudeNotices,
    Sleep,
    Stage,
    Story,
    StrikeHost,
    Take,
    Tmpfs,
    When,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# The interval drives real probes, and more than ten a second would disturb what they look at.
SAMPLE_INTERVAL_S_MIN = 0.1
UNSCALED = LiveScale(1.0, 1.0, 1.0)
# Ratios that differ by less are the same but for rounding to whole bytes.
SAME_RATIO = 1e-6


@dataclass(frozen=True, slots=True)
class ChangedRatio:
    """A physical proportion that shrinking changed: its name, its value at full size, and in the shrunk story."""

    name: str
    full: float
    shrunk: float


def shrink(story: Story) -> Story:
    """Return the story at its live scale; the result's own scale is 1, so that shrinking it again changes nothing."""
    scale = story.live_scale
    if scale == UNSCALED:
        return story
    return replace(
        story,
        duration_s=story.duration_s * scale.time_ratio,
        sample_interval_s=max(SAMPLE_INTERVAL_S_MIN, story.sample_interval_s * scale.time_ratio),
        hosts=tuple(_host(host, scale) for host in story.hosts),
        containers=tuple(_container(container, scale) for container in story.containers),
        agents=tuple(_agents(group, scale) for group in story.agents),
        rate_limits=tuple(_rate_limit(limit, scale) for limit in story.rate_limits),
        providers=tuple(_provider(provider, scale) for provider in story.providers),
        goals=tuple(_goal(goal, scale) for goal in story.goals),
        live_scale=UNSCALED,
        faults=tuple(_fault(fault, scale) for fault in story.faults),
        calibrate=_calibrate(story.calibrate, scale),
    )


def _size(size_bytes: int, scale: LiveScale) -> int:
    return round(size_bytes * scale.memory_ratio)


def _host(host: Host, scale: LiveScale) -> Host:
    # The schema lets only fractions pass that leave whole cores; rounding takes off what 1/3 cannot say.
    return replace(
        host,
        cpus_count=float(round(host.cpus_count * scale.cpus_ratio)),
        memory_bytes=_size(host.memory_bytes, scale),
        swap_bytes=_size(host.swap_bytes, scale),
        reserve_bytes=_size(host.reserve_bytes, scale),
        probe=_probe(host.probe, scale),
    )


def _probe(probe: HostProbe | None, scale: LiveScale) -> HostProbe | None:
    """Shrink a probe with the workload, but let it come no more often than any may."""
    if probe is None:
        return None
    every_s = max(PROBE_EVERY_S_MIN, probe.every_s * scale.time_ratio)
    return HostProbe(every_s, probe.compute_s * scale.time_ratio)


def _container(container: Container, scale: LiveScale) -> Container:
    """Shrink limits and the own program; grace, health check and restarts are the engine's and stay."""
    return replace(
        container,
        cpus_limit=_quota(container.cpus_limit, scale),
        memory_bytes_limit=_size_limit(container.memory_bytes_limit, scale),
        memory_swap_bytes_limit=_size_limit(container.memory_swap_bytes_limit, scale),
        cpuset_cpus=_cpuset(container.cpuset_cpus, scale),
        tmpfs=tuple(Tmpfs(one.path, _size_limit(one.bytes_limit, scale)) for one in container.tmpfs),
        start_delay_s=container.start_delay_s * scale.time_ratio,
    )


def _quota(cpus: float | None, scale: LiveScale) -> float | None:
    return None if cpus is None else cpus * scale.cpus_ratio


def _size_limit(limit_bytes: int | None, scale: LiveScale) -> int | None:
    return None if limit_bytes is None else _size(limit_bytes, scale)


def _cpuset(cores: tuple[int, ...] | None, scale: LiveScale) -> tuple[int, ...] | None:
    """Squeeze core numbers together: of 0-7 at one half, 0-3 become 0-1 and 4-7 become 2-3."""
    return None if cores is None else tuple(sorted({math.floor(core * scale.cpus_ratio) for core in cores}))


def _agents(group: AgentGroup, scale: LiveScale) -> AgentGroup:
    return replace(
        group,
        think_s=law_scaled(group.think_s, scale.time_ratio),
        stages=tuple(_stage(stage, scale) for stage in group.stages),
        restart_delay_s=group.restart_delay_s * scale.time_ratio,
    )


def _stage(stage: Stage, scale: LiveScale) -> Stage:
    match stage:
        case Compute():
            return replace(stage, cpu_s=law_scaled(stage.cpu_s, scale.time_ratio))
        case Sleep():
            return replace(stage, duration_s=law_scaled(stage.duration_s, scale.time_ratio))
        case Hold() | Leak():
            return replace(stage, memory_bytes=law_scaled(stage.memory_bytes, scale.memory_ratio))
        case Write() | Read():
            return replace(stage, size_bytes=law_scaled(stage.size_bytes, scale.memory_ratio))
        case Take() | Call() | Release() | Erase():
            return stage


def _fault(fault: Fault, scale: LiveScale) -> Fault:
    """Shrink a fault with the workload it strikes; how long an engine is away stays, as all of the engine's times."""
    match fault:
        case RudeNotices():
            return replace(fault, late_s=law_scaled(fault.late_s, scale.time_ratio))
        case HangContainer():
            fault = replace(fault, duration_s=fault.duration_s * scale.time_ratio)
        case LeakMemory():
            memory_bytes = _size(fault.memory_bytes, scale)
            fault = replace(fault, memory_bytes=memory_bytes, duration_s=fault.duration_s * scale.time_ratio)
        case ChangeLimits():
            cpus, memory = _quota(fault.cpus_limit, scale), _size_limit(fault.memory_bytes_limit, scale)
            fault = replace(fault, cpus_limit=cpus, memory_bytes_limit=memory)
        case _:
            pass
    return replace(fault, when=_when(fault.when, scale))


def _when(when: When, scale: LiveScale) -> When:
    every_s = None if when.every_s is None else law_scaled(when.every_s, scale.time_ratio)
    return When(law_scaled(when.first_s, scale.time_ratio), every_s)


def _rate_limit(limit: RateLimit, scale: LiveScale) -> RateLimit:
    if isinstance(limit, RollingWindow):
        return replace(limit, window_s=limit.window_s * scale.time_ratio)
    return replace(limit, rate_tokens_per_s=limit.rate_tokens_per_s / scale.time_ratio)


def _provider(provider: Provider, scale: LiveScale) -> Provider:
    """Shorten the provider's times and its minute; what it allows within that minute stays."""
    return replace(
        provider,
        latency_s=law_scaled(provider.latency_s, scale.time_ratio),
        retry_after_s=provider.retry_after_s * scale.time_ratio,
        window_s=provider.window_s * scale.time_ratio,
    )


def _calibrate(calibrate: Calibrate | None, scale: LiveScale) -> Calibrate | None:
    """Shorten the windows; the rate that is turned is a bucket's, and the band is of limits that shrink themselves."""
    if calibrate is None:
        return None
    window_s, settle_s = calibrate.window_s * scale.time_ratio, calibrate.settle_s * scale.time_ratio
    return replace(calibrate, window_s=window_s, settle_s=settle_s)


def _goal(goal: Goal, scale: LiveScale) -> Goal:
    factors = {
        "time": scale.time_ratio,
        "rate": 1 / scale.time_ratio,
        "memory": scale.memory_ratio,
        "cpus": scale.cpus_ratio,
        "none": 1.0,
    }
    factor = factors[METRICS[goal.metric].scaled_with] if goal.metric in METRICS else 1.0
    return replace(
        goal,
        value_min=None if goal.value_min is None else goal.value_min * factor,
        value_max=None if goal.value_max is None else goal.value_max * factor,
    )


def changed_ratios(full: Story, shrunk: Story) -> list[ChangedRatio]:
    """Return the proportions that differ between a story and its shrunk self, in a fixed order."""
    after = dict(_ratios(shrunk))
    return [
        ChangedRatio(name, ratio, after[name])
        for name, ratio in _ratios(full)
        if name in after and not math.isclose(ratio, after[name], rel_tol=SAME_RATIO)
    ]


def _ratios(story: Story) -> Iterator[tuple[str, float]]:
    """Yield the proportions between what is scaled and what is not, or is scaled otherwise."""
    for host in story.hosts:
        if host.probe is not None:
            yield f"{host.name}: CPU of its probe per quota period", host.probe.compute_s / PERIOD_S
            yield f"{host.name}: CPU of its probe per time between two", host.probe.compute_s / host.probe.every_s
    for group in story.agents:
        yield from _ratios_of_group(story, group)
    for container in story.containers:
        if container.memory_bytes_limit is not None:
            name = f"{container.name}: memory limit per own memory of one agent process"
            yield name, container.memory_bytes_limit / AGENT_PROCESS_BYTES
        if container.health is not None:
            yield f"{container.name}: health checks per run", story.duration_s / container.health.interval_s
    for index, fault in enumerate(story.faults):
        if isinstance(fault, StrikeHost) and fault.down_s is not None:
            yield f"fault {index} ({fault.host}): time its engine is away per run", fault.down_s / story.duration_s
    yield "samples per run", story.duration_s / story.sample_interval_s


def _ratios_of_group(story: Story, group: AgentGroup) -> Iterator[tuple[str, float]]:
    container = story.container(group.container)
    demand = group_demand(story, group)
    cores = next(host.cpus_count for host in story.hosts if host.name == container.host)
    if demand.cpu_s_mean:
        if container.cpus_limit is not None:
            yield (
                f"{group.name}: CPU of a step per quota of one period",
                demand.cpu_s_mean / (container.cpus_limit * PERIOD_S),
            )
            yield f"{group.name}: CPU asked for per CPU limit", demand.cpus_mean / container.cpus_limit
        yield f"{group.name}: CPU asked for per core of the host", demand.cpus_mean / cores
        yield f"{group.name}: threads per core of the host", group.count * demand.threads_max / cores
    if law_mean(group.think_s):
        yield f"{group.name}: think time per quota period", law_mean(group.think_s) / PERIOD_S
    if demand.held_bytes_max_mean:
        name = f"{group.name}: working set per own memory of its process"
        yield name, demand.held_bytes_max_mean / AGENT_PROCESS_BYTES
