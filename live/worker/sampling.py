"""Samples of the container's own counters, on a grid of run time."""

from __future__ import annotations

from .disk import used_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cgroup import CgroupV1, CgroupV2


class Sampler:
    """Says when the next sample is due, and puts a sample into words."""

    __slots__ = ("_cgroup", "_interval_s", "due_s")

    def __init__(self, cgroup: CgroupV1 | CgroupV2) -> None:
        self._cgroup = cgroup
        self._interval_s = 0.0
        self.due_s = float("inf")

    def begin(self, interval_s: float, now_s: float) -> None:
        """Sample at every multiple of `interval_s` from now on."""
        self._interval_s = interval_s
        self.plan(now_s)

    def plan(self, now_s: float) -> None:
        """Set when the next sample is due; the points of the grid that have been missed are left out."""
        self.due_s = (now_s // self._interval_s + 1) * self._interval_s

    def line(self, identity: str, at_s: float, dropped_count: int) -> bytes:
        """The counters now, as a line; `dropped` tells how many samples before it were lost, if any."""
        now = self._cgroup.read()
        dropped = f',"dropped":{dropped_count}' if dropped_count else ""
        return (
            f'{{"is":"sample","id":{identity},"at":{at_s:.6f},"cpu_s":{now.cpu_s:.9f}'
            f',"periods":{now.periods_count},"throttled_periods":{now.throttled_periods_count}'
            f',"throttled_s":{now.throttled_s:.9f},"memory":{now.memory_bytes}'
            f',"memory_raw":{now.memory_raw_bytes},"memory_peak":{now.memory_peak_bytes}'
            f',"oom_kills":{now.oom_kills_count},"disk":{used_bytes()}{dropped}}}\n'
        ).encode()
