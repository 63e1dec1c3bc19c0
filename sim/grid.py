"""The sampling grid: whole multiples of an interval on the run's clock, the same in both worlds."""

from __future__ import annotations

import math

# A time this share of an interval before a grid point counts as being on it: sums of floats fall short of their sum.
_ON_THE_GRID_RATIO = 1e-6


def wait_for_grid_s(now_s: float, interval_s: float) -> float:
    """Seconds from now to the next point of the grid, never so few that a clock could not move."""
    point = math.floor(now_s / interval_s + _ON_THE_GRID_RATIO) + 1
    return point * interval_s - now_s
