"""Bands: how containers went over time in real and in simulated runs, as a middle line with a band around it.

All runs are laid on one grid of times since their windows began. A point of a rate (CPU, throttling, steps) is the
mean over the interval that ends there; a point of a gauge (memory) is its value there. Counters that fell because the
container was started anew are joined up. Times between samples are read off the straight line between their neighbours.
A container that is not yet or no longer up uses nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Columns = Mapping[str, Sequence[Any]]
    Floats = NDArray[np.float64]
    Series = dict[str, list[float | None]]

SERIES = ("cpu_cores", "throttled_cores", "memory_bytes", "steps_per_s")

# Charts begin to lag at a few thousand points; a longer story gets wider intervals.
POINTS_COUNT_MAX = 2000

# A 5 % quantile of fewer runs than this would lie between the lowest two: the lowest itself says it plainly.
QUANTILE_RUNS_COUNT_MIN = 20
BAND_SHARES = (0.05, 0.5, 0.95)

# A container without a sample this many intervals long is not up; one that is up misses its grid by less.
GONE_INTERVALS = 1.5


@dataclass(frozen=True, slots=True)
class BandRun:
    """One run's tables as columns (`Sample` and `StepDone` fields) and the window they are looked at in."""

    samples: Columns
    steps: Columns
    window_start_s: float
    window_end_s: float


def bands(live: Sequence[BandRun], simulated: Sequence[BandRun], *, interval_s: float) -> dict[str, dict[str, Series]]:
    """Container -> series -> times and the low, middle and high line of each world; empty where no run has samples.

    Low and high are the 5 % and 95 % quantiles over the runs, or the lowest and the highest of fewer than 20 runs;
    None where a world has no run to show. Times are seconds since the window began.
    """
    times = _grid((*live, *simulated), interval_s)
    if not times.size:
        return {}
    containers = dict.fromkeys(name for run in (*live, *simulated) for name in run.samples.get("container", ()))
    return {name: _container_bands(name, live, simulated, times, interval_s) for name in containers}


def _grid(runs: Sequence[BandRun], interval_s: float) -> Floats:
    if not runs:
        return np.empty(0)
    length_s = min(run.window_end_s - run.window_start_s for run in runs)
    stride = max(1, math.ceil(length_s / interval_s / POINTS_COUNT_MAX))
    # A window that is a whole number of intervals long must not lose its last to rounding.
    count = math.floor(length_s / (interval_s * stride) + 1e-6)
    return np.arange(1, count + 1, dtype=np.float64) * (interval_s * stride)


def _container_bands(
    name: str, live: Sequence[BandRun], simulated: Sequence[BandRun], times: Floats, interval_s: float
) -> dict[str, Series]:
    shown: dict[str, Series] = {}
    live_lines = [_lines(run, name, times, interval_s) for run in live]
    simulated_lines = [_lines(run, name, times, interval_s) for run in simulated]
    for series in SERIES:
        low, middle, high = _band([lines[series] for lines in live_lines], times.size)
        sim_low, sim_middle, sim_high = _band([lines[series] for lines in simulated_lines], times.size)
        shown[series] = {
            "t_s": _listed(times),
            "live_low": low,
            "live": middle,
            "live_high": high,
            "sim_low": sim_low,
            "sim": sim_middle,
            "sim_high": sim_high,
        }
    return shown


def _lines(run: BandRun, name: str, times: Floats, interval_s: float) -> dict[str, Floats]:
    rows = [row for row, container in enumerate(run.samples.get("container", ())) if container == name]
    if not rows:
        return {series: np.full(times.size, np.nan) for series in SERIES}
    # A record holds samples in the order they were heard of, which may differ from their times.
    rows.sort(key=lambda row: float(run.samples["at_s"][row]))
    at_s = _column(run.samples, "at_s", rows) - run.window_start_s
    stride_s = float(times[0])
    edges = np.concatenate(([0.0], times))
    reach_s = GONE_INTERVALS * interval_s
    gone = (times < at_s[0] - reach_s) | (times > at_s[-1] + reach_s)
    memory = np.interp(times, at_s, _column(run.samples, "memory_bytes", rows))
    memory[gone] = 0.0
    return {
        "cpu_cores": _rate(at_s, _column(run.samples, "cpu_s", rows), edges, gone),
        "throttled_cores": _rate(at_s, _column(run.samples, "throttled_s", rows), edges, gone),
        "memory_bytes": memory,
        "steps_per_s": _step_rate(run, name, edges) / stride_s,
    }


def _column(table: Columns, name: str, rows: Sequence[int]) -> Floats:
    values = table[name]
    return np.array([values[row] for row in rows], dtype=np.float64)


def _rate(at_s: Floats, counter: Floats, edges: Floats, gone: NDArray[np.bool_]) -> Floats:
    growth = np.diff(counter, prepend=counter[0])
    # A counter that fell began anew at zero, so what it shows now is what it grew by.
    growth = np.where(growth < 0.0, counter, growth)
    whole = np.cumsum(growth)
    # Outside the samples, within an interval of them, the container goes on as at the nearest ones.
    first, last = _slope(at_s, whole, 0), _slope(at_s, whole, -2)
    level = np.interp(edges, at_s, whole)
    level += np.minimum(edges - at_s[0], 0.0) * first + np.maximum(edges - at_s[-1], 0.0) * last
    rates = np.diff(level) / np.diff(edges)
    rates[gone] = 0.0
    return rates


def _slope(at_s: Floats, whole: Floats, start: int) -> float:
    if at_s.size <= 1:
        return 0.0
    span_s = float(at_s[start + 1] - at_s[start])
    return float(whole[start + 1] - whole[start]) / span_s if span_s > 0.0 else 0.0


def _step_rate(run: BandRun, name: str, edges: Floats) -> Floats:
    steps = run.steps
    finishes = [
        finish - run.window_start_s
        for container, finish in zip(steps.get("container", ()), steps.get("finish_s", ()), strict=True)
        if container == name
    ]
    counts, _ = np.histogram(np.array(finishes, dtype=np.float64), bins=edges)
    return counts.astype(np.float64)


def _band(lines: Sequence[Floats], points_count: int) -> tuple[list[float | None], ...]:
    seen = [line for line in lines if not np.isnan(line).any()]
    if not seen:
        return tuple([None] * points_count for _ in BAND_SHARES)
    shares = BAND_SHARES if len(seen) >= QUANTILE_RUNS_COUNT_MIN else (0.0, 0.5, 1.0)
    return tuple(_listed(line) for line in np.quantile(np.stack(seen), shares, axis=0))


def _listed(line: Floats) -> list[float | None]:
    # Six digits are more than a chart can show, and a third of the file.
    return [float(f"{value:.6g}") for value in line]
