"""The search against risks that are made up, so that the right answer is known."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest

from sim.experiments.binding import Missed
from sim.experiments.risk import RiskRule, planned
from sim.experiments.search import LOOKS_COUNT_MAX, Search, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sim.experiments.search import Trials

MISSED = (Missed(0, "no-oom-kill", "oom_kill_count", "agents"),)
RULE = planned(0.05, 0.95, 4)
# Quick to decide, for tests that make many searches.
COARSE = planned(0.2, 0.9, 3)


def trials_of(risk_ratio: Callable[[int], float], seed: int = 1) -> Trials:
    """Trials with a known risk per rung; a replication has the same luck on every rung."""

    def trials(rung: int, replications: range) -> Iterator[tuple[Missed, ...]]:
        for replication in replications:
            luck = random.Random(f"{seed} {replication}").random()
            yield MISSED if luck < risk_ratio(rung) else ()

    return trials


def step_at(first_missed: int) -> Callable[[int], float]:
    """No risk below a rung, and certainty from there."""
    return lambda rung: float(rung >= first_missed)


def logistic(middle: float, width: float) -> Callable[[int], float]:
    """A risk that grows smoothly."""
    return lambda rung: 1.0 / (1.0 + math.exp((middle - rung) / width))


def searched(trials: Trials, rungs: range, rule: RiskRule = RULE, *, start: int | None = None) -> Search:
    """A search that is done."""
    search = Search(trials, rule, rungs, start=rungs[0] if start is None else start)
    search.run()
    return search


@pytest.mark.parametrize("capacity", [1, 2, 3, 7, 8, 9, 13, 31, 100, 499])
def test_a_sharp_edge_is_found_and_known(capacity: int) -> None:
    """Where risk jumps from nothing to certainty, the two rungs at the jump are found and decided."""
    search = searched(trials_of(step_at(capacity + 1)), range(1, 501))

    assert ((capacity, capacity + 1), (capacity, capacity + 1)) == (search.edge(), search.known())


@pytest.mark.parametrize("capacity", [1, 5, 64, 200])
def test_the_smallest_value_is_the_same_search_from_the_other_end(capacity: int) -> None:
    """On rungs with a minus before them the search begins with the smallest value, which is the hardest."""
    search = searched(trials_of(step_at(1 - capacity)), range(-1000, 0), start=-1)

    assert -capacity == search.edge()[0]
    assert max(abs(rung) for rung in search.tallies) < 4 * capacity + 4


def test_a_sharp_edge_costs_little() -> None:
    """Only one value, the answer, is worth the runs that show a risk to be low; the others get a glance."""
    search = searched(trials_of(step_at(14)), range(1, 1001))
    costly = [rung for rung, tally in search.tallies.items() if tally.runs_count > RULE.looks[0]]

    assert [13] == costly
    assert len(search.tallies) <= 2 * math.log2(14) + 4


def test_nothing_fits() -> None:
    """Where the lowest rung is missed there is no answer, and that is known."""
    search = searched(trials_of(lambda _: 1.0), range(1, 101))

    assert ((None, 1), (None, 1)) == (search.edge(), search.known())


def test_everything_fits() -> None:
    """Where no rung is missed the answer is the last, and nothing is known to break."""
    search = searched(trials_of(lambda _: 0.0), range(1, 101))

    assert ((100, None), (100, None)) == (search.edge(), search.known())


def test_one_rung_is_a_ladder_too() -> None:
    """A range of a single value is answered with a yes or a no."""
    fine = searched(trials_of(lambda _: 0.0), range(7, 8))
    missed = searched(trials_of(lambda _: 1.0), range(7, 8))

    assert ((7, None), (None, 7)) == (fine.known(), missed.known())


@pytest.mark.parametrize("width", [0.3, 1.0, 3.0, 10.0])
def test_no_value_gets_more_runs_than_planned(width: float) -> None:
    """However slowly the risk grows, each value is run as often as planned at most, and the search ends."""
    looks: list[int] = []
    trials = trials_of(logistic(40, width))
    search = Search(trials, RULE, range(1, 201), start=1, told=lambda _, tally: looks.append(tally.runs_count))
    search.run()

    assert max(looks) <= RULE.looks[-1]
    assert len(looks) < LOOKS_COUNT_MAX / 5


def test_a_value_at_the_risk_itself_widens_the_interval() -> None:
    """What cannot be decided is left open, and values further away are decided on both sides of it.

    Luck decides it all the same in no more searches than the confidence allows.
    """

    def risk(rung: int) -> float:
        return 0.0 if rung < 10 else RULE.risk_ratio if rung < 15 else 0.9

    lucky = 0
    for seed in range(100):
        low, high = searched(trials_of(risk, seed), range(1, 65)).known()
        assert low is not None
        assert high is not None
        lucky += low >= 10 or high < 15

    assert lucky <= 5


@pytest.mark.parametrize("width", [0.5, 2.0, 5.0])
def test_the_interval_covers_the_truth(width: float) -> None:
    """Of a hundred searches no more leave the true capacity out of their interval than the confidence allows."""
    covered = known = 0
    for seed in range(100):
        risk = logistic(20 + seed / 10, width)
        truth = max(rung for rung in range(101) if rung == 0 or risk(rung) <= COARSE.risk_ratio)
        low, high = searched(trials_of(risk, seed), range(1, 101), COARSE).known()
        covered += (low is None or low <= truth) and (high is None or truth < high)
        known += low is not None and high is not None

    assert covered >= 90
    # An interval without ends would cover everything.
    assert known >= 80


def test_the_answer_is_near_the_truth() -> None:
    """Where the risk grows within a few rungs, the answer is one of them."""
    off = []
    for seed in range(30):
        risk = logistic(30, 1.0)
        truth = max(rung for rung in range(1, 101) if risk(rung) <= RULE.risk_ratio)
        fitting, _ = searched(trials_of(risk, seed), range(1, 101)).edge()
        off.append(abs((fitting or 0) - truth))

    assert sorted(off)[len(off) // 2] <= 1
    assert max(off) <= 3


def test_the_same_luck_gives_the_same_search() -> None:
    """A search has no draws of its own."""
    first, second = (searched(trials_of(logistic(12, 2.0), seed=5), range(1, 65)) for _ in range(2))

    assert first.tallies == second.tallies


def test_a_second_edge_is_noticed() -> None:
    """Where a harder value fits although an easier one does not, both are decided, and the lower edge is the answer."""
    search = searched(trials_of(lambda rung: float(5 <= rung < 12)), range(1, 65))

    assert (5, 16) in search.contradictions()
    assert (4, 5) == search.edge()
    assert (4, None) == search.known()


def test_without_a_second_edge_nothing_contradicts() -> None:
    """A risk that only grows is never said to contradict itself, though luck may make it look so at first."""
    for seed in range(20):
        assert [] == searched(trials_of(logistic(10, 3.0), seed), range(1, 65), COARSE).contradictions()


def test_an_unsure_search_only_finds_the_edge() -> None:
    """Where nothing is to be decided, every value gets the first look alone."""
    search = Search(trials_of(step_at(14)), RULE, range(1, 101), start=1, sure=False)
    search.run()

    assert (13, 14) == search.edge()
    assert {RULE.looks[0]} == {tally.runs_count for tally in search.tallies.values()}


def test_few_runs_waste_none_on_what_they_cannot_show() -> None:
    """With three runs at most no value can be known to fit, so none is run to show it."""
    few = planned(0.05, 0.95, 1, 3)
    search = searched(trials_of(step_at(6)), range(1, 65), few)
    runs = {rung: tally.runs_count for rung, tally in search.tallies.items()}

    assert ((5, 6), (None, 6)) == (search.edge(), search.known())
    assert {1: 1, 2: 1, 4: 1, 8: 1, 5: 3, 6: 3} == runs


def test_an_interrupted_search_tells_what_it_knows() -> None:
    """Whatever trial is interrupted, the edge so far is there, and a value without a single run is not in it."""
    tried: list[int] = []

    def trials(rung: int, replications: range) -> Iterator[tuple[Missed, ...]]:
        tried.append(rung)
        if rung == 8:
            raise KeyboardInterrupt
        yield from trials_of(step_at(100))(rung, replications)

    search = Search(trials, RULE, range(1, 65), start=1)
    with pytest.raises(KeyboardInterrupt):
        search.run()

    assert 8 == tried[-1]
    assert ([1, 2, 4], (4, None)) == (sorted(search.tallies), search.edge())


def test_trials_before_an_interrupt_count() -> None:
    """Of a look that was interrupted, what was tried until then is known."""

    def trials(rung: int, replications: range) -> Iterator[tuple[Missed, ...]]:
        yield from [(), MISSED]
        raise KeyboardInterrupt

    search = Search(trials, RULE, range(1, 65), start=1)
    with pytest.raises(KeyboardInterrupt):
        search.run()

    assert {1: (2, 1)} == {rung: (tally.runs_count, tally.misses_count) for rung, tally in search.tallies.items()}


def test_the_trials_of_a_look_are_asked_for_at_once() -> None:
    """Whoever makes trials knows how many the next look has, and may make them beside one another."""
    asked: list[range] = []

    def trials(rung: int, replications: range) -> Iterator[tuple[Missed, ...]]:
        asked.append(replications)
        return iter([()] * len(replications))

    Search(trials, RiskRule(0.05, 0.95, (4, 100)), range(7, 8), start=7).run()

    assert [range(4), range(4, 100)] == asked


def test_a_tally_counts_runs_and_goals_apart() -> None:
    """A run that misses two goals is one missed run."""
    tally = Tally()
    two = (*MISSED, Missed(1, "busy", "cpu_cores_mean", "agents"))
    for missed in ((), MISSED, two):
        tally.add(missed)

    assert (3, 2) == (tally.runs_count, tally.misses_count)
    assert [2, 1] == list(tally.missed.values())
