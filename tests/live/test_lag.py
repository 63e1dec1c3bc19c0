"""The histogram of lateness."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.lag import LAG_S_MAX, LAG_S_MIN, LagHistogram, LagSummary

BIN_RATIO = 10 ** (1 / 50)


def test_nothing_counted_is_all_zeros() -> None:
    """A loop without timers was never late."""
    assert LagSummary(0, 0.0, 0.0, 0.0) == LagHistogram().summary()


def test_the_tail_is_not_the_middle() -> None:
    """Two late timers in a hundred move the 99th percentile and the maximum, not the median."""
    histogram = LagHistogram()
    for _ in range(98):
        histogram.add(0.0001)
    histogram.add(0.02)
    histogram.add(0.02)

    summary = histogram.summary()

    assert summary.timers_count == 100
    assert summary.lag_s_p50 == pytest.approx(0.0001, rel=0.05)
    assert summary.lag_s_p99 == pytest.approx(0.02, rel=0.05)
    assert summary.lag_s_max == 0.02


@given(st.lists(st.floats(LAG_S_MIN, LAG_S_MAX), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_quantiles_are_within_one_bin(lags_s: list[float], share_ratio: float) -> None:
    """A quantile is never below the true one and at most one bin above it."""
    histogram = LagHistogram()
    for lag_s in lags_s:
        histogram.add(lag_s)
    rank = next(rank for rank in range(len(lags_s)) if rank + 1 >= share_ratio * len(lags_s))
    true_s = sorted(lags_s)[rank]

    found_s = histogram.quantile_s(share_ratio)

    assert true_s * (1 - 1e-9) <= found_s <= true_s * BIN_RATIO * (1 + 1e-9)
