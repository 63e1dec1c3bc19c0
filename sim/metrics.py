"""Metrics: the named figures a run is judged by, taken from its tables over its window.

The window begins `sim.run.SETTLE_S` after all containers are ready and lasts the story's `duration`. Counters are
read at its two ends (interpolated between the nearest samples), gauges are averaged over it.
Definitions: `docs/physics.md`, Metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sim.lives import RENEWALS, falls, grown, life_begins
from sim.lives_metrics import lives_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from scenarios.story import Container, Story
    from sim.record import Recorder, Table

Kind = Literal["physics", "shared"]
# The cumulative columns of samples, but for the peak, which is no sum.
COUNTERS = ("cpu_s", "periods_count", "throttled_periods_count", "throttled_s", "oom_kills_count")
# The quantiles of step latency that are reported.
QUANTILES = (50, 95, 99)
# Those of a host probe's: what is usual, and what is rare.
PROBE_QUANTILES = (50, 99)


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of one run, of one container or (None) of the whole story; `value` is in `unit`.

    `kind` says whose doing it is: "physics" differs between the worlds, "shared" is decided by code both worlds run.
    """

    name: str
    container: str | None
    kind: Kind
    unit: str
    value: float


def measure(story: Story, recorder: Recorder, up: Mapping[str, int]) -> list[Metric]:
    """All metrics of a run that has ended, in a fixed order; `up` counts agents and containers alive at its end."""
    if recorder.window is None:
        return []
    tables, window = recorder.tables, recorder.window
    found = [metric for container in story.containers for metric in _of_container(container, recorder, window)]
    found.extend(_totals(found, story))
    found.extend(
        Metric(f"{what}_up_count", None, "physics", "count", float(count)) for what, count in sorted(up.items())
    )
    found.extend(_starts(tables["gauges"]))
    found.extend(_host_probes(tables["probes"], window))
    found.extend(_shared(story, tables["gauges"], window))
    return found


# One container.


def _of_container(container: Container, recorder: Recorder, window: tuple[float, float]) -> Iterator[Metric]:
    samples = _of(recorder.tables["samples"], container.name)
    if not samples["at_s"].size:
        return
    events = recorder.tables["events"]
    samples = _one_life(samples, _times(events, RENEWALS, container.name))

    def metric(name: str, unit: str, value: float) -> Metric:
        return Metric(name, container.name, "physics", unit, float(value))

    span_s = window[1] - window[0]
    steps_count = recorder.totals[container.name].steps_count if container.name in recorder.totals else 0
    yield metric("steps_per_s", "1/s", steps_count / span_s)
    yield metric("cpu_cores_mean", "cores", _rise(samples, "cpu_s", window) / span_s)
    if container.cpus_limit is not None:
        periods = _rise(samples, "periods_count", window)
        throttled = _rise(samples, "throttled_periods_count", window)
        yield metric("throttled_period_ratio", "ratio", throttled / periods if periods else 0.0)
        yield metric("throttled_s", "s", _rise(samples, "throttled_s", window))
    yield metric("memory_bytes_mean", "bytes", _time_mean(samples, "memory_bytes", window))
    yield metric("memory_bytes_max", "bytes", _peak(samples, window))
    yield from _latencies(container.name, recorder, window)
    oom_kills = round(_rise(samples, "oom_kills_count", window)) + _ends_by_oom(events, container.name, window)
    yield metric("oom_kill_count", "count", oom_kills)
    lost = _events(events, "lost", container.name, window)
    if steps_count + lost:
        yield metric("completion_ratio", "ratio", steps_count / (steps_count + lost))
    for name, unit, value in lives_metrics(container, events, window):
        yield metric(name, unit, value)
    if container.tmpfs or container.volume:
        inside = (samples["at_s"] >= window[0]) & (samples["at_s"] <= window[1])
        yield metric("disk_bytes_max", "bytes", float(samples["disk_bytes"][inside].max(initial=0.0)))
        yield metric("disk_full_count", "count", _events(events, "disk_full", container.name, window))
    if container.volume:
        cache = samples | {"cache_bytes": samples["memory_raw_bytes"] - samples["memory_bytes"]}
        yield metric("page_cache_bytes_mean", "bytes", _time_mean(cache, "cache_bytes", window))


def _latencies(container: str, recorder: Recorder, window: tuple[float, float]) -> Iterator[Metric]:
    steps = _of(recorder.tables["steps"], container, ("finish_s", "latency_s"))
    inside = (steps["finish_s"] >= window[0]) & (steps["finish_s"] <= window[1])
    latencies = steps["latency_s"][inside]
    totals = recorder.totals.get(container)
    if totals is None or not latencies.size:
        return
    count = totals.steps_count
    yield Metric("step_latency_s_mean", container, "physics", "s", totals.latency_s_sum / count)
    for percent, value in zip(QUANTILES, np.percentile(latencies, QUANTILES), strict=True):
        yield Metric(f"step_latency_s_p{percent}", container, "physics", "s", float(value))
    yield Metric("cpu_wait_s", container, "physics", "s", totals.cpu_wait_s_sum / count)


def _of(table: Table, container: str, columns: tuple[str, ...] | None = None) -> dict[str, NDArray[np.float64]]:
    """One container's rows of a table in the order of their times, as arrays of the numeric columns."""
    mine = np.fromiter((name == container for name in table["container"]), dtype=bool, count=len(table["container"]))
    names = columns or tuple(name for name in table if name not in {"container", "agent"})
    found = {name: np.asarray(table[name], dtype=np.float64)[mine] for name in names}
    order = np.argsort(found[names[0]], kind="stable")
    return {name: column[order] for name, column in found.items()}


def _one_life(samples: dict[str, NDArray[np.float64]], renewals_s: list[float]) -> dict[str, NDArray[np.float64]]:
    """The same samples, with counters that go on rising where the container began a new life."""
    begins = sorted({*life_begins(samples["at_s"], renewals_s), *falls([samples["cpu_s"], samples["periods_count"]])})
    return samples | {name: grown(samples[name], begins) for name in COUNTERS}


def _times(events: Table, kinds: frozenset[str], container: str) -> list[float]:
    rows = zip(events["what"], events["container"], events["at_s"], strict=True)
    return [at_s for what, where, at_s in rows if what in kinds and where == container]


def _peak(samples: dict[str, NDArray[np.float64]], window: tuple[float, float]) -> float:
    """The highest peak of any life in the window; within one life a peak only rises."""
    inside = (samples["at_s"] > window[0]) & (samples["at_s"] < window[1])
    at_end = float(np.interp(window[1], samples["at_s"], samples["memory_peak_bytes"]))
    return float(samples["memory_peak_bytes"][inside].max(initial=at_end))


def _rise(samples: dict[str, NDArray[np.float64]], name: str, window: tuple[float, float]) -> float:
    """Tell how much a counter rose over the window."""
    ends = np.interp(window, samples["at_s"], samples[name])
    return float(ends[1] - ends[0])


def _time_mean(samples: dict[str, NDArray[np.float64]], name: str, window: tuple[float, float]) -> float:
    """A gauge averaged over the time of the window, straight lines between samples."""
    inside = (samples["at_s"] > window[0]) & (samples["at_s"] < window[1])
    times = np.concatenate(([window[0]], samples["at_s"][inside], [window[1]]))
    values = np.interp(times, samples["at_s"], samples[name])
    return float(np.trapezoid(values, times) / (window[1] - window[0]))


def _events(events: Table, what: str, container: str | None, window: tuple[float, float]) -> int:
    rows = zip(events["what"], events["container"], events["at_s"], strict=True)
    return sum(
        1 for name, where, at_s in rows if name == what and where == container and window[0] <= at_s <= window[1]
    )


def _ends_by_oom(events: Table, container: str, window: tuple[float, float]) -> int:
    """How often PID 1 itself was killed for memory: its container ended before any sample could show it."""
    rows = zip(*(events[name] for name in ("what", "container", "detail", "at_s")), strict=True)
    return sum(row[:3] == ("died", container, "oom") and window[0] <= row[3] <= window[1] for row in rows)


# The whole story.


def _totals(found: list[Metric], story: Story) -> Iterator[Metric]:
    """Add up over containers what can be added up; a story of one container has no need of it."""
    if len(story.containers) == 1:
        return
    for name in ("steps_per_s", "cpu_cores_mean", "oom_kill_count", "restart_count"):
        parts = [metric for metric in found if metric.name == name]
        if parts:
            yield Metric(name, None, "physics", parts[0].unit, sum(part.value for part in parts))


def _starts(gauges: Table) -> Iterator[Metric]:
    times = [value for name, value in _gauge_rows(gauges) if name.startswith("start_s.")]
    ready = [value for name, value in _gauge_rows(gauges) if name == "ready_s"]
    if times:
        yield Metric("start_s_mean", None, "physics", "s", sum(times) / len(times))
    if len(times) > 1:
        yield Metric("start_s_p95", None, "physics", "s", float(np.percentile(times, 95)))
    if ready:
        yield Metric("ready_s", None, "physics", "s", ready[-1])


def _host_probes(probes: Table, window: tuple[float, float]) -> Iterator[Metric]:
    """Yield how soon hosts themselves got their CPU, outside all containers; of several hosts all together."""
    rows = zip(probes["due_s"], probes["finish_s"], strict=True)
    latencies = [finish_s - due_s for due_s, finish_s in rows if window[0] <= finish_s <= window[1]]
    if not latencies:
        return
    yield Metric("host_probe_latency_s_mean", None, "physics", "s", float(np.mean(latencies)))
    for percent, value in zip(PROBE_QUANTILES, np.percentile(latencies, PROBE_QUANTILES), strict=True):
        yield Metric(f"host_probe_latency_s_p{percent}", None, "physics", "s", float(value))


def _shared(story: Story, gauges: Table, window: tuple[float, float]) -> Iterator[Metric]:
    waits = sum(_gauge_rise(gauges, f"bucket.{limit.name}.waits_count", window) for limit in story.rate_limits)
    waited = sum(_gauge_rise(gauges, f"bucket.{limit.name}.wait_s_sum", window) for limit in story.rate_limits)
    if story.rate_limits:
        yield Metric("token_wait_s_mean", None, "shared", "s", waited / waits if waits else 0.0)
        debts = [value for name, value in _gauge_rows(gauges) if name.endswith(".debt_tokens_max")]
        yield Metric("debt_tokens_max", None, "shared", "tokens", max(debts, default=0.0))
    if story.providers:
        refused = sum(_gauge_rise(gauges, f"provider.{one.name}.refusals_count", window) for one in story.providers)
        cost = sum(_gauge_rise(gauges, f"provider.{one.name}.cost_usd", window) for one in story.providers)
        yield Metric("provider_429_count", None, "shared", "count", refused)
        yield Metric("cost_usd", None, "shared", "usd", cost)


def _gauge_rows(gauges: Table) -> Iterator[tuple[str, float]]:
    return zip(gauges["name"], gauges["value"], strict=True)


def _gauge_rise(gauges: Table, name: str, window: tuple[float, float]) -> float:
    rows: list[tuple[Any, Any]] = [
        (at_s, value)
        for at_s, found, value in zip(gauges["at_s"], gauges["name"], gauges["value"], strict=True)
        if found == name
    ]
    if not rows:
        return 0.0
    ends = np.interp(window, [at_s for at_s, _ in rows], [value for _, value in rows])
    return float(ends[1] - ends[0])
