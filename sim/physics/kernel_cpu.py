"""The CPUs of a host at kernel resolution: slices, ticks, throttling per core, weights per run queue.

What it follows: CFS bandwidth control and group scheduling of Linux 6.x (kernel/sched/fair.c); the constants come
from the host profile. A running task is looked at when it finishes, at the tick where its queue's runtime is spent,
and at every tick while it has company: nothing else costs an event, and an idle host costs none.
Measured against a real kernel: `docs/agreement.md`. Known to be wrong: `docs/physics.md`, section CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.physics.cpu import NS_PER_S, CpuCounters, GroupLimits, Task, ns
from sim.physics.quota import SLACK_NS, QuotaPool
from sim.physics.run_queue import DEFAULT_SHARES, Core, Group, GroupQueue
from sim.physics.spreading import Spreading
from sim.timers import after

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from sim.physics.host_profile import HostProfile


class KernelCpu:
    """A host's cores, run as the Linux scheduler runs them; fulfils `sim.physics.cpu.Cpu`."""

    def __init__(
        self,
        env: simpy.Environment,
        profile: HostProfile,
        cores_count: int,
        phase: Callable[[str], float],
        luck: Callable[[int], float],
    ) -> None:
        """Have `cores_count` idle cores.

        `phase(name)` is in [0, 1) and says where ticks and periods fall; `luck(number)` is in [0, 1) and decides,
        each time anew, whether an idle core is seen or sees that there is work elsewhere.
        """
        self._env = env
        self._profile = profile
        self._phase = phase
        self._tick_ns = ns(profile.tick_s)
        self._tick_phase_ns = int(phase("tick") * self._tick_ns)
        self._base_slice_ns = ns(profile.base_slice_s)
        self._lag_ns_max = max(2 * self._base_slice_ns, self._tick_ns)
        self._renewal_ns = -(-self._base_slice_ns // self._tick_ns) * self._tick_ns
        self._balance_phase = phase("balance")
        self._balancing = False
        self._cores = [Core(index) for index in range(cores_count)]
        self._groups: dict[str, Group] = {}
        self._spreading = Spreading(self._cores, self._groups, profile, luck, self._move)

    # The Cpu protocol.

    def add_group(self, name: str, limits: GroupLimits) -> None:
        """Let a container's tasks run from now on, on the cores it may use."""
        assert name not in self._groups, f"{name} is here already"
        cores = limits.cpuset_cpus or tuple(range(len(self._cores)))
        group = Group(name, limits.cpu_shares, cores, len(self._cores), self._lag_ns_max)
        group.pool = self._new_pool(name, limits.cpus_limit)
        self._groups[name] = group

    def set_limits(self, name: str, limits: GroupLimits) -> None:
        """Change a container's limits; counters go on, and whoever stood still may run under the new quota."""
        # What ran until now ran under the old limits, and what runs on is looked at under the new.
        for core in self._cores:
            self._settle(core)
        group = self._groups[name]
        group.shares = limits.cpu_shares
        group.cores = limits.cpuset_cpus or tuple(range(len(self._cores)))
        old, group.pool = group.pool, self._new_pool(name, limits.cpus_limit)
        for queue in group.queues:
            queue.runtime_ns = 0
        if old is not None:
            self._succeed(old, group.pool)
        for core in self._cores:
            self._arm(core)

    def remove_group(self, name: str) -> None:
        """Forget a container whose tasks have been cancelled."""
        del self._groups[name]

    def run(self, task: Task, cpu_s: float, done: Callable[[], object]) -> None:
        """Wake a task with CPU time to burn, or give more to one that is just finishing its last."""
        task.remaining_ns = max(1, ns(cpu_s))
        task.done = done
        if task.queued:
            return
        group = self._groups[task.group]
        core = self._spreading.core_to_wake_on(task, group)
        self._enqueue(group.queues[core], task)

    def cancel(self, task: Task) -> None:
        """Take a task away, running or not."""
        task.done = None
        if not task.queued or task.core is None:
            return
        core = self._cores[task.core]
        self._settle(core)
        was_current = core.current is task
        self._dequeue(self._groups[task.group].queues[task.core], task)
        if was_current:
            self._pick_if_idle(core)

    def counters(self, name: str) -> CpuCounters:
        """Read a container's counters; throttled time counts once its queue runs again, as in the kernel."""
        for core in self._cores:
            self._settle(core)
        group = self._groups[name]
        pool = group.pool
        if pool is None:
            return CpuCounters(group.cpu_ns / NS_PER_S, 0, 0, 0.0)
        return CpuCounters(
            group.cpu_ns / NS_PER_S, pool.periods_count, pool.throttled_periods_count, pool.throttled_ns / NS_PER_S
        )

    # Waking and sleeping.

    def _enqueue(self, queue: GroupQueue, task: Task) -> None:
        core = self._cores[queue.core]
        self._settle(core)
        empty = not queue.tasks
        queue.place(task)
        queue.group.runnable_count += 1
        task.core, task.queued = core.index, True
        if queue.throttled:
            if queue.throttled_since_ns is None:
                queue.throttled_since_ns = self._now_ns()
            return
        if empty:
            if not self._fund(queue):
                return
            core.join(queue)
        self._challenge(core, queue, task)

    def _dequeue(self, queue: GroupQueue, task: Task, *, sleeps: bool = True) -> None:
        """Take a task off its queue; a queue that falls idle settles its debt and gives back what it saved."""
        core = self._cores[queue.core]
        if len(queue.tasks) == 1 and not queue.throttled:
            core.leave(queue, sleeps=sleeps)
        queue.take(task, sleeps=sleeps)
        queue.group.runnable_count -= 1
        task.queued = False
        if core.current is task:
            core.current = None
        if queue.throttled:
            self._stop_clock(queue)
            return
        pool = queue.group.pool
        if pool is not None and self._fund(queue) and not queue.tasks and pool.take_back(queue, self._now_ns()):
            self._at(self._now_ns() + SLACK_NS, lambda: self._hand_out_slack(queue.group, pool))

    def _challenge(self, core: Core, queue: GroupQueue, task: Task) -> None:
        """Let a newcomer take the core at once where its deadline is the earlier one; else it waits for a tick."""
        if core.current is None or core.running is None:
            wins = True
        elif queue is core.running:
            wins = self._comes_before(core, task)
        else:
            wins = self._beats(core, queue)
        if wins:
            self._pick(core)
        else:
            self._arm(core)

    def _comes_before(self, core: Core, task: Task) -> bool:
        """Whether a newcomer of the running container takes the core.

        It is level, and the other's slice is over; or it is furthest behind and the other ahead of the average, which
        protects nobody.
        """
        assert core.current is not None, "there is somebody to be compared with"
        assert core.running is not None, "it runs in some container"
        if task is core.running.first(core.current) and core.current.vruntime_ns > core.running.average_ns():
            return True
        return task.vruntime_ns <= core.current.vruntime_ns and self._had_slice(core.picked_ns)

    def _beats(self, core: Core, queue: GroupQueue) -> bool:
        """Whether another container's newcomer takes the core.

        A slice is the shorter in virtual time the more a container weighs. So of two that are level the heavier one
        has the earlier deadline if both begin now, and for a while even if the other's was renewed a moment ago.
        Whoever has just got the core is protected until its slice is over, and nothing protects one that is ahead of
        the average from the one that is furthest behind.
        """
        running = core.running
        assert running is not None, "there is somebody to be compared with"
        lead_ns = running.vruntime_ns - queue.vruntime_ns
        if queue is core.best() and running.vruntime_ns > core.average_ns():
            return True
        if self._had_slice(core.queue_picked_ns):
            return lead_ns > 0 or (lead_ns == 0 and queue.weight >= running.weight)
        age_ns = self._slice_age_ns(core.queue_picked_ns)
        is_renewed = core.queue_renewed or age_ns < self._now_ns() - core.queue_picked_ns
        return is_renewed and lead_ns >= 0 and age_ns <= self._base_slice_ns * (1 - running.weight / queue.weight)

    def _had_slice(self, began_ns: int) -> bool:
        """Whether what runs may be taken off: it may once its slice is over, until the tick that renews it."""
        age_ns = self._slice_age_ns(began_ns)
        return age_ns >= self._base_slice_ns or (age_ns == 0 and began_ns < self._now_ns())

    def _slice_age_ns(self, began_ns: int) -> int:
        """How long ago a slice began; one that is over is renewed at the next tick, though nobody looks."""
        over_ns = began_ns + self._base_slice_ns
        renewed_ns = over_ns + (self._tick_phase_ns - over_ns) % self._tick_ns
        since_ns = self._now_ns() - renewed_ns
        return self._now_ns() - began_ns if since_ns < 0 else since_ns % self._renewal_ns

    # Running.

    def _settle(self, core: Core) -> None:
        """Charge the running task, its queue and its container for the time since the last look."""
        task, queue = core.current, core.running
        now = self._now_ns()
        if task is None or queue is None:
            core.since_ns = now
            return
        delta = now - core.since_ns
        if delta <= 0:
            return
        core.since_ns = now
        task.remaining_ns -= delta
        task.vruntime_ns += delta
        task.ran_ns = now
        queue.vruntime_ns += int(delta * DEFAULT_SHARES / queue.weight)
        queue.group.cpu_ns += delta
        if queue.group.pool is not None:
            queue.runtime_ns -= delta

    def _pick(self, core: Core) -> None:
        """Run the task that is furthest behind; a core with nothing to run pulls from another where it sees it."""
        if not core.queues:
            core.current, core.running = None, None
            core.token += 1
            self._spreading.fall_idle(core, self._now_ns())
            return
        queue = core.best()
        core.since_ns = core.picked_ns = self._now_ns()
        if queue is not core.running or self._had_slice(core.queue_picked_ns):
            core.queue_renewed = queue is core.running
            core.queue_picked_ns = core.since_ns
        core.running, core.current = queue, queue.first(core.current)
        self._arm(core)

    def _arm(self, core: Core) -> None:
        """Set the next look at a core: when its task finishes, or at the next tick that could matter."""
        core.token += 1
        task, queue = core.current, core.running
        if task is None or queue is None:
            return
        now = self._now_ns()
        look = now + max(0, task.remaining_ns)
        if core.runnable_count() > 1:
            look = min(look, now + self._tick_ns - (now - self._tick_phase_ns) % self._tick_ns)
            self._start_balancing()
        elif queue.group.pool is not None:
            spent = now + max(1, queue.runtime_ns)
            look = min(look, spent + (self._tick_phase_ns - spent) % self._tick_ns)
        token = core.token
        self._at(look, lambda: self._look(core, token))

    def _look(self, core: Core, token: int) -> None:
        """Act on a core at the time set by `_arm`, unless something happened there since."""
        if token != core.token or core.current is None or core.running is None:
            return
        self._settle(core)
        task, queue = core.current, core.running
        if task.remaining_ns <= 0:
            self._finish(core, queue, task)
        elif self._fund(queue):
            if self._had_slice(core.picked_ns) or self._had_slice(core.queue_picked_ns):
                self._pick(core)
            else:
                self._arm(core)
            self._spreading.tick(core, self._now_ns())

    def _finish(self, core: Core, queue: GroupQueue, task: Task) -> None:
        """Tell that a demand is burnt; the task sleeps unless it was given more on the spot."""
        done, task.done = task.done, None
        if done is not None:
            done()
        if not task.queued:
            return
        if core.current is not task:
            return
        if task.remaining_ns > 0:
            self._arm(core)
            return
        self._dequeue(queue, task)
        self._pick_if_idle(core)

    def _pick_if_idle(self, core: Core) -> None:
        """Pick for a core whose task went away, unless settling its debt picked already."""
        if core.current is None and core.running is not None:
            self._pick(core)

    # Bandwidth.

    def _fund(self, queue: GroupQueue) -> bool:
        """See that a queue has runtime, drawing a slice where it must; False when it has to stand still."""
        pool = queue.group.pool
        if pool is None or queue.runtime_ns > 0:
            return True
        if not pool.timer_active:
            pool.timer_active = True
            self._at(pool.next_period_ns(self._now_ns()), lambda: self._begin_period(queue.group, pool))
        pool.draw(queue, pool.slice_ns - queue.runtime_ns)
        if queue.runtime_ns > 0:
            return True
        self._throttle(queue, pool)
        return False

    def _throttle(self, queue: GroupQueue, pool: QuotaPool) -> None:
        core = self._cores[queue.core]
        queue.throttled = True
        pool.throttled.append(queue)
        queue.throttled_since_ns = self._now_ns() if queue.tasks else None
        if queue in core.queues:
            core.leave(queue, sleeps=False)
        if core.running is queue:
            core.current, core.running = None, None
            self._pick(core)

    def _stop_clock(self, queue: GroupQueue) -> None:
        """Stop counting a standing queue's time once nobody waits in it."""
        if not queue.tasks and queue.throttled_since_ns is not None and queue.group.pool is not None:
            queue.group.pool.throttled_ns += self._now_ns() - queue.throttled_since_ns
            queue.throttled_since_ns = None

    def _succeed(self, old: QuotaPool, new: QuotaPool | None) -> None:
        """Let the counters go on in a new pool, and whoever stood still under the old one compete again."""
        if new is not None:
            new.periods_count = old.periods_count
            new.throttled_periods_count = old.throttled_periods_count
            new.throttled_ns = old.throttled_ns
        for queue in old.throttled:
            self._release(queue, new or old)

    def _release(self, queue: GroupQueue, pool: QuotaPool) -> None:
        """Let a queue that stood still compete again."""
        queue.throttled = False
        if queue.throttled_since_ns is not None:
            pool.throttled_ns += self._now_ns() - queue.throttled_since_ns
            queue.throttled_since_ns = None
        if not queue.tasks:
            return
        core = self._cores[queue.core]
        self._settle(core)
        core.join(queue)
        if core.current is None:
            self._pick(core)
        else:
            self._arm(core)

    def _begin_period(self, group: Group, pool: QuotaPool) -> None:
        # A container of the same name may have come since.
        if group.pool is not pool or self._groups.get(group.name) is not group:
            return
        if not pool.refill():
            pool.timer_active = False
            return
        for queue in pool.distribute():
            self._release(queue, pool)
        self._at(self._now_ns() + pool.period_ns, lambda: self._begin_period(group, pool))

    def _hand_out_slack(self, group: Group, pool: QuotaPool) -> None:
        pool.slack_started = False
        if group.pool is pool and pool.runtime_ns > pool.slice_ns:
            for queue in pool.distribute():
                self._release(queue, pool)

    def _new_pool(self, name: str, cpus_limit: float | None) -> QuotaPool | None:
        if cpus_limit is None:
            return None
        period_ns = ns(self._profile.period_s)
        phase_ns = int(self._phase(f"period/{name}") * period_ns)
        return QuotaPool(int(cpus_limit * period_ns), period_ns, ns(self._profile.slice_s), phase_ns)

    # Balancing.

    def _move(self, queue: GroupQueue, task: Task, target: Core) -> None:
        self._settle(self._cores[queue.core])
        self._dequeue(queue, task, sleeps=False)
        # As far as the kernel knows, a task that was moved has not run since.
        task.ran_ns = 0
        self._enqueue(queue.group.queues[target.index], task)

    def _start_balancing(self) -> None:
        if self._balancing or len(self._cores) == 1:
            return
        self._balancing = True
        now, interval_ns = self._now_ns(), self._spreading.interval_ns
        phase_ns = int(self._balance_phase * interval_ns)
        self._at(now + interval_ns - (now - phase_ns) % interval_ns, self._balance)

    def _balance(self) -> None:
        self._balancing = False
        if self._spreading.even_out():
            self._start_balancing()

    # Time.

    def _now_ns(self) -> int:
        return round(self._env.now * NS_PER_S)

    def _at(self, at_ns: int, act: Callable[[], object]) -> None:
        """Call `act` at a time of the model's own clock."""
        after(self._env, max(0, at_ns - self._now_ns()) / NS_PER_S, act)
