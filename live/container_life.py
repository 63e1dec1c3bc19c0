"""The engine's part in a container's life, as calls that block and return outcomes.

Each is made in a thread of its own. No exception of the SDK leaves this file: what the engine refuses is `Refused`.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from live import containers, messages
from live.attachment import attach
from live.engine import engine_errors, reason
from live.engine_events import unix_s
from live.errors import RunEnded
from live.handshake import READY_S_MAX, Silent
from sim.machine import Limited, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

    from live.attachment import Attachment, Duplex
    from live.engine_events import EngineClock, EngineEvent
    from live.labels import RunLabels
    from live.line import Line
    from live.live_container import LiveContainer
    from live.networks import Networks
    from live.real_time import LiveEnvironment

# How long a dead container's output is waited for, so that nothing it said is lost.
LAST_WORDS_S_MAX = 1.0

# An engine may tell of a death before it has decided what follows; and one that is ending says nothing of its end.
LOOKS_COUNT_MAX = 20
LOOK_PAUSE_S = 0.05

# The engine lets nobody attach to a container that it has not quite started anew.
ATTACH_TRIES_MAX = 40
ATTACH_PAUSE_S = 0.05

ENDING = "the run is ending"
STEADFAST_POLICIES = frozenset({"always", "unless-stopped"})
# What engines say of an end that has not come.
NEVER = "0001-01-01"


@dataclass(frozen=True, slots=True)
class Begun:
    """The engine started a container, and took so long for creating and starting it."""

    start_s: float


@dataclass(frozen=True, slots=True)
class Answered:
    """A container's supervisor answered at `ready_s` of the run's clock."""

    ready_s: float


@dataclass(frozen=True, slots=True)
class Remains:
    """What was found when a dead container was looked at.

    `restarts` where the engine starts it anew, `reborn_s` when it has done so already.
    """

    exit_code: int
    engine_flag: bool
    happened_s: float
    restarts: bool = False
    reborn_s: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a container stands with the engine: the times are of its latest start and end, on the run's clock.

    `ended_before` where an earlier life of it ended, or this one.
    """

    runs: bool
    waits_for_restart: bool
    started_s: float
    finished_s: float
    exit_code: int
    engine_flag: bool
    ended_before: bool


@dataclass(frozen=True, slots=True)
class Vanished:
    """The engine does not know a container any more: somebody removed it."""


class ContainerLife:
    """Creates, starts, greets, limits, stops, kills, looks at and removes the containers of one run."""

    def __init__(
        self,
        env: LiveEnvironment,
        client: docker.DockerClient,
        run: RunLabels,
        *,
        image: str,
        sample_interval_s: float,
        clock: EngineClock,
        networks: Networks,
    ) -> None:
        """Belong to a run; nothing is created yet."""
        self._env = env
        self._client = client
        self._run = run
        self._image = image
        self._sample_interval_s = sample_interval_s
        self._clock = clock
        self._networks = networks
        self._closing = threading.Event()

    def close(self) -> None:
        """Create nothing any more."""
        self._closing.set()

    # Coming up.

    def bring_up(self, coming: LiveContainer, on_created: Callable[[], object]) -> object:
        """Create and start: `Begun`, or `Refused` with nothing left behind, unless the container says that it is.

        `on_created` is posted to the loop as soon as the engine's id is known, before anything can happen to it.
        """
        outcome = self._attempt(coming.name, lambda: self._create_and_start(coming, on_created))
        if isinstance(outcome, Refused) and coming.container_id:
            self._undo(coming)
        return outcome

    def greet(self, coming: LiveContainer) -> object:
        """Exchange the first words with a new container: `Answered`, or `Refused` as in `bring_up`."""
        assert coming.line.attachment is not None, "a container is attached to before it is started"
        outcome = self._greet(coming, coming.line.attachment, may_have_missed=False)
        if isinstance(outcome, Refused):
            self._undo(coming)
        return outcome

    def revive(self, reborn: LiveContainer, line: Line) -> object:
        """Attach to a container that the engine started anew, and exchange the first words: `Answered` or `Refused`."""

        def attach_and_greet() -> Answered | Refused:
            attachment = line.open(self._attach_patiently(reborn), reborn.name)
            return self._greet(reborn, attachment, may_have_missed=True)

        return self._attempt(reborn.name, attach_and_greet)

    # While it is up.

    def limit(self, held: LiveContainer, changed: dict[str, Any]) -> object:
        """Change limits as `containers.changes` says: `Limited` or `Refused`."""

        def update() -> Limited:
            containers.update(self._client, held.container_id, changed)
            return Limited(held.name)

        return self._attempt(held.name, update)

    def stop(self, going: LiveContainer) -> object:
        """SIGTERM, SIGKILL after its grace, no restart: None once it has ended, or `Refused`."""
        # The engine takes whole seconds.
        grace_s = math.ceil(going.spec.stop_grace_s)
        return self._attempt(going.name, lambda: self._client.api.stop(going.container_id, timeout=grace_s))

    def kill(self, going: LiveContainer) -> object:
        """Send SIGKILL to the first process: None or `Refused`."""
        return self._attempt(going.name, lambda: self._client.api.kill(going.container_id))

    # Its end.

    def stand(self, container: LiveContainer) -> object:
        """See how a container stands: `Standing`, `Vanished` or, where the engine does not answer, `Refused`."""
        import docker.errors

        def look() -> Standing | Vanished:
            try:
                return self._standing(container.container_id)
            except docker.errors.NotFound:
                return Vanished()

        return self._attempt(container.name, look)

    def look(self, dead: LiveContainer, line: Line, death: EngineEvent) -> Remains:
        """See how a life ended and whether another follows; where the engine does not say, as its event told."""
        if line.is_open:
            line.ended.wait(LAST_WORDS_S_MAX)
        for _ in range(LOOKS_COUNT_MAX):
            found = self.stand(dead)
            if isinstance(found, Standing):
                is_back = found.runs and found.started_s > death.happened_s
                if found.waits_for_restart or is_back:
                    happened_s = min(found.finished_s, death.happened_s)
                    # What the engine says of the exit code may be of a later life already; the event is of this one.
                    reborn_s = found.started_s if is_back else None
                    return Remains(death.exit_code, found.engine_flag, happened_s, restarts=True, reborn_s=reborn_s)
                if not found.runs and not self._must_come_back(dead):
                    return Remains(found.exit_code, found.engine_flag, min(found.finished_s, death.happened_s))
            if isinstance(found, Vanished) or self._closing.wait(LOOK_PAUSE_S):
                break
        return Remains(death.exit_code, engine_flag=False, happened_s=death.happened_s)

    def hang_up(self, line: Line) -> None:
        """Close the line of a life that is over."""
        line.close()

    def discard(self, gone: LiveContainer) -> object:
        """Hang up and remove: None or `Refused`."""
        gone.line.close()
        return self._attempt(
            gone.name, lambda: self._client.api.remove_container(gone.container_id, force=True, v=True)
        )

    def _undo(self, coming: LiveContainer) -> None:
        coming.is_left_behind = isinstance(self.discard(coming), Refused)

    def _create_and_start(self, coming: LiveContainer, on_created: Callable[[], object]) -> Begun | Refused:
        import docker.errors

        if self._closing.is_set():
            return Refused(coming.name, ENDING)
        began_s = self._env.clock()
        for network in coming.spec.networks:
            self._networks.ensure(network)
        if self._closing.is_set():
            # A network may take a while, and the run has ended in it.
            return Refused(coming.name, ENDING)
        try:
            coming.container_id = containers.create(
                self._client, self._image, coming.spec, self._run, coming.number, self._networks
            )
        except docker.errors.ImageNotFound as problem:
            return Refused(coming.name, _why_no_image(coming, problem))
        coming.create_s = self._env.clock() - began_s
        try:
            self._env.post(on_created)
        except RunEnded:
            # The run may have looked for what it made before the engine had made this; `bring_up` discards it.
            return Refused(coming.name, ENDING)
        containers.join(self._client, coming.container_id, coming.spec, self._networks)
        if not coming.is_foreign:
            coming.line.open(attach(self._client, coming.container_id), coming.name)
        coming.start_asked_s = self._env.clock()
        self._client.api.start(coming.container_id)
        coming.started_s = self._env.clock()
        return Begun(coming.create_s + coming.started_s - coming.start_asked_s)

    def _attach_patiently(self, reborn: LiveContainer) -> Duplex:
        for _ in range(ATTACH_TRIES_MAX - 1):
            try:
                return attach(self._client, reborn.container_id)
            except engine_errors():
                if self._closing.wait(ATTACH_PAUSE_S):
                    break
        return attach(self._client, reborn.container_id)

    def _greet(self, coming: LiveContainer, attachment: Attachment, *, may_have_missed: bool) -> Answered | Refused:
        greeted = coming.line.greeting.exchange(
            attachment, ready_s_max=READY_S_MAX + coming.spec.start_delay_s, may_have_missed=may_have_missed
        )
        if isinstance(greeted, Silent):
            return Refused(coming.name, greeted.reason)
        attachment.send(messages.begin(self._env.epoch_s + greeted.ahead_s, self._sample_interval_s))
        return Answered(greeted.ready_monotonic_s - self._env.epoch_s)

    def _standing(self, container_id: str) -> Standing:
        state: dict[str, Any] = self._client.api.inspect_container(container_id)["State"]
        waits = bool(state["Restarting"])
        return Standing(
            # The engine says that a container runs while it only waits for its restart.
            runs=bool(state["Running"]) and not waits,
            waits_for_restart=waits,
            started_s=self._clock.run_s(unix_s(state["StartedAt"])),
            finished_s=self._clock.run_s(unix_s(state["FinishedAt"])),
            exit_code=int(state["ExitCode"]),
            engine_flag=bool(state["OOMKilled"]),
            ended_before=not str(state["FinishedAt"]).startswith(NEVER),
        )

    @staticmethod
    def _must_come_back(dead: LiveContainer) -> bool:
        """Whether an end without a restart is no end to believe in at once: the engine itself may be ending."""
        return dead.spec.restart.condition in STEADFAST_POLICIES and not dead.stop_asked and not dead.kill_asked

    def _attempt(self, name: str, work: Callable[[], object]) -> object:
        try:
            return work()
        except engine_errors() as problem:
            return Refused(name, reason(problem))


def _why_no_image(coming: LiveContainer, problem: Exception) -> str:
    """The engine's words, and how to get an image that is the story's and not ours to build."""
    foreign = coming.spec.foreign
    return reason(problem) if foreign is None else f"{reason(problem)}; `docker pull {foreign.image}` brings it"
