"""How containers hang together in their lives: what they wait for, their networks and their volumes."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from scenarios.finding import Finding, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios.container_schema import Container, Dependency
    from scenarios.schema import Scenario
    from scenarios.yaml_tree import Path

# More names of a circle are no help in a line of text.
CIRCLE_COUNT_MAX = 8


def life_findings(scenario: Scenario) -> Iterator[Finding]:
    """Yield what does not go together in the lives of the containers."""
    for name, container in scenario.containers.items():
        yield from _networks(scenario, ("containers", name, "networks"), container)
        for other, waited in container.depends_on.items():
            yield from _dependency(scenario, name, other, waited)
    yield from _circle(scenario)
    yield from _volumes(scenario)


def _volumes(scenario: Scenario) -> Iterator[Finding]:
    """Yield the volumes of agents that another container has as well: who is charged for a page would be anyone's."""
    agents = {one.volumes[0].source: name for name, one in scenario.containers.items() if not one.image and one.volumes}
    for name, container in scenario.containers.items():
        for index, mount in enumerate(container.volumes):
            owner = agents.get(mount.source, name)
            if owner != name:
                path: Path = ("containers", name, "volumes", index)
                yield Finding(path, f"another volume: the agents of {owner} have {mount.source} to themselves")


def _networks(scenario: Scenario, path: Path, container: Container) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, name in enumerate(container.networks):
        yield from known((*path, index), name, "networks", scenario.networks)
        if name in seen:
            yield Finding((*path, index), "another network: it is in the list already")
        seen.add(name)


def _dependency(scenario: Scenario, name: str, other: str, waited: Dependency) -> Iterator[Finding]:
    path: Path = ("containers", name, "depends_on")
    there = scenario.containers.get(other)
    if other == name:
        yield Finding(path, f"without {name} itself")
    elif there is None:
        for finding in known(path, other, "containers", scenario.containers):
            yield Finding(path, f"{finding.must}, and {other} is none", finding.example and f"[{finding.example}]")
    else:
        yield from _condition((*path, other, "condition"), other, there, waited)


def _condition(path: Path, other: str, there: Container, waited: Dependency) -> Iterator[Finding]:
    if waited.condition == "service_healthy" and (there.healthcheck is None or not there.healthcheck.is_on):
        yield Finding(path, f"service_started, or {other} must have a healthcheck", "service_started")
    if waited.condition != "service_completed_successfully":
        return
    if there.image is None:
        yield Finding(path, f"service_started, because {other} has no image and our worker never ends by itself")
    elif there.restart.condition not in {"no", "on-failure"}:
        must = f"service_started, because {other} is started anew after every end (restart: {there.restart.condition})"
        yield Finding(path, must, "service_started")


def _circle(scenario: Scenario) -> Iterator[Finding]:
    """Yield the first circle of containers that wait for one another."""
    waits = {name: [other for other in one.depends_on if other != name] for name, one in scenario.containers.items()}
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        names: list[str] = error.args[1][::-1]
        shown = [*names[:CIRCLE_COUNT_MAX], "..."] if len(names) > CIRCLE_COUNT_MAX else names
        yield Finding(("containers", names[0], "depends_on"), f"free of circles: {' waits for '.join(shown)}")
