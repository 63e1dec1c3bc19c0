"""The CPUs of a host as one amount that containers share by weight: no slices, no ticks, no queue for each core.

Formula: each container gets min(its runnable threads, its cpuset, its weighted share) of the cores, what one cannot use
goes to the others (water filling), and its threads share it equally, none getting more than a core. A quota is a budget
for each period (`sim/physics/cpu_budget.py`): over many periods the container gets no more than it, and while it runs
it is as fast as the mean use of the others allows. As long as nobody wakes and nothing is done, any number of periods
is one step, so a story costs events for its steps and none for its periods.
Source: generalised processor sharing (Parekh and Gallager, 1993). It is the coarse resolution of long stories.
With `is_quota_rate` a quota is no budget but a rate: that is the textbook's CPU, 40-80 % wrong in mean latency on short
steps near a quota (measured, `docs/agreement.md`), a negative control that `validate` must catch, and nothing else.
Known to be wrong: who stands still leaves his cores to the others on the average and not at that moment; weights act
over all cores together, where the kernel has a queue for each; a wake-up waits for no tick.
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

    __slots__ = ("_order", "_tasks", "_waiting", "attained_ns", "budget", "cpu_ns", "limits", "speed_cores")

    def __init__(self, limits: GroupLimits, budget: Budget | None) -> None:
        """Have nothing to run."""
        self.limits = limits
        self.budget = budget
        self.cpu_ns = 0.0
        # What each thread that was here all along has got so far; a task is done at a value of it.
        self.attained_ns = 0.0
        self.speed_cores = 0.0
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
        return float(min(len(self._tasks), cores_count if allowed is None else len(allowed)))

    def add(self, task: Task, work_ns: int) -> None:
        """Have one more to run."""
        number = self._tasks[task] = next(self._order)
        heappush(self._waiting, (self.attained_ns + work_ns, number, task))

    def remove(self, task: Task) -> bool:
        """Have one less to run; whether it was there."""
        return self._tasks.pop(task, None) is not None

    def advance(self, now_ns: int, until_ns: int, queues_count: int) -> None:
        """Let time pass at the speed that was set last."""
        if self.budget is None:
            used_ns = self.speed_cores * (until_ns - now_ns)
        else:
            used_ns = self.budget.spend(now_ns, until_ns, self.speed_cores, queues_count)
        if used_ns > 0:
            self.cpu_ns += used_ns
            self.attained_ns += used_ns / len(self._tasks)

    def wait_ns(self, now_ns: int) -> float:
        """How long it takes from now until the first task is done; for ever where none can be."""
        if self.speed_cores == 0:
            return math.inf
        work_ns = max(0.0, self._first_ns() - self.attained_ns) * len(self._tasks)
        return (
            work_ns / self.speed_cores
            if self.budget is None
            else self.budget.wait_ns(now_ns, work_ns, self.speed_cores)
        )

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
        self._since_ns = ns(env.now)
        self._token = 0
        self._is_telling = False

    # The Cpu protocol.

    def add_group(self, name: str, limits: GroupLimits) -> None:
        """Let a container's tasks run from now on."""
        assert name not in self._groups, f"{name} is here already"
        self._advance()
        self._groups[name] = _Group(limits, self._new_budget(name, limits))

    def set_limits(self, name: str, limits: GroupLimits) -> None:
        """Change a container's limits while it runs; its counters go on."""
        self._advance()
        group = self._groups[name]
        old, group.budget = group.budget, self._new_budget(name, limits)
        if old is not None and group.budget is not None:
            group.budget.succeed(old)
        group.limits = limits
        self._share()

    def remove_group(self, name: str) -> None:
        """Forget a container whose tasks have been cancelled."""
        del self._groups[name]

    def run(self, task: Task, cpu_s: float, done: Callable[[], object]) -> None:
        """Wake a task with CPU time to burn."""
        self._advance()
        task.done = done
        group = self._groups[task.group]
        group.remove(task)
        group.add(task, max(1, ns(cpu_s)))
        self._share()

    def cancel(self, task: Task) -> None:
        """Take a task away, running or not."""
        self._advance()
        task.done = None
        group = self._groups.get(task.group)
        if group is not None and group.remove(task):
            self._share()

    def counters(self, name: str) -> CpuCounters:
        """Read a container's counters."""
        self._advance()
        group = self._groups[name]
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
        phase_ns = int(self._phase(f"period/{name}") * self._period_ns)
        passed_ns = (self._since_ns - phase_ns) % self._period_ns
        return Budget(
            int(limits.cpus_limit * self._period_ns), self._period_ns, self._since_ns + self._period_ns - passed_ns
        )

    # Sharing.

    def _advance(self) -> None:
        """Let everybody have run until now."""
        now_ns = ns(self._env.now)
        if now_ns == self._since_ns:
            return
        for group in self._groups.values():
            group.advance(self._since_ns, now_ns, int(group.cores_max(self._cores_count)))
        self._since_ns = now_ns

    def _share(self) -> None:
        """Set everybody's speed anew, and look again when the first task is done at these speeds."""
        if self._is_telling:
            return
        running = [group for group in self._groups.values() if group.threads_count]
        for group in self._groups.values():
            group.speed_cores = 0.0
        rates = _filled(self._cores_count, [(group.limits.cpu_shares, self._rate_max(group)) for group in running])
        free_cores = self._cores_count - sum(rates)
        for group, rate in zip(running, rates, strict=True):
            speed = rate if group.budget is None else max(rate, rate + free_cores)
            group.speed_cores = min(speed, group.cores_max(self._cores_count))
        self._arm(running)

    def _rate_max(self, group: _Group) -> float:
        """The most cores a container can use over many periods."""
        cores = group.cores_max(self._cores_count)
        return cores if group.limits.cpus_limit is None else min(cores, group.limits.cpus_limit)

    def _arm(self, running: list[_Group]) -> None:
        """Look again when the first task is done."""
        self._token += 1
        token = self._token
        wait_ns = min((group.wait_ns(self._since_ns) for group in running), default=math.inf)
        if wait_ns < math.inf:
            at_s = (self._since_ns + math.ceil(wait_ns)) / NS_PER_S
            after(self._env, max(0.0, at_s - self._env.now), lambda: self._look(token))

    def _look(self, token: int) -> None:
        """Tell of what is done; whoever is told may have more to run, which is shared out only then."""
        if token != self._token:
            return
        self._advance()
        finished = [task for group in self._groups.values() for task in group.take_done()]
        self._is_telling = True
        for task in finished:
            done, task.done = task.done, None
            if done is not None:
                done()
        self._is_telling = False
        self._share()


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
