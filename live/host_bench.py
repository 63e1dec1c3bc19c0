"""The experiments behind a host profile, each with real containers and through the port's own verbs.

Every experiment is a SimPy process that returns what it measured. CPU is taken from the containers' own counters,
which the kernel keeps exactly, between two samples; times from the worker's clock or the run's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from live.engine_events import unix_s
from live.errors import EngineRefused
from live.real_time import Failed
from scenarios.story import Container, HealthCheck, Host, LiveScale, RestartPolicy, Story, Tmpfs
from sim.machine import (
    Compute,
    Died,
    Erase,
    Finished,
    Hold,
    Lost,
    Program,
    Release,
    Restarted,
    Sample,
    Sleep,
    Started,
    Step,
    StepDone,
    Write,
)
from sim.physics.host_profile import Pace

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    import docker
    import simpy

    from live.docker_machine import DockerMachine
    from live.real_time import LiveEnvironment
    from sim.machine import Work

MIB = 1024 * 1024
HOST = "local"
FOREVER_S = 1e9

# How many starts at once, and how often each: enough for a median of single starts within about 5 %, and for one round
# of many at once in which a start waited for the disk not to count.
STARTS = {1: 8, 2: 3, 4: 3, 8: 3}
# How quiet the engine is before each, because a run's start comes after some quiet. In one trial here, without a
# question before each start, an engine that had rested for 4 or 10 s took 182 and 191 ms, after 1 s 163 ms.
PAUSE_S = 4.0
SEEN_OF_STARTS = ("create_s", "attach_s", "start_s", "ready_s", "stop_s", "memory", "cpu")

SAMPLE_INTERVAL_S = 0.1
IDLE_S = 3.0
SETTLE_S = 0.3
# The kernel charges memory to a container in batches of 256 KiB a core; among so many agents that is 2 % of each.
AGENTS_COUNT = 24
# How many of them go on with 2 threads, and how many others with 4: a container has 64 processes at most.
PAIRS_COUNT, FOURS_COUNT = 8, 5
STEPS_COUNT = 300
STEP_CPU_S = 0.001
STEP_THINK_S = 0.002
SUBMITS_COUNT = 150
SLEEPS_COUNT = 200
SLEEP_S = 0.005
# As agents do it: tens of MiB, and again after a while. Pages that were given back a moment ago are still in the CPU's
# caches: in one trial here 64 MiB took 5.0e-10 s a byte one after another, and 5.3e-10 to 5.9e-10 after pauses.
TOUCH_BYTES = 64 * MIB
TOUCHES_COUNT = 16
# Before each of several real runs; together they are as many.
PACE_TOUCHES_COUNT = 4
TOUCH_PAUSE_S = 0.2
OOM_BYTES_LIMIT = 64 * MIB
OOM_KILLS_COUNT = 5
SPAWNS_COUNT = 8
RESTARTS_COUNT = 5
# The engine's first wait before it starts a container anew (docs/physics.md, Container life).
BACK_OFF_S = 0.1
# Until the engine says that a container ended or runs again: far longer than either takes.
NOTICE_S_MAX = 60.0
PROBE_INTERVAL_S = 0.3
# The engine remembers its last five probes of a container; at this interval they take about two seconds.
PROBING_S = 4.0
WRITE_BYTES = 32 * MIB
DISK_BYTES_LIMIT = 64 * MIB
WRITES_COUNT = 16


@dataclass(slots=True)
class Collected:
    """An observer that keeps everything: a bench is short."""

    steps: list[StepDone] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def step(self, done: StepDone) -> None:
        """Keep a step."""
        self.steps.append(done)

    def sample(self, sample: Sample) -> None:
        """Keep a sample."""
        self.samples.append(sample)


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each quantity the median over rounds: one start in dozens waits for the disk, and would be most of a mean."""
    return {name: median(one[name] for one in rounds) for name in rounds[0]}


def bench_story(cpus_count: int, memory_bytes: int) -> Story:
    """A story of nothing but a host, for a machine that is only measured."""
    return Story(
        name="measure-host",
        purpose="Measures this host's constants.",
        source="",
        seed=0,
        duration_s=120.0,
        sample_interval_s=SAMPLE_INTERVAL_S,
        hosts=(Host(HOST, float(cpus_count), memory_bytes, 0, 0, None),),
        containers=(),
        agents=(),
        rate_limits=(),
        providers=(),
        goals=(),
        headline=(),
        live_scale=LiveScale(1.0, 1.0, 1.0),
        live_able=True,
    )


def _container(name: str, memory_bytes_limit: int | None = None, **more: Any) -> Container:  # noqa: ANN401  # As they are.
    return Container(name, HOST, None, memory_bytes_limit, memory_bytes_limit, 1024, None, 64, 2.0, **more)


class HostBench:
    """Runs the experiments, one after another, on a machine that has nothing else to do."""

    def __init__(
        self, client: docker.DockerClient, env: LiveEnvironment, machine: DockerMachine, collected: Collected
    ) -> None:
        """Be ready; nothing is started."""
        self._client = client
        self._env = env
        self._machine = machine
        self._collected = collected

    @property
    def now_s(self) -> float:
        """The run's clock."""
        return float(self._env.now)

    # Life of containers.

    def starts(self, count: int, rounds: int) -> Generator[simpy.Event, Any, list[dict[str, float]]]:
        """Start `count` containers at once, several times over: times, memory and CPU, a mean for each round."""
        seen: list[dict[str, float]] = []
        for _ in range(rounds):
            one = yield from self._round_of_starts([f"start-{number}" for number in range(count)])
            seen.append(one)
        return seen

    def _round_of_starts(self, names: list[str]) -> Generator[simpy.Event, Any, dict[str, float]]:
        """Means over containers that are started at once, on an engine that has rested and has just been asked.

        A run that opens its machine wakes the engine with questions, too.
        """
        yield self._env.timeout(PAUSE_S)
        found = yield self._env.call(self._client.info)
        if isinstance(found, Failed):
            raise EngineRefused("say how it is", found.text)
        asked_s = self._env.clock()
        answers = yield self._env.all_of([self._machine.start(_container(name)) for name in names])
        started = {answer.container: answer for answer in map(_expect_started, answers.values())}
        seen: dict[str, list[float]] = {name: [] for name in SEEN_OF_STARTS}
        for live in self._machine.containers_up:
            up = started.get(live.name)
            if up is None:
                continue
            seen["create_s"].append(live.create_s)
            seen["start_s"].append(up.start_s - live.create_s)
            seen["ready_s"].append(max(0.0, up.ready_s - live.started_s))
            seen["attach_s"].append(max(0.0, live.started_s - asked_s - up.start_s))
        for name in names:
            counters = yield from self.counters(name)
            seen["memory"].append(counters.memory_bytes)
            seen["cpu"].append(counters.cpu_s)
        began_s = self._env.now
        yield self._env.all_of([self._machine.stop(name) for name in names])
        seen["stop_s"].append(self._env.now - began_s)
        return {name: mean(values) for name, values in seen.items()}

    def up(
        self,
        name: str,
        memory_bytes_limit: int | None = None,
        **more: Any,  # noqa: ANN401  # As they are.
    ) -> Generator[simpy.Event, Any, None]:
        """Have a container to measure in, and let its start be over."""
        _expect_started((yield self._machine.start(_container(name, memory_bytes_limit, **more))))
        yield self._env.timeout(SETTLE_S)

    def down(self, name: str) -> Generator[simpy.Event, Any, None]:
        """End a container that was measured in."""
        yield self._machine.stop(name)

    def restarts(self) -> Generator[simpy.Event, Any, dict[str, float]]:
        """The engine's time to start a container anew, from the end of its wait until it is started."""
        took_s = []
        for number in range(RESTARTS_COUNT):
            name = f"restarting-{number}"
            yield self._env.timeout(PAUSE_S)
            yield from self.up(name, restart=RestartPolicy("always"))
            yield self._machine.crash(name, 1)
            died = yield from self._notice(Died, name)
            back = yield from self._notice(Restarted, name)
            took_s.append(back.happened_s - died.happened_s - BACK_OFF_S)
            yield self._machine.stop(name)
        return {"restart_s": max(0.0, median(took_s))}

    def _notice(self, kind: type[Died | Restarted], name: str) -> Generator[simpy.Event, Any, Died | Restarted]:
        over = self._env.timeout(NOTICE_S_MAX)
        while not over.processed:
            heard = self._machine.notices.get()
            yield heard | over
            if not heard.triggered:
                heard.cancel()
            elif isinstance(heard.value, kind) and heard.value.container == name:
                return heard.value
        raise EngineRefused("start a container anew", f"no word of {name} came within {NOTICE_S_MAX:.0f} s")

    def probes(self, name: str, sample_cpu_s: float) -> Generator[simpy.Event, Any, dict[str, float]]:
        """What a health probe costs its container: CPU, from those that the engine remembers, and memory."""
        check = HealthCheck(PROBE_INTERVAL_S, PROBE_INTERVAL_S * 10, 3, 0.0)
        _expect_started((yield self._machine.start(_container(name, health=check))))
        first = yield from self.counters(name)
        yield self._env.timeout(PROBING_S / 2)
        before = yield from self.counters(name)
        yield self._env.timeout(PROBING_S)
        after = yield from self.counters(name)
        [container_id] = [up.container_id for up in self._machine.containers_up if up.name == name]
        interval_s = yield from self._probe_interval_s(container_id)
        used_s = self._used_s(name, before, after, sample_cpu_s)
        return {
            "probe_cpu_s": max(0.0, used_s * interval_s / (after.at_s - before.at_s)),
            "probe_memory_bytes": _risen_bytes(first, before, after),
        }

    def _probe_interval_s(self, container_id: str) -> Generator[simpy.Event, Any, float]:
        """How far apart the probes were that the engine remembers."""
        found = yield self._env.call(lambda: self._client.api.inspect_container(container_id))
        if isinstance(found, Failed):
            raise EngineRefused("say how a container's health was", found.text)
        log = (found["State"].get("Health") or {}).get("Log") or []
        if len(log) < 2:
            raise EngineRefused("probe a container's health", f"it remembers {len(log)} probes, and it takes two")
        begins_s = [unix_s(entry["Start"]) for entry in log]
        return (begins_s[-1] - begins_s[0]) / (len(begins_s) - 1)

    def writes(self, name: str, sample_cpu_s: float) -> Generator[simpy.Event, Any, dict[str, float]]:
        """CPU per byte to write to a tmpfs."""
        yield from self.up(name, tmpfs=(Tmpfs("/disk", DISK_BYTES_LIMIT),))
        used_s = []
        for _ in range(WRITES_COUNT):
            yield self._env.timeout(TOUCH_PAUSE_S)
            step = (Step(0, None, 0.0, (Write(WRITE_BYTES),)),)
            used_s.append((yield from self.cpu_of(name, sample_cpu_s, [("writing", step)])))
            yield from self._run(name, "writing", (Step(0, None, 0.0, (Erase(),)),))
        return {"write_s": mean(used_s) / WRITE_BYTES}

    # Costs of the worker itself.

    def memory(self, name: str) -> Generator[simpy.Event, Any, dict[str, float]]:
        """What each further agent process occupies, each further thread of one, and that it has further ones at all.

        The threads are hired at once, one by some agents and three by others.
        """
        alone = yield from self.counters(name)
        steps = tuple(Step(index, None, STEP_THINK_S, (Compute(STEP_CPU_S, 1),)) for index in range(20))
        for number in range(AGENTS_COUNT):
            yield from self._run(name, f"resident/{number}", steps)
        crowded = yield from self.counters(name)
        one_more_bytes = yield from self._hired_bytes(name, range(PAIRS_COUNT), 2)
        three_more_bytes = yield from self._hired_bytes(name, range(PAIRS_COUNT, PAIRS_COUNT + FOURS_COUNT), 4)
        thread_bytes = (three_more_bytes - one_more_bytes) / 2
        return {
            "agent_memory_bytes": (crowded.memory_bytes - alone.memory_bytes) / AGENTS_COUNT,
            "thread_memory_bytes": thread_bytes,
            "hire_memory_bytes": max(0.0, one_more_bytes - thread_bytes),
        }

    def _hired_bytes(self, name: str, agents: range, threads_count: int) -> Generator[simpy.Event, Any, float]:
        """How much more memory each of these resident agents occupies once it has gone on with so many threads."""
        before = yield from self.counters(name)
        step = Step(0, None, STEP_THINK_S, (Compute(STEP_CPU_S, threads_count),))
        for number in agents:
            yield from self._run(name, f"resident/{number}", (step,))
        after = yield from self.counters(name)
        return (after.memory_bytes - before.memory_bytes) / len(agents)

    def idling(self, name: str) -> Generator[simpy.Event, Any, dict[str, float]]:
        """CPU per sample that the container takes of its own accord."""
        before = yield from self.counters(name)
        yield self._env.timeout(IDLE_S)
        after = yield from self.counters(name)
        # The closing question is a sample too, read just before its own cost shows.
        return {"sample_cpu_s": (after.cpu_s - before.cpu_s) / (self._samples_count(name, before, after) + 1)}

    def steps(self, name: str, sample_cpu_s: float) -> Generator[simpy.Event, Any, dict[str, float]]:
        """CPU per step beyond what the step asked for."""
        steps = tuple(Step(index, None, STEP_THINK_S, (Compute(STEP_CPU_S, 1),)) for index in range(STEPS_COUNT))
        yield from self._run(name, "stepping", steps[:1])
        used_s = yield from self.cpu_of(name, sample_cpu_s, [("stepping", steps)])
        return {"step_cpu_s": max(0.0, used_s / STEPS_COUNT - STEP_CPU_S)}

    def submits(
        self, name: str, sample_cpu_s: float, step_cpu_s: float
    ) -> Generator[simpy.Event, Any, dict[str, float]]:
        """CPU per program handed over, and how long after its end the driver knows."""
        step = Step(0, None, 0.0, (Compute(STEP_CPU_S, 1),))
        before = yield from self.counters(name)
        notices_s = []
        for _ in range(SUBMITS_COUNT):
            finished = yield from self._run(name, "stepping", (step,))
            notices_s.append(self._env.now - finished.finish_s)
        after = yield from self.counters(name)
        used_s = self._used_s(name, before, after, sample_cpu_s)
        return {
            "submit_cpu_s": max(0.0, used_s / SUBMITS_COUNT - STEP_CPU_S - step_cpu_s),
            "notice_s": mean(notices_s),
        }

    def sleeps(self, name: str) -> Generator[simpy.Event, Any, dict[str, float]]:
        """How late a sleeper wakes."""
        steps = tuple(Step(index, None, SLEEP_S, (Sleep(SLEEP_S),)) for index in range(SLEEPS_COUNT))
        seen = len(self._collected.steps)
        yield from self._run(name, "sleeping", steps)
        late_s = [done.finish_s - done.due_s - SLEEP_S for done in self._collected.steps[seen:]]
        return {"wake_s": mean(late_s)}

    def spawns(self, name: str) -> Generator[simpy.Event, Any, dict[str, float]]:
        """How much longer an agent's first program takes than its second: the time its process needs to be there."""
        step = (Step(0, None, 0.0, ()),)
        took_s: tuple[list[float], list[float]] = ([], [])
        for number in range(SPAWNS_COUNT):
            for times in took_s:
                began_s = self._env.clock()
                finished = yield from self._run(name, f"spawned/{number}", step)
                times.append(finished.finish_s - began_s)
        return {"respawn_s": max(0.0, median(took_s[0]) - median(took_s[1]))}

    # Memory.

    def pace(self, sample_cpu_s: float) -> Generator[simpy.Event, Any, Pace]:
        """What changes within minutes: a lone start on an engine that rested, and the CPU that memory takes."""
        # What comes first finds the traces of the run before: in one hour of validations here 9 of 48 such starts took
        # above 0.4 s, and 2 of 40 in the runs that followed. A second finds what they find, the end of one container.
        _, lone = yield from self.starts(1, 2)
        yield from self.up("paced")
        memory = yield from self.touches("paced", sample_cpu_s, PACE_TOUCHES_COUNT)
        yield from self.down("paced")
        # What comes next finds the engine as rested as this lone start did.
        yield self._env.timeout(PAUSE_S)
        return Pace(lone["create_s"] + lone["start_s"], memory["touch_s"], memory["release_s"])

    def touches(
        self, name: str, sample_cpu_s: float, count: int = TOUCHES_COUNT
    ) -> Generator[simpy.Event, Any, dict[str, float]]:
        """CPU per byte to touch memory and to give it back."""
        works: dict[str, Work] = {"touch_s": Hold(TOUCH_BYTES, leak=False), "release_s": Release()}
        used_s: dict[str, list[float]] = {what: [] for what in works}
        for _ in range(count):
            for what, work in works.items():
                yield self._env.timeout(TOUCH_PAUSE_S)
                step = (Step(0, None, 0.0, (work,)),)
                used_s[what].append((yield from self.cpu_of(name, sample_cpu_s, [("touching", step)])))
        return {what: mean(times) / TOUCH_BYTES for what, times in used_s.items()}

    def oom_kills(self, name: str, found: dict[str, float]) -> Generator[simpy.Event, Any, dict[str, float]]:
        """CPU that a kill over the limit takes beyond a new process, its memory and the report of its loss."""
        overhead_s = found["submit_cpu_s"] + found["respawn_s"] + found["step_cpu_s"]
        used_s = []
        for number in range(OOM_KILLS_COUNT):
            yield self._env.timeout(TOUCH_PAUSE_S)
            before = yield from self.counters(name)
            step = Step(0, None, 0.0, (Hold(4 * OOM_BYTES_LIMIT, leak=False),))
            outcome = yield self._machine.submit(name, Program(f"greedy/{number}", (step,), FOREVER_S))
            if not isinstance(outcome, Lost):
                raise EngineRefused("kill a process at its memory limit", str(outcome))
            room_bytes = OOM_BYTES_LIMIT - before.memory_raw_bytes
            # What a new process has at its start is paid with its fork, and given back with the rest.
            held_bytes = room_bytes - found["agent_memory_bytes"]
            memory_s = held_bytes * found["touch_s"] + room_bytes * found["release_s"]
            after = yield from self.counters(name)
            used_s.append(self._used_s(name, before, after, found["sample_cpu_s"]) - overhead_s - memory_s)
        return {"oom_kill_cpu_s": max(0.0, median(used_s))}

    # How.

    def _run(self, name: str, agent: str, steps: tuple[Step, ...]) -> Generator[simpy.Event, Any, Finished]:
        outcome = yield self._machine.submit(name, Program(agent, steps, FOREVER_S))
        if not isinstance(outcome, Finished):
            raise EngineRefused("run a program in a container", str(outcome))
        return outcome

    def rest(self, duration_s: float) -> simpy.Event:
        """Let so much time pass."""
        return self._env.timeout(duration_s)

    @property
    def last_latency_s(self) -> float:
        """The latency of the last step that was reported."""
        return self._collected.steps[-1].latency_s

    def counters(self, name: str) -> Generator[simpy.Event, Any, Sample]:
        """A container's counters now."""
        sample = yield self._machine.sample(name)
        if not isinstance(sample, Sample):
            raise EngineRefused("sample a container", str(sample))
        return sample

    def cpu_of(
        self, name: str, sample_cpu_s: float, programs: list[tuple[str, tuple[Step, ...]]]
    ) -> Generator[simpy.Event, Any, float]:
        """CPU that the container takes for programs of agents, one after another, with handing them over."""
        before = yield from self.counters(name)
        for agent, steps in programs:
            yield from self._run(name, agent, steps)
        after = yield from self.counters(name)
        return self._used_s(name, before, after, sample_cpu_s)

    def _used_s(self, name: str, before: Sample, after: Sample, sample_cpu_s: float) -> float:
        """CPU between two samples, less what sampling took: its own, and the reading of the first of the two."""
        samples_count = self._samples_count(name, before, after) + 1
        return after.cpu_s - before.cpu_s - samples_count * sample_cpu_s

    def _samples_count(self, name: str, before: Sample, after: Sample) -> int:
        return sum(
            sample.container == name and before.at_s < sample.at_s < after.at_s for sample in self._collected.samples
        )


def _risen_bytes(first: Sample, *later: Sample) -> int:
    """How far a container's memory rose since its first sample above the least that was sampled."""
    raw_bytes = [sample.memory_raw_bytes for sample in (first, *later)]
    peak_bytes = later[-1].memory_peak_bytes
    # A peak that did not move since is that of the start, and then there is only what samples happened to meet.
    return (peak_bytes if peak_bytes > first.memory_peak_bytes else max(raw_bytes)) - min(raw_bytes)


def _expect_started(outcome: object) -> Started:
    if not isinstance(outcome, Started):
        raise EngineRefused("start a container", str(outcome))
    return outcome
