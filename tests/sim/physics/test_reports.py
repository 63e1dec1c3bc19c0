"""Reports of finished steps: together, about once a second, and what becomes of them when something ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.machine import Finished, Lost, Program, Sleep, Step
from tests.sim.physics.bench import Heard, container, machine_of

if TYPE_CHECKING:
    import simpy

    from sim.physics.simulated_machine import SimulatedMachine

# Steps of a quarter of a second, one after another.
STEPS = tuple(Step(index, None, 0.0, (Sleep(0.25),)) for index in range(12))


def begun(env: simpy.Environment, heard: Heard) -> tuple[SimulatedMachine, simpy.Event]:
    """A machine in whose container the steps have begun."""
    machine = machine_of(env, heard=heard)
    env.run(until=machine.start(container("a")))
    return machine, machine.submit("a", Program("w/0", STEPS, 1e9))


def test_steps_are_reported_about_once_a_second(env: simpy.Environment) -> None:
    """After 2.4 s the steps of the first whole seconds are known, and at the end of the program all are."""
    heard = Heard()
    _, running = begun(env, heard)
    env.run(until=env.now + 2.4)
    known = [done.index for done in heard.steps]
    ended = env.run(until=running)

    assert [*range(8)] == known
    assert [*range(12)] == [done.index for done in heard.steps]
    assert isinstance(ended, Finished)


def test_a_killed_process_has_its_steps_reported(env: simpy.Environment) -> None:
    """The supervisor tells what it had done; only the step under way is lost."""
    heard = Heard()
    machine, running = begun(env, heard)
    env.run(until=env.now + 1.6)
    machine.kill_agent("a", "w/0")
    lost = env.run(until=running)

    assert isinstance(lost, Lost)
    assert (6, "killed") == (lost.step_index, lost.cause)
    assert [*range(6)] == [done.index for done in heard.steps]


def test_what_was_not_reported_goes_with_the_container(env: simpy.Environment) -> None:
    """Four steps were told after the first second; two more were done, and are lost with the one under way."""
    heard = Heard()
    machine, running = begun(env, heard)
    env.run(until=env.now + 1.6)
    machine.kill("a")
    lost = env.run(until=running)

    assert isinstance(lost, Lost)
    assert (4, "container") == (lost.step_index, lost.cause)
    assert [*range(4)] == [done.index for done in heard.steps]
