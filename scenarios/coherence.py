"""What spans several fields of a scenario: names that must exist, limits that must fit into one another.

Each check yields findings: where, and what the value there must be. They run once every single field is sound.
What concerns a container's life is in `life_coherence.py`, faults are in `fault_coherence.py`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scenarios import units
from scenarios.calibrate_schema import WINDOW_S_MIN
from scenarios.compose_fields import TMPFS_BYTES_MIN
from scenarios.fault_coherence import fault_findings
from scenarios.fields import CPUS_MIN, MEM_LIMIT_BYTES_MIN, MEMSWAP_UNLIMITED
from scenarios.finding import Finding, container_of, host_of, known, law_least
from scenarios.laws import law_mean
from scenarios.life_coherence import life_findings
from scenarios.metric_names import METRICS
from scenarios.story import PROBE_EVERY_S_MIN, PROBES_COUNT_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios.agent_schema import AgentGroup, Stage
    from scenarios.calibrate_schema import Calibrate
    from scenarios.container_schema import Container
    from scenarios.schema import Host, Probe, Scenario
    from scenarios.yaml_tree import Path

__all__ = ["Finding", "findings"]

# A loop that takes no time would never let the clock move on; no real agent is faster than this.
STEP_S_MIN = 0.0001
# A shorter run than this shows nothing but its own start.
SHRUNK_DURATION_S_MIN = 1.0
# Durations that differ by less are the same: windows add up with rounding.
SAME_RATIO = 1e-9


def findings(scenario: Scenario) -> Iterator[Finding]:
    """Yield everything that does not go together."""
    if scenario.sample_interval > scenario.duration:
        yield Finding(("sample_interval",), f"at most the duration, {units.show_duration(scenario.duration)}", "100ms")
    for name, host in scenario.hosts.items():
        yield from _host(scenario, name, host)
    for name, container in scenario.containers.items():
        yield from _container(scenario, name, container)
    yield from life_findings(scenario)
    for name, group in scenario.agents.items():
        yield from _agents(scenario, name, group)
    yield from fault_findings(scenario)
    if scenario.calibrate is not None:
        yield from _calibrate(scenario, scenario.calibrate)
    yield from _goals(scenario)
    yield from _headline(scenario)
    yield from _live(scenario)


def _host(scenario: Scenario, name: str, host: Host) -> Iterator[Finding]:
    if host.reserve >= host.memory:
        yield Finding(("hosts", name, "reserve"), f"less than memory, {units.show_size(host.memory)}", "1g")
    if host.probe is not None:
        yield from _probe(scenario, ("hosts", name, "probe"), host.probe)


def _probe(scenario: Scenario, path: Path, probe: Probe) -> Iterator[Finding]:
    """Yield what makes a probe a load of its own, or one that never catches up, or more than can be kept."""
    if probe.every < PROBE_EVERY_S_MIN:
        least = units.show_duration(PROBE_EVERY_S_MIN)
        yield Finding((*path, "every"), f"{least} or more: one that comes more often is a load itself", "100ms")
    elif scenario.duration > PROBES_COUNT_MAX * probe.every:
        # Shrunk it comes no more often in all, since both are scaled alike.
        least = units.show_duration(math.ceil(scenario.duration / PROBES_COUNT_MAX * 10) / 10)
        run = units.show_duration(scenario.duration)
        yield Finding((*path, "every"), f"{least} or more: in {run} it comes at most {PROBES_COUNT_MAX:,} times", least)
    if probe.compute >= probe.every:
        must = f"less than every, {units.show_duration(probe.every)}, or it never catches up"
        yield Finding((*path, "compute"), must, "2ms")


def _container(scenario: Scenario, name: str, container: Container) -> Iterator[Finding]:
    path: Path = ("containers", name)
    yield from known((*path, "host"), container.host, "hosts", scenario.hosts)
    host = host_of(scenario, container)
    if host is not None and container.cpus is not None and container.cpus > host.cpus:
        yield Finding((*path, "cpus"), f"at most the host's {host.cpus} cores, or Docker refuses it", f"{host.cpus}")
    if host is not None and container.cpuset and container.cpuset[-1] >= host.cpus:
        yield Finding((*path, "cpuset"), f"cores of the host, 0 to {host.cpus - 1}", f"0-{host.cpus - 1}")
    yield from _swap(path, container)


def _swap(path: Path, container: Container) -> Iterator[Finding]:
    limit, with_swap = container.mem_limit, container.memswap_limit
    if with_swap is None:
        return
    if limit is None:
        yield Finding((*path, "memswap_limit"), "left out, or come with a mem_limit, as Docker demands")
    elif with_swap != MEMSWAP_UNLIMITED and with_swap < limit:
        shown = units.show_size(limit)
        yield Finding((*path, "memswap_limit"), f"at least mem_limit, {shown}: it is memory plus swap", shown)


def _agents(scenario: Scenario, name: str, group: AgentGroup) -> Iterator[Finding]:
    path: Path = ("agents", name)
    yield from known((*path, "container"), group.container, "containers", scenario.containers)
    home = container_of(scenario, group.container)
    if home is not None and home.image is not None:
        yield Finding((*path, "container"), "a container without an image: a program of your own runs no agents")
    for index, stage in enumerate(group.steps):
        yield from _stage(scenario, (*path, "steps", index), stage)
        if home is not None and home.image is None:
            yield from _on_disk((*path, "steps", index), stage, home)
    if step_s_alone(scenario, group) < STEP_S_MIN:
        must = "longer, because a whole step with its think time takes no time on average"
        yield Finding((*path, "think"), must, "100ms")


def _stage(scenario: Scenario, path: Path, stage: Stage) -> Iterator[Finding]:
    if stage.call is not None:
        yield from known((*path, "call", "provider"), stage.call.provider, "providers", scenario.providers)
    if stage.take is not None:
        yield from known((*path, "take", "from"), stage.take.from_, "rate_limits", scenario.rate_limits)


def _on_disk(path: Path, stage: Stage, home: Container) -> Iterator[Finding]:
    """Yield a finding where there is nothing to write to or read from, or where nothing that is written ever fits."""
    for name in ("write", "read"):
        if getattr(stage, name) is not None and not (home.tmpfs or home.volumes):
            must = "in a container with a disk, such as tmpfs: /scratch:size=50m or volumes: [data:/data]"
            yield Finding((*path, name), must)
    limit = home.tmpfs[0].bytes_limit if home.tmpfs else None
    if stage.write is not None and limit is not None and law_least(stage.write) > limit:
        shown = units.show_size(limit)
        yield Finding((*path, "write"), f"at most the {shown} of {home.tmpfs[0].path}, or nothing ever fits", shown)


def step_s_alone(scenario: Scenario, group: AgentGroup) -> float:
    """Return the mean time of one step with its think time, nobody else being there and no token being short."""
    total_s = law_mean(group.think)
    for stage in group.steps:
        total_s += law_mean(stage.sleep) if stage.sleep else 0.0
        total_s += law_mean(stage.compute.cpu) / stage.compute.threads if stage.compute else 0.0
        provider = scenario.providers.get(stage.call.provider) if stage.call else None
        total_s += law_mean(provider.latency) if provider else 0.0
    return total_s


def _calibrate(scenario: Scenario, entry: Calibrate) -> Iterator[Finding]:
    """Yield what a calibration lacks: a bucket to turn, a container to watch, agents in between, and time."""
    buckets = [name for name, limit in scenario.rate_limits.items() if limit.kind == "token_bucket"]
    yield from known(("calibrate", "turn"), entry.turn, "the token buckets of rate_limits", buckets)
    yield from known(("calibrate", "watch"), entry.watch, "containers", scenario.containers)
    watched = scenario.containers.get(entry.watch)
    if watched is not None and watched.image is not None:
        yield Finding(("calibrate", "watch"), "a container without an image: a program of your own runs no agents")
    elif watched is not None and entry.turn in buckets:
        homes = list(_homes_of_takers(scenario, entry.turn))
        if entry.watch not in homes:
            example = homes[0] if homes else ""
            yield Finding(("calibrate", "watch"), f"a container whose agents take from {entry.turn}", example)
    needed_s = entry.rounds * entry.window
    if scenario.duration < needed_s * (1 - SAME_RATIO):
        shown, window = units.show_duration(needed_s), units.show_duration(entry.window)
        must = f"at least {shown}, for the {entry.rounds} rounds of calibrate with {window} each"
        yield Finding(("duration",), must, shown)
    yield from _scaled_window(scenario, entry)


def _homes_of_takers(scenario: Scenario, rate_limit: str) -> Iterator[str]:
    """Yield the containers whose agents take from a rate limit."""
    only = next(iter(scenario.containers))
    for group in scenario.agents.values():
        if any(stage.take is not None and stage.take.from_ == rate_limit for stage in group.steps):
            yield group.container or only


def _scaled_window(scenario: Scenario, entry: Calibrate) -> Iterator[Finding]:
    judged_s = (entry.window - entry.settle) * scenario.live.scale.time
    if judged_s < WINDOW_S_MIN * (1 - SAME_RATIO):
        left, least = units.show_duration(judged_s), units.show_duration(WINDOW_S_MIN)
        must = f"larger: it leaves {left} of a calibrate window to be judged, and CPU counters need {least}"
        yield Finding(("live", "scale", "time"), must)


def _goals(scenario: Scenario) -> Iterator[Finding]:
    for name, goal in scenario.goals.items():
        if goal.container is not None and METRICS[goal.metric].whole_story:
            yield Finding(("goals", name, "container"), f"left out, because {goal.metric} is of the whole story")
        elif goal.container is not None:
            yield from known(("goals", name, "container"), goal.container, "containers", scenario.containers)


def _headline(scenario: Scenario) -> Iterator[Finding]:
    for index, name in enumerate(scenario.headline):
        if name in scenario.headline[:index]:
            yield Finding(("headline", index), "another metric: it is in the list already")


def _live(scenario: Scenario) -> Iterator[Finding]:
    live, scale = scenario.live, scenario.live.scale
    if not live.possible and live.reason is None:
        yield Finding(("live", "reason"), "given where live is not possible", "it needs a GPU")
    if scenario.duration * scale.time < min(SHRUNK_DURATION_S_MIN, scenario.duration):
        yield Finding(
            ("live", "scale", "time"),
            f"larger: it leaves a run of {units.show_duration(scenario.duration * scale.time)}",
        )
    yield from _scaled_cores(scenario)
    for name, container in scenario.containers.items():
        if container.mem_limit is not None and container.mem_limit * scale.memory < MEM_LIMIT_BYTES_MIN:
            left = units.show_size(container.mem_limit * scale.memory)
            yield Finding(("live", "scale", "memory"), f"larger: it leaves {name} {left}, and Docker demands 6m")
        if container.cpus is not None and container.cpus * scale.cpus < CPUS_MIN:
            yield Finding(("live", "scale", "cpus"), f"larger: it leaves {name} less than {CPUS_MIN} cpus")
        if any((one.bytes_limit or math.inf) * scale.memory < TMPFS_BYTES_MIN for one in container.tmpfs):
            yield Finding(("live", "scale", "memory"), f"larger: it leaves {name} a tmpfs of less than one page, 4k")
    yield from _scaled_limits(scenario)


def _scaled_limits(scenario: Scenario) -> Iterator[Finding]:
    """Yield what is wrong with the limits that faults set, once they are scaled."""
    scale = scenario.live.scale
    for limit in (fault.limit for fault in scenario.faults if fault.limit is not None):
        if limit.mem_limit is not None and limit.mem_limit * scale.memory < MEM_LIMIT_BYTES_MIN:
            left = units.show_size(limit.mem_limit * scale.memory)
            must = f"larger: a fault leaves {limit.container} {left}, and Docker demands 6m"
            yield Finding(("live", "scale", "memory"), must)
        if limit.cpus is not None and limit.cpus * scale.cpus < CPUS_MIN:
            must = f"larger: a fault leaves {limit.container} less than {CPUS_MIN} cpus"
            yield Finding(("live", "scale", "cpus"), must)


def _scaled_cores(scenario: Scenario) -> Iterator[Finding]:
    for name, host in scenario.hosts.items():
        cores = host.cpus * scenario.live.scale.cpus
        if abs(cores - round(cores)) > 1e-9 or cores < 1:
            must = f"a fraction that leaves whole cores; it leaves host {name} {cores:.4g} of {host.cpus}"
            yield Finding(("live", "scale", "cpus"), must)
