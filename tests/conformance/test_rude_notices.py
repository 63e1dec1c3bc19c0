"""Machines that tell late, twice, early or never: every verb answers all the same, and no news is taken twice."""

from __future__ import annotations

import dataclasses
import functools
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from scenarios import story as told
from sim.machine import Died, Lost, Notice, ProcessKilled, Refused, Restarted, Sleep, Started, Stopped, Struck
from sim.presence import Presence
from tests.conformance.bench import ALWAYS, CLOCK_SLACK_S, bench_story, container, program, simulated

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from tests.conformance.bench import Bench, World

LATE_S = 1.0
# Bounds on the asking again of someone who hears nothing.
ASK_AGAIN_S = 0.25
ASKS_COUNT_MAX = 60


def rude(*, late: float = 0.0, twice: float = 0.0, early: float = 0.0, lost: float = 0.0) -> told.RudeNotices:
    """Notices that are as they should be, but for the ratios given."""
    return told.RudeNotices(told.Law("constant", (LATE_S,)), late, twice, early, lost)


def course(bench: Bench) -> Generator[simpy.Event, Any, list[object]]:
    """Everything that is noticed of a worker: an agent killed, a crash, a return, a kill; nothing is waited for."""
    machine = bench.machine
    outcomes = [(yield machine.start(container(restart=ALWAYS)))]
    running = machine.submit("a", program(Sleep(30.0), index=2))
    yield bench.env.timeout(0.5)
    outcomes += [(yield machine.kill_agent("a", "w/0")), (yield running)]
    running = machine.submit("a", program(Sleep(30.0), index=3))
    yield bench.env.timeout(0.5)
    outcomes += [(yield machine.crash("a", 1)), (yield running), (yield from back_up(bench))]
    outcomes.append((yield machine.kill("a")))
    yield bench.env.timeout(3 * LATE_S)
    outcomes.append((yield machine.sample("a")))
    return outcomes


def back_up(bench: Bench) -> Generator[simpy.Event, Any, object]:
    """Ask a container for its counters until it is there again, or patience ends."""
    outcome: object = None
    for _ in range(ASKS_COUNT_MAX):
        outcome = yield bench.machine.sample("a")
        if not isinstance(outcome, Refused):
            break
        yield bench.env.timeout(ASK_AGAIN_S)
    return type(outcome).__name__


def play(world: World, notices: told.RudeNotices) -> tuple[Bench, list[object]]:
    """Run the course on a machine that tells in this way."""
    with world.set_up(bench_story(faults=(notices,))) as bench:
        return bench, bench.play(lambda: course(bench))


def assert_answered(outcomes: list[object]) -> None:
    """Every verb of the course answered as on a polite machine."""
    started, killed, lost_by_kill, crashed, lost_by_crash, back, stopped, gone = outcomes
    assert isinstance(started, Started)
    assert [Struck("a"), Struck("a")] == [killed, crashed]
    assert isinstance(lost_by_kill, Lost)
    assert isinstance(lost_by_crash, Lost)
    assert [(2, "killed"), (3, "container")] == [
        (lost.step_index, lost.cause) for lost in (lost_by_kill, lost_by_crash)
    ]
    assert "Sample" == back
    assert Stopped("a", 137) == stopped
    assert isinstance(gone, Refused)


def news(bench: Bench) -> list[Notice]:
    """What somebody who knows nothing of the world takes for news, in the order in which it is told."""
    presence = Presence(bench.env, ("a",))
    return [notice for notice in bench.said if presence.hear(notice)]


EVERYTHING = [(ProcessKilled, "killed"), (Died, "exited"), (Restarted, None), (Died, "killed")]


def kinds(notices: list[Notice]) -> list[tuple[type[Notice], str | None]]:
    """The kind and the cause of each notice."""
    return [(type(notice), getattr(notice, "cause", None)) for notice in notices]


def test_a_polite_machine_tells_each_thing_once(world: World) -> None:
    """In order, once, at the time that the notice itself says."""
    bench, outcomes = play(world, rude())

    assert_answered(outcomes)
    assert EVERYTHING == kinds(bench.said) == kinds(news(bench))
    assert [pytest.approx(at_s, abs=1e-6) for at_s in bench.said_s] == [notice.noticed_s for notice in bench.said]


def test_late_news_says_when_it_happened(world: World) -> None:
    """A late notice carries the time of the event and the time of the telling, which lie that far apart."""
    bench, outcomes = play(world, rude(late=1.0))

    assert_answered(outcomes)
    assert EVERYTHING == kinds(sorted(news(bench), key=lambda notice: notice.happened_s))
    assert [pytest.approx(at_s, abs=1e-6) for at_s in bench.said_s] == [notice.noticed_s for notice in bench.said]
    assert all(LATE_S <= notice.noticed_s - notice.happened_s + CLOCK_SLACK_S for notice in bench.said)


def test_what_is_told_twice_is_news_once(world: World) -> None:
    """The second telling is the same notice, told later, and nobody takes it for another event."""
    bench, outcomes = play(world, rude(twice=1.0))

    assert_answered(outcomes)
    assert sorted(2 * EVERYTHING, key=repr) == sorted(kinds(bench.said), key=repr)
    assert EVERYTHING == kinds(news(bench))
    by_event = sorted(bench.said, key=lambda notice: (notice.happened_s, repr(type(notice)), notice.noticed_s))
    for first, second in list(pairwise(by_event))[::2]:
        assert first == dataclasses.replace(second, noticed_s=first.noticed_s)


def test_who_hears_nothing_still_gets_answers(world: World) -> None:
    """Where every notice is lost, programs are lost in time, and whoever asks again learns the rest."""
    bench, outcomes = play(world, rude(lost=1.0))

    assert_answered(outcomes)
    assert [] == bench.said


def test_early_news_is_news_all_the_same(world: World) -> None:
    """Told at once, before the answers they belong to, the notices are the same, and each is told once."""
    bench, outcomes = play(world, rude(early=1.0))

    assert_answered(outcomes)
    assert EVERYTHING == kinds(bench.said) == kinds(news(bench))
    assert all(notice.happened_s <= notice.noticed_s + CLOCK_SLACK_S for notice in bench.said)


def test_early_news_comes_before_the_answer() -> None:
    """In the simulated world a kill takes a while: its early death is told in that instant, and the answer later.

    Polite, the death is told with the answer; a real engine's notices are never held back, so there it is the same.
    """

    def script(bench: Bench) -> Generator[simpy.Event, Any, float]:
        yield bench.machine.start(container())
        yield bench.machine.kill("a")
        return bench.env.now

    told_s: list[tuple[bool, bool]] = []
    for early in (0.0, 1.0):
        with simulated(bench_story(faults=(rude(early=early),))) as bench:
            answered_s = bench.play(functools.partial(script, bench))
            bench.env.run(until=bench.env.now + LATE_S)
        (died,) = bench.told(Died)
        told_s.append((died.noticed_s == died.happened_s, died.noticed_s < answered_s))

    assert [(False, False), (True, True)] == told_s


def test_all_of_it_at_once(world: World) -> None:
    """By this seed the agent's kill and the return are lost, the crash is told late and twice, the kill as it should.

    What is news is each at most once, and the verbs do not care.
    """
    bench, outcomes = play(world, rude(late=0.5, twice=0.7, lost=0.3, early=0.3))

    assert_answered(outcomes)
    by_event = sorted(bench.said, key=lambda notice: (notice.happened_s, notice.noticed_s))
    assert [(Died, "exited"), (Died, "exited"), (Died, "killed")] == kinds(by_event)
    first, second, killed = by_event
    assert first == dataclasses.replace(second, noticed_s=first.noticed_s)
    assert LATE_S <= first.noticed_s - first.happened_s + CLOCK_SLACK_S
    taken = news(bench)
    assert killed in taken
    assert len(taken) == len(set(kinds(taken)))
