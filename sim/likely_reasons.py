"""Likely reasons: what is known to make a prediction too high or too low, by metric and direction.

Each is a limit of the models as `docs/physics.md` states it, or of measuring. None is proven by a comparison:
they say where to look first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.quantities import TAIL

if TYPE_CHECKING:
    from sim.agreement import MetricComparison

UNKNOWN = "no likely reason is known: look at this metric's model first"

# The beginning of a metric's name -> (likely reason where the simulation says more, where it says less).
# The first that fits holds, so longer beginnings stand before shorter ones.
REASONS = (
    (
        "throttled_",
        "likely when a quota period begins after an idle spell, which the kernel decides anew each time",
        "likely other CPU use inside the container, such as start-up and sampling, which the model takes for smaller",
    ),
    (
        "cpu_wait_s",
        "likely the model lets tasks queue on one CPU that the kernel would have moved to the other",
        "likely other load on the host, or uneven time slices within one run queue, which the model has even",
    ),
    (
        "step_latency_s",
        "likely the model throttles or queues steps that the kernel spread over idle moments",
        "likely other load on the host, or uneven time slices within one run queue, which the model has even",
    ),
    (
        "steps_per_s",
        "likely the model's steps are too fast: see the step latency and the CPU cost beside each step",
        "likely the model's steps are too slow: see the step latency and the throttling",
    ),
    (
        "cpu_cores",
        "likely the host profile's CPU cost of a step, a program or a sample is too high",
        "likely the host profile's CPU cost of a step, a program or a sample is too low",
    ),
    (
        "memory_bytes",
        "likely the host profile's memory of a supervisor or an agent is too high, or pages are given back sooner",
        "likely an allocator's reserve, which the model does not hold, or a profile that is too low",
    ),
    (
        "page_cache_bytes",
        "likely pages that the real kernel took for active, or gave up in a burst of writes, and the model did not",
        "likely pages that the model took for active, where the real kernel gave them up when others came back",
    ),
    (
        "oom_kill",
        "likely the programs' own page cache gave way first, where the model kills at once",
        "likely the kernel killed more than one process for one shortage, or charged pages ahead in batches",
    ),
    (
        "host_probe",
        "likely the containers together weigh less against the host, or wait longer behind it, than in the model",
        "likely other load on the host, beside which its own task waits as well",
    ),
    (
        "host_",
        "likely the host's own memory at rest was lower than the host profile says",
        "likely other processes on the host, which the model does not hold",
    ),
    (
        "start_s",
        "likely the engine starts faster than it did beside the runs, or is slowed less by parallel starts",
        "likely the engine starts slower than it did beside the runs, or is slowed more by parallel starts",
    ),
    (
        "ready_s",
        "likely the engine starts faster than it did beside the runs, or is slowed less by parallel starts",
        "likely the engine starts slower than it did beside the runs, or is slowed more by parallel starts",
    ),
    (
        "recovery_s",
        "likely a death is noticed sooner, or a process forked faster, than the host profile says",
        "likely a death is noticed later, or a process forked slower, than the host profile says",
    ),
    (
        "restart_count",
        "likely a follower of how many kills there were: see those first",
        "likely a follower of how many kills there were: see those first",
    ),
    (
        "token_wait_s",
        "likely a follower of when agents ask, which step latency decides: see that first",
        "likely a follower of when agents ask, which step latency decides: see that first",
    ),
)

TAIL_TOO_HIGH = "likely the model spreads tasks over CPUs too evenly, so that a spent quota stops them together"
TAIL_TOO_LOW = "likely rare delays of the real host, which the model does not hold: few runs say little about tails"


def likely_reason(row: MetricComparison) -> str:
    """Where to look first for what drove this metric apart; one line that says `likely` or that nothing is known."""
    if row.sim is None:
        return "measured in the real runs only: the simulation does not predict it"
    if row.live is None:
        return "predicted only: no real run measured it"
    too_high = row.sim > row.live
    if row.name.startswith("step_latency_s") and TAIL.search(row.name):
        return TAIL_TOO_HIGH if too_high else TAIL_TOO_LOW
    for beginning, more, less in REASONS:
        if row.name.startswith(beginning):
            return more if too_high else less
    return UNKNOWN
