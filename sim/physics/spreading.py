"""How a kernel spreads runnable tasks over cores: where one wakes, what an idle core fetches, how weights are evened.

What it follows: `select_idle_sibling`, `sched_balance_newidle`, `nohz_balancer_kick`, `task_hot` and
`can_migrate_task` of Linux 6.x (kernel/sched/fair.c), as `benchmarks/reality/spreading.py` sees them at work.
Known to be wrong: `docs/physics.md`, section CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.physics.cpu import ns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sim.physics.cpu import Task
    from sim.physics.host_profile import HostProfile
    from sim.physics.run_queue import Core, Group, GroupQueue

# A task that ran so short a time ago is left where its caches are warm (sysctl_sched_migration_cost), unless an idle
# core has come away empty more often than this in a row (cache_nice_tries of cores that share a cache).
HOT_NS = 500_000
EMPTY_TRIES_COUNT_MAX = 1


class Spreading:
    """The part of a host's scheduler that looks beyond one core; `move` takes a waiting task to another core."""

    def __init__(
        self,
        cores: Sequence[Core],
        groups: Mapping[str, Group],
        profile: HostProfile,
        luck: Callable[[int], float],
        move: Callable[[GroupQueue, Task, Core], None],
    ) -> None:
        """See cores and containers as they are; `luck(number)` is in [0, 1) and decides what is overlooked."""
        self._cores = cores
        self._groups = groups
        self._seen_ratio = profile.idle_seen_ratio
        self._luck = luck
        self._chances_count = 0
        self._move = move
        self.interval_ns = ns(profile.balance_interval_s)

    def core_to_wake_on(self, task: Task, group: Group) -> int:
        """Pick the core a waking task goes to: its last if idle, then an idle one if it is seen, else its last.

        A task that never ran sees every idle core, and goes to the shortest queue where there is none. Where every
        idle core is seen, so does one whose last core is busy.
        """
        last = task.core if task.core in group.cores else None
        if last is not None and self._cores[last].idle:
            return last
        idle = next((index for index in group.cores if self._cores[index].idle), None)
        if idle is not None and (last is None or self._is_lucky()):
            return idle
        if last is not None and self._seen_ratio < 1:
            return last
        return min(group.cores, key=lambda index: (self._cores[index].runnable_count(), index != last, index))

    def fall_idle(self, core: Core, now_ns: int) -> None:
        """Let a core with nothing to do fetch a task that waits elsewhere, if it looks."""
        if self._is_lucky():
            self._fetch(core, now_ns)

    def tick(self, core: Core, now_ns: int) -> None:
        """At a tick with company, wake the idle cores to fetch a task; each counts the times it came away empty."""
        if core.runnable_count() <= 1:
            return
        for other in self._cores:
            # Each comes once a tick, however many cores have company.
            if other.idle and other.tried_ns != now_ns:
                other.tried_ns = now_ns
                if not self._fetch(other, now_ns):
                    other.empty_tries_count += 1

    def even_out(self) -> bool:
        """Move one task from the heaviest to the lightest core where that evens their weights; True to look again."""
        loads = {core.index: sum(queue.weight for queue in core.queues) for core in self._cores}
        heavy = max(self._cores, key=lambda core: (loads[core.index], -core.index))
        light = min(self._cores, key=lambda core: (loads[core.index], core.index))
        gap = loads[heavy.index] - loads[light.index]
        best: tuple[float, GroupQueue, Task] | None = None
        for queue in heavy.queues:
            task = _longest_waiting(heavy, queue, light)
            moved = queue.group.shares / queue.group.runnable_count
            if task is not None and abs(gap - 2 * moved) < (best[0] if best else gap):
                best = (abs(gap - 2 * moved), queue, task)
        if best is not None:
            self._move(best[1], best[2], light)
        return any(core.runnable_count() > 1 for core in self._cores)

    def _fetch(self, core: Core, now_ns: int) -> bool:
        """Fetch a waiting task from the busiest other core, unless all of them are hot or stand still here."""
        hot_since_ns = now_ns - HOT_NS if core.empty_tries_count <= EMPTY_TRIES_COUNT_MAX else now_ns
        for other in sorted(self._cores, key=lambda one: (-one.runnable_count(), one.index)):
            if other is core or other.runnable_count() <= 1:
                continue
            for queue in other.queues:
                task = _longest_waiting(other, queue, core, hot_since_ns)
                if task is not None:
                    core.empty_tries_count = 0
                    self._move(queue, task, core)
                    return True
        return False

    def _is_lucky(self) -> bool:
        """Whether an idle core is seen, or looks, this time."""
        if self._seen_ratio == 1:
            return True
        self._chances_count += 1
        return self._luck(self._chances_count) < self._seen_ratio


def _longest_waiting(source: Core, queue: GroupQueue, target: Core, hot_since_ns: int | None = None) -> Task | None:
    """Name the task of a queue that has waited longest and may run on another core; None where there is none."""
    group = queue.group
    if target.index not in group.cores or group.queues[target.index].throttled:
        return None
    waiting = [task for task in queue.tasks if task is not source.current]
    if hot_since_ns is not None:
        waiting = [task for task in waiting if task.ran_ns <= hot_since_ns]
    return min(waiting, key=lambda task: task.vruntime_ns, default=None)
