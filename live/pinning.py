"""Lets one machine stand in for a story's hosts: each host gets cores of its own, as a cpuset.

A story whose one host has as many cores as the engine needs none of it.
Where the engine has too few cores, nothing is pinned and the run is not comparable.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenarios.story import Container, Story


@dataclasses.dataclass(frozen=True, slots=True)
class Pinned:
    """A story as it is run, and what about its hosts is not as told (nothing, as a rule)."""

    story: Story
    reasons: tuple[str, ...]


def pinned(story: Story, engine_cpus_count: int) -> Pinned:
    """The story with its containers on the cores that stand in for their hosts."""
    wanted = {host.name: math.ceil(host.cpus_count) for host in story.hosts}
    if list(wanted.values()) == [engine_cpus_count]:
        return Pinned(story, ())
    if sum(wanted.values()) > engine_cpus_count:
        told = f"{sum(wanted.values())} cores in the story and {engine_cpus_count} cores on the engine"
        return Pinned(story, (f"the hosts have {told}; `live: scale` shrinks a story",))
    cores = _cores_by_host(wanted)
    containers = tuple(_pin(container, cores[container.host]) for container in story.containers)
    return Pinned(dataclasses.replace(story, containers=containers), ())


def _cores_by_host(wanted: dict[str, int]) -> dict[str, range]:
    cores: dict[str, range] = {}
    first = 0
    for host, count in wanted.items():
        cores[host] = range(first, first + count)
        first += count
    return cores


def _pin(container: Container, cores: range) -> Container:
    if container.cpuset_cpus is None:
        return dataclasses.replace(container, cpuset_cpus=tuple(cores))
    return dataclasses.replace(container, cpuset_cpus=tuple(cores[number] for number in container.cpuset_cpus))
