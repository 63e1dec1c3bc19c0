"""Curves out of a record: rates from cumulative counters, and few enough points to draw.

A missing value is None and shows as a gap. A counter that fell belongs to a container that was started anew: what it
shows then is what it grew by.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POINTS_MAX = 2_000
"""As many points of one curve as a browser draws without lagging."""

Values = list[float | None]


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity over the run's time; both lists are equally long."""

    times_s: list[float]
    values: Values

    def thinned(self, points_max: int = POINTS_MAX) -> Curve:
        """The same curve with at most `points_max` points; the lowest and highest of each stretch stay."""
        kept = _kept(self.values, points_max)
        return Curve([self.times_s[index] for index in kept], [self.values[index] for index in kept])

    def scaled(self, divisor: float) -> Curve:
        """The same curve with each value divided."""
        return Curve(self.times_s, [None if value is None else value / divisor for value in self.values])

    def highest(self) -> float:
        """The greatest value; 0 where there is none."""
        return max((value for value in self.values if value is not None), default=0.0)


def _kept(values: Sequence[float | None], points_max: int) -> list[int]:
    """The indices to keep: per stretch its lowest and highest point and one gap."""
    if len(values) <= points_max:
        return list(range(len(values)))
    stretches = points_max // 3
    edges = [len(values) * stretch // stretches for stretch in range(stretches + 1)]
    kept: list[int] = []
    for low, high in pairwise(edges):
        kept += sorted(_extremes(values, low, high))
    return kept


def _extremes(values: Sequence[float | None], low: int, high: int) -> set[int]:
    """The index of the lowest value, of the highest, and of one gap, between two indices."""
    present = [index for index in range(low, high) if values[index] is not None]
    gap = [index for index in range(low, high) if values[index] is None][:1]
    if not present:
        return set(gap)
    return {
        min(present, key=lambda index: values[index] or 0.0),
        max(present, key=lambda index: values[index] or 0.0),
        *gap,
    }


def rows_where(table: Mapping[str, Sequence[Any]], column: str, wanted: object) -> dict[str, list[Any]]:
    """The rows of a table of columns whose `column` holds `wanted`, as a table of columns."""
    chosen = [index for index, value in enumerate(table.get(column, ())) if value == wanted]
    return {name: [values[index] for index in chosen] for name, values in table.items()}


def rate(times_s: Sequence[float], counter: Sequence[float]) -> Curve:
    """What a cumulative counter grew by per second between two samples, placed at the later one."""
    points = list(zip(times_s, counter, strict=True))
    return Curve(list(times_s[1:]), [_slope(before, after) for before, after in pairwise(points)])


def _slope(before: tuple[float, float], after: tuple[float, float]) -> float | None:
    """The growth per second between two (time, counter) points; None where no time passed."""
    if after[0] <= before[0]:
        return None
    grown = after[1] - before[1] if after[1] >= before[1] else after[1]
    return grown / (after[0] - before[0])
