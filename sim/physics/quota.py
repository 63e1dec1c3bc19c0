"""A container's CPU quota: the pool that its queues on every core draw their slices from.

Formula: each period the pool is refilled to `quota`; a queue whose own runtime is spent draws
`slice - runtime` from it (so that an overrun is paid back); finding it empty, the queue stands still alone.
Source: kernel/sched/fair.c, CFS bandwidth control (`__assign_cfs_rq_runtime`, `do_sched_cfs_period_timer`,
`return_cfs_rq_runtime`, `do_sched_cfs_slack_timer`), and `docs/physics.md`.
Known to be wrong: burst is not modelled; interrupts' time is not taken from the tasks they interrupt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.physics.run_queue import GroupQueue

# What a queue keeps for itself when its last task sleeps (kernel: min_cfs_rq_runtime).
KEPT_NS = 1_000_000
# How long after a return the pool is offered to the queues that stand still (kernel: cfs_bandwidth_slack_period).
SLACK_NS = 5_000_000
# No slack is handed out this close to the next refill (kernel: min_bandwidth_expiration).
REFRESH_NS = 2_000_000


class QuotaPool:
    """One container's bandwidth: quota per period, what is left of it, who stands still, and the counters."""

    __slots__ = (
        "idle",
        "period_ns",
        "periods_count",
        "phase_ns",
        "quota_ns",
        "runtime_ns",
        "slack_started",
        "slice_ns",
        "throttled",
        "throttled_ns",
        "throttled_periods_count",
        "timer_active",
    )

    def __init__(self, quota_ns: int, period_ns: int, slice_ns: int, phase_ns: int) -> None:
        """Start with a full pool and the timer at rest; `phase_ns` is where on the clock periods begin."""
        self.quota_ns = quota_ns
        self.period_ns = period_ns
        self.slice_ns = slice_ns
        self.phase_ns = phase_ns
        self.runtime_ns = quota_ns
        self.timer_active = False
        self.idle = False
        self.slack_started = False
        self.throttled: list[GroupQueue] = []
        self.periods_count = 0
        self.throttled_periods_count = 0
        self.throttled_ns = 0

    def next_period_ns(self, now_ns: int) -> int:
        """The next point of the period grid after `now_ns`; the grid keeps its phase while the timer rests."""
        return now_ns + self.period_ns - (now_ns - self.phase_ns) % self.period_ns

    def draw(self, queue: GroupQueue, wanted_ns: int) -> None:
        """Give a queue what it wants, or what there is; being drawn from keeps the period timer alive."""
        given = min(wanted_ns, self.runtime_ns)
        if given > 0:
            self.runtime_ns -= given
            self.idle = False
            queue.runtime_ns += given

    def refill(self) -> bool:
        """Begin a period: count the one that ended, fill the pool; False when nobody drew on it, so the timer rests."""
        self.periods_count += 1
        self.runtime_ns = self.quota_ns
        if self.throttled:
            self.throttled_periods_count += 1
            self.idle = False
            return True
        if self.idle:
            return False
        self.idle = True
        return True

    def distribute(self) -> list[GroupQueue]:
        """Lift standing queues just above zero in the order they stopped; the ones that may run again are returned."""
        released = []
        for queue in list(self.throttled):
            if self.runtime_ns <= 0:
                break
            given = min(1 - queue.runtime_ns, self.runtime_ns)
            self.runtime_ns -= given
            queue.runtime_ns += given
            if queue.runtime_ns > 0:
                self.throttled.remove(queue)
                released.append(queue)
        return released

    def take_back(self, queue: GroupQueue, now_ns: int) -> bool:
        """Return all but a millisecond of a queue that fell idle; True when the slack timer must be started."""
        slack = queue.runtime_ns - KEPT_NS
        if slack <= 0:
            return False
        self.runtime_ns += slack
        queue.runtime_ns -= slack
        if self.slack_started or not self.throttled or self.runtime_ns <= self.slice_ns:
            return False
        if self.next_period_ns(now_ns) - now_ns < SLACK_NS + REFRESH_NS:
            return False
        self.slack_started = True
        return True
