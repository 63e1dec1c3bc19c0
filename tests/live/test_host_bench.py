"""The experiments behind a host profile, on a machine that does what it should not: they end, and say why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import simpy

from live import host_bench
from live.errors import EngineRefused
from live.host_bench import NOTICE_S_MAX, Collected, HostBench, medians
from live.real_time import Failed
from sim.machine import Died, Restarted, Sample, Started, Struck
from sim.physics.host_profile import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from scenarios.story import Container


class Clock(simpy.Environment):
    """The live environment's stand-in, which hurries: slow calls are made at once."""

    def clock(self) -> float:
        """The run's clock."""
        return float(self.now)

    def call(self, function: Callable[[], object]) -> simpy.Event:
        """What the function returned, or that it raised."""
        try:
            value = function()
        except ValueError as problem:
            value = Failed(f"{type(problem).__name__}: {problem}")
        return self.event().succeed(value)


class Machine:
    """A machine whose containers start, burn a tenth of a core, and are heard of only as the test has it."""

    def __init__(self, env: Clock) -> None:
        """Have no containers."""
        self._env = env
        self.notices = simpy.Store(env)
        self.containers_up: list[SimpleNamespace] = []
        self.memory: list[tuple[int, int]] = []
        self.start_s: list[float] = []
        self.course: list[tuple[str, float]] = []

    def start(self, container: Container) -> simpy.Event:
        """Start it at once; what it says to have taken is the test's."""
        now_s = self._env.now
        self.course.append(("started", now_s))
        up = SimpleNamespace(name=container.name, container_id=f"id of {container.name}", create_s=0.0, started_s=now_s)
        self.containers_up.append(up)
        return self._env.event().succeed(
            Started(container.name, self.start_s.pop(0) if self.start_s else 0.1, self._env.now)
        )

    def sample(self, name: str) -> simpy.Event:
        """Its counters, with memory and its peak as the test has them."""
        memory, peak = self.memory.pop(0) if self.memory else (1, 1)
        return self._env.event().succeed(
            Sample(name, self._env.now, self._env.now / 10, 0, 0, 0.0, memory, memory, peak, 0)
        )

    def crash(self, name: str, exit_code: int) -> simpy.Event:
        """Crash it; what comes of it is the test's to say."""
        return self._env.event().succeed(Struck(name))

    def stop(self, name: str) -> simpy.Event:
        """Stop it."""
        self.containers_up = [up for up in self.containers_up if up.name != name]
        return self._env.event().succeed(None)


class Rig:
    """A bench on such a machine, whose engine answers an inspection with `state`, or raises it."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.env = Clock()
        self.machine = Machine(self.env)
        self.state: dict[str, Any] | ValueError = {}
        self.is_dumb = False
        client: Any = SimpleNamespace(api=SimpleNamespace(inspect_container=self._inspect), info=self._info)
        env, machine = self.env, self.machine
        collected = Collected()
        self.bench = HostBench(client, env, machine, collected)  # type: ignore[arg-type]  # They stand in for them.

    def play(self, experiment: Any) -> Any:  # noqa: ANN401  # A bench's own generator, and what it returns.
        """What an experiment measures."""
        return self.env.run(until=self.env.process(experiment))

    def _info(self) -> dict[str, Any]:
        if self.is_dumb:
            raise ValueError("no answer")
        self.machine.course.append(("asked", self.env.now))
        return {}

    def _inspect(self, container_id: str) -> dict[str, Any]:
        if isinstance(self.state, ValueError):
            raise self.state
        return {"Id": container_id, "State": self.state}


@pytest.fixture(name="rig")
def _rig() -> Rig:
    return Rig()


def test_an_engine_is_asked_before_it_starts_anything(rig: Rig) -> None:
    """It has rested, and is awake, as a run finds it."""
    rig.play(rig.bench.starts(2, 2))

    assert rig.machine.course == [
        (what, number * host_bench.PAUSE_S) for number in (1, 2) for what in ("asked", "started", "started")
    ]


def test_an_engine_that_does_not_answer_is_not_measured(rig: Rig) -> None:
    """It would be as slow as one that sleeps."""
    rig.is_dumb = True

    with pytest.raises(EngineRefused, match="the engine could not say how it is: ValueError: no answer"):
        rig.play(rig.bench.starts(1, 1))


def test_a_start_that_waits_for_a_disk_is_not_what_a_start_takes(rig: Rig) -> None:
    """It is the median of rounds that counts, and within a round the mean of what starts together."""
    rig.machine.start_s = [0.1, 0.3, 1.7, 1.7, 0.2, 0.6]

    assert pytest.approx(0.4) == medians(rig.play(rig.bench.starts(2, 3)))["start_s"]


def test_the_pace_is_the_second_start(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first finds the traces of the run before, which no run finds, because the pace comes before it."""

    def touches(*_: object) -> Generator[simpy.Event, Any, dict[str, float]]:
        yield rig.env.timeout(0.0)
        return {"touch_s": 5e-10, "release_s": 1e-10}

    monkeypatch.setattr(rig.bench, "touches", touches)
    rig.machine.start_s = [1.7, 0.2]

    assert Pace(0.2, 5e-10, 1e-10) == rig.play(rig.bench.pace(0.0))


def test_the_memory_of_agents_and_their_threads(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """24 agents of 10 bytes; 8 of them take 7 more for one thread, 5 take 15 for three: 4 each, and 3 for any."""

    def ran(*_: object) -> Generator[simpy.Event, Any, None]:
        yield rig.env.timeout(0.0)

    monkeypatch.setattr(rig.bench, "_run", ran)
    rig.machine.memory = [(size, size) for size in (100, 340, 340, 396, 396, 471)]

    assert rig.play(rig.bench.memory("quiet")) == {
        "agent_memory_bytes": 10.0,
        "thread_memory_bytes": 4.0,
        "hire_memory_bytes": 3.0,
    }


def probed_at(*seconds: int) -> dict[str, Any]:
    """The state of a container that was probed then."""
    return {"Health": {"Log": [{"Start": f"2026-11-01T00:00:{second:02d}.5+00:00"} for second in seconds]}}


def test_the_cost_of_a_probe(rig: Rig) -> None:
    """CPU beyond the samples' own, for each of the probes that the engine remembers."""
    rig.state = probed_at(1, 3, 5)

    found = rig.play(rig.bench.probes("probed", 0.0))

    # A tenth of a core, and a probe every two seconds.
    assert found == {"probe_cpu_s": pytest.approx(0.2), "probe_memory_bytes": 0}


@pytest.mark.parametrize(
    ("seen", "risen_bytes"),
    [
        # The start went to 5, a probe to 9; a sample that met a probe is not what the container has at rest.
        (((4, 5), (4, 9), (7, 9)), 5),
        # A start that went higher than any probe: there is only what the samples met.
        (((4, 9), (6, 9), (4, 9)), 2),
    ],
)
def test_the_memory_of_a_probe(rig: Rig, seen: tuple[tuple[int, int], ...], risen_bytes: int) -> None:
    """The rise of the kernel's peak over the least that was sampled."""
    rig.state = probed_at(1, 3, 5)
    rig.machine.memory = list(seen)

    assert risen_bytes == rig.play(rig.bench.probes("probed", 0.0))["probe_memory_bytes"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "could not probe a container's health: it remembers 0 probes, and it takes two"),
        ({"Health": None}, "it remembers 0 probes"),
        ({"Health": {"Status": "starting", "Log": None}}, "it remembers 0 probes"),
        (probed_at(1), "it remembers 1 probes"),
        (ValueError("no such container"), "could not say how a container's health was: ValueError: no such container"),
    ],
)
def test_probes_that_cannot_be_counted_are_refused(rig: Rig, state: dict[str, Any] | ValueError, words: str) -> None:
    """An engine without health checks, or one that fails, ends the measuring in words and not in a trace."""
    rig.state = state

    with pytest.raises(EngineRefused) as refused:
        rig.play(rig.bench.probes("probed", 0.0))

    assert words in str(refused.value)


def test_a_container_that_never_runs_again_is_refused(rig: Rig) -> None:
    """Whatever else is heard meanwhile, the waiting ends."""

    def gossip() -> Generator[simpy.Event, Any, None]:
        for second in range(200):
            yield rig.env.timeout(1.0)
            rig.machine.notices.put(Died("another", "killed", 137, second, second))

    rig.env.process(gossip())

    with pytest.raises(EngineRefused, match="could not start a container anew: no word of restarting-0 came within 60"):
        rig.play(rig.bench.restarts())

    assert rig.env.now <= host_bench.PAUSE_S + host_bench.SETTLE_S + NOTICE_S_MAX


def test_the_time_of_a_new_start(rig: Rig) -> None:
    """From the end of the engine's wait until it is started, with what is heard of other containers left aside."""

    def crash(name: str, exit_code: int) -> simpy.Event:
        now_s = rig.env.now
        for notice in (
            Died("another", "killed", 137, now_s, now_s),
            Died(name, "exited", exit_code, now_s, now_s),
            Restarted(name, 1, now_s + 0.4, now_s + 0.5, now_s + 0.5),
        ):
            rig.machine.notices.put(notice)
        return rig.env.event().succeed(Struck(name))

    rig.machine.crash = crash  # type: ignore[method-assign]  # This one is heard of.

    assert rig.play(rig.bench.restarts()) == {"restart_s": pytest.approx(0.3)}
