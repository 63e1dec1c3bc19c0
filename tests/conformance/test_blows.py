"""What goes wrong on purpose in one container: crash, hang, the kill of an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.machine import Compute, Died, Finished, Lost, ProcessKilled, Refused, Sample, Sleep, Struck
from tests.conformance.bench import CLOCK_SLACK_S, container, program

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from tests.conformance.bench import Bench


def test_a_blow_at_nobody_is_refused(bench: Bench) -> None:
    """Blows at containers, agents and hosts that are not there are values that name them."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container())
        return [
            (yield bench.machine.crash("x", 1)),
            (yield bench.machine.hang("x", 1.0)),
            (yield bench.machine.kill_agent("x", "w/0")),
            (yield bench.machine.kill_agent("a", "w/0")),
            (yield bench.machine.strike_host("x", "crash", 1.0)),
        ]

    outcomes = bench.play(script)
    assert ["x", "x", "x", "a", "x"] == [outcome.container for outcome in outcomes if isinstance(outcome, Refused)]
    assert [] == bench.said


def test_a_crash_ends_a_container_with_its_exit_code(bench: Bench) -> None:
    """PID 1 ends by itself: no kill, no memory, its own exit code, and everything in it is lost."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container())
        running = bench.machine.submit("a", program(Compute(30.0, 1), index=4))
        yield bench.env.timeout(0.5)
        struck_s = bench.env.now
        struck = yield bench.machine.crash("a", 42)
        lost = yield running
        died = yield from bench.hear(Died)
        assert struck_s - CLOCK_SLACK_S <= died.happened_s <= died.noticed_s + CLOCK_SLACK_S
        return [struck, lost, (yield bench.machine.sample("a"))]

    struck, lost, refused = bench.play(script)
    assert Struck("a") == struck
    assert isinstance(lost, Lost)
    assert ("w/0", 4, "container") == (lost.agent, lost.step_index, lost.cause)
    assert [("a", "exited", 42)] == [(died.container, died.cause, died.exit_code) for died in bench.told(Died)]
    assert isinstance(refused, Refused)


def test_agents_go_on_while_the_first_process_hangs(bench: Bench) -> None:
    """Programs under way run on, but nobody hears of it, and no question is answered, before the hang is over."""
    hang_s = 2.0

    def script() -> Generator[simpy.Event, Any, tuple[float, float, object, object]]:
        yield bench.machine.start(container())
        running = bench.machine.submit("a", program(Sleep(0.8), due_s=bench.env.now))
        yield bench.env.timeout(0.4)
        hung_s = bench.env.now
        assert Struck("a") == (yield bench.machine.hang("a", hang_s))
        sample = yield bench.machine.sample("a")
        answered_s = bench.env.now
        return hung_s, answered_s, sample, (yield running)

    hung_s, answered_s, sample, finished = bench.play(script)
    assert hung_s + hang_s <= answered_s + CLOCK_SLACK_S
    assert isinstance(sample, Sample)
    assert isinstance(finished, Finished)
    assert finished.finish_s < hung_s + hang_s
    assert [] == bench.said


def test_a_killed_agent_takes_its_step_and_nothing_else(bench: Bench) -> None:
    """Its program is lost and noticed as a kill; the container, the other agent and its own next program run."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container())
        victim = bench.machine.submit("a", program(Sleep(30.0), agent="w/0", index=6))
        other = bench.machine.submit("a", program(Sleep(1.5), agent="w/1", index=1))
        yield bench.env.timeout(0.5)
        struck_s = bench.env.now
        struck = yield bench.machine.kill_agent("a", "w/0")
        lost = yield victim
        killed = yield from bench.hear(ProcessKilled)
        assert struck_s - CLOCK_SLACK_S <= killed.happened_s <= killed.noticed_s + CLOCK_SLACK_S
        again = yield bench.machine.submit("a", program(Compute(0.01, 1), agent="w/0", index=7))
        return [struck, lost, (yield other), again, (yield bench.machine.sample("a"))]

    struck, lost, other, again, sample = bench.play(script)
    assert Struck("a") == struck
    assert isinstance(lost, Lost)
    assert ("w/0", 6, "killed") == (lost.agent, lost.step_index, lost.cause)
    assert [Finished, Finished] == [type(other), type(again)]
    assert isinstance(sample, Sample)
    assert 0 == sample.oom_kills_count
    assert [("a", "w/0", "killed")] == [(one.container, one.agent, one.cause) for one in bench.told(ProcessKilled)]
    assert [] == bench.told(Died)


def test_an_agent_is_killed_between_its_programs(bench: Bench) -> None:
    """A process that waits for work can be killed too; there is no program to lose, and the next one runs."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container())
        yield bench.machine.submit("a", program(Compute(0.01, 1)))
        struck = yield bench.machine.kill_agent("a", "w/0")
        yield from bench.hear(ProcessKilled)
        return [struck, (yield bench.machine.submit("a", program(Compute(0.01, 1), index=1)))]

    assert [Struck, Finished] == [type(outcome) for outcome in bench.play(script)]
