"""Verdicts in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard import verdicts
from sim.calibration_course import CALIBRATION
from tests.sim.made_courses import found_at

COMPARISON: dict[str, Any] = {
    "scenario": "cpu-quota-bursts",
    "verdict": "agrees",
    "median_error_ratio": 0.019,
    "p90_error_ratio": 0.065,
    "equivalent_ratio": 11 / 12,
    "furthest": {
        "name": "step_latency_s_p99",
        "container": "agents",
        "error_ratio": 0.065,
        "reason": "likely the tail of few steps",
    },
    "live_count": 3,
    "simulated_count": 20,
    "seconds_live": 48.2,
    "seconds_simulated": 0.6,
    "harness": {"lag_s_p99": 0.0004, "other_load_cores": 0.02, "steal_ratio": 0.0},
}


def test_an_agreement_is_one_sentence_with_its_figures() -> None:
    """The verdict comes first, then how far off the model was and where most."""
    verdict = verdicts.sentence(COMPARISON)

    assert ("✓", "The model agrees with reality on cpu-quota-bursts.") == (verdict.sign, verdict.headline)
    assert verdict.explanation == (
        "Half of the physics metrics are off by less than 1.9 %, nine in ten by less than 6.5 %; 91.7 % of them are "
        "equivalent. Furthest off is step latency, 99th percentile of agents, by 6.5 %; likely the tail of few steps."
    )


def test_runs_that_cannot_be_compared_say_why() -> None:
    """The reasons come before any figure."""
    comparison = {**COMPARISON, "verdict": "not comparable", "reasons": ["other load was 0.8 cores, above 0.1"]}
    verdict = verdicts.sentence(comparison)

    assert verdict.headline == "These runs of cpu-quota-bursts cannot be compared."
    assert verdict.explanation.startswith("Other load was 0.8 cores, above 0.1. Half of")


def test_calibrations_that_came_apart_are_named_before_the_figures() -> None:
    """Small errors under "does not agree" need a reason beside them."""
    told = found_at(10.0, 20.0).to_json()
    verdict = verdicts.sentence({**COMPARISON, "verdict": "does not agree", CALIBRATION: told})

    assert verdict.explanation.startswith("Their rates are a step (factor 1.25) or more apart. Half of")


def test_a_comparison_without_figures_has_a_sentence_too() -> None:
    """Nothing in common is a finding."""
    verdict = verdicts.sentence({"scenario": "x", "verdict": "does not agree", "median_error_ratio": None})

    assert ("✗", "The model does not agree with reality on x.", "") == (
        verdict.sign,
        verdict.headline,
        verdict.explanation,
    )


def test_a_metric_that_a_world_lacks_is_furthest_without_a_number() -> None:
    """There is no percentage where there is nothing to divide."""
    furthest = {"name": "oom_kill_count", "container": None, "error_ratio": None, "reason": ""}

    assert verdicts.furthest_words({"furthest": furthest}) == "Furthest off is OOM kills, which only one world has."


def test_the_effort_is_told_in_one_line() -> None:
    """How often, how long, and how quiet the machine was."""
    assert verdicts.effort_words(COMPARISON) == (
        "simulated 20 times in 600 ms · real 3 times in 48.2 s · other load 0.02 cores · "
        "harness lag 400 µs at the 99th percentile"
    )


def test_the_effort_of_unknown_runs_is_not_made_up() -> None:
    """Two records compared by hand have no harness and no durations."""
    assert verdicts.effort_words({"live_count": 1, "simulated_count": 1, "harness": None}) == (
        "simulated once · real once"
    )


def test_the_prediction_given_the_load_is_a_sentence() -> None:
    """It says how much load was told, and what came of it."""
    given = {"other_load_cores": 0.5, "median_error_ratio": 0.01, "p90_error_ratio": 0.04, "equivalent_ratio": 1.0}

    assert verdicts.load_given_words({"load_given": given}) == (
        "Told of the other load that was measured (0.50 cores), the model is off by 1 % in the middle and 4 % at "
        "the 90th percentile, and 100 % of the physics metrics are equivalent."
    )
    assert verdicts.load_given_words({"load_given": None}) == ""


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [("median_error_ratio", 0.03, 0.031), ("p90_error_ratio", 0.1, 0.11), ("equivalent_ratio", 0.8, 0.79)],
)
def test_a_bound_says_whether_it_holds(key: str, good: float, bad: float) -> None:
    """Each figure of the verdict shows on which side of its bound it is, the bound itself being good."""
    bound = next(bound for bound in verdicts.BOUNDS if bound.key == key)

    assert ["✓", "✗"] == [bound.words(value)[0] for value in (good, bad)]
