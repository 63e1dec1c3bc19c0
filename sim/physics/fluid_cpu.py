"""The textbook CPU: cores shared as a fluid, a quota taken for a rate.

Formula: each container gets min(its runnable threads, its quota, its weighted share) cores, shared equally by its
threads, a thread never more than one core. It has no slices, no periods and no throttling.
It is 40-80 % wrong in mean latency on short steps near a quota (measured, `docs/agreement.md`): It is the negative
control that `validate` must catch, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.physics.cpu import CpuCounters, GroupLimits, Task
from sim.timers import after

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

# Two completions closer than this are one: a nanosecond, the kernel's own resolution.
_EPSILON_S = 1e-9


class _Share:
    """A container in the fluid: its limits, its runnable tasks with what they still need, its CPU so far."""

    __slots__ = ("cpu_s", "limits", "needs")

    def __init__(self, limits: GroupLimits) -> None:
        """Have nothing to run."""
        self.limits = limits
        self.needs: dict[Task, float] = {}
        self.cpu_s = 0.0

    def cores_max(self) -> float:
        """The most cores this container could use now."""
        most = float(len(self.needs))
        if self.limits.cpus_limit is not None:
            most = min(most, self.limits.cpus_limit)
        if self.limits.cpuset_cpus is not None:
            most = min(most, len(self.limits.cpuset_cpus))
        return most


class FluidCpu:
    """A host's cores as a fluid; fulfils `sim.physics.cpu.Cpu`."""

    def __init__(self, env: simpy.Environment, cores_count: int) -> None:
        """Have `cores_count` idle cores."""
        self._env = env
        self._cores_count = cores_count
        self._shares: dict[str, _Share] = {}
        self._since_s = env.now
        self._token = 0

    def add_group(self, name: str, limits: GroupLimits) -> None:
        """Let a container's tasks run from now on."""
        assert name not in self._shares, f"{name} is here already"
        self._shares[name] = _Share(limits)

    def set_limits(self, name: str, limits: GroupLimits) -> None:
        """Change a container's limits while it runs."""
        self._advance()
        self._shares[name].limits = limits
        self._arm()

    def remove_group(self, name: str) -> None:
        """Forget a container."""
        del self._shares[name]

    def run(self, task: Task, cpu_s: float, done: Callable[[], object]) -> None:
        """Let a task burn CPU time at whatever rate it gets."""
        self._advance()
        task.done = done
        self._shares[task.group].needs[task] = max(cpu_s, _EPSILON_S)
        self._arm()

    def cancel(self, task: Task) -> None:
        """Take a task away."""
        self._advance()
        task.done = None
        share = self._shares.get(task.group)
        if share is not None and share.needs.pop(task, None) is not None:
            self._arm()

    def counters(self, name: str) -> CpuCounters:
        """Read a container's CPU time; there are no periods to count."""
        self._advance()
        return CpuCounters(self._shares[name].cpu_s, 0, 0, 0.0)

    def _rates(self) -> dict[str, float]:
        """Fill cores by weight, giving what one container cannot use to the others."""
        rates: dict[str, float] = {}
        open_shares = {name: share for name, share in self._shares.items() if share.needs}
        free = float(self._cores_count)
        while open_shares:
            weight = sum(share.limits.cpu_shares for share in open_shares.values())
            full = {
                name: share.cores_max()
                for name, share in open_shares.items()
                if share.cores_max() <= free * share.limits.cpu_shares / weight
            }
            if not full:
                for name, share in open_shares.items():
                    rates[name] = free * share.limits.cpu_shares / weight
                return rates
            rates.update(full)
            free -= sum(full.values())
            open_shares = {name: share for name, share in open_shares.items() if name not in full}
        return rates

    def _advance(self) -> None:
        elapsed = self._env.now - self._since_s
        self._since_s = self._env.now
        if elapsed <= 0:
            return
        for name, rate in self._rates().items():
            share = self._shares[name]
            share.cpu_s += rate * elapsed
            for task in share.needs:
                share.needs[task] -= rate * elapsed / len(share.needs)

    def _arm(self) -> None:
        self._token += 1
        token = self._token
        rates = self._rates()
        waits = [
            need * len(self._shares[name].needs) / rate
            for name, rate in rates.items()
            if rate > 0
            for need in self._shares[name].needs.values()
        ]
        if waits:
            after(self._env, max(0.0, min(waits)), lambda: self._look(token))

    def _look(self, token: int) -> None:
        if token != self._token:
            return
        self._advance()
        finished = [task for share in self._shares.values() for task, need in share.needs.items() if need <= _EPSILON_S]
        for task in finished:
            self._shares[task.group].needs.pop(task)
        self._arm()
        for task in finished:
            done, task.done = task.done, None
            if done is not None:
                done()
