"""The printed capacity: the answer first and in words, whatever came of the search."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from scenarios import load
from scenarios.units import MIB
from sim.capacity_text import capacity_text
from sim.experiments.binding import Missed, refused
from sim.experiments.capacity import Binding, Capacity, Point, Question
from sim.experiments.ladder import Ladder, Wish

COUNT = "agents.worker.count"
MEMORY = "containers.agents.mem_limit"
KILLS = Missed(0, "no-oom-kill", "oom_kill_count", "agents")
BUSY = Missed(1, "cpu-below-80-percent", "cpu_cores_mean", "agents")

LOADED = load("agent-ecology")


def point(value: int, misses: int, runs: int, verdict: str = "undecided") -> Point:
    """One value that was tried."""
    goals = {"no-oom-kill": misses} if misses else {}
    return Point(Fraction(value), misses, runs, 0.0, 0.05, verdict, goals)  # type: ignore[arg-type]  # One of three.


FOUND = Capacity(
    story="agent-ecology",
    world="sim",
    question=Question("agent-ecology", Wish(COUNT)),
    ladder=Ladder(LOADED, (), COUNT, Fraction(1), False, False, 1, 1024),  # noqa: FBT003
    noun="agents",
    answer=Fraction(14),
    low=Fraction(13),
    high=Fraction(15),
    is_end=False,
    binding=Binding(KILLS, Fraction(15), 9, 12),
    next_binding=Binding(BUSY, Fraction(19), 4, 4),
    curve=(point(1, 0, 4), point(13, 0, 107, "fits"), point(14, 9, 428), point(15, 9, 12, "does not fit")),
    contradictions=(),
    interrupted=False,
    runs_count=551,
    runs_count_max=428,
    telling_runs_count=None,
    reasons=(),
)


def test_the_whole_answer() -> None:
    """The answer, what breaks, the table and how it came about."""
    expected = """\
14 agents fit (13 to 15 with 95 % confidence); memory of `agents` breaks next
the goal missed is no-oom-kill, at 15
after memory comes CPU of `agents`: cpu-below-80-percent is missed at 19

agents  runs  missed        risk  verdict       goals missed
     1     4       0  0 to 5.0 %  undecided
    13   107       0  0 to 5.0 %  fits
    14   428       9  0 to 5.0 %  undecided     no-oom-kill 9
    15    12       9  0 to 5.0 %  does not fit  no-oom-kill 9

agent-ecology simulated, 551 runs; a value fits if at most 5 % of runs miss a goal"""
    assert expected == capacity_text(FOUND)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (14, 14, "14 agents fit (with 95 % confidence); memory"),
        (None, 15, "14 agents fit (at most 15 with 95 % confidence, and at least what is not known); memory"),
        (12, None, "14 agents fit (at least 12 with 95 % confidence); memory"),
        (None, None, "14 agents fit (too few runs to be sure); memory"),
    ],
)
def test_how_sure_it_is(low: int | None, high: int | None, said: str) -> None:
    """An interval of one value needs no numbers, and a side that is not known is not told."""
    ends = [None if end is None else Fraction(end) for end in (low, high)]

    assert capacity_text(replace(FOUND, low=ends[0], high=ends[1])).startswith(said)


def test_a_single_one_is_singular() -> None:
    """One agent fits, and one of a named group too."""
    one = replace(FOUND, answer=Fraction(1), low=None, high=None)

    assert capacity_text(one).startswith("1 agent fits (")
    assert capacity_text(replace(one, noun="`bus` agents")).startswith("1 `bus` agent fits (")


def test_nothing_fits() -> None:
    """The lowest value that was tried is named with what breaks at it."""
    none = replace(FOUND, answer=None, low=None, high=None)

    assert capacity_text(none).startswith("not even 1 agent would fit; memory of `agents` breaks first\n")


def test_a_search_that_was_stopped_early_does_not_say_that_nothing_fits() -> None:
    """Where the lowest value was not tried, nothing is known of it."""
    stopped = replace(FOUND, answer=None, low=None, high=None, curve=FOUND.curve[-1:], interrupted=True)
    said = capacity_text(stopped)

    assert said.startswith("nothing was found to fit yet; ")
    assert said.endswith("\ninterrupted: this is what was known until then")
    assert capacity_text(replace(stopped, curve=(), binding=None)).startswith("nothing is known yet\n")


def test_the_end_of_the_search_is_no_edge() -> None:
    """Where everything fits, nothing breaks, and more might fit."""
    all_fit = replace(FOUND, answer=Fraction(1024), low=Fraction(1024), high=None, is_end=True, binding=None)

    expected = "1024 agents fit (at least 1024 with 95 % confidence); the search ended there"
    assert expected == capacity_text(all_fit).splitlines()[0]


def test_the_smallest_size_that_suffices() -> None:
    """A path that counts nothing is named itself, and sizes are written as in a scenario."""
    size = 16 * MIB
    found = replace(
        FOUND,
        ladder=Ladder(LOADED, (), MEMORY, Fraction(size), True, True, 1, 64, swap_bytes=0),  # noqa: FBT003
        noun=None,
        answer=Fraction(32 * size),
        low=Fraction(31 * size),
        high=Fraction(33 * size),
        binding=Binding(KILLS, Fraction(31 * size), 4, 4),
        next_binding=None,
    )
    lines = capacity_text(found).splitlines()

    assert f"{MEMORY} of 512m suffices (496m to 528m with 95 % confidence); memory of `agents` breaks next" == lines[0]
    assert "the goal missed is no-oom-kill, at 496m" == lines[1]
    assert "memswap_limit was moved along with mem_limit" == lines[-1]


@pytest.mark.parametrize(("most", "runs"), [(1, "1 run of a value is"), (3, "3 runs of a value are")])
def test_too_few_runs_say_what_they_cannot_show(most: int, runs: str) -> None:
    """Where no outcome could have shown that a value fits, the number of runs that would is told."""
    few = replace(FOUND, low=None, runs_count_max=most, telling_runs_count=89)
    told = capacity_text(few).splitlines()[-1]

    cure = "that takes 89 (--runs-max 89)"
    assert f"{runs} too few to know that it fits at this risk, however they end: {cure}" == told


def test_a_refusal_binds_in_the_engine_s_words() -> None:
    """What the engine did not start is the goal that is missed, with its reason."""
    full = refused(None, "no address pool is left")
    lines = capacity_text(replace(FOUND, binding=Binding(full, Fraction(15), 3, 3))).splitlines()

    assert lines[0].endswith("; the start of containers breaks next")
    assert "the goal missed is every container starts, at 15: no address pool is left" == lines[1]


def test_what_speaks_against_it_is_said() -> None:
    """Contradictions and runs that should not be used are lines of their own."""
    doubted = replace(FOUND, contradictions=((Fraction(5), Fraction(16)),), reasons=("lag of 9 ms", "load"))
    lines = capacity_text(doubted).splitlines()

    assert "5 does not fit and 16, which is harder, does: there is more than one edge" == lines[-2]
    assert "this speaks against the runs: lag of 9 ms (and 1 more reasons)" == lines[-1]
