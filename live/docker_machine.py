"""The port, fulfilled by a Docker engine: every verb becomes engine calls and words to a container's supervisor.

Slow calls run in threads (`live/container_life.py`); all else, state included, belongs to the loop. What comes in from
other threads is in `live/incoming.py`, what becomes of containers that end or are started anew in `live/fates.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from typing import TYPE_CHECKING, Any

from live import containers, messages
from live.container_life import Answered, Begun, ContainerLife
from live.container_register import ContainerRegister
from live.engine import reason
from live.engine_events import EngineClock, EngineEvents
from live.errors import RunEnded
from live.fates import ENGINE_LOST, Fates
from live.foreign_samples import ForeignSamples
from live.host_probe import HostProbes
from live.incoming import Incoming
from live.leftovers import remove_run
from live.live_container import LiveContainer
from live.networks import Networks
from live.slow_calls import SlowCalls
from scenarios.story import RudeNotices
from sim.machine import Limited, Refused, Started, Struck
from sim.notices import Notices

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker
    import simpy

    from live.blows import EngineBlows
    from live.labels import RunLabels
    from live.real_time import LiveEnvironment
    from scenarios.story import Container, Story
    from sim.machine import Blow, Observer, Program

# Containers up at once: each has two threads here.
CONTAINERS_MAX = 256

# What engines answer to a kill of a container that ended just before: Docker, and Podman.
NOT_RUNNING = ("is not running", "can only kill running containers")

FOREIGN = "it runs a program of its own"
NO_HOST = "it is no host of this story"
NOT_OURS = "this engine is not the run's own; --private-engine starts one that may be struck"
UNPROBED = "nobody said that it is this machine"

# How long calls under way may take when the machine closes, before and after everything on the engine is removed:
# what waits for a container ends with it.
QUICK_END_S_MAX = 2.0
END_S_MAX = 30.0


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
        blows: EngineBlows | None = None,
        unprobed: str = UNPROBED,
    ) -> None:
        """Subscribe to the engine's events; nothing is created yet.

        `blows` strike an engine that is the run's own; `unprobed` says why no host can be probed, if none can.
        """
        self._env = env
        self._client = client
        self._run = run
        self._blows = blows
        self._hosts = tuple(host.name for host in story.hosts)
        self._starts_count = 0
        self._blow_failure = ""
        self._register = ContainerRegister()
        self._calls = SlowCalls(env)
        self._probes = HostProbes(env, self._calls, unprobed)
        rude = next((fault for fault in story.faults if isinstance(fault, RudeNotices)), None)
        notices = self._notices = Notices(env, rude, story.seed)
        clock, interval_s = EngineClock.measured(client, env.clock), story.sample_interval_s
        networks = Networks(client, run, story.networks)
        self._life = ContainerLife(
            env, client, run, image=image, sample_interval_s=interval_s, clock=clock, networks=networks
        )
        self._foreign = ForeignSamples(env, client, clock, self._calls, observer, interval_s)
        self._fates = Fates(env, self._calls, self._life, self._register, notices, self._foreign, self._hosts)
        self._incoming = Incoming(env, self._register, self._fates, notices, observer)
        self._events = EngineEvents(client, run.run, clock, env.clock(), self._incoming)
        env.hold_open()

    @property
    def notices(self) -> simpy.Store:
        """What happened unasked, in the order it was noticed."""
        return self._notices.store

    @property
    def containers_up(self) -> tuple[LiveContainer, ...]:
        """The containers that are up now; any thread may ask."""
        return self._register.up

    @property
    def probes_cpu_s(self) -> float:
        """The CPU seconds of all probes of hosts so far; any thread may ask."""
        return self._probes.cpu_s

    @property
    def engine_lost(self) -> bool:
        """Whether the engine was lost at any moment."""
        return self._fates.engine_was_lost

    @property
    def blow_failure(self) -> str:
        """What went wrong with a blow that had been answered, such as the engine's return; empty if nothing did."""
        return self._blow_failure

    def close(self) -> list[str]:
        """End the environment and remove everything this run created; the names of what could not be removed."""
        self._probes.close()
        self._life.close()
        for line in tuple(self._register.lines):
            # A start that waits for its worker's first word would hold up the end.
            line.greeting.end()
        self._env.end(QUICK_END_S_MAX)
        self._calls.end(QUICK_END_S_MAX)
        self._events.close()
        remove_run(self._client, self._run.run)
        self._env.end(END_S_MAX)
        self._calls.end(END_S_MAX)
        self._foreign.close()
        for line in tuple(self._register.lines):
            line.close()
        # What was being created while the rest was removed is discarded by its own call; this finds what was not.
        return remove_run(self._client, self._run.run)

    # The verbs.

    def start(self, container: Container) -> simpy.Event:
        """Create and start a container, greet its supervisor: `Started` or `Refused`."""
        why = self._why_not_start(container.name)
        if why:
            return self._at_once(Refused(container.name, why))
        self._starts_count += 1
        coming = LiveContainer(container, self._starts_count, self._incoming.new_line)
        self._register.enter(coming)
        done = self._env.event()
        self._calls.engine(
            lambda: self._life.bring_up(coming, lambda: self._register.created(coming)),
            lambda outcome: self._begun(coming, outcome, done),
        )
        return done

    def stop(self, name: str) -> simpy.Event:
        """Have the engine end it, by force after its grace, and remove it: `Stopped` or `Refused`."""
        going = self._register.named(name)
        if going is None or going.state not in {"up", "restarting"} or self._fates.engine_is_lost:
            return self._not_up(name)
        done = self._env.event()
        going.stops.append(done)
        going.stop_asked = True
        self._calls.patient(lambda: self._life.stop(going), lambda outcome: self._stopped(going, outcome, done))
        return done

    def kill(self, name: str) -> simpy.Event:
        """SIGKILL the container's first process: `Stopped` or `Refused`."""
        going = self._up(name)
        if going is None:
            return self._not_up(name)
        done = self._env.event()
        going.kills.append(done)
        if not going.is_dying:
            going.kill_asked = True
        self._calls.engine(lambda: self._life.kill(going), lambda outcome: self._killed(going, outcome, done))
        return done

    def limit(self, name: str, *, cpus_limit: float | None, memory_bytes_limit: int | None) -> simpy.Event:
        """Change limits of a running container: `Limited` or `Refused`."""
        held = self._up(name)
        if held is None:
            return self._not_up(name)
        changed = containers.changes(held.spec, cpus_limit=cpus_limit, memory_bytes_limit=memory_bytes_limit)
        return self._calls.engine(
            lambda: self._life.limit(held, changed), lambda outcome: self._limited(held, outcome, changed)
        )

    def sample(self, name: str) -> simpy.Event:
        """Read a container's counters now: `Sample` or `Refused`."""
        asked = self._up(name)
        if asked is None:
            return self._not_up(name)
        done = self._env.event()
        if asked.is_foreign:
            self._foreign.ask(asked, done)
        else:
            asked.ask_sample(done)
        return done

    def submit(self, name: str, program: Program) -> simpy.Event:
        """Run a program in a container: `Finished`, `Lost` or `Refused`."""
        return self._ask_worker(name, lambda worker, done: worker.ask_program(program, done))

    def probe(self, host: str, every_s: float, compute_s: float, until: simpy.Event) -> simpy.Event:
        """Have a child of this process want CPU until an event: `Probed`, or `Refused` if the host is not all here."""
        if host not in self._hosts:
            return self._at_once(Refused(host, NO_HOST))
        return self._probes.begin(host, every_s, compute_s, until)

    # Blows.

    def crash(self, name: str, exit_code: int) -> simpy.Event:
        """Have the supervisor end by itself with this exit code: `Struck` or `Refused`."""
        return self._ask_worker(name, lambda worker, done: self._order(worker, messages.crash(exit_code), done))

    def hang(self, name: str, duration_s: float) -> simpy.Event:
        """Have the supervisor stand still: `Struck` or `Refused`."""
        return self._ask_worker(name, lambda worker, done: self._order(worker, messages.hang(duration_s), done))

    def kill_agent(self, name: str, agent: str) -> simpy.Event:
        """SIGKILL one agent's process: `Struck`, or `Refused` if it has none."""
        return self._ask_worker(name, lambda worker, done: worker.ask_strike(agent, done))

    def strike_host(self, host: str, blow: Blow, down_s: float | None) -> simpy.Event:
        """Strike the engine, if it is the run's own and stands for this host alone: `Struck` or `Refused`."""
        why = self._why_not_strike(host)
        if why:
            return self._at_once(Refused(host, why))
        done = self._env.event()
        self._fates.strike(Struck(host), done)
        self._events.expect_loss(expected=True)
        # Not one of the calls that the end waits for: it blocks until the engine is up again, and ends with it.
        threading.Thread(target=self._strike, args=(host, blow, down_s, done), name="strike", daemon=True).start()
        return done

    # What follows a slow call, in the loop.

    def _begun(self, coming: LiveContainer, outcome: object, done: simpy.Event) -> None:
        if not isinstance(outcome, Begun):
            self._not_started(coming, outcome, done)
        elif coming.is_foreign:
            # Nobody in it could say that it is ready; and it may have ended before the engine said that it had started.
            self._started(coming, outcome.start_s, coming.start_asked_s, done)
        else:
            begun = outcome
            self._calls.patient(
                lambda: self._life.greet(coming), lambda greeted: self._greeted(coming, begun.start_s, greeted, done)
            )

    def _greeted(self, coming: LiveContainer, start_s: float, outcome: object, done: simpy.Event) -> None:
        if isinstance(outcome, Answered):
            self._started(coming, start_s, outcome.ready_s, done)
        else:
            self._not_started(coming, outcome, done)

    def _started(self, coming: LiveContainer, start_s: float, ready_s: float, done: simpy.Event) -> None:
        self._fates.came_up(coming)
        done.succeed(Started(coming.name, start_s, ready_s))

    def _not_started(self, coming: LiveContainer, outcome: object, done: simpy.Event) -> None:
        self._register.lines.discard(coming.line)
        self._register.forget(coming)
        if coming.is_left_behind:
            self._fates.left_behind(coming)
        done.succeed(Refused(coming.name, ENGINE_LOST) if self._fates.engine_is_lost else outcome)

    @staticmethod
    def _limited(held: LiveContainer, outcome: object, changed: dict[str, Any]) -> None:
        if isinstance(outcome, Limited):
            held.spec = dataclasses.replace(held.spec, **changed)

    def _stopped(self, going: LiveContainer, outcome: object, done: simpy.Event) -> None:
        if not isinstance(outcome, Refused):
            self._fates.stopped(going)
        elif done in going.stops and going.death is None:
            going.stops.remove(done)
            going.stop_asked = bool(going.stops)
            done.succeed(outcome)

    def _killed(self, going: LiveContainer, outcome: object, done: simpy.Event) -> None:
        # A refusal because it is dead already is no refusal: its death is on its way here.
        if not isinstance(outcome, Refused) or any(words in outcome.reason for words in NOT_RUNNING):
            return
        if done in going.kills:
            going.kills.remove(done)
            done.succeed(outcome)

    # Blows to the engine.

    def _strike(self, host: str, blow: Blow, down_s: float | None, done: simpy.Event) -> None:
        assert self._blows is not None, "a blow is refused where nothing deals it"
        outcome: Struck | Refused = Struck(host)
        try:
            self._blows.strike(blow, down_s)
        except Exception as problem:  # noqa: BLE001  # Whatever it raises, whoever waits for the blow must hear of it.
            outcome = Refused(host, reason(problem))
        with contextlib.suppress(RunEnded):
            self._env.post(lambda: self._struck(outcome, done))

    def _struck(self, outcome: Struck | Refused, done: simpy.Event) -> None:
        if isinstance(outcome, Refused) and (done.triggered or self._fates.engine_is_lost):
            self._blow_failure = outcome.reason
        elif isinstance(outcome, Refused):
            self._events.expect_loss(expected=False)
            self._fates.engine_unharmed()
        if not done.triggered:
            done.succeed(outcome)

    # Outcomes.

    def _ask_worker(self, name: str, ask: Callable[[LiveContainer, simpy.Event], object]) -> simpy.Event:
        worker = self._up(name)
        if worker is None:
            return self._not_up(name)
        if worker.is_foreign:
            return self._at_once(Refused(name, FOREIGN))
        done = self._env.event()
        ask(worker, done)
        return done

    def _order(self, worker: LiveContainer, order: messages.Message, done: simpy.Event) -> None:
        """Give an order that is not answered: that it was taken is all there is to say."""
        taken = worker.line.send(order)
        done.succeed(Struck(worker.name) if taken else worker.deaf())

    def _up(self, name: str) -> LiveContainer | None:
        container = self._register.named(name)
        return container if container is not None and container.state == "up" else None

    def _why_not_start(self, name: str) -> str:
        named = self._register.named(name)
        if self._fates.engine_is_lost:
            return ENGINE_LOST
        if named is not None:
            return f"it is {named.state} already"
        if len(self._register) >= CONTAINERS_MAX:
            return f"{CONTAINERS_MAX} containers are up, which is the most this machine handles"
        return ""

    def _why_not_strike(self, host: str) -> str:
        if self._blows is None:
            return NOT_OURS
        if host not in self._hosts:
            return NO_HOST
        if len(self._hosts) > 1:
            return f"{len(self._hosts)} hosts of this story share one engine, which cannot be struck for one of them"
        if self._fates.engine_is_lost or self._fates.engine_is_struck:
            return ENGINE_LOST
        return ""

    def _not_up(self, name: str) -> simpy.Event:
        return self._at_once(Refused(name, ENGINE_LOST if self._fates.engine_is_lost else "it is not up"))

    def _at_once(self, outcome: object) -> simpy.Event:
        return self._env.event().succeed(outcome)
