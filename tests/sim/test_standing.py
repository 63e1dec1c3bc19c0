"""Standings: the figures of one validation, and of all of them together."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sim.standing import Standing, agreeing_count, current, standing, together
from tests.sim.made_validation import DISTURBED, compared


def of(scenario: str, rate: float = 10.0, *, comparable: bool = True, record: str = "here") -> Standing:
    """The standing of a made-up validation, by way of its JSON."""
    told = compared(scenario, rate, comparable=comparable).to_json()
    return standing(json.loads(json.dumps(told)), record=record)


def test_a_standing_repeats_what_the_comparison_says() -> None:
    """The figures are those of the comparison, of its physics metrics alone."""
    made, comparison = of("burst", 10.2), compared("burst", 10.2)

    assert ("burst", "agrees", True, "here") == (made.scenario, made.verdict, made.comparable, made.record)
    assert comparison.median_error_ratio == made.median_error_ratio == pytest.approx(0.01)
    assert comparison.p90_error_ratio == made.p90_error_ratio == pytest.approx(0.018)
    assert (2, 2, 0) == (made.equivalent_count, made.physics_count, made.different_count)
    assert comparison.equivalent_ratio == made.equivalent_ratio


def test_the_noise_of_a_story_is_the_median_of_its_metrics() -> None:
    """Rates of 9.9, 10.0 and 10.1 differ by sqrt(2) times a hundredth of their mean; the memory never moves."""
    assert pytest.approx(2**0.5 * 0.01 / 2) == of("burst").noise_ratio
    assert replace(of("burst"), noise_ratios=()).noise_ratio is None


def test_an_older_comparison_leaves_unknown_what_it_lacks() -> None:
    """A record of another version is no reason to fail."""
    made = standing({"scenario": "old"})

    assert ("old", "not comparable", None, None) == (
        made.scenario,
        made.verdict,
        made.median_error_ratio,
        made.equivalent_ratio,
    )


def test_all_stories_together_are_their_metrics_pooled() -> None:
    """Errors of 0, 2, 0 and 30 %: the median is 1 %, and the 90th percentile 70 % of the way from 2 to 30 %."""
    overall = together([of("a", 10.2), of("b", 13.0)])

    assert pytest.approx(0.01) == overall.median_error_ratio
    assert pytest.approx(0.02 + 0.7 * 0.28) == overall.p90_error_ratio
    assert (3, 4, 1) == (overall.equivalent_count, overall.physics_count, overall.different_count)


def test_what_could_not_be_judged_adds_no_figures() -> None:
    """A disturbed validation and one that failed leave the pooled figures as they are."""
    alone, unjudged = of("a", 10.2), (of("b", 13.0, comparable=False), Standing("c", "failed"))
    overall = together([alone, *unjudged])

    assert (alone.error_ratios, alone.physics_count) == (overall.error_ratios, overall.physics_count)
    assert (DISTURBED,) == unjudged[0].reasons


@pytest.mark.parametrize(
    ("verdicts", "joint"),
    [
        ([], "not comparable"),
        (["agrees", "agrees"], "agrees"),
        (["agrees", "does not agree", "failed"], "does not agree"),
        (["agrees", "not comparable"], "not comparable"),
        (["agrees", "failed"], "not comparable"),
    ],
)
def test_all_agree_only_if_each_does(verdicts: list[str], joint: str) -> None:
    """One story that differs is enough to differ, and one that was not judged is enough not to agree."""
    standings = [Standing(str(number), verdict) for number, verdict in enumerate(verdicts)]

    assert joint == together(standings).verdict
    assert verdicts.count("agrees") == agreeing_count(standings)


def test_a_single_metric_is_its_own_percentile() -> None:
    """One error is the 90th percentile of itself."""
    assert pytest.approx(0.25) == together([Standing("a", "agrees", error_ratios=(0.25,))]).p90_error_ratio


def test_the_newest_comparable_standing_of_a_story_holds() -> None:
    """A disturbed one stands in only where there is no other; stories are in the order of their names."""
    newest_first = [
        of("b", comparable=False, record="b-3"),
        of("b", record="b-2"),
        of("b", record="b-1"),
        of("a", comparable=False, record="a-2"),
        of("a", comparable=False, record="a-1"),
    ]

    assert ["a-2", "b-2"] == [one.record for one in current(newest_first)]
