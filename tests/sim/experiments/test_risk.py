"""Intervals of a risk against the binomial distribution itself, and the plan of looks."""

from __future__ import annotations

import math

import pytest

from sim.experiments.risk import LATER_FACTORS, RiskRule, clear_runs_count, planned


def probability(misses_count: int, runs_count: int, risk_ratio: float) -> float:
    """How likely so many misses of so many runs are."""
    ways = math.comb(runs_count, misses_count)
    return ways * risk_ratio**misses_count * (1.0 - risk_ratio) ** (runs_count - misses_count)


def ever_wrong(rule: RiskRule, risk_ratio: float) -> float:
    """How likely the interval of some look leaves out the true risk, by walking through all ways the runs can go."""
    left, runs_count, wrong = {0: 1.0}, 0, 0.0
    for look in rule.looks:
        more = [probability(misses, look - runs_count, risk_ratio) for misses in range(look - runs_count + 1)]
        grown: dict[int, float] = {}
        for before, chance in left.items():
            for misses, likely in enumerate(more):
                grown[before + misses] = grown.get(before + misses, 0.0) + chance * likely
        runs_count = look
        # What is less likely than this adds up to nothing that shows.
        grown = {misses: chance for misses, chance in grown.items() if chance > 1e-9}
        inside = {misses for misses in grown if _covers(rule, misses, look, risk_ratio)}
        wrong += sum(chance for misses, chance in grown.items() if misses not in inside)
        left = {misses: grown[misses] for misses in inside}
    return wrong


def _covers(rule: RiskRule, misses: int, runs: int, risk_ratio: float) -> bool:
    low, high = rule.interval(misses, runs)
    return low <= risk_ratio <= high


@pytest.mark.parametrize(("misses", "runs"), [(1, 5), (3, 20), (19, 20), (7, 100)])
def test_the_ends_are_exact(misses: int, runs: int) -> None:
    """At the lower end so many misses or more, at the upper so many or fewer, are as likely as the tail."""
    rule = RiskRule(0.05, 0.95, (5, 20, 100))
    low, high = rule.interval(misses, runs)
    more = sum(probability(count, runs, low) for count in range(misses, runs + 1))
    fewer = sum(probability(count, runs, high) for count in range(misses + 1))

    assert pytest.approx(0.05 / 2 / 3) == rule.tail_ratio
    assert [pytest.approx(rule.tail_ratio, rel=1e-6)] * 2 == [more, fewer]


def test_without_or_with_nothing_but_misses_the_interval_is_in_closed_form() -> None:
    """No miss of n: up to 1 - tail^(1/n); nothing but misses: from tail^(1/n)."""
    rule = RiskRule(0.05, 0.95, (10,))
    edge = 0.025 ** (1 / 10)

    assert pytest.approx((0.0, 1 - edge)) == rule.interval(0, 10)
    assert pytest.approx((edge, 1.0)) == rule.interval(10, 10)


@pytest.mark.parametrize("risk", [0.01, 0.05, 0.2, 0.5])
def test_so_many_clean_runs_are_just_enough(risk: float) -> None:
    """The count that is planned for a clean value decides it, and one run fewer does not."""
    rule = RiskRule(risk, 0.95, (1000,))
    count = clear_runs_count(risk, rule.tail_ratio)

    assert ["fits", "undecided"] == [rule.verdict(0, count), rule.verdict(0, count - 1)]


@pytest.mark.parametrize("risk", [0.01, 0.03, 0.05, 0.1, 0.3, 0.9])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_looking_often_does_not_make_it_less_sure(risk: float, confidence: float) -> None:
    """Whatever the true risk, some interval on the way leaves it out no more often than allowed."""
    assert ever_wrong(planned(0.05, confidence, 4, 150), risk) <= 1.0 - confidence


def test_looks_begin_and_end_as_asked() -> None:
    """The first look and the last are as wanted, and what lies between only grows."""
    rule = planned(0.05, 0.95, 3, 50)

    assert (3, 50) == (rule.looks[0], rule.looks[-1])
    assert sorted(set(rule.looks)) == list(rule.looks)


def test_one_look_is_a_plan_too() -> None:
    """As many runs at first as at most: there is one look, and the whole error is spent on it."""
    rule = planned(0.05, 0.95, 7, 7)

    assert (7,) == rule.looks
    assert pytest.approx(0.025) == rule.tail_ratio


def test_a_clean_value_is_decided_at_a_look() -> None:
    """Without a bound one of the looks is the first at which a value without a miss is known to fit."""
    rule = planned(0.05, 0.95, 4)
    decided = [look for look in rule.looks if rule.verdict(0, look) == "fits"]

    assert clear_runs_count(0.05, rule.tail_ratio) == decided[0]
    assert 4 == rule.looks[0]
    assert LATER_FACTORS[-1] * decided[0] == rule.looks[-1]


def test_misses_decide_soon() -> None:
    """A value that is missed every time needs few runs, one that is missed at the risk itself is never decided."""
    rule = planned(0.05, 0.95, 4)

    assert ["does not fit", "undecided"] == [rule.verdict(4, 4), rule.verdict(5, 100)]
    assert ["undecided", "does not fit"] == [rule.verdict(1, 4), rule.verdict(3, 4)]


def test_few_runs_show_only_what_does_not_fit() -> None:
    """Three runs can never show that a risk is as low as 5 %, but that it is not."""
    few, many = planned(0.05, 0.95, 1, 3), planned(0.05, 0.95, 1)

    assert [False, True] == [few.can_show("fits"), few.can_show("does not fit")]
    assert [True, True] == [many.can_show("fits"), many.can_show("does not fit")]


@pytest.mark.parametrize(("risk", "runs", "most"), [(0.05, 1, 3), (0.05, 4, 20), (0.2, 1, 3), (0.3, 2, 2)])
def test_what_number_of_runs_would_tell(risk: float, runs: int, most: int) -> None:
    """Where no outcome of so few runs shows that a value fits, the least number that can is known."""
    few = planned(risk, 0.95, runs, most)
    telling = few.telling_runs_count()
    assert telling is not None

    assert not few.can_show("fits")
    assert planned(risk, 0.95, runs, telling).can_show("fits")
    assert not planned(risk, 0.95, runs, telling - 1).can_show("fits")


def test_enough_runs_need_no_other_number() -> None:
    """A plan without a bound can show what it is to show."""
    assert planned(0.05, 0.95, 4).telling_runs_count() is None


def test_what_seems_to_fit_goes_by_the_share_alone() -> None:
    """Up to the risk a value seems to fit, with the risk itself."""
    rule = planned(0.05, 0.95, 4)

    assert [True, True, False] == [rule.seems_to_fit(*pair) for pair in ((0, 4), (1, 20), (1, 19))]


def test_looks_are_counted_on() -> None:
    """After each look comes the next, after the last none."""
    rule = RiskRule(0.05, 0.95, (2, 5))

    assert [2, 5, 5, None] == [rule.next_look(count) for count in (0, 2, 4, 5)]
