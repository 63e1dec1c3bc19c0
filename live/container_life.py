"""The engine's part in a container's life, as calls that block and return outcomes.

Each is made in a thread of its own. No exception of the SDK leaves this file: what the engine refuses is `Refused`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from live import containers, messages
from live.attachment import Attachment, attach
from live.engine import engine_errors, reason
from live.engine_events import unix_s
from live.errors import RunEnded
from live.handshake import Silent
from sim.machine import Limited, Refused, Started

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

    from live.engine_events import EngineClock, EngineEvent
    from live.labels import RunLabels
    from live.live_container import LiveContainer
    from live.real_time import LiveEnvironment

    Message = dict[str, Any]

# How long a dead container's output is waited for, so that nothing it said is lost.
LAST_WORDS_S_MAX = 1.0

ENDING = "the run is ending"


@dataclass(frozen=True, slots=True)
class Remains:
    """What was found when a dead container was looked at."""

    exit_code: int
    engine_flag: bool
    happened_s: float


class ContainerLife:
    """Creates, starts, greets, limits, kills, looks at and removes the containers of one run."""

    def __init__(
        self,
        env: LiveEnvironment,
        client: docker.DockerClient,
        run: RunLabels,
        *,
        image: str,
        sample_interval_s: float,
        clock: EngineClock,
    ) -> None:
        """Belong to a run; nothing is created yet."""
        self._env = env
        self._client = client
        self._run = run
        self._image = image
        self._sample_interval_s = sample_interval_s
        self._clock = clock
        self._closing = threading.Event()

    def close(self) -> None:
        """Create nothing any more."""
        self._closing.set()

    def bring_up(
        self, coming: LiveContainer, on_created: Callable[[], object], on_message: Callable[[Message], None]
    ) -> object:
        """Create, start and greet: `Started`, or `Refused` with nothing left behind.

        `on_created` is posted to the loop as soon as the engine's id is known, before anything can happen to it.
        """
        outcome = self._attempt(coming.name, lambda: self._create_and_start(coming, on_created, on_message))
        if isinstance(outcome, Refused) and coming.container_id:
            self.discard(coming)
        return outcome

    def limit(self, held: LiveContainer, cpus_limit: float | None, memory_bytes_limit: int | None) -> object:
        """Change limits: `Limited` or `Refused`."""

        def update() -> Limited:
            containers.update(
                self._client,
                held.container_id,
                held.spec,
                cpus_limit=cpus_limit,
                memory_bytes_limit=memory_bytes_limit,
            )
            return Limited(held.name)

        return self._attempt(held.name, update)

    def kill(self, going: LiveContainer) -> object:
        """Send SIGKILL to the first process: None or `Refused`."""
        return self._attempt(going.name, lambda: self._client.api.kill(going.container_id))

    def look(self, dead: LiveContainer, death: EngineEvent) -> Remains:
        """See how a container ended; where the engine does not say, as its event told."""

        def inspect() -> Remains:
            dead.ended.wait(LAST_WORDS_S_MAX)
            state = self._client.api.inspect_container(dead.container_id)["State"]
            finished_s = self._clock.run_s(unix_s(state["FinishedAt"]))
            return Remains(int(state["ExitCode"]), bool(state["OOMKilled"]), min(finished_s, death.happened_s))

        found = self._attempt(dead.name, inspect)
        if isinstance(found, Remains):
            return found
        return Remains(death.exit_code, engine_flag=False, happened_s=death.happened_s)

    def discard(self, gone: LiveContainer) -> object:
        """Hang up and remove: None or `Refused`."""
        if gone.attachment is not None:
            gone.attachment.close()
        return self._attempt(
            gone.name, lambda: self._client.api.remove_container(gone.container_id, force=True, v=True)
        )

    def _create_and_start(
        self, coming: LiveContainer, on_created: Callable[[], object], on_message: Callable[[Message], None]
    ) -> Started | Refused:
        if self._closing.is_set():
            return Refused(coming.name, ENDING)
        began_s = self._env.clock()
        coming.container_id = containers.create(self._client, self._image, coming.spec, self._run, coming.number)
        coming.create_s = self._env.clock() - began_s
        try:
            self._env.post(on_created)
        except RunEnded:
            # The run may have looked for what it made before the engine had made this; `bring_up` discards it.
            return Refused(coming.name, ENDING)
        stream = attach(self._client, coming.container_id)
        coming.attachment = Attachment(stream, coming.name, on_message, coming.hear_end)
        began_s = self._env.clock()
        self._client.api.start(coming.container_id)
        coming.started_s = self._env.clock()
        return self._greet(coming, coming.attachment, coming.create_s + coming.started_s - began_s)

    def _greet(self, coming: LiveContainer, attachment: Attachment, start_s: float) -> Started | Refused:
        greeted = coming.greeting.exchange(attachment)
        if isinstance(greeted, Silent):
            return Refused(coming.name, greeted.reason)
        attachment.send(messages.begin(self._env.epoch_s + greeted.ahead_s, self._sample_interval_s))
        return Started(coming.name, start_s, greeted.ready_monotonic_s - self._env.epoch_s)

    def _attempt(self, name: str, work: Callable[[], object]) -> object:
        try:
            return work()
        except engine_errors() as problem:
            return Refused(name, reason(problem))
