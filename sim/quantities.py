"""Quantities: what a metric's name says about it - its unit, the floor of its relative error, its margin.

Names carry their unit last, before a qualifier: `step_latency_s_p95` is seconds, `memory_bytes_max` is bytes.
"""

from __future__ import annotations

import re

QUALIFIER = re.compile(r"_(mean|min|max|total|p\d+)$")

TAIL = re.compile(r"_(max|p9\d+)$")

# Below its floor a metric is too small for a relative error to mean anything: the error is then relative to the floor.
FLOORS = {
    # A counted thing comes whole, so one is the least that can be told apart.
    "count": 1.0,
    # Wake-ups overshoot by some tenths of a millisecond; below one, a latency is the harness's and not the story's.
    "s": 1e-3,
    # One event in a hundred seconds: rarer ones are not seen in a window of a minute.
    "per_s": 1e-2,
    # A small interpreter's heap moves by hundreds of KiB between two equal runs.
    "bytes": 1024.0 * 1024.0,
    # A percent of a core is what being sampled costs a container.
    "cores": 1e-2,
    # One percentage point: a minute has 600 quota periods, and a handful of them is chance.
    "ratio": 1e-2,
    # A tenth of a cent, less than one call of any provider is worth counting.
    "usd": 1e-3,
    # Tokens come whole.
    "tokens": 1.0,
}

# Metrics whose own nature asks for another floor than their unit's: rare events, whose number in a run is chance.
# With n of them it varies by about 1 / sqrt(n) of itself.
FLOORS_BY_NAME = {
    # The kernel accounts at ticks of 4 ms (HZ=250): a mean wait below one is a question of their phase.
    "cpu_wait_s": 4e-3,
    # One period in twenty is 15 in half a minute, and their number varies by a quarter of itself.
    "throttled_period_ratio": 0.05,
    # A throttled core stands still for some 50 ms, so a second is about twenty times.
    "throttled_s": 1.0,
}

# A unit nobody listed still must not divide by zero.
FLOOR_UNKNOWN = 1e-9

MARGIN_RATIO = 0.05
MARGIN_RATIO_TAIL = 0.10

# A count of events depends on which side of the window's edge the last one fell, so one event either way is allowed;
# but never more than a quarter, or one kill and none would pass for the same.
COUNT_MARGIN_RATIO_MAX = 0.25

# How many are up is a state, not a tally of events: four and three are two different states.
LEVEL_COUNT_STEM = "_up_count"


def quantity(name: str, unit: str = "") -> str:
    """The key into `FLOORS` that a metric's name ends in; else its unit where that is a key; else nothing."""
    stem = QUALIFIER.sub("", name)
    if stem.endswith("_per_s"):
        return "per_s"
    last = stem.rpartition("_")[2]
    if last in FLOORS:
        return last
    return unit if unit in FLOORS else ""


def error_floor(name: str, unit: str = "") -> float:
    """The least value, in the metric's own unit, that a relative error is taken against."""
    return FLOORS_BY_NAME.get(name, FLOORS.get(quantity(name, unit), FLOOR_UNKNOWN))


def is_event_count(name: str) -> bool:
    """Whether the metric tallies events (kills, restarts, refusals) rather than telling a state."""
    return quantity(name) == "count" and not QUALIFIER.sub("", name).endswith(LEVEL_COUNT_STEM)


def margin_ratio(name: str, live: float, noise_ratio: float | None) -> float:
    """The relative difference that still counts as the same, for a metric whose real mean is `live`.

    5 %; 10 % for tails and peaks; the noise between two real runs where that is larger (None: not known well
    enough); and for a tally of events one event, up to a quarter of the tally.
    """
    margin = MARGIN_RATIO_TAIL if TAIL.search(name) else MARGIN_RATIO
    if noise_ratio is not None:
        margin = max(margin, noise_ratio)
    if is_event_count(name):
        margin = max(margin, min(1.0 / max(abs(live), 1.0), COUNT_MARGIN_RATIO_MAX))
    return margin
