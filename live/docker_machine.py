"""The port, fulfilled by a Docker engine: every verb becomes engine calls and words to a container's supervisor.

Slow calls run in the environment's threads (`live/container_life.py`); all else, state included, belongs to the loop.
A container's end is settled in one place, `_bury`, whoever caused it: stop, kill, the OOM killer or the worker itself.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import simpy

from live import messages
from live.container_life import ContainerLife, Remains
from live.engine_events import EngineClock, EngineEvents
from live.errors import MachineBug, RunEnded
from live.leftovers import remove_run
from live.live_container import GREETING_WORDS, LiveContainer
from live.oom_signs import cause
from live.real_time import Failed
from sim.machine import Died, Limited, ProcessKilled, Refused, Started, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

    from live.engine_events import EngineEvent
    from live.labels import RunLabels
    from live.real_time import LiveEnvironment
    from scenarios.story import Container, Story
    from sim.machine import Observer, Program

    Message = dict[str, Any]

# Containers up at once: each has two threads here.
CONTAINERS_MAX = 256

# Stands where an exit code cannot be known, because the engine is lost.
LOST_EXIT_CODE = -1

# What the engine answers to a kill of a container that ended just before.
NOT_RUNNING = "is not running"

SIGKILL_NAMES = frozenset({"9", "KILL", "SIGKILL"})
ENGINE_LOST = "the engine is lost"


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
        self._run = run
        self._observer = observer
        self._notices = simpy.Store(env)
        self._containers: dict[str, LiveContainer] = {}
        self._by_id: dict[str, LiveContainer] = {}
        # All that may still have an open line to a worker, those lost with the engine included.
        self._attached: set[LiveContainer] = set()
        self._engine_lost = False
        self._starts_count = 0
        clock = EngineClock.measured(client, env.clock)
        self._life = ContainerLife(
            env, client, run, image=image, sample_interval_s=story.sample_interval_s, clock=clock
        )
        self._events = EngineEvents(client, run.run, clock, env.clock(), self._post_event, self._post_lost)
        env.hold_open()

    @property
    def notices(self) -> simpy.Store:
        """What happened unasked, in the order it was noticed."""
        return self._notices

    @property
    def containers_up(self) -> tuple[LiveContainer, ...]:
        """The containers that are up now; any thread may ask."""
        return tuple(container for container in list(self._containers.values()) if container.state == "up")

    @property
    def engine_lost(self) -> bool:
        """Whether the engine's event stream ended unasked."""
        return self._engine_lost

    def close(self) -> list[str]:
        """End the environment and remove everything this run created; the names of what could not be removed."""
        self._life.close()
        for container in list(self._containers.values()):
            # A start that waits for its worker's first word would hold up the end.
            container.greeting.end()
        self._env.end()
        self._events.close()
        for container in tuple(self._attached):
            if container.attachment is not None:
                container.attachment.close()
        return remove_run(self._client, self._run.run)

    # The verbs.

    def start(self, container: Container) -> simpy.Event:
        """Create and start a container, greet its supervisor: `Started` or `Refused`."""
        why = self._why_not_start(container.name)
        if why:
            return self._at_once(Refused(container.name, why))
        self._starts_count += 1
        coming = LiveContainer(container, self._starts_count)
        self._containers[container.name] = coming
        self._attached.add(coming)
        return self._slowly(
            lambda: self._life.bring_up(
                coming, lambda: self._created(coming), lambda message: self._post_message(coming, message)
            ),
            lambda outcome: self._came_up(coming, outcome),
        )

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
        return self._slowly(
            lambda: self._life.limit(held, cpus_limit, memory_bytes_limit),
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

    # What follows a slow call, in the loop.

    def _created(self, coming: LiveContainer) -> None:
        self._by_id[coming.container_id] = coming

    def _came_up(self, coming: LiveContainer, outcome: object) -> None:
        if not isinstance(outcome, Started):
            self._attached.discard(coming)
            self._forget(coming)
            return
        coming.state = "up"
        if self._engine_lost:
            self._lose(coming)
        elif coming.death is not None:
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
        if going.is_dying:
            return
        going.kill_asked = True
        self._slowly(lambda: self._life.kill(going), lambda outcome: self._kill_tried(going, outcome))

    def _kill_tried(self, going: LiveContainer, outcome: object) -> None:
        # A refusal because it is dead already is no refusal: its death is on its way here.
        if isinstance(outcome, Refused) and not going.is_dying and NOT_RUNNING not in outcome.reason:
            going.end_with(outcome)

    def _bury(self, dead: LiveContainer, death: EngineEvent) -> None:
        """Look at a dead container, settle all that waits for it, and remove it."""
        self._slowly(lambda: self._life.look(dead, death), lambda found: self._settle(dead, found))

    def _settle(self, dead: LiveContainer, found: object) -> None:
        assert isinstance(found, Remains)
        if dead.state == "gone":
            return
        dead.settle_all(found.happened_s, "it died")
        self._forget(dead)
        if not dead.stop_asked:
            why = cause(dead.signs(found.exit_code, engine_flag=found.engine_flag))
            self._notices.put(Died(dead.name, why, found.exit_code, found.happened_s, self._env.now))
        # Who asked for the end waits for the removal too; whoever starts the same name anew need not.
        self._slowly(lambda: self._life.discard(dead), lambda _: self._discarded(dead, found.exit_code))

    def _discarded(self, gone: LiveContainer, exit_code: int) -> None:
        self._attached.discard(gone)
        gone.end_with(Stopped(gone.name, exit_code))

    def _forget(self, gone: LiveContainer) -> None:
        gone.state = "gone"
        if self._containers.get(gone.name) is gone:
            del self._containers[gone.name]
        self._by_id.pop(gone.container_id, None)

    # What comes in from other threads.

    def _post_message(self, sender: LiveContainer, message: Message) -> None:
        if message["is"] in GREETING_WORDS:
            sender.greeting.hear(message)
            return
        try:
            self._env.post(lambda: self._heard(sender, message))
        except RunEnded:
            # What a container says after the run is of no interest.
            return

    def _post_event(self, event: EngineEvent) -> None:
        self._env.post(lambda: self._engine_said(event))

    def _post_lost(self) -> None:
        self._env.post(self._lose_engine)

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
        for lost in self.containers_up:
            self._lose(lost)

    def _lose(self, lost: LiveContainer) -> None:
        now_s = self._env.now
        lost.settle_all(now_s, ENGINE_LOST)
        self._forget(lost)
        self._notices.put(Died(lost.name, "engine_lost", LOST_EXIT_CODE, now_s, now_s))
        lost.end_with(Refused(lost.name, ENGINE_LOST))

    # Outcomes.

    def _up(self, name: str) -> LiveContainer | None:
        container = self._containers.get(name)
        return container if container is not None and container.state == "up" else None

    def _why_not_start(self, name: str) -> str:
        if self._engine_lost:
            return ENGINE_LOST
        if name in self._containers:
            return f"it is {self._containers[name].state} already"
        if len(self._containers) >= CONTAINERS_MAX:
            return f"{CONTAINERS_MAX} containers are up, which is the most this machine handles"
        return ""

    def _not_up(self, name: str) -> simpy.Event:
        return self._at_once(Refused(name, ENGINE_LOST if self._engine_lost else "it is not up"))

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
