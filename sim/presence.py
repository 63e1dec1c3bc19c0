"""Which containers are up, healthy or over, pieced together from answers and notices; whoever waits for one is woken.

Notices may come late, twice, out of order or never. So each is held against the time of what is known already: what
happened before it is old news, and what was missed is put right by the next answer that contradicts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.machine import Died, DiskFull, HealthChanged, ProcessKilled, Restarted

if TYPE_CHECKING:
    from collections.abc import Iterable

    import simpy

    from sim.machine import Notice

NEVER_S = float("-inf")


@dataclass(slots=True)
class ContainerState:
    """What is known of one container.

    `exit_code` is that of its last death; `known_s` is the time up to which its coming and going is known;
    `change` is what those wait for who want to hear of the next thing.
    """

    started: bool = False
    refused: bool = False
    up: bool = False
    healthy: bool | None = None
    exit_code: int | None = None
    known_s: float = NEVER_S
    health_known_s: float = NEVER_S
    change: simpy.Event | None = None


class Presence:
    """The states of a story's containers, as far as the driver can know them."""

    def __init__(self, env: simpy.Environment, names: Iterable[str]) -> None:
        """Know of none that it was started."""
        self._env = env
        self._states = {name: ContainerState() for name in names}
        # When each thing that can happen again and again was last heard of.
        self._heard_s: dict[tuple[str, str, str], float] = {}

    def __getitem__(self, name: str) -> ContainerState:
        """What is known of a container."""
        return self._states[name]

    @property
    def started(self) -> list[str]:
        """The containers that were ever up, in the order of their names."""
        return sorted(name for name, state in self._states.items() if state.started)

    @property
    def up(self) -> list[str]:
        """The containers that are up, in the order of their names."""
        return sorted(name for name, state in self._states.items() if state.up)

    def changed(self, name: str) -> simpy.Event:
        """An event for the next thing that becomes known of a container."""
        state = self._states[name]
        # One for all who wait, so that those who gave up waiting leave nothing behind.
        if state.change is None:
            state.change = self._env.event()
        return state.change

    # What becomes known.

    def came_up(self, name: str, at_s: float) -> None:
        """Know from an answer that a container is up."""
        state = self._states[name]
        # It was up once, even where its end was noticed before this answer came.
        state.started = True
        if at_s > state.known_s:
            state.up = True
            state.known_s = at_s
        self._wake(state)

    def refused(self, name: str) -> None:
        """Know that a container could not be started."""
        self._states[name].refused = True
        self._wake(self._states[name])

    def went(self, name: str, at_s: float) -> None:
        """Know from an answer that a container's life ended; a later life may be known of already."""
        if at_s >= self._states[name].known_s:
            self.missed(name)

    def missed(self, name: str) -> None:
        """Know from an answer that a container is not up, whatever was said or not said about it."""
        state = self._states[name]
        if state.up:
            state.up = False
            self._wake(state)

    def hear(self, notice: Notice) -> bool:
        """Take a notice in; whether it is news, and neither told before nor overtaken by later news."""
        if isinstance(notice, Died):
            return self._died(self._states[notice.container], notice)
        if isinstance(notice, Restarted):
            return self._restarted(self._states[notice.container], notice)
        if isinstance(notice, HealthChanged):
            return self._health(self._states[notice.container], notice)
        if isinstance(notice, ProcessKilled | DiskFull):
            return self._first_time((type(notice).__name__, notice.container, notice.agent), notice.happened_s)
        return self._first_time((type(notice).__name__, notice.host, ""), notice.happened_s)

    def _died(self, state: ContainerState, notice: Died) -> bool:
        if notice.happened_s <= state.known_s:
            return False
        state.up, state.healthy = False, None
        state.exit_code = notice.exit_code
        state.known_s = notice.happened_s
        # What its health was before says nothing of the next life, however late it is told.
        state.health_known_s = max(state.health_known_s, notice.happened_s)
        self._wake(state)
        return True

    def _restarted(self, state: ContainerState, notice: Restarted) -> bool:
        if notice.ready_s <= state.known_s:
            return False
        state.started = state.up = True
        state.known_s = notice.ready_s
        self._wake(state)
        return True

    def _health(self, state: ContainerState, notice: HealthChanged) -> bool:
        if notice.happened_s <= state.health_known_s:
            return False
        state.healthy = notice.healthy
        state.health_known_s = notice.happened_s
        self._wake(state)
        return True

    def _first_time(self, what: tuple[str, str, str], happened_s: float) -> bool:
        if happened_s <= self._heard_s.get(what, NEVER_S):
            return False
        self._heard_s[what] = happened_s
        return True

    @staticmethod
    def _wake(state: ContainerState) -> None:
        change, state.change = state.change, None
        if change is not None:
            change.succeed()
