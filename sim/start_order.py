"""The order in which a story's containers are started: each when what it depends on is as it must be, as Compose does.

A container counts as ready when it has started and, where it has a health check, is healthy. What cannot be met any
more (a dependency refused, unhealthy, ended the wrong way) is not waited for: its dependants are not started.
Source: Compose specification, `depends_on`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.machine import Refused, Started

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from scenarios.story import Container, Dependency, Story
    from sim.machine import Machine
    from sim.presence import Presence
    from sim.record import Recorder

# How long is waited beyond what a health check itself takes: notices can be lost, and no run waits for ever.
PATIENCE_S = 60.0
COMPLETION_S_MAX = 600.0

FAILED = {"started": "did not start", "healthy": "is not healthy", "completed": "did not end with exit code 0"}


class StartOrder:
    """Starts all containers of a story and knows when all of them are ready."""

    def __init__(
        self, env: simpy.Environment, story: Story, machine: Machine, presence: Presence, recorder: Recorder
    ) -> None:
        """Have started none yet."""
        self._env = env
        self._story = story
        self._machine = machine
        self._presence = presence
        self._recorder = recorder

    def bring_up(self) -> Generator[simpy.Event, Any, None]:
        """Start everything in order; over when each container is ready or can no more become so."""
        began_s = self._env.now
        yield self._env.all_of([self._env.process(self._start(container)) for container in self._story.containers])
        self._recorder.gauge(self._env.now, "ready_s", self._env.now - began_s)

    def _start(self, container: Container) -> Generator[simpy.Event, Any, None]:
        for dependency in container.dependencies:
            if not (yield from self._met(dependency)):
                self._refuse(container.name, f"{dependency.container} {FAILED[dependency.condition]}")
                return
        outcome = yield self._machine.start(container)
        if isinstance(outcome, Refused):
            self._refuse(container.name, outcome.reason)
        elif isinstance(outcome, Started):
            self._presence.came_up(container.name, outcome.ready_s)
            self._recorder.event(outcome.ready_s, "started", container.name, None, "")
            self._recorder.gauge(outcome.ready_s, f"start_s.{container.name}", outcome.start_s)
            if container.health is not None:
                yield from self._settled(container.name, "healthy", _verdict_s_max(container))

    def _refuse(self, name: str, reason: str) -> None:
        self._presence.refused(name)
        self._recorder.event(self._env.now, "refused", name, None, reason)

    def _met(self, dependency: Dependency) -> Generator[simpy.Event, Any, bool]:
        """Wait until a dependency is as it must be; False where it can no more become so."""
        container = self._story.container(dependency.container)
        # Those that it depends on in turn may take long, and tell by refusing it when they fail; only its own part is
        # bounded here, from when it has started.
        while not (state := self._presence[container.name]).started and not state.refused:
            yield self._presence.changed(container.name)
        if dependency.condition == "started":
            return state.started
        s_max = _verdict_s_max(container) if dependency.condition == "healthy" else COMPLETION_S_MAX
        return (yield from self._settled(container.name, dependency.condition, s_max))

    def _settled(self, name: str, condition: str, s_max: float) -> Generator[simpy.Event, Any, bool]:
        """Wait for a verdict on a container that was asked to start, but no longer than `s_max`."""
        give_up = self._env.timeout(s_max)
        while (verdict := self._verdict(name, condition)) is None and not give_up.processed:
            yield self._env.any_of([self._presence.changed(name), give_up])
        return bool(verdict)

    def _verdict(self, name: str, condition: str) -> bool | None:
        """Whether a container is as it must be; None where that is still open."""
        state = self._presence[name]
        if state.refused:
            return False
        over = not state.up and state.exit_code is not None
        # Looked at first: what ended well may have been started anew since.
        if condition == "completed" and state.exit_code == 0:
            return True
        if over and self._story.container(name).restart.condition == "no":
            return False
        return state.healthy if condition == "healthy" else None


def _verdict_s_max(container: Container) -> float:
    """How long a health check may take for its verdict."""
    health = container.health
    if health is None:
        return PATIENCE_S
    return health.start_period_s + (health.retries_max + 2) * (health.interval_s + health.timeout_s) + PATIENCE_S
