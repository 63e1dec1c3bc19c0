"""Warnings about a container's life: restarts that go round in circles, waits for health checks, crowded networks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scenarios.laws import law_mean
from scenarios.story import CrashContainer, KillContainer
from scenarios.units import show_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios.story import Container, Host, RestartPolicy, Story

# Docker's own: the wait before a restart, how far it doubles, and how long a container must be up to begin anew.
# The model has the same in `sim/physics/restarts.py`.
BACKOFF_S_MIN = 0.1
BACKOFF_S_MAX = 60.0
BACKOFF_RESET_S = 10.0
# A shorter wait for a health check than this is hardly noticed beside the starts themselves.
HEALTHY_WAIT_S_MIN = 5.0
# What a stock engine has addresses for (measured: exactly 30; moby#29239); the model has it in `sim/physics/engine.py`.
NETWORKS_COUNT_STOCK = 30


def life_warnings(story: Story, container: Container) -> Iterator[str]:
    """Yield each warning about a container's life, as a sentence."""
    yield from _crashes(story, container)
    yield from _kills(story, container)
    yield from _waits(story, container)


def crowded(story: Story, host: Host) -> Iterator[str]:
    """Yield a warning where a host's containers are in more networks than a stock engine has addresses for."""
    names = {name for container in story.containers if container.host == host.name for name in container.networks}
    if len(names) > NETWORKS_COUNT_STOCK:
        yield (
            f"its containers are in {len(names)} networks and a stock engine has addresses for about "
            f"{NETWORKS_COUNT_STOCK}: give it more (default-address-pools), or starts are refused."
        )


def loop_of(policy: RestartPolicy) -> str:
    """Say what a restart policy makes of a container that dies again and again; empty where nothing starts it anew."""
    if policy.condition == "no":
        return ""
    waits = f"after {show_duration(BACKOFF_S_MIN)}, doubling to {show_duration(BACKOFF_S_MAX)}"
    ends = f", {policy.retries_max} times at most" if policy.retries_max else ""
    return f"restart: {policy.condition} starts it anew {waits} unless it was up for {BACKOFF_RESET_S:.0f}s{ends}"


def _crashes(story: Story, container: Container) -> Iterator[str]:
    """Warn of crashes that come again before the engine has forgotten the last, or that only the first survives."""
    repeated = [
        law_mean(fault.when.every_s)
        for fault in story.faults
        if isinstance(fault, CrashContainer) and fault.container == container.name and fault.when.every_s is not None
    ]
    every_s = min(repeated, default=math.inf)
    if repeated and container.restart.condition == "no":
        yield "it crashes again and again, and without a restart policy only the first crash strikes."
    elif every_s < BACKOFF_RESET_S:
        yield f"it crashes every {show_duration(every_s)} or so: {loop_of(container.restart)}."


def _kills(story: Story, container: Container) -> Iterator[str]:
    kills = [one for one in story.faults if isinstance(one, KillContainer) and one.container == container.name]
    if any(kill.when.every_s is not None for kill in kills):
        yield "it is killed again and again, and no restart policy follows a docker kill: only the first strikes."


def _waits(story: Story, container: Container) -> Iterator[str]:
    """Warn of the time until the first probe of what must be healthy first."""
    checks = {
        one.container: story.container(one.container).health
        for one in container.dependencies
        if one.condition == "healthy"
    }
    waits = {name: check.interval_s for name, check in checks.items() if check is not None}
    name = max(waits, key=lambda other: waits[other], default="")
    if waits and waits[name] >= HEALTHY_WAIT_S_MIN:
        shown = show_duration(waits[name])
        yield f"it waits for {name} to be healthy, whose first probe comes {shown} after its start: {shown} or more."


def restarts(containers: list[Container]) -> bool:
    """Whether an engine may have to start one of these anew, which is what its restarts are counted for."""
    return any(one.restart.condition != "no" for one in containers)
