"""What every machine must keep to, real or simulated: clocks, counters, memory limits and CPU quotas.

Each function yields one line per violation, at most one per container and kind: the first there is.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.lives import RENEWALS, falls, life_begins
from sim.record_tables import RecordTables, events_of, groups, in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sim.record_tables import Floats

# A driver's and a worker's clock are compared over a pipe: their times agree to about a millisecond.
CLOCK_SLACK_S = 1e-3

# A row is written when its message is read, and a driver that asks several containers writes all their answers when
# the last has come: a sample may stand behind one that was taken that much later.
ORDER_SLACK_S = 1.0

# Sums of floating-point seconds wander by less than this.
SUM_SLACK_S = 1e-6

# The kernel charges memory in batches per CPU (MEMCG_CHARGE_BATCH in its include/linux/memcontrol.h: 64 pages since
# Linux 6.0, 32 before), and may charge one batch beyond the limit for a task that is being killed.
CHARGE_BATCH_BYTES = 64 * 4096

# The kernel's CPU bandwidth control: Docker's period, the default slice, and the longest usual tick (HZ=100).
PERIOD_S = 0.1
SLICE_S = 0.005
TICK_S = 0.01

# Refills a stretch of time can use beyond its whole periods: one that began before it, one at its end, and one more
# because a sampler can itself stand still between reading the clock and reading the counter.
EXTRA_PERIODS_COUNT = 3

COUNTERS = ("cpu_s", "periods_count", "throttled_periods_count", "throttled_s", "memory_peak_bytes", "oom_kills_count")
SAMPLED = ("at_s", "memory_bytes", "memory_raw_bytes", *COUNTERS)

# The event after which the story's limits no longer say what holds.
RELIMITS = frozenset({"limited"})


def backward_times(tables: RecordTables) -> Iterator[str]:
    """Samples and gauges come in order, every event has a time, and a step is due before it finishes."""
    for name, samples in groups(tables.samples, "container", ("at_s",)):
        yield from _disorder(f"the samples of {name}", samples["at_s"])
    for name, gauges in groups(tables.gauges, "name", ("at_s",)):
        yield from _disorder(f"the gauge {name}", gauges["at_s"])
    for name, events in groups(tables.events, "what", ("at_s",)):
        if not np.isfinite(events["at_s"]).all():
            yield f"an event `{name}` has no time"
    for agent, steps in groups(tables.steps, "agent", ("index", "due_s", "finish_s", "latency_s")):
        span_s = steps["finish_s"] - steps["due_s"]
        fits = (steps["latency_s"] >= -SUM_SLACK_S) & (steps["latency_s"] <= span_s + CLOCK_SLACK_S)
        row = _first(~fits)
        if row is not None:
            yield (
                f"step {steps['index'][row]:.0f} of {agent} took {steps['latency_s'][row]:.6f} s, "
                f"but finished {span_s[row]:.6f} s after it was due"
            )


def fallen_counters(tables: RecordTables) -> Iterator[str]:
    """A counter only grows while its container lives, and no more periods are throttled than there are."""
    for name, life in _lives(tables):
        for counter in COUNTERS:
            row = _first(np.diff(life[counter]) < -SUM_SLACK_S)
            if row is not None:
                before, after = life[counter][row : row + 2]
                yield f"{counter} of {name} fell from {before:g} to {after:g} at {life['at_s'][row + 1]:.3f} s"
        row = _first(life["throttled_periods_count"] > life["periods_count"])
        if row is not None:
            yield f"{name} was throttled in more periods than there were by {life['at_s'][row]:.3f} s"


def memory_over_limit(tables: RecordTables) -> Iterator[str]:
    """Raw usage stays within the limit, and usage without page cache within raw usage."""
    containers = _containers(tables)
    for name, samples in groups(tables.samples, "container", SAMPLED):
        used, raw = samples["memory_bytes"], samples["memory_raw_bytes"]
        row = _first((used < 0.0) | (used > raw))
        if row is not None:
            yield f"{name} holds {used[row]:.0f} bytes of {raw[row]:.0f} at {samples['at_s'][row]:.3f} s"
        limit = containers[name]["memory_bytes_limit"] if name in containers else None
        if limit is None:
            continue
        row = _first(raw > limit + CHARGE_BATCH_BYTES * math.ceil(_host_cores(tables, containers[name])))
        if row is not None:
            yield f"{name} uses {raw[row]:.0f} bytes at {samples['at_s'][row]:.3f} s, above its limit of {limit}"


def cpu_over_quota(tables: RecordTables) -> Iterator[str]:
    """Between any sample and the next, and over a whole life, no more CPU is used than quota and cores allow.

    A core may run one slice and one tick into debt, once: the debt is paid back from the next slice.
    """
    containers = _containers(tables)
    for name, life in _lives(tables):
        if name not in containers:
            continue
        # The first to the last sample stand beside each and its next.
        begins, ends = np.append(life["at_s"][:-1], life["at_s"][0]), np.append(life["at_s"][1:], life["at_s"][-1])
        used_s = np.append(np.diff(life["cpu_s"]), life["cpu_s"][-1] - life["cpu_s"][0])
        allowed_s = _cpu_s_max(ends - begins, containers[name]["cpus_limit"], _cores(tables, containers[name]))
        row = _first(used_s > allowed_s)
        if row is not None:
            yield (
                f"{name} used {used_s[row]:.3f} s of CPU between {begins[row]:.3f} s and {ends[row]:.3f} s, "
                f"where {allowed_s[row]:.3f} s were allowed"
            )


def _cpu_s_max(span_s: Floats, cpus_limit: float | None, cores: float) -> Floats:
    physical_s = cores * (span_s + PERIOD_S)
    if cpus_limit is None:
        return physical_s
    refills_count = np.floor(span_s / PERIOD_S) + EXTRA_PERIODS_COUNT
    return np.minimum(physical_s, cpus_limit * PERIOD_S * refills_count + cores * (SLICE_S + TICK_S))


def _disorder(what: str, at_s: Floats) -> Iterator[str]:
    # Written so that a time which is no number is out of order as well.
    row = _first(~(np.diff(at_s) >= -ORDER_SLACK_S))
    if row is not None:
        yield f"{what} go from {at_s[row]:.3f} s back to {at_s[row + 1]:.3f} s"


def _lives(tables: RecordTables) -> Iterator[tuple[str, dict[str, Floats]]]:
    """Each container's samples in the order of their times, from one start to the next end."""
    renewals: dict[str | None, list[float]] = {}
    for at_s, container, _ in events_of(tables, RENEWALS):
        renewals.setdefault(container, []).append(at_s)
    for name, samples in groups(tables.samples, "container", SAMPLED):
        ordered = in_order(samples, "at_s")
        begins = life_begins(ordered["at_s"], renewals.get(name, ()))
        if _loses_notices(tables):
            begins = sorted({*begins, *falls([ordered["cpu_s"]])})
        for start, end in pairwise([*begins, ordered["at_s"].size]):
            yield name, {column: values[start:end] for column, values in ordered.items()}


def _loses_notices(tables: RecordTables) -> bool:
    """Whether the story keeps notices back, so that a life may begin that nobody told of."""
    return any(fault.get("lost_ratio", 0.0) > 0.0 for fault in tables.story.get("faults", ()))


def _containers(tables: RecordTables) -> dict[str, dict[str, Any]]:
    """The story's containers whose limits were never changed."""
    relimited = {container for _, container, _ in events_of(tables, RELIMITS)}
    return {told["name"]: told for told in tables.story["containers"] if told["name"] not in relimited}


def _cores(tables: RecordTables, container: dict[str, Any]) -> float:
    return float(len(container["cpuset_cpus"] or ())) or _host_cores(tables, container)


def _host_cores(tables: RecordTables, container: dict[str, Any]) -> float:
    return next(float(host["cpus_count"]) for host in tables.story["hosts"] if host["name"] == container["host"])


def _first(broken: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(broken)) if broken.any() else None
