"""The simulated machine where only virtual time can hit the moment: what is under way when something dies."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from scenarios import Story
from scenarios import story as told
from sim.machine import (
    Compute,
    Died,
    Finished,
    Hold,
    Lost,
    ProcessKilled,
    Program,
    Refused,
    Release,
    Sample,
    Sleep,
    Started,
    Step,
    Stopped,
    Work,
)
from sim.physics.host_profile import load_profile
from sim.physics.simulated_machine import SimulatedMachine

if TYPE_CHECKING:
    import simpy

    from sim.machine import StepDone

MIB = 1 << 20
# Whole seconds for what the supervisor does, so that a test can act in the middle of it.
PROFILE = dataclasses.replace(
    load_profile(None),
    # Where a limit below what is used kills.
    cgroup_version=2,
    attach_s_mean=0.5,
    ready_s_mean=1.0,
    start_cpu_s=0.0,
    submit_cpu_s=2.0,
    respawn_s_mean=1.0,
    supervisor_memory_bytes=10 * MIB,
    agent_memory_bytes=MIB,
    touch_s_per_byte=0.0,
    release_s_per_byte=0.1 / MIB,
    oom_kill_cpu_s=3.0,
    step_cpu_s=0.0,
    sample_cpu_s=0.0,
    wake_s_mean=0.0,
    notice_s_mean=0.0,
)


class Deaf:
    """An observer that keeps nothing."""

    def step(self, _done: StepDone) -> None:
        """Take a step."""

    def sample(self, _sample: Sample) -> None:
        """Take a sample."""


def container(memory_mib: int = 100) -> told.Container:
    """A container without a quota."""
    return told.Container("a", "h", None, memory_mib * MIB, memory_mib * MIB, 1024, None, 100, 2.0)


def program(*work: Work, agent: str = "w/0", index: int = 0) -> Program:
    """A program of one step that is due at once."""
    return Program(agent, (Step(index, 0.0, 0.0, work),), 1e6)


@pytest.fixture(name="machine")
def _machine(env: simpy.Environment) -> SimulatedMachine:
    """One host of two cores with nothing on it."""
    scale = told.LiveScale(1, 1, 1)
    host = told.Host("h", 2, 4096 * MIB, 0, 0, None)
    story = Story("bench", "p", "s", 1, 60.0, 0.5, (host,), (container(),), (), (), (), (), (), scale, live_able=True)
    return SimulatedMachine(env, story, Deaf(), profile=PROFILE, physics_seed=1)


def kinds(machine: SimulatedMachine) -> list[type]:
    """What kinds of notices there are."""
    return [type(notice) for notice in machine.notices.items]


def test_start_is_answered_by_a_death_before_ready(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """A container killed while its supervisor comes up was not started."""
    started = machine.start(container())
    env.run(until=0.9)
    killed = machine.kill("a")
    env.run(until=3)

    assert Stopped("a", 137) == killed.value
    assert started.triggered
    assert isinstance(started.value, Refused)


def test_earned_report_is_told_although_the_container_dies(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """A program that ran to its end is finished, even if the supervisor dies while it reports it."""
    env.run(until=machine.start(container()))
    running = machine.submit("a", program(Sleep(0.0)))
    env.run(until=env.now + 2.5)
    machine.kill("a")
    env.run(until=env.now + 1)

    assert running.triggered
    assert isinstance(running.value, Finished)


def test_program_not_handed_over_is_lost_with_its_process(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """A process killed before its next program reaches it loses that program's first step; none is forked for it."""
    env.run(until=machine.start(container()))
    env.run(until=machine.submit("a", program(Hold(50 * MIB, leak=True))))
    waiting = machine.submit("a", program(Compute(0.1, 1), index=7))
    machine.limit("a", cpus_limit=None, memory_bytes_limit=40 * MIB)
    env.run(until=env.now + 20)
    lost, sample = waiting.value, env.run(until=machine.sample("a"))

    assert isinstance(lost, Lost)
    assert isinstance(sample, Sample)
    assert ("w/0", 7, "oom") == (lost.agent, lost.step_index, lost.cause)
    assert 10 * MIB == sample.memory_bytes


def test_attaching_takes_time_and_no_cpu(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """After create and start come 0.5 s of attaching, and 1 s of the interpreter's work, charged to the container."""
    started = env.run(until=machine.start(container()))
    sample = env.run(until=machine.sample("a"))

    assert isinstance(started, Started)
    assert isinstance(sample, Sample)
    assert 1.5 == pytest.approx(started.ready_s - started.start_s)
    assert 1.0 == pytest.approx(sample.cpu_s)


def test_memory_is_given_back_little_by_little(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """Half-way through a release of 40 MiB at 0.1 s each, half is free for others."""
    env.run(until=machine.start(container()))
    done = machine.submit("a", program(Hold(40 * MIB, leak=False), Release()))
    # One second to hand the program over and one to fork; then 4 s of giving back.
    env.run(until=env.now + 1 + 1 + 2.05)
    half = env.run(until=machine.sample("a"))
    env.run(until=done)
    end = env.run(until=machine.sample("a"))

    assert isinstance(half, Sample)
    assert isinstance(end, Sample)
    assert (10 + 1 + 20) * MIB == pytest.approx(half.memory_bytes, abs=3 * MIB)
    assert 11 * MIB == end.memory_bytes


def test_a_kill_over_the_limit_costs_its_container_cpu(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """The kill's own 3 s, and 0.1 s for each MiB that the dead process held: page tables aside, 1 MiB and 60."""
    env.run(until=machine.start(container()))
    lost = machine.submit("a", program(Hold(60 * MIB, leak=True), Hold(60 * MIB, leak=True)))
    env.run(until=lost)
    sample = env.run(until=machine.sample("a"))

    assert isinstance(lost.value, Lost)
    assert isinstance(sample, Sample)
    # Beside that: coming up 1 s, handing over 1 s, forking 1 s, telling of the loss 1 s. The pieces of the second
    # 60 MiB that still fitted were held too: 100 - 10 - 1 - 60 leaves room for 29 MiB of them, in pieces of 3.75.
    assert 4 + 3 + 0.1 * (1 + 60 + 7 * 3.75) == pytest.approx(sample.cpu_s, abs=0.05)


def test_a_loss_is_told_even_where_its_container_ends_meanwhile(
    env: simpy.Environment, machine: SimulatedMachine
) -> None:
    """Whoever submitted a program hears of its end, though the kernel is still clearing its process away."""
    env.run(until=machine.start(container()))
    lost = machine.submit("a", program(Hold(200 * MIB, leak=True)))
    env.run(until=env.now + 4)
    pending = not lost.triggered
    env.run(until=machine.kill("a"))

    assert pending
    assert isinstance(lost.value, Lost)
    assert lost.value.cause == "oom"
    assert [ProcessKilled, Died] == kinds(machine)


def test_container_too_small_for_its_supervisor_is_refused(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """A limit below what PID 1 needs refuses the start, and the name is free for one that fits."""
    small = env.run(until=machine.start(container(memory_mib=9)))
    fitting = env.run(until=machine.start(container()))

    assert isinstance(small, Refused)
    assert "memory limit" in small.reason
    assert isinstance(fitting, Started)
    assert [] == kinds(machine)


def test_name_of_a_killed_container_is_free(env: simpy.Environment, machine: SimulatedMachine) -> None:
    """Once a kill is answered nothing is left to stop, and the name can be used again."""
    env.run(until=machine.start(container()))
    env.run(until=machine.kill("a"))
    refused = env.run(until=machine.stop("a"))
    started = env.run(until=machine.start(container()))

    assert isinstance(refused, Refused)
    assert isinstance(started, Started)
    assert [Died] == kinds(machine)
