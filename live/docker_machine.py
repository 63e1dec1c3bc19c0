"""The port, fulfilled by a Docker engine: every verb becomes engine calls and words to a container's supervisor.

Slow calls run in the environment's threads; all else, state included, belongs to the loop.
No exception of the SDK crosses an event: what the engine refuses is `Refused`.
A container's end is settled in one place, `_bury`, whoever caused it: stop, kill, the OOM killer or the worker itself.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import simpy

from live import containers, messages
from live.attachment import Attachment, attach
from live.engine import engine_errors, reason
from live.engine_events import EngineClock, EngineEvent, EngineEvents, unix_s
from live.errors import MachineBug, RunEnded
from live.handshake import Silent
from live.leftovers import remove_run
from live.live_container import GREETING_WORDS, LiveContainer
from live.oom_signs import cause
from live.real_time import Failed
from sim.machine import Died, Limited, ProcessKilled, Refused, Started, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

    from live.labels import RunLabels
    from live.real_time import LiveEnvironment
    from scenarios.story import Container, Story
    from sim.machine import Observer, Program

    Message = dict[str, Any]

# Containers up at once: each has two threads here.
CONTAINERS_MAX = 256

# How long a dead container's output is waited for, so that nothing it said is lost.
LAST_WORDS_S_MAX = 1.0

# Stands where an exit code cannot be known, because the engine is lost.
LOST_EXIT_CODE = -1

# What the engine answers to a kill of a container that ended just before.
NOT_RUNNING = "is not running"

SIGKILL_NAMES = frozenset({"9", "KILL", "SIGKILL"})


@dataclasses.dataclass(frozen=True, slots=True)
class Buried:
    """What was found when a dead container was looked at and removed."""

    exit_code: int
    engine_flag: bool
    happened_s: float


class DockerMachine:
    """A machine made of one Docker engine. Make it before anything is started, close it in any ending."""

    def __init__(
        self,
        env: LiveEnvironment,
        client: docker.DockerClient,
        story: Story,
        run: RunLabels,
        observer: Observer,
        *,
        image: str,
    ) -> None:
        """Subscribe to the engine's events; nothing is created yet."""
        self._env = env
        self._client = client
        self._story = story
        self._run = run
        self._observer = observer
        self._image = image
        self._notices = simpy.Store(env)
        self._containers: dict[str, LiveContainer] = {}
        self._by_id: dict[str, LiveContainer] = {}
        self._engine_lost = False
        self._closing = threading.Event()
        self._starts_count = 0
        self._clock = EngineClock.measured(client, env.clock)
        self._events = EngineEvents(client, run.run, self._clock, env.clock(), self._post_event, self._post_lost)
        env.hold_open()

    @property
    def notices(self) -> simpy.Store:
        """What happened unasked, in the order it was noticed."""
        return self._notices

    @property
    def containers_up(self) -> tuple[LiveContainer, ...]:
        """The containers that are up now."""
        return tuple(container for container in list(self._containers.values()) if container.state == "up")

    @property
    def engine_lost(self) -> bool:
        """Whether the engine's event stream ended unasked."""
        return self._engine_lost

    # The verbs.

    def start(self, container: Container) -> simpy.Event:
        """Create and start a container, greet its supervisor: `Started` or `Refused`."""
        why = self._why_not_start(container.name)
        if why:
            return self._at_once(Refused(container.name, why))
        self._starts_count += 1
        coming = LiveContainer(container, self._starts_count)
        self._containers[container.name] = coming
        return self._slowly(lambda: self._bring_up(coming), lambda outcome: self._came_up(coming, outcome))

    def stop(self, name: str) -> simpy.Event:
        """Have the supervisor end, kill it after its grace, remove it: `Stopped` or `Refused`."""
        going = self._up(name)
        if going is None:
            return self._not_up(name)
        done = self._env.event()
        going.endings.append(done)
        going.ask_stop()
        grace = self._env.timeout(going.spec.stop_grace_s)
        assert grace.callbacks is not None
        grace.callbacks.append(lambda _: self._kill_unless_gone(going))
        return done

    def kill(self, name: str) -> simpy.Event:
        """SIGKILL the container's first process: `Stopped` or `Refused`."""
        going = self._up(name)
        if going is None:
            return self._not_up(name)
        done = self._env.event()
        going.endings.append(done)
        self._kill_unless_gone(going)
        return done

    def limit(self, name: str, *, cpus_limit: float | None, memory_bytes_limit: int | None) -> simpy.Event:
        """Change limits of a running container: `Limited` or `Refused`."""
        held = self._up(name)
        if held is None:
            return self._not_up(name)

        def update() -> object:
            containers.update(
                self._client,
                held.container_id,
                held.spec,
                cpus_limit=cpus_limit,
                memory_bytes_limit=memory_bytes_limit,
            )
            return Limited(name)

        return self._slowly(
            lambda: self._attempt(name, update),
            lambda outcome: self._limited(held, outcome, cpus_limit, memory_bytes_limit),
        )

    def sample(self, name: str) -> simpy.Event:
        """Read a container's counters now: `Sample` or `Refused`."""
        asked = self._up(name)
        if asked is None:
            return self._not_up(name)
        done = self._env.event()
        asked.ask_sample(done)
        return done

    def submit(self, name: str, program: Program) -> simpy.Event:
        """Run a program in a container: `Finished`, `Lost` or `Refused`."""
        asked = self._up(name)
        if asked is None:
            return self._not_up(name)
        done = self._env.event()
        asked.ask_program(program, done)
        return done

    def close(self) -> list[str]:
        """Remove everything this run created, in any ending; the names of what could not be removed.

        Call it after the environment has ended, so that no call of this machine is under way any more.
        """
        self._closing.set()
        self._events.close()
        for container in tuple(self._by_id.values()):
            if container.attachment is not None:
                container.attachment.close()
        return remove_run(self._client, self._run.run)

    # Starting, in a call's thread.

    def _bring_up(self, coming: LiveContainer) -> object:
        outcome = self._attempt(coming.name, lambda: self._create_start_greet(coming))
        if isinstance(outcome, Refused) and coming.container_id:
            self._attempt(coming.name, lambda: self._discard(coming))
        return outcome

    def _create_start_greet(self, coming: LiveContainer) -> Started | Refused:
        if self._closing.is_set():
            return Refused(coming.name, "the run is ending")
        began_s = self._env.clock()
        coming.container_id = containers.create(self._client, self._image, coming.spec, self._run, coming.number)
        coming.create_s = self._env.clock() - began_s
        # Known to the loop before it runs, so that no event about it can come too early.
        self._env.post(lambda: self._by_id.update({coming.container_id: coming}))
        coming.attachment = Attachment(
            attach(self._client, coming.container_id),
            coming.name,
            lambda message: self._post_message(coming, message),
            coming.hear_end,
        )
        began_s = self._env.clock()
        self._client.api.start(coming.container_id)
        coming.started_s = self._env.clock()
        return self._greet(coming, coming.create_s + coming.started_s - began_s)

    def _greet(self, coming: LiveContainer, start_s: float) -> Started | Refused:
        assert coming.attachment is not None
        greeted = coming.greeting.exchange(coming.attachment)
        if isinstance(greeted, Silent):
            return Refused(coming.name, greeted.reason)
        zero_s = self._env.epoch_s + greeted.ahead_s
        coming.attachment.send(messages.begin(zero_s, self._story.sample_interval_s))
        return Started(coming.name, start_s, greeted.ready_monotonic_s - self._env.epoch_s)

    def _discard(self, coming: LiveContainer) -> None:
        if coming.attachment is not None:
            coming.attachment.close()
        self._client.api.remove_container(coming.container_id, force=True, v=True)

    # Settling, in the loop.

    def _came_up(self, coming: LiveContainer, outcome: object) -> None:
        if not isinstance(outcome, Started):
            self._forget(coming)
            return
        coming.state = "up"
        if coming.death is not None:
            self._bury(coming, coming.death)

    def _limited(
        self, held: LiveContainer, outcome: object, cpus_limit: float | None, memory_bytes_limit: int | None
    ) -> None:
        if not isinstance(outcome, Limited):
            return
        if cpus_limit is not None:
            held.spec = dataclasses.replace(held.spec, cpus_limit=cpus_limit)
        if memory_bytes_limit is not None:
            held.spec = dataclasses.replace(held.spec, memory_bytes_limit=memory_bytes_limit)

    def _kill_unless_gone(self, going: LiveContainer) -> None:
        if going.state != "up" or going.death is not None:
            return
        going.kill_asked = True

        def kill() -> object:
            self._client.api.kill(going.container_id)
            return None

        self._slowly(lambda: self._attempt(going.name, kill), lambda outcome: self._kill_tried(going, outcome))

    def _kill_tried(self, going: LiveContainer, outcome: object) -> None:
        # A refusal because it is dead already is no refusal: its death is on its way here.
        dying = going.state != "up" or going.death is not None
        if isinstance(outcome, Refused) and not dying and NOT_RUNNING not in outcome.reason:
            going.end_with(outcome)

    def _bury(self, dead: LiveContainer, death: EngineEvent) -> None:
        """Look at a dead container, settle all that waits for it, and remove it."""
        self._slowly(
            lambda: self._attempt(dead.name, lambda: self._look(dead, death)),
            lambda found: self._settle(dead, found if isinstance(found, Buried) else _as_told(death)),
        )

    def _look(self, dead: LiveContainer, death: EngineEvent) -> Buried:
        dead.ended.wait(LAST_WORDS_S_MAX)
        state = self._client.api.inspect_container(dead.container_id)["State"]
        finished_s = self._clock.run_s(unix_s(state["FinishedAt"]))
        return Buried(int(state["ExitCode"]), bool(state["OOMKilled"]), min(finished_s, death.happened_s))

    def _settle(self, dead: LiveContainer, found: Buried) -> None:
        if dead.state == "gone":
            return
        dead.settle_all(found.happened_s, "it died")
        self._forget(dead)
        if not dead.stop_asked:
            why = cause(dead.signs(found.exit_code, engine_flag=found.engine_flag))
            self._notices.put(Died(dead.name, why, found.exit_code, found.happened_s, self._env.now))
        # Who asked for the end waits for the removal too; whoever starts the same name anew need not.
        self._slowly(
            lambda: self._attempt(dead.name, lambda: self._discard(dead)),
            lambda _: dead.end_with(Stopped(dead.name, found.exit_code)),
        )

    def _forget(self, gone: LiveContainer) -> None:
        gone.state = "gone"
        if self._containers.get(gone.name) is gone:
            del self._containers[gone.name]
        self._by_id.pop(gone.container_id, None)

    # What comes in from other threads.

    def _post_message(self, sender: LiveContainer, message: Message) -> None:
        if message["is"] in GREETING_WORDS:
            sender.greeting.hear(message)
        else:
            self._post(lambda: self._heard(sender, message))

    def _post_event(self, event: EngineEvent) -> None:
        self._env.post(lambda: self._engine_said(event))

    def _post_lost(self) -> None:
        self._env.post(self._lose_engine)

    def _post(self, function: Callable[[], None]) -> None:
        try:
            self._env.post(function)
        except RunEnded:
            return

    def _heard(self, sender: LiveContainer, message: Message) -> None:
        match message["is"]:
            case "sample":
                sample = messages.sample_from(sender.name, message)
                sender.sampled(message["id"], sample)
                if message["id"] is None:
                    self._observer.sample(sample)
            case "steps":
                for done in messages.steps_from(sender.name, message, sender.step_done):
                    self._observer.step(done)
            case "finished":
                sender.program_ended(message["id"], messages.finished_from(message))
            case "lost":
                sender.program_ended(message["id"], messages.lost_from(message))
            case "killed":
                self._process_killed(sender, message)
            case "error" if "id" in message:
                sender.program_ended(message["id"], Refused(sender.name, message["text"]))

    def _process_killed(self, sender: LiveContainer, message: Message) -> None:
        if message["cause"] == "oom":
            sender.agents_oom_killed_count += 1
        self._notices.put(ProcessKilled(sender.name, message["agent"], message["cause"], message["at"], self._env.now))

    def _engine_said(self, event: EngineEvent) -> None:
        named = self._by_id.get(event.container_id)
        if named is None:
            return
        if event.what == "oom":
            named.oom_events_count += 1
        elif event.what == "kill" and event.signal in SIGKILL_NAMES:
            named.kill_asked = True
        elif event.what == "die" and named.death is None:
            named.death = event
            if named.state == "up":
                self._bury(named, event)

    def _lose_engine(self) -> None:
        self._engine_lost = True
        self._env.let_close()
        now_s = self._env.now
        for lost in self.containers_up:
            lost.settle_all(now_s, "the engine is lost")
            self._forget(lost)
            self._notices.put(Died(lost.name, "engine_lost", LOST_EXIT_CODE, now_s, now_s))
            lost.end_with(Refused(lost.name, "the engine is lost"))

    # Outcomes.

    def _up(self, name: str) -> LiveContainer | None:
        container = self._containers.get(name)
        return container if container is not None and container.state == "up" else None

    def _why_not_start(self, name: str) -> str:
        if self._engine_lost:
            return "the engine is lost"
        if name in self._containers:
            return f"it is {self._containers[name].state} already"
        if len(self._containers) >= CONTAINERS_MAX:
            return f"{CONTAINERS_MAX} containers are up, which is the most this machine handles"
        return ""

    def _not_up(self, name: str) -> simpy.Event:
        return self._at_once(Refused(name, "the engine is lost" if self._engine_lost else "it is not up"))

    def _at_once(self, outcome: object) -> simpy.Event:
        return self._env.event().succeed(outcome)

    def _slowly(self, work: Callable[[], object], settle: Callable[[object], None]) -> simpy.Event:
        """Run `work` in a thread, then `settle` its outcome in the loop before anybody who waits sees it."""
        done = self._env.event()

        def conclude(call: simpy.Event) -> None:
            if isinstance(call.value, Failed):
                done.fail(MachineBug(call.value.text))
                return
            settle(call.value)
            done.succeed(call.value)

        call = self._env.call(work)
        assert call.callbacks is not None
        call.callbacks.append(conclude)
        return done

    def _attempt(self, name: str, work: Callable[[], object]) -> object:
        try:
            return work()
        except engine_errors() as problem:
            return Refused(name, reason(problem))


def _as_told(death: EngineEvent) -> Buried:
    return Buried(death.exit_code, engine_flag=False, happened_s=death.happened_s)
