"""What any CPU model of a host can do: run tasks of containers and keep the kernel's counters.

`KernelCpu` is the model in use; `ProcessorSharing` is the coarse one for long stories, and a negative control.
Events lie at whole nanoseconds, as in the kernel, so that no rounding can make one repeat itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

NS_PER_S = 1_000_000_000


def ns(seconds: float) -> int:
    """Seconds as whole nanoseconds."""
    return round(seconds * NS_PER_S)


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """What the kernel is told of a container's CPU: cores per period (None: no quota), weight, allowed cores."""

    cpus_limit: float | None
    cpu_shares: int
    cpuset_cpus: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class CpuCounters:
    """A container's CPU counters since its start; `throttled_s` adds the cores up, as the kernel does."""

    cpu_s: float
    periods_count: int
    throttled_periods_count: int
    throttled_s: float


class Task:
    """One thread: it belongs to a container's group and burns the CPU time it is given, one demand at a time."""

    __slots__ = ("core", "done", "group", "lag_ns", "queued", "ran_ns", "remaining_ns", "vruntime_ns")

    def __init__(self, group: str) -> None:
        """Belong to `group`; nothing to do yet."""
        self.group = group
        self.remaining_ns = 0
        self.vruntime_ns = 0
        # What it was owed when it left its queue.
        self.lag_ns = 0
        # When it ran last, as far as anybody looked.
        self.ran_ns = 0
        self.core: int | None = None
        self.queued = False
        self.done: Callable[[], object] | None = None


class Cpu(Protocol):
    """A host's CPUs."""

    def add_group(self, name: str, limits: GroupLimits) -> None:
        """Let a container's tasks run from now on."""

    def set_limits(self, name: str, limits: GroupLimits) -> None:
        """Change a container's limits while it runs."""

    def remove_group(self, name: str) -> None:
        """Forget a container; its tasks have been cancelled before."""

    def run(self, task: Task, cpu_s: float, done: Callable[[], object]) -> None:
        """Wake a task with `cpu_s` seconds of CPU time to burn; `done` is called when they are burnt."""

    def cancel(self, task: Task) -> None:
        """Take a task away, wherever it is; its `done` is not called."""

    def counters(self, name: str) -> CpuCounters:
        """Read a container's counters as they stand now."""
