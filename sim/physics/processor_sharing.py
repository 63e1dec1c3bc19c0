"""The CPUs of a host as one amount that containers share by weight: no slices, no ticks, no queue for each core.

Formula: each container gets min(its runnable threads, its cpuset, its weighted share) of the cores, what one cannot use
goes to the others (water filling), and its threads share it equally, none getting more than a core. A quota is a budget
for each period (`sim/physics/cpu_budget.py`): over many periods the container gets no more than it, and while it runs
it is as fast as the mean use of the others allows, or as its weight among all who want to run. As long as nobody wakes
and nothing is done, any number of periods is one step, so a story costs events for its steps and none for its periods.
Source: generalised processor sharing (Parekh and Gallager, 1993). It is the coarse resolution of long stories.
With `is_quota_rate` a quota is no budget but a rate: that is the textbook's CPU, 40-80 % wrong in mean latency on short
steps near a quota (measured, `docs/agreement.md`), a negative control that `validate` must catch, and nothing else.
Known to be wrong: who stands still leaves his cores to the others on the average and not at that moment; weights act
over all cores together, where the kernel has a queue for each; a cpuset bounds how many cores there are for a container
and not which; a wake-up waits for no tick.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from sim.physics.cpu import NS_PER_S, CpuCounters, GroupLimits, Task, ns
from sim.physics.cpu_budget import Budget
from sim.timers import after

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

# Work of which less than this is left, in nanoseconds, is done: what threads attain is a sum of rounded products.
DONE_NS = 1.0


class _Group:
    """A container: its limits, its runnable tasks by when they are done, its speed, its CPU so far."""

    __slots__ = (
        "_order",
        "_since_ns",
        "_tasks",
        "_waiting",
        "attained_ns",
        "budget",
        "cpu_ns",
        "limits",
        "speed_cores",
    )

    def __init__(self, limits: GroupLimits, budget: Budget | None, now_ns: int) -> None:
        """Have nothing to run."""
        self.limits = limits
        self.budget = budget
        self.cpu_ns = 0.0
        # What each thread that was here all along has got so far; a task is done at a value of it.
        self.attained_ns = 0.0
        self.speed_cores = 0.0
        self._since_ns = now_ns
        self._order = count()
        self._tasks: dict[Task, int] = {}
        self._waiting: list[tuple[float, int, Task]] = []

    @property
    def threads_count(self) -> int:
        """How many tasks are runnable."""
        return len(self._tasks)

    def cores_max(self, cores_count: int) -> float:
        """The most cores that its threads could use now."""
        allowed = self.limits.cpuset_cpus
        return float(min(len(self._tasks), len(allowed) if allowed else cores_count))

    def add(self, task: Task, work_ns: int) -> None:
        """Have one more to run."""
        number = self._tasks[task] = next(self._order)
        heappush(self._waiting, (self.attained_ns + work_ns, number, task))

    def remove(self, task: Task) -> bool:
        """Have one less to run; whether it was there."""
        return self._tasks.pop(task, None) is not None

    def advance(self, now_ns: int, cores_count: int) -> None:
        """Let the time until now have passed at the speed that was set last."""
        since_ns, self._since_ns = self._since_ns, now_ns
        if self.budget is None:
            used_ns = self.speed_cores * (now_ns - since_ns)
        else:
            used_ns = self.budget.spend(since_ns, now_ns, self.speed_cores, int(self.cores_max(cores_count)))
        if used_ns > 0:
            self.cpu_ns += used_ns
            self.attained_ns += used_ns / len(self._tasks)

    def wait_ns(self) -> float:
        """How long it takes, at a speed above 0, until the first task is done."""
        work_ns = max(0.0, self._first_ns() - self.attained_ns) * len(self._tasks)
        if self.budget is None:
            return work_ns / self.speed_cores
        return self.budget.wait_ns(self._since_ns, work_ns, self.speed_cores)

    def take_done(self) -> list[Task]:
        """The tasks that are done, which are runnable no more."""
        done = []
        while self._tasks and self._first_ns() < self.attained_ns + DONE_NS:
            task = heappop(self._waiting)[2]
            del self._tasks[task]
            done.append(task)
        return done

    def _first_ns(self) -> float:
        """When the first task is done, in what each thread has got by then."""
        while True:
            done_ns, number, task = self._waiting[0]
            if self._tasks.get(task) == number:
                return done_ns
            # It was taken away, and may be back with another demand.
            heappop(self._waiting)


class ProcessorSharing:
    """A host's cores, shared; fulfils `sim.physics.cpu.Cpu`."""

    def __init__(
        self,
        env: simpy.Environment,
        cores_count: int,
        *,
        period_s: float,
        phase: Callable[[str], float],
        is_quota_rate: bool = False,
    ) -> None:
        """Have `cores_count` idle cores; `phase(name)` is in [0, 1) and says where a container's periods begin."""
        self._env = env
        self._cores_count = cores_count
        self._period_ns = ns(period_s)
        self._phase = phase
        self._is_quota_rate = is_quota_rate
        self._groups: dict[str, _Group] = {}
        # Those with a task to run; to the others only time passes, which is seen to when somebody looks.
        self._running: dict[str, _Group] = {}
        # When the first task is done, and when there will be a look: the first of them is never later.
        self._due_ns: float = math.inf
        self._looks_ns: list[int] = []
        self._is_telling = False

    # The Cpu protocol.

    def add_group(self, name: str, limits: GroupLimits) -> None:
        """Let a container's tasks run from now on."""
        assert name not in self._groups, f"{name} is here already"
        self._groups[name] = _Group(limits, self._new_budget(name, limits), self._now_ns())

    def set_limits(self, name: str, limits: GroupLimits) -> None:
        """Change a container's limits while it runs; its counters go on."""
        self._advance()
        group = self._advanced(name)
        old, group.budget = group.budget, self._new_budget(name, limits)
        if old is not None and group.budget is not None:
            group.budget.succeed(old)
        group.limits = limits
        self._share()

    def remove_group(self, name: str) -> None:
        """Forget a container whose tasks have been cancelled."""
        assert name not in self._running, f"{name} has tasks to run"
        del self._groups[name]

    def run(self, task: Task, cpu_s: float, done: Callable[[], object]) -> None:
        """Wake a task with CPU time to burn."""
        self._advance()
        task.done = done
        group = self._advanced(task.group)
        group.remove(task)
        group.add(task, max(1, ns(cpu_s)))
        self._running[task.group] = group
        self._share()

    def cancel(self, task: Task) -> None:
        """Take a task away, running or not."""
        task.done = None
        group = self._running.get(task.group)
        if group is None:
            return
        self._advance()
        if group.remove(task):
            self._rest(task.group)
            self._share()

    def counters(self, name: str) -> CpuCounters:
        """Read a container's counters."""
        group = self._advanced(name)
        if group.budget is None:
            return CpuCounters(group.cpu_ns / NS_PER_S, 0, 0, 0.0)
        return CpuCounters(
            group.cpu_ns / NS_PER_S,
            group.budget.periods_count,
            group.budget.throttled_periods_count,
            group.budget.throttled_ns / NS_PER_S,
        )

    def _new_budget(self, name: str, limits: GroupLimits) -> Budget | None:
        if limits.cpus_limit is None or self._is_quota_rate:
            return None
        now_ns = self._now_ns()
        phase_ns = int(self._phase(f"period/{name}") * self._period_ns)
        end_ns = now_ns + self._period_ns - (now_ns - phase_ns) % self._period_ns
        return Budget(int(limits.cpus_limit * self._period_ns), self._period_ns, end_ns)

    # Sharing.

    def _now_ns(self) -> int:
        return ns(self._env.now)

    def _advanced(self, name: str) -> _Group:
        """A container to which all time until now has passed."""
        group = self._groups[name]
        group.advance(self._now_ns(), self._cores_count)
        return group

    def _advance(self) -> None:
        """Let everybody have run until now."""
        now_ns = self._now_ns()
        for group in self._running.values():
            group.advance(now_ns, self._cores_count)

    def _rest(self, name: str) -> None:
        """See whether a container has nothing to run any more."""
        group = self._running[name]
        if not group.threads_count:
            group.speed_cores = 0.0
            del self._running[name]

    def _share(self) -> None:
        """Set everybody's speed anew, and look again when the first task is done at these speeds."""
        if self._is_telling:
            return
        running = list(self._running.values())
        wishes = [(group.limits.cpu_shares, group.cores_max(self._cores_count)) for group in running]
        capped = [(shares, _capped(group, most)) for group, (shares, most) in zip(running, wishes, strict=True)]
        rates = _filled(self._cores_count, capped)
        free_cores = max(0.0, self._cores_count - sum(rates))
        # What each would have while everybody runs, whoever has a budget left or not.
        fair = _filled(self._cores_count, wishes) if capped != wishes else rates
        for group, rate, share, (_, most) in zip(running, rates, fair, wishes, strict=True):
            group.speed_cores = rate if group.budget is None else min(max(rate + free_cores, share), most)
        self._due_ns = math.inf
        if running:
            self._arm(self._now_ns() + math.ceil(min(group.wait_ns() for group in running)))

    def _arm(self, due_ns: int) -> None:
        """Look at a time, or before; whoever looks in vain looks again."""
        self._due_ns = due_ns
        if not self._looks_ns or due_ns < self._looks_ns[0]:
            heappush(self._looks_ns, due_ns)
            after(self._env, max(0.0, due_ns / NS_PER_S - self._env.now), self._look)

    def _look(self) -> None:
        """Tell of what is done; whoever is told may have more to run, which is shared out only then."""
        heappop(self._looks_ns)
        if self._now_ns() < self._due_ns:
            if self._due_ns < math.inf:
                self._arm(int(self._due_ns))
            return
        self._advance()
        finished = [(task, task.done) for name in tuple(self._running) for task in self._taken(name)]
        self._is_telling = True
        for task, done in finished:
            # Who was told before may have taken it away, or given it more to do.
            if done is not None and task.done is done:
                task.done = None
                done()
        self._is_telling = False
        self._share()

    def _taken(self, name: str) -> list[Task]:
        """A container's tasks that are done, which are runnable no more."""
        done = self._running[name].take_done()
        self._rest(name)
        return done


def _capped(group: _Group, most: float) -> float:
    """The most cores that a container can use over many periods."""
    if group.budget is not None:
        return min(most, group.budget.cores)
    return most if group.limits.cpus_limit is None else min(most, group.limits.cpus_limit)


def _filled(cores_count: int, wishes: list[tuple[int, float]]) -> list[float]:
    """Cores for each (weight, most that it can use): by weight, and what one cannot use goes to the others."""
    cores = [0.0] * len(wishes)
    open_ones = set(range(len(wishes)))
    free = float(cores_count)
    while open_ones:
        weight = sum(wishes[one][0] for one in open_ones)
        full = {one for one in open_ones if wishes[one][1] <= free * wishes[one][0] / weight}
        for one in full or open_ones:
            cores[one] = wishes[one][1] if full else free * wishes[one][0] / weight
        if not full:
            break
        free -= sum(cores[one] for one in full)
        open_ones -= full
    return cores
