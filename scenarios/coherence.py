"""What spans several fields of a scenario: names that must exist, limits that must fit into one another.

Each check yields findings: where, and what the value there must be. They run once every single field is sound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenarios import units
from scenarios.fields import CPUS_MIN, MEM_LIMIT_BYTES_MIN, MEMSWAP_UNLIMITED
from scenarios.laws import law_mean
from scenarios.metric_names import METRICS
from scenarios.wording import closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scenarios.schema import AgentGroup, Container, Host, Scenario, Stage
    from scenarios.yaml_tree import Path

# A loop that takes no time would never let the clock move on; no real agent is faster than this.
STEP_S_MIN = 0.0001
# A shorter run than this shows nothing but its own start.
SHRUNK_DURATION_S_MIN = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A value that does not go with the rest: where it stands, and what it must be."""

    path: Path
    must: str
    example: str = ""


def findings(scenario: Scenario) -> Iterator[Finding]:
    """Yield everything that does not go together."""
    if scenario.sample_interval > scenario.duration:
        yield Finding(("sample_interval",), f"at most the duration, {units.show_duration(scenario.duration)}", "100ms")
    for name, host in scenario.hosts.items():
        yield from _host(name, host)
    for name, container in scenario.containers.items():
        yield from _container(scenario, name, container)
    for name, group in scenario.agents.items():
        yield from _agents(scenario, name, group)
    yield from _goals(scenario)
    yield from _headline(scenario)
    yield from _live(scenario)


def host_of(scenario: Scenario, container: Container) -> Host | None:
    """Return the host of a container, which may be left out where there is only one."""
    if container.host is None and len(scenario.hosts) == 1:
        return next(iter(scenario.hosts.values()))
    return scenario.hosts.get(container.host or "")


def _known(path: Path, name: str | None, section: str, names: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding unless `name` is one of `names`; None is fine where there is only one."""
    known = list(names)
    if name in known or (name is None and len(known) == 1):
        return
    if not known:
        yield Finding(path, f"a name out of {section}, and this scenario has none")
        return
    yield Finding(path, f"a name out of {section}: {', '.join(known[:10])}", closest(name or "", known) or known[0])


def _host(name: str, host: Host) -> Iterator[Finding]:
    if host.reserve >= host.memory:
        yield Finding(("hosts", name, "reserve"), f"less than memory, {units.show_size(host.memory)}", "1g")


def _container(scenario: Scenario, name: str, container: Container) -> Iterator[Finding]:
    path: Path = ("containers", name)
    yield from _known((*path, "host"), container.host, "hosts", scenario.hosts)
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
    yield from _known((*path, "container"), group.container, "containers", scenario.containers)
    for index, stage in enumerate(group.steps):
        yield from _stage(scenario, (*path, "steps", index), stage)
    if step_s_alone(scenario, group) < STEP_S_MIN:
        must = "longer, because a whole step with its think time takes no time on average"
        yield Finding((*path, "think"), must, "100ms")


def _stage(scenario: Scenario, path: Path, stage: Stage) -> Iterator[Finding]:
    if stage.call is not None:
        yield from _known((*path, "call", "provider"), stage.call.provider, "providers", scenario.providers)
    if stage.take is not None:
        yield from _known((*path, "take", "from"), stage.take.from_, "rate_limits", scenario.rate_limits)


def step_s_alone(scenario: Scenario, group: AgentGroup) -> float:
    """Return the mean time of one step with its think time, nobody else being there and no token being short."""
    total_s = law_mean(group.think)
    for stage in group.steps:
        total_s += law_mean(stage.sleep) if stage.sleep else 0.0
        total_s += law_mean(stage.compute.cpu) / stage.compute.threads if stage.compute else 0.0
        provider = scenario.providers.get(stage.call.provider) if stage.call else None
        total_s += law_mean(provider.latency) if provider else 0.0
    return total_s


def _goals(scenario: Scenario) -> Iterator[Finding]:
    for name, goal in scenario.goals.items():
        if goal.container is not None and METRICS[goal.metric].whole_story:
            yield Finding(("goals", name, "container"), f"left out, because {goal.metric} is of the whole story")
        elif goal.container is not None:
            yield from _known(("goals", name, "container"), goal.container, "containers", scenario.containers)


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


def _scaled_cores(scenario: Scenario) -> Iterator[Finding]:
    for name, host in scenario.hosts.items():
        cores = host.cpus * scenario.live.scale.cpus
        if abs(cores - round(cores)) > 1e-9 or cores < 1:
            must = f"a fraction that leaves whole cores; it leaves host {name} {cores:.4g} of {host.cpus}"
            yield Finding(("live", "scale", "cpus"), must)
