"""Turns a validated scenario into a `Story`, filling in what follows from the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from scenarios import story
from scenarios.fields import MEMSWAP_UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios.agent_schema import AgentGroup, Stage
    from scenarios.calibrate_schema import Calibrate
    from scenarios.container_schema import Container, HealthCheck
    from scenarios.fault_schema import Fault, Rudeness
    from scenarios.schema import Goal, Probe, RateLimit, Scenario
    from scenarios.schema import Provider as ProviderEntry

# The supervisor, its threads, and room for a shell to look in.
PIDS_SPARE_COUNT = 256
TOKENS_PER_MILLION = 1e6
# Compose's conditions in the story's words.
CONDITIONS: dict[str, Literal["started", "healthy", "completed"]] = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}


def compile_story(scenario: Scenario, name: str) -> story.Story:
    """Compile a scenario that `coherence.findings` has nothing against."""
    only_host = next(iter(scenario.hosts))
    only_container = next(iter(scenario.containers))
    scale = scenario.live.scale
    delays_s = _start_delays_s(scenario)
    return story.Story(
        name=name,
        purpose=scenario.purpose,
        source=scenario.source or "",
        seed=scenario.seed,
        duration_s=scenario.duration,
        sample_interval_s=scenario.sample_interval,
        hosts=tuple(
            story.Host(
                key, float(host.cpus), host.memory, host.swap, host.reserve, host.context, _host_probe(host.probe)
            )
            for key, host in scenario.hosts.items()
        ),
        containers=tuple(
            replace(
                _container(key, entry, only_host, _pids_count(scenario, key)),
                start_delay_s=delays_s.get(key, 0.0),
            )
            for key, entry in scenario.containers.items()
        ),
        agents=tuple(_agents(key, group, only_container) for key, group in scenario.agents.items()),
        rate_limits=tuple(_rate_limit(key, limit) for key, limit in scenario.rate_limits.items()),
        providers=tuple(_provider(key, provider) for key, provider in scenario.providers.items()),
        goals=tuple(_goal(key, goal) for key, goal in scenario.goals.items()),
        headline=scenario.headline,
        live_scale=story.LiveScale(scale.memory, scale.time, scale.cpus),
        live_able=scenario.live.possible,
        networks=tuple(story.Network(key, entry.internal) for key, entry in scenario.networks.items()),
        faults=tuple(_faults(scenario, only_host)),
        calibrate=None if scenario.calibrate is None else _calibrate(scenario.calibrate),
        vary=None if scenario.capacity is None else scenario.capacity.vary,
    )


def _host_probe(entry: Probe | None) -> story.HostProbe | None:
    return None if entry is None else story.HostProbe(entry.every, entry.compute)


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
        restart=entry.restart,
        health=_health(entry.healthcheck),
        dependencies=tuple(
            story.Dependency(other, CONDITIONS[waited.condition]) for other, waited in entry.depends_on.items()
        ),
        networks=entry.networks,
        tmpfs=entry.tmpfs,
        foreign=_foreign(entry),
        volume=_volume(entry),
    )


def _health(check: HealthCheck | None) -> story.HealthCheck | None:
    if check is None or not check.is_on:
        return None
    return story.HealthCheck(
        interval_s=check.interval,
        timeout_s=check.timeout,
        retries_max=check.retries,
        start_period_s=check.start_period,
        command=check.test or (),
    )


def _volume(entry: Container) -> story.Volume | None:
    if entry.image is not None or not entry.volumes:
        return None
    return story.Volume(entry.volumes[0].source, entry.volumes[0].target)


def _foreign(entry: Container) -> story.Foreign | None:
    if entry.image is None:
        return None
    return story.Foreign(
        image=entry.image,
        command=entry.command or (),
        environment=entry.environment,
        mounts=entry.volumes,
        user=entry.user,
        capabilities=entry.cap_add,
        privileged=entry.privileged,
        writable=not entry.read_only,
    )


def _start_delays_s(scenario: Scenario) -> dict[str, float]:
    """Return what each container that starts slowly needs until it is ready."""
    slow = [fault.slow_start for fault in scenario.faults if fault.slow_start is not None]
    return {one.container: one.delay for one in slow}


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
    return _memory_or_disk(stage) if stage.sleep is None else story.Sleep(stage.sleep)


def _memory_or_disk(stage: Stage) -> story.Stage:
    if stage.hold is not None:
        return story.Hold(stage.hold)
    if stage.leak is not None:
        return story.Leak(stage.leak)
    if stage.write is not None:
        return story.Write(stage.write)
    if stage.read is not None:
        return story.Read(stage.read)
    # Both may stand without a value, so that only the key tells them apart.
    return story.Erase() if "erase" in stage.model_fields_set else story.Release()


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


def _calibrate(entry: Calibrate) -> story.Calibrate:
    cpu_ratio_low, cpu_ratio_high = entry.band
    return story.Calibrate(
        rate_limit=entry.turn,
        container=entry.watch,
        window_s=entry.window,
        settle_s=entry.settle,
        cpu_ratio_low=cpu_ratio_low,
        cpu_ratio_high=cpu_ratio_high,
        reduce_above_ratio=entry.reduce.above,
        reduce_by_ratio=entry.reduce.by,
        raise_below_ratio=entry.raise_.below,
        raise_by_ratio=entry.raise_.by,
        memory_ratio_max=entry.memory_below,
        rule=entry.rule,
        rounds_count_max=entry.rounds,
        confirm_count=entry.confirm,
    )


def _goal(key: str, goal: Goal) -> story.Goal:
    """A goal in a list is called by its own name, or by its metric; in a mapping by its key."""
    name = goal.name or (goal.metric if key.isdigit() else key)
    return story.Goal(name, goal.metric, goal.container, goal.min, goal.max)


def _faults(scenario: Scenario, only_host: str) -> Iterator[story.Fault]:
    """Yield the faults in the order of the file; a slow start is its container's and no fault of the story."""
    for fault in scenario.faults:
        if fault.notices is not None:
            yield _rude(fault.notices)
        elif fault.at is not None:
            when = story.When(fault.at, fault.every)
            yield _of_container(fault, when) or _of_host(fault, when, only_host)


def _rude(entry: Rudeness) -> story.RudeNotices:
    late_ratio = 1.0 if entry.late_ratio is None else entry.late_ratio
    return story.RudeNotices(
        late_s=entry.late or story.Law("constant", (0.0,)),
        late_ratio=late_ratio if entry.late is not None else 0.0,
        twice_ratio=entry.twice,
        early_ratio=entry.early,
        lost_ratio=entry.lost,
    )


def _of_container(fault: Fault, when: story.When) -> story.Fault | None:
    if fault.kill is not None:
        return story.KillContainer(when, fault.kill)
    if fault.crash is not None:
        return story.CrashContainer(when, fault.crash.container, fault.crash.exit_code)
    if fault.hang is not None:
        return story.HangContainer(when, fault.hang.container, fault.hang.for_)
    if fault.kill_process is not None:
        return story.KillAgent(when, fault.kill_process)
    return _of_resources(fault, when)


def _of_resources(fault: Fault, when: story.When) -> story.Fault | None:
    if fault.leak is not None:
        return story.LeakMemory(when, fault.leak.container, fault.leak.memory, fault.leak.over)
    if fault.limit is not None:
        return story.ChangeLimits(when, fault.limit.container, fault.limit.cpus, fault.limit.mem_limit)
    return None if fault.fill_disk is None else story.FillDisk(when, fault.fill_disk)


def _of_host(fault: Fault, when: story.When, only_host: str) -> story.StrikeHost:
    if fault.stop_engine is not None:
        return story.StrikeHost(when, fault.stop_engine.host or only_host, "stop", fault.stop_engine.for_)
    if fault.crash_engine is not None:
        return story.StrikeHost(when, fault.crash_engine.host or only_host, "crash", fault.crash_engine.for_)
    assert fault.lose_host is not None, "the schema lets no fault pass without its kind"
    return story.StrikeHost(when, fault.lose_host.host or only_host, "loss", fault.lose_host.for_)
