"""A host's engine: whether it answers, the networks it made, and the containers it keeps.

Blows: an engine that is stopped in order ends its containers first; one that crashes leaves them running until it is
back, which then ends them; a host that is lost takes them along. An engine is back `engine_start_s_mean` after its host
or process is there again, and what it starts anew then is in `sim/physics/restarts.py`.
Known to be wrong: an engine stopped in order takes no time to end its containers, and one that is back answers before
it starts any of them; creating a network takes no time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sim.machine import EngineBack, EngineLost
from sim.physics.lifecycle import Lifecycle

if TYPE_CHECKING:
    import simpy

    from scenarios.story import Container
    from sim.machine import Blow
    from sim.physics.surroundings import Surroundings

# The user networks that an engine with default address pools has room for: 31 pools less its own bridge
# (moby#29239; exactly 30 could be created on Docker 20.10).
NETWORKS_COUNT_MAX = 30
# The engine's own words.
NO_ADDRESSES = (
    "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
)


@dataclass(slots=True)
class Names:
    """All containers of a machine by name, and the names of those that an engine is starting right now."""

    containers: dict[str, Lifecycle] = field(default_factory=dict)
    starting: set[str] = field(default_factory=set)


class SimulatedEngine:
    """The engine of one host."""

    def __init__(self, host: str, around: Surroundings, names: Names) -> None:
        """Answer, and keep nothing yet."""
        self.around = around
        self.starting = names.starting
        self.lost = False
        self._host = host
        self._names = names
        self._networks: set[str] = set()

    def start(self, container: Container, answer: simpy.Event) -> None:
        """Create and start a container whose name is free."""
        lifecycle = Lifecycle(self, container, answer)
        self._names.containers[container.name] = lifecycle
        lifecycle.create()

    def join(self, networks: tuple[str, ...]) -> str | None:
        """Make the networks that are not there yet; the engine's words where there is no room for one."""
        for network in networks:
            if network in self._networks:
                continue
            if len(self._networks) >= NETWORKS_COUNT_MAX:
                return NO_ADDRESSES
            self._networks.add(network)
        return None

    def forget(self, lifecycle: Lifecycle) -> None:
        """Free the name of a container that is gone."""
        if self._names.containers.get(lifecycle.name) is lifecycle:
            del self._names.containers[lifecycle.name]

    # Blows.

    def strike(self, blow: Blow, down_s: float | None) -> None:
        """Be lost, for a while or (None) for good."""
        self.lost = True
        now = self.around.now
        self.around.tell(EngineLost(self._host, now, now), self.around.profile.notice_s_mean)
        for lifecycle in self._kept():
            lifecycle.lose_engine(blow)
        if down_s is not None:
            self.around.after(down_s + self.around.profile.engine_start_s_mean, lambda: self._return(blow))

    def _return(self, blow: Blow) -> None:
        self.lost = False
        now = self.around.now
        self.around.tell(EngineBack(self._host, now, now), self.around.profile.notice_s_mean)
        for lifecycle in self._kept():
            lifecycle.find_engine(blow)

    def _kept(self) -> list[Lifecycle]:
        return [lifecycle for lifecycle in self._names.containers.values() if lifecycle.spec.host == self._host]
