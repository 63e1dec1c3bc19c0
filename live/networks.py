"""The story's networks on the engine, each made when the first container that is in it is started.

They carry the run's labels, so that `live/leftovers.py` finds them; the run removes them after its containers.
An engine has about 30 of them to give away with its default address pools; what it refuses is the caller's outcome.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import docker

    from live.labels import RunLabels
    from scenarios.story import Network


class Networks:
    """The networks of one run. Any thread may ask for one."""

    def __init__(self, client: docker.DockerClient, run: RunLabels, networks: tuple[Network, ...]) -> None:
        """Know what there may be; nothing is created yet."""
        self._client = client
        self._run = run
        self._specs = {network.name: network for network in networks}
        # A lock for each, so that containers started at once make it once and others do not wait for it.
        self._making = {network.name: threading.Lock() for network in networks}
        self._ids: dict[str, str] = {}

    def engine_name(self, name: str) -> str:
        """What the engine calls a network of the story."""
        return f"tonnage-{self._run.run}-{name}"

    def ensure(self, name: str) -> str:
        """The engine's id of a network, which is created if it is not there; raises what the SDK raises."""
        with self._making[name]:
            if name not in self._ids:
                made = self._client.api.create_network(
                    self.engine_name(name),
                    driver="bridge",
                    internal=self._specs[name].internal,
                    labels=self._run.as_labels(),
                )
                self._ids[name] = str(made["Id"])
            return self._ids[name]
