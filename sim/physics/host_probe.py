"""A probe of a host: a task outside all containers that wants a little CPU at regular times.

It is a group of its own on the host's CPU, of default weight and without a quota, that may use every core: what a
process is that a user starts beside the containers. It sleeps until it is due, wakes late as every sleeper does, and
burns its CPU; one that is still busy when it is due again begins anew right after.
Known to be wrong: an engine puts all its containers into one cgroup, so that on a real host a process outside competes
with all of them together, and here with each of them; a story with one container has no such error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.story import PROBES_COUNT_MAX
from sim.machine import Probed
from sim.physics.cpu import GroupLimits, Task
from sim.physics.run_queue import DEFAULT_SHARES

if TYPE_CHECKING:
    from scenarios.story import HostProbe
    from sim.physics.surroundings import Surroundings

_NAME = "(host probe)"


class SimulatedProbe:
    """One probe of one host, from its making until `end`."""

    def __init__(self, around: Surroundings, terms: HostProbe, phase_ratio: float) -> None:
        """Be due for the first time when this part of an interval has passed."""
        self._around = around
        self._terms = terms
        self._first_s = around.now + phase_ratio * terms.every_s
        self._due_s: list[float] = []
        self._finish_s: list[float] = []
        self._ended = False
        self._task = Task(_NAME)
        around.cpu.add_group(_NAME, GroupLimits(None, DEFAULT_SHARES, None))
        self._approach()

    def end(self, host: str) -> Probed:
        """Take the task away; one that is under way is not counted."""
        self._ended = True
        self._around.cpu.cancel(self._task)
        self._around.cpu.remove_group(_NAME)
        return Probed(host, tuple(self._due_s), tuple(self._finish_s))

    @property
    def _next_s(self) -> float:
        return self._first_s + len(self._due_s) * self._terms.every_s

    def _approach(self) -> None:
        """Sleep until the next time, or begin at once where it has passed."""
        ahead_s = self._next_s - self._around.now
        if ahead_s > 0:
            self._around.after(ahead_s + self._around.profile.wake_s_mean, self._burn)
        else:
            self._burn()

    def _burn(self) -> None:
        if not self._ended:
            self._around.cpu.run(self._task, self._terms.compute_s, self._burnt)

    def _burnt(self) -> None:
        due_s = self._next_s
        self._due_s.append(due_s)
        self._finish_s.append(self._around.now)
        if len(self._due_s) < PROBES_COUNT_MAX:
            self._approach()
