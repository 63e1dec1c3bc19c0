"""A machine on the bench, in either world, and the small containers and programs that its tests are made of."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import simpy

from scenarios import Story
from scenarios import story as told
from sim.machine import Machine, Notice, Program, Sample, Step, StepDone, Work
from sim.physics.host_profile import load_profile
from sim.physics.simulated_machine import SimulatedMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

MIB = 1 << 20
FAR_S = 1e6
HOST = "h"
# The label on everything that a live run creates.
RUN_LABEL = "io.tonnage.run"
# How long a test waits for what must come: far longer than it takes, because other work must not fail a test.
PATIENCE_S = 15.0
# A worker's, a driver's and an engine's clock are compared over pipes.
CLOCK_SLACK_S = 0.01

NO, ALWAYS, UNLESS_STOPPED, ON_FAILURE = (
    told.RestartPolicy(condition) for condition in ("no", "always", "unless-stopped", "on-failure")
)
# Room on a tmpfs that no test uses up unless it means to.
DISK = (told.Tmpfs("/scratch", 64 * MIB),)

Kind = TypeVar("Kind", bound=Notice)
Result = TypeVar("Result")


@dataclass
class Heard:
    """An observer that keeps what it hears."""

    steps: list[StepDone] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def step(self, done: StepDone) -> None:
        """Keep a step."""
        self.steps.append(done)

    def sample(self, sample: Sample) -> None:
        """Keep a sample."""
        self.samples.append(sample)


class Bench:
    """A machine on the bench: its environment, what it reports, and what it said so far, with when it was heard."""

    def __init__(self, env: simpy.Environment, machine: Machine, heard: Heard) -> None:
        """Listen to what the machine says from now on."""
        self.env = env
        self.machine = machine
        self.heard = heard
        self.said: list[Notice] = []
        self.said_s: list[float] = []
        self._next = env.event()
        env.process(self._listen())

    def play(self, script: Callable[[], Generator[simpy.Event, Any, Result]]) -> Result:
        """Run a script to its end, and give back what it returns."""
        return cast("Result", self.env.run(until=self.env.process(script())))

    def told(self, kind: type[Kind], container: str | None = None) -> list[Kind]:
        """What was said so far of one kind, about one container or all."""
        return [
            notice
            for notice in self.said
            if isinstance(notice, kind) and container in {None, getattr(notice, "container", None)}
        ]

    def hear(
        self, kind: type[Kind], container: str | None = None, *, count: int = 1, s_max: float = PATIENCE_S
    ) -> Generator[simpy.Event, Any, Kind]:
        """Wait until `count` notices of a kind were told since the bench was set up; the last of these."""
        patience = self.env.timeout(s_max)
        while len(self.told(kind, container)) < count and not patience.processed:
            yield self.env.any_of([self._next, patience])
        found = self.told(kind, container)
        assert len(found) >= count, f"waited {s_max} s for {count} {kind.__name__} of {container}, heard {self.said}"
        return found[count - 1]

    def _listen(self) -> Generator[simpy.Event, Any, None]:
        while True:
            self.said.append((yield self.machine.notices.get()))
            self.said_s.append(self.env.now)
            heard, self._next = self._next, self.env.event()
            heard.succeed()


@dataclass(frozen=True)
class World:
    """Where a bench can be set up: `set_up` takes a story; `image` names one that foreign containers can run here."""

    name: str
    set_up: Callable[[Story], contextlib.AbstractContextManager[Bench]]
    image: Callable[[], str]


def container(
    name: str = "a",
    *,
    cpus: float | None = 1.0,
    memory_mib: int = 256,
    stop_grace_s: float = 2.0,
    restart: told.RestartPolicy = NO,
    health: told.HealthCheck | None = None,
    networks: tuple[str, ...] = (),
    tmpfs: tuple[told.Tmpfs, ...] = (),
    start_delay_s: float = 0.0,
    foreign: told.Foreign | None = None,
    volume: told.Volume | None = None,
) -> told.Container:
    """A container of one CPU and 256 MiB, unless said otherwise."""
    return told.Container(
        name,
        HOST,
        cpus,
        memory_mib * MIB,
        memory_mib * MIB,
        1024,
        None,
        100,
        stop_grace_s,
        restart=restart,
        health=health,
        networks=networks,
        tmpfs=tmpfs,
        start_delay_s=start_delay_s,
        foreign=foreign,
        volume=volume,
    )


def program(*work: Work, agent: str = "w/0", index: int = 0, due_s: float = 0.0, process: str = "own") -> Program:
    """A program of one step that is due at once."""
    step = Step(index, due_s, 0.0, work)
    return Program(agent, (step,), FAR_S, "main" if process == "main" else "own")


def bench_story(*, faults: tuple[told.Fault, ...] = (), networks: tuple[told.Network, ...] = ()) -> Story:
    """A story with one host and nothing in it: the tests act themselves."""
    host = told.Host(HOST, 2, 4096 * MIB, 0, 0, None)
    scale = told.LiveScale(1, 1, 1)
    return Story(
        "bench",
        "p",
        "s",
        1,
        60.0,
        0.5,
        (host,),
        (container(),),
        (),
        (),
        (),
        (),
        (),
        scale,
        live_able=True,
        networks=networks,
        faults=faults,
    )


@contextlib.contextmanager
def simulated(story: Story) -> Iterator[Bench]:
    """A bench in virtual time."""
    env, heard = simpy.Environment(), Heard()
    machine = SimulatedMachine(env, story, heard, profile=load_profile(None), physics_seed=1)
    yield Bench(env, machine, heard)


@contextlib.contextmanager
def real(story: Story) -> Iterator[Bench]:
    """A bench on the engine; everything it made is gone afterwards."""
    from live.bench import docker_bench  # Simulated cases run without the docker package.

    heard = Heard()
    with docker_bench(story, heard) as (env, machine):
        yield Bench(env, machine, heard)


@contextlib.contextmanager
def real_and_own(story: Story) -> Iterator[Bench]:
    """A bench on an engine that is started for it and may be struck; engine and all are gone afterwards."""
    from live.private_engine import PrivateEngine  # As in `real`.
    from live.run import held, staged

    heard = Heard()
    with warnings.catch_warnings():
        # The SDK drops a socket unclosed each time it asks an engine that is down.
        warnings.simplefilter("ignore", ResourceWarning)
        with (
            PrivateEngine() as private,
            contextlib.closing(private.client()) as client,
            held(client, _say_nothing) as engine,
            staged(dataclasses.replace(engine, blows=private), story, heard, _say_nothing) as stage,
        ):
            yield Bench(stage.env, stage.machine, heard)
        gc.collect()


def _say_nothing(_: str) -> None:
    """Nobody watches a bench."""
