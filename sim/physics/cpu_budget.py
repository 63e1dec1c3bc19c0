"""A container's CPU quota in closed form: a budget for each period, and how long work takes under it.

Formula: at a steady speed a container burns until its budget is spent and stands still until the period ends. So work
takes what is left of this period, then whole periods of min(budget, speed x period), and the rest at its speed.
The counters are the kernel's (nr_periods, nr_throttled, throttled_time); its timer rests after a period in which nobody
ran. `sim/physics/quota.py` is the same quota slice by slice.
Known to be wrong: cores keep no slices to themselves, and no tick overruns the budget.
"""

from __future__ import annotations

import math

# The timer goes on for the period in which somebody ran and for one more.
TIMED_PERIODS_COUNT = 2
# Speeds are fractions, so what is spent is rounded: shorter standstills are none, and work that is over by less fits.
STOOD_NS_MIN = 1000
FITS_NS = 0.5


class Budget:
    """What a container may still burn in this period, and the counters of the periods before it."""

    __slots__ = (
        "_end_ns",
        "_idle_count",
        "_left_ns",
        "_period_ns",
        "_quota_ns",
        "_stood_ns",
        "_stood_queues_ns",
        "periods_count",
        "throttled_ns",
        "throttled_periods_count",
    )

    def __init__(self, quota_ns: int, period_ns: int, end_ns: int) -> None:
        """Have the whole quota for the period that ends at `end_ns`; the timer rests until somebody runs."""
        self._quota_ns = quota_ns
        self._period_ns = period_ns
        self._end_ns = end_ns
        self._left_ns = float(quota_ns)
        self._stood_ns = 0.0
        self._stood_queues_ns = 0.0
        self._idle_count = TIMED_PERIODS_COUNT
        self.periods_count = 0
        self.throttled_periods_count = 0
        self.throttled_ns = 0.0

    @property
    def cores(self) -> float:
        """What it comes to over many periods."""
        return self._quota_ns / self._period_ns

    def succeed(self, old: Budget) -> None:
        """Go on counting where another one, under the limits before these, ends; a standstill of its ends there."""
        self._idle_count = old._idle_count
        self.periods_count = old.periods_count
        self.throttled_periods_count = old.throttled_periods_count
        self.throttled_ns = old.throttled_ns + (old._stood_queues_ns if old._stood_ns >= STOOD_NS_MIN else 0.0)

    def spend(self, now_ns: int, until_ns: int, speed_cores: float, queues_count: int) -> float:
        """Let time pass at a speed (0: nobody runs); the nanoseconds of CPU that were burnt in it are returned.

        Once the budget is spent, `queues_count` cores stand still.
        """
        used_ns = 0.0
        if until_ns >= self._end_ns:
            used_ns += self._spend_within(self._end_ns - now_ns, speed_cores, queues_count)
            self._end_period()
            ended_count = (until_ns - self._end_ns) // self._period_ns + 1
            used_ns += self._spend_whole(ended_count, speed_cores, queues_count)
            now_ns = self._end_ns - self._period_ns
        return used_ns + self._spend_within(until_ns - now_ns, speed_cores, queues_count)

    def wait_ns(self, now_ns: int, work_ns: float, speed_cores: float) -> float:
        """How long it takes from now to burn `work_ns` at a speed above 0."""
        here_ns = min(self._left_ns, speed_cores * (self._end_ns - now_ns))
        if work_ns <= here_ns + FITS_NS:
            return min(work_ns, here_ns) / speed_cores
        whole_ns = min(float(self._quota_ns), speed_cores * self._period_ns)
        whole_count = max(0, math.ceil((work_ns - here_ns - FITS_NS) / whole_ns) - 1)
        rest_ns = min(whole_ns, work_ns - here_ns - whole_count * whole_ns)
        return self._end_ns - now_ns + whole_count * self._period_ns + rest_ns / speed_cores

    def _spend_within(self, elapsed_ns: int, speed_cores: float, queues_count: int) -> float:
        """Let time pass in which no period ends."""
        if speed_cores == 0 or elapsed_ns == 0:
            return 0.0
        self._idle_count = 0
        running_ns = min(float(elapsed_ns), self._left_ns / speed_cores)
        self._left_ns -= running_ns * speed_cores
        self._stood_ns += elapsed_ns - running_ns
        self._stood_queues_ns += (elapsed_ns - running_ns) * queues_count
        return running_ns * speed_cores

    def _end_period(self) -> None:
        """Count the period that ends, with its standstill, and fill the budget for the next."""
        self.periods_count += self._idle_count < TIMED_PERIODS_COUNT
        self._idle_count += 1
        self._count_standstill(1, self._stood_ns, self._stood_queues_ns)
        self._stood_ns = self._stood_queues_ns = 0.0
        self._left_ns = float(self._quota_ns)
        self._end_ns += self._period_ns

    def _spend_whole(self, count: int, speed_cores: float, queues_count: int) -> float:
        """Let whole periods pass, each as the other."""
        self._end_ns += count * self._period_ns
        if count == 0 or speed_cores == 0:
            timed_count = min(count, max(0, TIMED_PERIODS_COUNT - self._idle_count))
            self.periods_count += timed_count
            self._idle_count += timed_count
            return 0.0
        running_ns = min(float(self._period_ns), self._quota_ns / speed_cores)
        stood_ns = self._period_ns - running_ns
        self.periods_count += count
        self._count_standstill(count, stood_ns, stood_ns * queues_count)
        self._idle_count = 1
        return count * running_ns * speed_cores

    def _count_standstill(self, count: int, stood_ns: float, stood_queues_ns: float) -> None:
        """Count a standstill that is over, in each of so many periods."""
        if stood_ns >= STOOD_NS_MIN:
            self.throttled_periods_count += count
            self.throttled_ns += count * stood_queues_ns
