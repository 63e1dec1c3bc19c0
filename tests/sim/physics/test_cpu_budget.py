"""A budget for each period, in closed form: against itself in small steps, and counted by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.physics.cpu_budget import Budget

PERIOD_NS = 100_000_000
QUOTAS_NS = st.integers(1_000_000, 400_000_000)
SPEEDS_CORES = st.floats(0.05, 4.0)
CUTS_NS = st.lists(st.integers(1, 3_000_000_000), min_size=1, max_size=8)


def counted(budget: Budget) -> tuple[int, int]:
    """Its counters of periods."""
    return budget.periods_count, budget.throttled_periods_count


@given(QUOTAS_NS, SPEEDS_CORES, CUTS_NS)
def test_time_may_pass_in_any_pieces(quota_ns: int, speed_cores: float, cuts_ns: list[int]) -> None:
    """What is burnt and counted does not depend on how often somebody looks."""
    ends_ns = sorted({*cuts_ns, 3_000_000_001})
    at_once, pieces = (Budget(quota_ns, PERIOD_NS, PERIOD_NS) for _ in range(2))
    used_ns, now_ns = 0.0, 0
    for end_ns in ends_ns:
        used_ns += pieces.spend(now_ns, end_ns, speed_cores, 1)
        now_ns = end_ns

    assert at_once.spend(0, now_ns, speed_cores, 1) == pytest.approx(used_ns)
    assert counted(at_once) == counted(pieces)
    assert at_once.throttled_ns == pytest.approx(pieces.throttled_ns)


@given(QUOTAS_NS, SPEEDS_CORES, st.integers(0, 500_000_000), st.integers(1, 5_000_000_000))
def test_work_is_done_when_it_is_said_to_be(quota_ns: int, speed_cores: float, now_ns: int, work_ns: int) -> None:
    """After the wait that is foretold the work is burnt, and not before."""
    budget = Budget(quota_ns, PERIOD_NS, PERIOD_NS)
    budget.spend(0, now_ns, speed_cores, 1)
    wait_ns = math.ceil(budget.wait_ns(now_ns, work_ns, speed_cores))

    # Some nanoseconds before, less was burnt.
    early_ns = now_ns + max(0, wait_ns - 5)
    before_ns = budget.spend(now_ns, early_ns, speed_cores, 1)
    burnt_ns = before_ns + budget.spend(early_ns, now_ns + wait_ns, speed_cores, 1)
    assert before_ns < burnt_ns == pytest.approx(work_ns, abs=speed_cores + 1)


def test_the_timer_rests_after_a_period_without_work() -> None:
    """10 ms of work are counted in the period they are in and in the next; then nobody counts until there is work."""
    budget = Budget(50_000_000, PERIOD_NS, PERIOD_NS)
    budget.spend(0, 10_000_000, 1.0, 1)
    budget.spend(10_000_000, 950_000_000, 0.0, 1)
    assert (2, 0) == counted(budget)

    budget.spend(950_000_000, 960_000_000, 1.0, 1)
    budget.spend(960_000_000, 3_000_000_000, 0.0, 1)
    assert (4, 0) == counted(budget)
