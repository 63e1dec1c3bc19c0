"""How often the comparison's verdicts are wrong, counted over many made-up validations with known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sim.agreement import Observed, judge
from sim.baseline import Baseline, pool
from sim.metrics import Metric

VALIDATIONS_COUNT = 1500

# Three standard errors of a share of 5 % over that many validations.
CHANCE = 3.0 * math.sqrt(0.05 * 0.95 / VALIDATIONS_COUNT)


def as_runs(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[list[Metric]]:
    """One run for each value."""
    return [[Metric("step_latency_s_mean", None, "physics", "s", float(value))] for value in values]


def verdicts(shift: float, sd: float, *, live_count: int, baseline_count: int, seed: int) -> dict[str, float]:
    """The share of each verdict where the simulation is truly off by `shift` and one run varies by `sd`."""
    draws = np.random.default_rng(seed)
    counts = {"equivalent": 0, "different": 0, "undecided": 0}
    for _ in range(VALIDATIONS_COUNT):
        live = draws.normal(1.0, sd, live_count)
        simulated = draws.normal(1.0 + shift, sd, 20)
        earlier = pool(as_runs(draws.normal(1.02, sd, baseline_count))) if baseline_count else Baseline()
        noise = earlier.plus(pool(as_runs(live))).of("step_latency_s_mean", None)
        observed = Observed("step_latency_s_mean", None, "physics", "s", list(live), list(simulated), live_count, 20)
        counts[judge(observed, noise, headline=False).verdict] += 1
    return {verdict: count / VALIDATIONS_COUNT for verdict, count in counts.items()}


@pytest.mark.parametrize(
    ("sd", "live_count", "baseline_count"), [(0.005, 3, 0), (0.01, 3, 0), (0.02, 8, 0), (0.01, 3, 9), (0.01, 1, 9)]
)
@pytest.mark.parametrize("shift", [0.05, -0.05])
def test_at_the_edge_of_the_margin_few_verdicts_are_equivalent(
    shift: float, sd: float, live_count: int, baseline_count: int
) -> None:
    """A prediction that is off by exactly the margin passes as equivalent at most once in twenty."""
    shares = verdicts(shift, sd, live_count=live_count, baseline_count=baseline_count, seed=7)

    assert shares["equivalent"] <= 0.05 + CHANCE


@pytest.mark.parametrize("shift", [0.05, -0.05])
def test_at_the_edge_of_the_margin_few_verdicts_are_different(shift: float) -> None:
    """A prediction that is off by exactly the margin is called different at most once in twenty."""
    shares = verdicts(shift, 0.01, live_count=3, baseline_count=9, seed=8)

    assert shares["different"] <= 0.05 + CHANCE


def test_a_right_prediction_is_found_equivalent() -> None:
    """A prediction without error, with runs varying by 1 %, is equivalent nearly always once the noise is known."""
    shares = verdicts(0.0, 0.01, live_count=3, baseline_count=9, seed=9)

    assert shares["equivalent"] >= 0.95


def test_a_prediction_off_by_a_fifth_is_found_different() -> None:
    """Twenty percent are never missed where one run varies by 1 %."""
    shares = verdicts(0.2, 0.01, live_count=3, baseline_count=0, seed=10)

    assert shares["different"] >= 0.99


def test_a_baseline_decides_more() -> None:
    """The same three real runs decide more often with earlier ones behind them."""
    alone = verdicts(0.0, 0.02, live_count=3, baseline_count=0, seed=11)
    backed = verdicts(0.0, 0.02, live_count=3, baseline_count=9, seed=11)

    assert backed["undecided"] < alone["undecided"] / 2
