"""The port's contract, each test run on every machine: in virtual time and on a real engine."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import simpy

from scenarios import Story
from scenarios import story as told
from sim.machine import (
    Compute,
    Died,
    Finished,
    Hold,
    Limited,
    Lost,
    Machine,
    ProcessKilled,
    Program,
    Refused,
    Release,
    Sample,
    Sleep,
    Started,
    Step,
    StepDone,
    Stopped,
    Work,
)
from sim.physics.host_profile import load_profile
from sim.physics.simulated_machine import SimulatedMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

MIB = 1 << 20
FAR_S = 1e6


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


@dataclass
class Bench:
    """A machine on the bench: its environment, and what it reports."""

    env: simpy.Environment
    machine: Machine
    heard: Heard

    def play(self, script: Callable[[], Generator[simpy.Event, Any, None]]) -> None:
        """Run a script to its end."""
        self.env.run(until=self.env.process(script()))


def container(name: str = "a", *, cpus: float | None = 1.0, memory_mib: int = 256) -> told.Container:
    """A container of one CPU and 256 MiB, unless said otherwise."""
    return told.Container(name, "h", cpus, memory_mib * MIB, memory_mib * MIB, 1024, None, 100, 2.0)


def program(*work: Work, agent: str = "w/0", index: int = 0, due_s: float = 0.0, process: str = "own") -> Program:
    """A program of one step that is due at once."""
    step = Step(index, due_s, 0.0, work)
    return Program(agent, (step,), FAR_S, "main" if process == "main" else "own")


def world_story() -> Story:
    """A story with one host and nothing in it: the tests act themselves."""
    host = told.Host("h", 2, 4096 * MIB, 0, 0, None)
    scale = told.LiveScale(1, 1, 1)
    return Story("bench", "p", "s", 1, 60.0, 0.5, (host,), (container(),), (), (), (), (), (), scale, live_able=True)


@contextlib.contextmanager
def simulated() -> Iterator[Bench]:
    """A bench in virtual time."""
    env, heard = simpy.Environment(), Heard()
    machine = SimulatedMachine(env, world_story(), heard, profile=load_profile(None), physics_seed=1)
    yield Bench(env, machine, heard)


@contextlib.contextmanager
def real() -> Iterator[Bench]:
    """A bench on the engine; everything it made is gone afterwards."""
    from live.bench import docker_bench  # Simulated cases run without the docker package.

    heard = Heard()
    with docker_bench(world_story(), heard) as (env, machine):
        yield Bench(env, machine, heard)


@pytest.fixture(
    name="bench",
    params=[
        pytest.param(simulated, id="simulated"),
        pytest.param(real, id="docker", marks=[pytest.mark.docker, pytest.mark.timeout(60)]),
    ],
)
def _bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Every machine in turn."""
    with request.param() as bench:
        yield bench


def test_start_and_stop(bench: Bench) -> None:
    """A container starts, answers, and stops with exit code 0."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        outcomes.append((yield bench.machine.start(container())))
        outcomes.append((yield bench.machine.stop("a")))

    bench.play(script)
    started, stopped = outcomes
    assert isinstance(started, Started)
    assert 0 < started.start_s < started.ready_s <= bench.env.now
    assert Stopped("a", 0) == stopped


def test_name_is_taken_once(bench: Bench) -> None:
    """A second container of the same name is refused as a value, and the first lives on."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        outcomes.append((yield bench.machine.start(container())))
        outcomes.append((yield bench.machine.sample("a")))

    bench.play(script)
    assert isinstance(outcomes[0], Refused)
    assert isinstance(outcomes[1], Sample)


def test_unknown_container_is_refused(bench: Bench) -> None:
    """Every verb on a container that is not up is a value that names it."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        outcomes.append((yield bench.machine.stop("x")))
        outcomes.append((yield bench.machine.kill("x")))
        outcomes.append((yield bench.machine.sample("x")))
        outcomes.append((yield bench.machine.limit("x", cpus_limit=1.0, memory_bytes_limit=None)))
        outcomes.append((yield bench.machine.submit("x", program(Compute(0.01, 1)))))

    bench.play(script)
    assert ["x"] * 5 == [outcome.container for outcome in outcomes if isinstance(outcome, Refused)]


def test_program_runs_on_its_own(bench: Bench) -> None:
    """Three steps of think, compute and sleep: each is reported once, in order, no sooner than it can be done."""
    outcomes: list[Finished] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        begin_s = bench.env.now
        steps = (
            Step(0, begin_s + 0.1, 0.0, (Compute(0.02, 1),)),
            Step(1, None, 0.05, (Compute(0.03, 1), Sleep(0.1), Compute(0.01, 1))),
            Step(2, None, 0.05, (Compute(0.01, 1),)),
        )
        outcomes.append((yield bench.machine.submit("a", Program("w/0", steps, FAR_S))))

    bench.play(script)
    steps = bench.heard.steps
    assert [0, 1, 2] == [done.index for done in steps]
    assert [("w/0", 3)] == [(outcome.agent, outcome.steps_count) for outcome in outcomes]
    assert outcomes[0].finish_s == steps[-1].finish_s <= bench.env.now
    assert [pytest.approx(cpu_s, abs=0.003) for cpu_s in (0.02, 0.04, 0.01)] == [done.cpu_s for done in steps]
    for done in steps:
        assert done.cpu_s <= done.latency_s + 0.002
        assert done.latency_s <= done.finish_s - done.due_s + 1e-6
    assert steps[1].finish_s - steps[1].due_s >= 0.14
    assert steps[1].latency_s < 0.12
    assert steps[0].finish_s + 0.05 == pytest.approx(steps[1].due_s, abs=1e-6)


def test_no_step_begins_past_the_end(bench: Bench) -> None:
    """A step that would be due at the program's end ends it at once, without waiting."""
    outcomes: list[Finished] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        now = bench.env.now
        steps = (Step(0, now, 0.0, (Compute(0.01, 1),)), Step(1, None, 5.0, (Compute(0.01, 1),)))
        outcomes.append((yield bench.machine.submit("a", Program("w/0", steps, now + 1.0))))
        assert bench.env.now < now + 1.0

    bench.play(script)
    assert [1] == [outcome.steps_count for outcome in outcomes]


def test_quota_stretches_work(bench: Bench) -> None:
    """A tenth of a second of CPU under a fifth of a core takes three to six tenths, and throttling is counted."""
    samples: list[Sample] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container(cpus=0.2))
        yield bench.env.timeout(1.0)
        samples.append((yield bench.machine.sample("a")))
        yield bench.machine.submit("a", program(Compute(0.1, 1), due_s=bench.env.now))
        samples.append((yield bench.machine.sample("a")))

    bench.play(script)
    before, after = samples
    assert 0.3 <= bench.heard.steps[0].latency_s <= 0.65
    assert 0.2 <= bench.heard.steps[0].cpu_wait_s
    assert after.throttled_periods_count - before.throttled_periods_count >= 3
    assert after.throttled_s - before.throttled_s > 0.15
    assert 0.1 <= after.cpu_s - before.cpu_s <= 0.14


def test_threads_share_a_demand(bench: Bench) -> None:
    """Two threads on two cores need little more than half the time of one, and as much CPU.

    The best of six counts: on a machine with other work to do a core may be taken for a while.
    """

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container(cpus=None))
        for index in range(6):
            yield bench.machine.submit("a", program(Compute(0.6, 2), index=index, due_s=bench.env.now))

    bench.play(script)
    assert [pytest.approx(0.6, abs=0.02)] * 6 == [done.cpu_s for done in bench.heard.steps]
    assert 0.3 <= min(done.latency_s for done in bench.heard.steps) < 0.45


def test_memory_is_held_and_released(bench: Bench) -> None:
    """What a step holds is counted while it holds it and gone when it releases it; the peak remembers."""
    samples: list[Sample] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.submit("a", program(Sleep(0.0)))
        samples.append((yield bench.machine.sample("a")))
        running = bench.machine.submit("a", program(Hold(64 * MIB, leak=False), Sleep(1.0), Release(), index=1))
        yield bench.env.timeout(0.7)
        samples.append((yield bench.machine.sample("a")))
        yield running
        samples.append((yield bench.machine.sample("a")))

    bench.play(script)
    empty, full, after = samples
    assert 64 == pytest.approx((full.memory_bytes - empty.memory_bytes) / MIB, abs=1.5)
    assert 0 == pytest.approx((after.memory_bytes - empty.memory_bytes) / MIB, abs=1.5)
    assert after.memory_peak_bytes >= full.memory_bytes - MIB


def test_held_memory_lasts_over_the_parts_of_a_step(bench: Bench) -> None:
    """A step in two parts keeps what the first part held, until the second releases it."""
    samples: list[Sample] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.submit("a", program(Sleep(0.0)))
        samples.append((yield bench.machine.sample("a")))
        part = dataclasses.replace(program(Hold(64 * MIB, leak=False), index=1).steps[0], last=False)
        yield bench.machine.submit("a", Program("w/0", (part,), FAR_S))
        samples.append((yield bench.machine.sample("a")))
        yield bench.machine.submit("a", program(Release(), index=1))
        samples.append((yield bench.machine.sample("a")))

    bench.play(script)
    empty, between, after = samples
    assert [True, False, True] == [done.last for done in bench.heard.steps]
    assert 64 == pytest.approx((between.memory_bytes - empty.memory_bytes) / MIB, abs=1.5)
    assert 0 == pytest.approx((after.memory_bytes - empty.memory_bytes) / MIB, abs=1.5)


def test_leak_stays(bench: Bench) -> None:
    """What leaks outlives its step and any release."""
    samples: list[Sample] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.submit("a", program(Sleep(0.0)))
        samples.append((yield bench.machine.sample("a")))
        yield bench.machine.submit("a", program(Hold(32 * MIB, leak=True), Release(), index=1))
        samples.append((yield bench.machine.sample("a")))

    bench.play(script)
    assert 32 == pytest.approx((samples[1].memory_bytes - samples[0].memory_bytes) / MIB, abs=1.5)


def test_largest_process_is_killed_and_the_container_lives(bench: Bench) -> None:
    """Over the limit one process dies, its program is lost, and the next program of that agent runs."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container(memory_mib=128))
        big = program(Hold(150 * MIB, leak=False), agent="w/1", index=4)
        small = program(Hold(16 * MIB, leak=False), Sleep(1.0), agent="w/2", index=9)
        running = bench.machine.submit("a", small)
        outcomes.append((yield bench.machine.submit("a", big)))
        outcomes.append((yield running))
        outcomes.append((yield bench.machine.submit("a", program(Compute(0.01, 1), agent="w/1", index=5))))
        outcomes.append((yield bench.machine.notices.get()))
        outcomes.append((yield bench.machine.sample("a")))

    bench.play(script)
    lost, small, again, notice, sample = outcomes
    assert isinstance(lost, Lost)
    assert ("w/1", 4, "oom") == (lost.agent, lost.step_index, lost.cause)
    assert isinstance(small, Finished)
    assert isinstance(again, Finished)
    assert isinstance(notice, ProcessKilled)
    assert ("a", "w/1", "oom") == (notice.container, notice.agent, notice.cause)
    assert notice.happened_s <= notice.noticed_s + 0.005
    assert isinstance(sample, Sample)
    assert 1 == sample.oom_kills_count


def test_main_process_over_the_limit_ends_the_container(bench: Bench) -> None:
    """Memory that belongs to PID 1 takes the container with it: exit 137, and every program in it is lost."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container(memory_mib=128))
        big = program(Hold(150 * MIB, leak=False), process="main")
        outcomes.append((yield bench.machine.submit("a", big)))
        outcomes.append((yield bench.machine.notices.get()))
        outcomes.append((yield bench.machine.submit("a", program(Compute(0.01, 1), index=1))))

    bench.play(script)
    lost, died, refused = outcomes
    assert isinstance(lost, Lost)
    assert "container" == lost.cause
    assert isinstance(died, Died)
    assert ("a", "oom", 137) == (died.container, died.cause, died.exit_code)
    assert isinstance(refused, Refused)


def test_killed_container_is_noticed(bench: Bench) -> None:
    """A SIGKILL of PID 1 loses what ran and is noticed as a kill, not as memory."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        running = bench.machine.submit("a", program(Sleep(30.0)))
        yield bench.env.timeout(0.5)
        outcomes.append((yield bench.machine.kill("a")))
        outcomes.append((yield running))
        outcomes.append((yield bench.machine.notices.get()))

    bench.play(script)
    stopped, lost, died = outcomes
    assert Stopped("a", 137) == stopped
    assert isinstance(lost, Lost)
    assert "container" == lost.cause
    assert isinstance(died, Died)
    assert ("killed", 137) == (died.cause, died.exit_code)


def test_throttled_container_answers_when_it_is_killed(bench: Bench) -> None:
    """A sample asked of a container that stands still is answered at the latest when the container dies."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.limit("a", cpus_limit=0.05, memory_bytes_limit=None)
        running = bench.machine.submit("a", program(Compute(60.0, 2)))
        yield bench.env.timeout(0.53)
        asked = bench.machine.sample("a")
        yield bench.machine.kill("a")
        yield bench.env.any_of([bench.env.all_of([asked, running]), bench.env.timeout(10.0)])
        outcomes.extend(event.value for event in (asked, running) if event.triggered)

    bench.play(script)
    sampled, lost = outcomes
    assert isinstance(sampled, (Sample, Refused))
    assert isinstance(lost, Lost)


def test_name_of_a_coming_container_is_taken(bench: Bench) -> None:
    """Of two containers of one name asked for at once, the second is refused and the first comes up."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        starts = [bench.machine.start(container()) for _ in range(2)]
        yield bench.env.all_of(starts)
        outcomes.extend(start.value for start in starts)

    bench.play(script)
    assert [Started, Refused] == [type(outcome) for outcome in outcomes]


def test_dead_container_is_refused(bench: Bench) -> None:
    """No verb but `stop` does anything with a container that died."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.kill("a")
        yield bench.machine.notices.get()
        outcomes.append((yield bench.machine.kill("a")))
        outcomes.append((yield bench.machine.limit("a", cpus_limit=0.5, memory_bytes_limit=None)))
        outcomes.append((yield bench.machine.sample("a")))
        outcomes.append((yield bench.machine.submit("a", program(Compute(0.01, 1)))))

    bench.play(script)
    assert ["a"] * 4 == [outcome.container for outcome in outcomes if isinstance(outcome, Refused)]


def test_limits_change_while_running(bench: Bench) -> None:
    """A quota cut to a fifth slows the same work down, without a restart."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.submit("a", program(Compute(0.1, 1), due_s=bench.env.now))
        outcomes.append((yield bench.machine.limit("a", cpus_limit=0.2, memory_bytes_limit=None)))
        yield bench.machine.submit("a", program(Compute(0.1, 1), index=1, due_s=bench.env.now))

    bench.play(script)
    fast, slow = bench.heard.steps
    assert [Limited("a")] == outcomes
    assert slow.latency_s > 2 * fast.latency_s


def test_container_samples_itself(bench: Bench) -> None:
    """Samples come unasked on the story's grid, their counters never fall."""

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.env.timeout(2.2)

    bench.play(script)
    samples = bench.heard.samples
    assert 4 <= len(samples) <= 5
    assert all(0.0 <= sample.at_s % 0.5 < 0.1 for sample in samples)
    assert sorted(sample.cpu_s for sample in samples) == [sample.cpu_s for sample in samples]


def test_several_containers_at_once(bench: Bench) -> None:
    """Containers started together are all up, and each keeps to its own programs."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        names = ("a", "b", "c")
        starts = yield bench.env.all_of([bench.machine.start(container(name)) for name in names])
        outcomes.extend(starts.values())
        runs = [bench.machine.submit(name, program(Compute(0.02, 1), agent=f"{name}/0")) for name in names]
        yield bench.env.all_of(runs)
        yield bench.env.all_of([bench.machine.stop(name) for name in names])

    bench.play(script)
    assert ["a", "b", "c"] == sorted(outcome.container for outcome in outcomes if isinstance(outcome, Started))
    assert [("a", "a/0"), ("b", "b/0"), ("c", "c/0")] == sorted(
        (done.container, done.agent) for done in bench.heard.steps
    )
