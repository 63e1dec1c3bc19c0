"""Faults against the rest of a scenario: whom they strike, when, how often, and whether that is possible at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios import units
from scenarios.finding import Finding, host_of, known, law_least
from scenarios.laws import law_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scenarios.container_schema import Container
    from scenarios.fault_schema import Fault
    from scenarios.schema import Scenario
    from scenarios.yaml_tree import Path

# All faults of a story together happen so often at most.
STRIKES_COUNT_MAX = 10_000
# Kinds that may stand with the bare name of a container behind them.
SHORT = ("kill", "crash", "fill_disk")
# Faults that only a program of ours can be told to commit.
OF_OUR_WORKER = ("crash", "hang", "leak", "fill_disk", "slow_start")


def fault_findings(scenario: Scenario) -> Iterator[Finding]:
    """Yield what does not go together with the rest in each fault."""
    once: set[str] = set()
    for index, fault in enumerate(scenario.faults):
        path: Path = ("faults", index)
        yield from _time(scenario, path, fault)
        yield from _target(scenario, path, fault)
        for what in _only_once(fault):
            if what in once:
                yield Finding(path, f"left out, because there is one for {what} already")
            once.add(what)


def _only_once(fault: Fault) -> Iterator[str]:
    if fault.notices is not None:
        yield "notices"
    if fault.slow_start is not None:
        yield f"the start of {fault.slow_start.container}"


def _time(scenario: Scenario, path: Path, fault: Fault) -> Iterator[Finding]:
    duration_s = scenario.duration
    if fault.at is not None and law_least(fault.at) >= duration_s:
        yield Finding((*path, "at"), f"before the end of the run, {units.show_duration(duration_s)}", "0s")
    # Each fault has an equal part of all that may happen.
    every_s_min = duration_s * len(scenario.faults) / STRIKES_COUNT_MAX
    if fault.every is not None and law_mean(fault.every) < every_s_min:
        shown = units.show_duration(every_s_min)
        must = f"{shown} or more on average, so that faults do not happen more than {STRIKES_COUNT_MAX:,} times"
        yield Finding((*path, "every"), must, shown)


def _target(scenario: Scenario, path: Path, fault: Fault) -> Iterator[Finding]:
    if fault.kill_process is not None:
        yield from known((*path, "kill_process"), fault.kill_process, "agents", scenario.agents)
    blow = fault.stop_engine or fault.crash_engine or fault.lose_host
    if blow is not None:
        yield from _known_inside((*path, fault.kind), blow.host, "hosts", scenario.hosts)
    yield from _container(scenario, path, fault)


def _known_inside(path: Path, name: str | None, section: str, names: Iterable[str]) -> Iterator[Finding]:
    """Yield as `known` does for a name that stands at `path` itself or in a mapping there, which nobody knows here."""
    for finding in known(path, name, section, names):
        yield Finding(path, f"for {finding.must}" + (f"; {name} is none" if name is not None else ""))


def _container(scenario: Scenario, path: Path, fault: Fault) -> Iterator[Finding]:
    name = _container_named(fault)
    if name is None:
        return
    here: Path = (*path, fault.kind) if fault.kind in SHORT else (*path, fault.kind, "container")
    if fault.kind == "crash":
        yield from _known_inside(here, name, "containers", scenario.containers)
    else:
        yield from known(here, name, "containers", scenario.containers)
    container = scenario.containers.get(name)
    if container is None:
        return
    if container.image is not None and fault.kind in OF_OUR_WORKER:
        yield Finding(here, f"for a container without an image: {name} runs a program that cannot be told to do this")
    elif fault.kind == "fill_disk" and not container.tmpfs:
        yield Finding(here, "a container with a tmpfs, such as tmpfs: /scratch:size=50m")
    yield from _cores(scenario, (*path, "limit", "cpus"), fault, container)


def _cores(scenario: Scenario, path: Path, fault: Fault, container: Container) -> Iterator[Finding]:
    host = host_of(scenario, container)
    cpus = None if fault.limit is None else fault.limit.cpus
    if host is not None and cpus is not None and cpus > host.cpus:
        yield Finding(path, f"at most the host's {host.cpus} cores, or Docker refuses it", f"{host.cpus}")


def _container_named(fault: Fault) -> str | None:
    about = fault.crash or fault.hang or fault.leak or fault.limit or fault.slow_start
    return fault.kill or fault.fill_disk if about is None else about.container
