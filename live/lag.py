"""Lateness of a loop, kept in a histogram of fixed size however long the run.

Bins are equally wide in the logarithm, fifty to a factor of ten, so a quantile is right within 4.7 %.
Count and maximum are exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LAG_S_MIN = 1e-6
LAG_S_MAX = 100.0
BINS_PER_DECADE = 50
BINS_COUNT = round(math.log10(LAG_S_MAX / LAG_S_MIN) * BINS_PER_DECADE) + 1


@dataclass(frozen=True, slots=True)
class LagSummary:
    """How late a loop was, over a whole run: quantiles and maximum in seconds; zeros where nothing was due."""

    timers_count: int
    lag_s_p50: float
    lag_s_p99: float
    lag_s_max: float


class LagHistogram:
    """Counts of lateness by size."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._counts = [0] * BINS_COUNT
        self._timers_count = 0
        self._lag_s_max = 0.0

    def add(self, lag_s: float) -> None:
        """Count one timer that was `lag_s` late."""
        self._counts[_bin(lag_s)] += 1
        self._timers_count += 1
        self._lag_s_max = max(self._lag_s_max, lag_s)

    def quantile_s(self, share_ratio: float) -> float:
        """The lateness that this share of all timers did not exceed, in seconds."""
        wanted = share_ratio * self._timers_count
        seen = 0
        for number, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(_upper_edge_s(number), self._lag_s_max)
        return 0.0

    def summary(self) -> LagSummary:
        """What the run's record keeps of it."""
        return LagSummary(self._timers_count, self.quantile_s(0.50), self.quantile_s(0.99), self._lag_s_max)


def _bin(lag_s: float) -> int:
    if lag_s <= LAG_S_MIN:
        return 0
    return min(math.ceil(math.log10(lag_s / LAG_S_MIN) * BINS_PER_DECADE), BINS_COUNT - 1)


def _upper_edge_s(number: int) -> float:
    return float(LAG_S_MIN * 10 ** (number / BINS_PER_DECADE))
