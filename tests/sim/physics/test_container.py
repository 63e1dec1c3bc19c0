"""One life of a simulated container: errands, files, kills, hangs, and programs that are not ours."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from scenarios import story as told
from sim.machine import (
    Compute,
    Died,
    DiskFull,
    Erase,
    Finished,
    Hold,
    Lost,
    ProcessKilled,
    Program,
    Refused,
    Sample,
    Sleep,
    Started,
    Step,
    Stopped,
    Struck,
    Work,
    Write,
)
from sim.physics.container import SimulatedContainer
from sim.physics.cpu import GroupLimits, Task
from sim.physics.disk import SimulatedDisk
from sim.physics.host_profile import load_profile
from sim.physics.processor_sharing import ProcessorSharing
from sim.physics.surroundings import Surroundings
from tests.sim.physics.bench import (
    ALWAYS,
    MIB,
    NOTHING_S,
    ROUND,
    Heard,
    container,
    machine_of,
    notices,
    program,
    reasons,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from sim.machine import Notice
    from sim.physics.simulated_machine import SimulatedMachine


class CountingCpu(ProcessorSharing):
    """A CPU that remembers what it was asked to run."""

    def __init__(self, env: simpy.Environment) -> None:
        """Have one core."""
        super().__init__(env, 1, period_s=0.1, phase=lambda _name: 0.0, is_quota_rate=True)
        self.asked_s: list[float] = []

    def run(self, task: Task, cpu_s: float, done: Callable[[], object]) -> None:
        """Remember and run."""
        self.asked_s.append(cpu_s)
        super().run(task, cpu_s, done)


def ignore(_what: Notice | str, _how: float) -> None:
    """Hear of nothing."""


def test_errand_queued_by_an_errand_is_run_once(env: simpy.Environment) -> None:
    """What an errand's end queues is begun once, after it, and in its turn."""
    cpu = CountingCpu(env)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    spec = told.Container("a", "h", None, 64 * MIB, 64 * MIB, 1024, None, 100, 2.0)
    disk = SimulatedDisk(load_profile(None), lambda: float(env.now))
    around = Surroundings(env, cpu, disk, load_profile(None), Heard(), ignore, 1.0)
    life = SimulatedContainer(around, spec, None, ignore)
    ended: list[float] = []
    life.errand(1.0, lambda: life.errand(2.0, lambda: ended.append(env.now)))
    env.run(until=10)

    assert [1.0, 2.0] == cpu.asked_s
    assert [pytest.approx(3.0)] == ended


DISK = (told.Tmpfs("/scratch", 8 * MIB),)


@pytest.fixture(name="heard")
def _heard() -> Heard:
    """An observer that keeps what it hears."""
    return Heard()


@pytest.fixture(name="machine")
def _machine(env: simpy.Environment, heard: Heard) -> SimulatedMachine:
    """One host of two cores with nothing on it, and round constants."""
    return machine_of(env, heard=heard)


def sampled(env: simpy.Environment, machine: SimulatedMachine) -> Sample:
    """The container's counters now."""
    sample = env.run(until=machine.sample("a"))
    assert isinstance(sample, Sample)
    return sample


def test_writing_takes_cpu_and_memory_until_it_is_erased(env: simpy.Environment) -> None:
    """Four MiB at a second each are latency of the step; they lie on the disk and in memory, and erased in neither."""
    heard = Heard()
    machine = machine_of(env, heard=heard, profile=dataclasses.replace(ROUND, write_s_per_byte=1 / MIB))
    env.run(until=machine.start(container(tmpfs=DISK)))
    began_s = env.now
    env.run(until=machine.submit("a", dated_program(began_s, Write(4 * MIB))))
    full = sampled(env, machine)
    env.run(until=machine.submit("a", dated_program(env.now, Erase(), Erase())))
    after = sampled(env, machine)

    assert [pytest.approx(4.0, abs=1e-6), pytest.approx(0.0, abs=1e-6)] == [step.latency_s for step in heard.steps]
    assert (4 * MIB, (10 + 1 + 4) * MIB) == (full.disk_bytes, full.memory_bytes)
    assert (0, 11 * MIB) == (after.disk_bytes, after.memory_bytes)


def dated_program(due_s: float, *work: Work) -> Program:
    """A program of one step that was due at a time."""
    return Program("w/0", (Step(0, due_s, 0.0, work),), 1e6)


@pytest.mark.parametrize("tmpfs", [DISK, ()], ids=["full", "none"])
def test_what_does_not_fit_is_refused_and_the_step_goes_on(
    env: simpy.Environment, machine: SimulatedMachine, heard: Heard, tmpfs: tuple[told.Tmpfs, ...]
) -> None:
    """One notice, the disk full to its limit (where there is one), and the stages after it done as ever."""
    env.run(until=machine.start(container(tmpfs=tmpfs)))
    finished = env.run(until=machine.submit("a", program(Write(9 * MIB), Sleep(1.0), agent="w/3")))
    told_of = [notice for notice in notices(machine) if isinstance(notice, DiskFull)]

    assert isinstance(finished, Finished)
    assert [("a", "w/3")] == [(notice.container, notice.agent) for notice in told_of]
    assert 1.0 == pytest.approx(finished.finish_s - told_of[0].happened_s, abs=1e-6)
    assert (8 * MIB if tmpfs else 0) == sampled(env, machine).disk_bytes
    assert 1 == len(heard.steps)


def test_a_disk_larger_than_memory_ends_in_a_kill(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """The writer dies and what it wrote stays; where PID 1 writes on, it dies itself, and everything with it."""
    env.run(until=machine.start(container(tmpfs=(told.Tmpfs("/scratch", None),))))
    lost = env.run(until=machine.submit("a", program(Write(160 * MIB))))
    between = sampled(env, machine)
    env.run(until=machine.submit("a", program(Write(20 * MIB), agent="w/1", process="main")))
    env.run(until=env.now + 1)

    assert isinstance(lost, Lost)
    assert "oom" == lost.cause
    # In pieces of 10 MiB: eight fit beside the 11 MiB of the two processes.
    assert (80 * MIB, 90 * MIB, 1) == (between.disk_bytes, between.memory_bytes, between.oom_kills_count)
    assert ["oom"] == [notice.cause for notice in notices(machine) if isinstance(notice, Died)]


def test_files_go_with_the_container_and_not_with_the_agent(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """A killed agent's file is there for its next process; after a restart the disk is empty."""
    env.run(until=machine.start(container(tmpfs=DISK, restart=ALWAYS)))
    env.run(until=machine.submit("a", program(Write(8 * MIB))))
    env.run(until=machine.kill_agent("a", "w/0"))
    kept = sampled(env, machine)
    env.run(until=machine.submit("a", program(Erase())))
    erased = sampled(env, machine)
    env.run(until=machine.submit("a", program(Write(8 * MIB))))
    machine.crash("a", 1)
    env.run(until=env.now + 2)

    assert [8 * MIB, 0, 0] == [sample.disk_bytes for sample in (kept, erased, sampled(env, machine))]


def test_killed_agent_loses_its_work_and_the_container_lives(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """The kill is noticed as one, its program is lost, nobody else's is; where there is no such agent it is refused."""
    env.run(until=machine.start(container()))
    running = machine.submit("a", program(Sleep(60.0), index=4))
    other = machine.submit("a", program(Sleep(1.0), agent="w/1"))
    env.run(until=env.now + 0.5)
    struck, refused = machine.kill_agent("a", "w/0"), machine.kill_agent("a", "w/9")
    struck_s = env.now
    env.run(until=env.now + 1)

    assert Struck("a") == struck.value
    assert isinstance(refused.value, Refused)
    assert isinstance(other.value, Finished)
    assert isinstance(running.value, Lost)
    assert ("w/0", 4, "killed") == (running.value.agent, running.value.step_index, running.value.cause)
    (killed,) = notices(machine)
    assert isinstance(killed, ProcessKilled)
    assert ("w/0", "killed") == (killed.agent, killed.cause)
    assert struck_s == pytest.approx(killed.happened_s)
    assert 0 == sampled(env, machine).oom_kills_count


def test_kill_of_an_agent_is_the_dead_ones_cpu_and_no_more(env: simpy.Environment) -> None:
    """Giving back 1 MiB and the 20 it held is paid, the extra of a kill over the limit is not."""
    profile = dataclasses.replace(ROUND, release_s_per_byte=0.1 / MIB, oom_kill_cpu_s=7.0)
    machine = machine_of(env, profile=profile)
    env.run(until=machine.start(container()))
    env.run(until=machine.submit("a", program(Hold(20 * MIB, leak=True))))
    env.run(until=machine.kill_agent("a", "w/0"))
    env.run(until=env.now + 10)

    assert 0.5 + 0.1 * 21 == pytest.approx(sampled(env, machine).cpu_s, abs=0.01)


def test_a_killed_agent_of_the_main_process_gives_back_what_was_held_for_it(
    env: simpy.Environment, machine: SimulatedMachine
) -> None:
    """PID 1 holds 20 MiB for one agent and 15 for another, and leaked 5: the first takes its process and 20 along."""
    env.run(until=machine.start(container()))
    victim = program(Hold(5 * MIB, leak=True), Hold(20 * MIB, leak=False), Sleep(60.0), process="main")
    machine.submit("a", victim)
    machine.submit("a", program(Hold(15 * MIB, leak=False), Sleep(60.0), agent="w/1", process="main"))
    env.run(until=env.now + 1)
    before = sampled(env, machine)
    env.run(until=machine.kill_agent("a", "w/0"))
    env.run(until=env.now + 1)

    assert 21 == pytest.approx((before.memory_bytes - sampled(env, machine).memory_bytes) / MIB, abs=0.1)
    assert [ProcessKilled] == [type(notice) for notice in notices(machine)]


def test_agents_work_on_while_the_supervisor_hangs(
    env: simpy.Environment, machine: SimulatedMachine, heard: Heard
) -> None:
    """Steps go on and are told late; of the samples missed in 5 s one is made up for, when the hang is over."""
    env.run(until=machine.start(container()))
    running = machine.submit("a", program(Compute(1.0, 1)))
    env.run(until=env.now + 0.1)
    samples_count, hung_s = len(heard.samples), env.now
    machine.hang("a", 5.0)
    asked = machine.sample("a")
    env.run(until=hung_s + 4.9)
    assert not running.triggered
    assert not asked.triggered
    env.run(until=hung_s + 5.001)

    assert isinstance(running.value, Finished)
    assert 0.9 == pytest.approx(running.value.finish_s - hung_s, abs=1e-6)
    assert isinstance(asked.value, Sample)
    assert [pytest.approx(hung_s + 5.0)] == [sample.at_s for sample in heard.samples[samples_count:]]


def test_crash_waits_for_the_end_of_a_hang(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """A program that stands still cannot end by itself either."""
    env.run(until=machine.start(container()))
    machine.hang("a", 5.0)
    struck_s = env.now
    assert Struck("a") == env.run(until=machine.crash("a", 9))
    env.run(until=env.now + 20)
    (died,) = notices(machine)

    assert isinstance(died, Died)
    assert ("exited", 9) == (died.cause, died.exit_code)
    assert 5.0 == pytest.approx(died.happened_s - struck_s)
    assert 5.25 == pytest.approx(died.noticed_s - struck_s)


def test_foreign_container_is_up_and_idle(env: simpy.Environment, heard: Heard) -> None:
    """It is ready when the engine has started it, burns no CPU, samples itself, stops at once and takes no orders."""
    machine = machine_of(env, heard=heard, profile=dataclasses.replace(ROUND, attach_s_mean=0.5, sample_cpu_s=0.1))
    started = env.run(until=machine.start(container(foreign=told.Foreign("nginx"), start_delay_s=3.0)))
    env.run(until=env.now + 2.4)
    sample = sampled(env, machine)
    refused = [
        machine.submit("a", program()),
        machine.crash("a", 1),
        machine.hang("a", 1),
        machine.kill_agent("a", "x"),
    ]
    stopped = env.run(until=machine.stop("a"))

    assert isinstance(started, Started)
    assert started.start_s == started.ready_s
    assert 0.0 == pytest.approx(sample.cpu_s, abs=NOTHING_S)
    assert 10 * MIB == sample.memory_bytes
    assert 4 <= len(heard.samples) <= 5
    assert ["it runs a program of its own"] * 4 == reasons(refused)
    assert Stopped("a", 0) == stopped


def test_foreign_container_fits_any_limit(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """What its program needs nobody knows, so it is not refused for what our supervisor would need."""
    small = container(foreign=told.Foreign("nginx"), memory_bytes_limit=6 * MIB)

    assert isinstance(env.run(until=machine.start(small)), Started)
    assert 6 * MIB == sampled(env, machine).memory_bytes


def test_what_others_wait_for_to_complete_ends_at_once(env: simpy.Environment) -> None:
    """A foreign container that nobody waits for stays; one that another needs completed ends with 0 after its start."""
    job, service = (container(name, foreign=told.Foreign("busybox")) for name in ("job", "service"))
    needs = (told.Dependency("job", "completed"), told.Dependency("service", "started"))
    machine = machine_of(env, containers=(job, service, container("a", dependencies=needs)))
    started = [env.run(until=machine.start(one)) for one in (service, job)][1]
    env.run(until=env.now + 1)
    (died,) = notices(machine)

    assert isinstance(started, Started)
    assert isinstance(died, Died)
    assert ("job", "exited", 0) == (died.container, died.cause, died.exit_code)
    assert started.ready_s < died.happened_s < started.ready_s + 0.1
    assert isinstance(env.run(until=machine.sample("service")), Sample)
    assert isinstance(env.run(until=machine.stop("job")), Refused)


def test_rude_notices_are_the_storys(env: simpy.Environment) -> None:
    """A story that loses every notice hears of no death."""
    never = told.RudeNotices(told.Law("constant", (0.0,)), 0.0, 0.0, 0.0, 1.0)
    machine = machine_of(env, faults=(never,))
    env.run(until=machine.start(container()))
    env.run(until=machine.kill("a"))
    env.run(until=env.now + 10)

    assert [] == notices(machine)


@pytest.mark.parametrize("process", ["own", "main"])
def test_threads_occupy_memory_of_their_own(env: simpy.Environment, process: str) -> None:
    """Who computes on three threads hires two, once, and keeps them: 10 + 1 + 3 + 2 x 4 MiB."""
    profile = dataclasses.replace(ROUND, thread_memory_bytes=4 * MIB, hire_memory_bytes=3 * MIB)
    machine = machine_of(env, profile=profile)
    env.run(until=machine.start(container()))
    for _ in range(2):
        env.run(until=machine.submit("a", program(Compute(0.3, 3), process=process)))

    assert 22 * MIB == sampled(env, machine).memory_bytes


def test_threads_beyond_the_limit_kill_the_agent(env: simpy.Environment) -> None:
    """No room for the second thread: the agent is lost, and nothing of it stays."""
    machine = machine_of(env, profile=dataclasses.replace(ROUND, thread_memory_bytes=200 * MIB))
    env.run(until=machine.start(container()))
    lost = env.run(until=machine.submit("a", program(Compute(0.3, 2), index=3)))

    assert isinstance(lost, Lost)
    assert ("oom", 3) == (lost.cause, lost.step_index)
    assert 10 * MIB == sampled(env, machine).memory_bytes


def test_threads_are_cleared_away_with_their_agent(env: simpy.Environment) -> None:
    """Giving back the 1 MiB of a killed agent and the 8 of its two threads is paid as the rest is."""
    profile = dataclasses.replace(ROUND, thread_memory_bytes=4 * MIB, release_s_per_byte=0.1 / MIB)
    machine = machine_of(env, profile=profile)
    env.run(until=machine.start(container()))
    env.run(until=machine.submit("a", program(Compute(0.3, 3))))
    env.run(until=machine.kill_agent("a", "w/0"))
    env.run(until=env.now + 10)

    assert 0.5 + 0.3 + 0.9 == pytest.approx(sampled(env, machine).cpu_s, abs=0.01)
