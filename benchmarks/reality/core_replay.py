"""What was true of each core and task at every moment of a trace, worked out from its events one by one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.reality.kernel_trace import IDLE_PID, Migration, Switch, Wakeup, Waking

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.reality.kernel_trace import Event, Recording

# The half-life with which the kernel forgets how much a task ran (kernel/sched/pelt.c).
HALF_LIFE_US = 32_000
# A task that ran so short a time ago is hot (sysctl_sched_migration_cost).
HOT_US = 500
# Waking takes some microseconds; who takes longer has woken without being traced.
WAKING_US_MAX = 1000


@dataclass(slots=True)
class TaskState:
    """When a task last gave up a core, and how much it has run of late."""

    is_running: bool = False
    ran_us: int | None = None
    used_ratio: float = 0.0
    used_at_us: int | None = None

    def used(self, now_us: int) -> float:
        """Its utilisation now: 1 for a task that always ran, 0 for one that never did."""
        if self.used_at_us is not None:
            kept_ratio = 0.5 ** ((now_us - self.used_at_us) / HALF_LIFE_US)
            self.used_ratio = self.used_ratio * kept_ratio + (1 - kept_ratio) * self.is_running
        self.used_at_us = now_us
        return self.used_ratio

    def is_hot(self, now_us: int) -> bool:
        """Whether it has run within the last half millisecond."""
        return self.is_running or (self.ran_us is not None and now_us - self.ran_us <= HOT_US)


class Replay:
    """Cores and tasks as they are after the events told so far.

    A core that has not yet switched is neither idle nor busy. Only processes of the workload are company to one
    another; anybody else makes a core busy and no more.
    """

    def __init__(self, recording: Recording) -> None:
        """Know nothing yet but whose processes the workload is."""
        self.pids = recording.pids
        self._current: dict[int, int] = {}
        self._owner: dict[int, int] = {}
        self._since_us: dict[int, int] = {}
        self._runnable: defaultdict[int, set[int]] = defaultdict(set)
        self._place: dict[int, int] = {}
        self._waking: dict[int, tuple[int, int]] = {}
        self._tasks: dict[int, TaskState] = {}

    def idle_cores(self) -> set[int]:
        """Cores on which nobody runs and that nobody is about to run on."""
        taken = {core for core, _ in self._waking.values()}
        return {core for core, pid in self._current.items() if pid == IDLE_PID and not self._runnable[core]} - taken

    def cores(self) -> list[int]:
        """Cores that have switched at least once."""
        return list(self._current)

    def running(self, core: int) -> int | None:
        """The workload's process that runs on a core; None where that is somebody else or nobody."""
        pid = self._current.get(core)
        return pid if pid in self.pids else None

    def running_us(self, core: int, now_us: int) -> int:
        """How long ago that process was switched in; interruptions by others do not count."""
        return now_us - self._since_us.get(core, now_us)

    def waiting(self, core: int) -> list[int]:
        """The workload's processes that share a core and are not the one on it; empty where fewer than two do."""
        sharing = self._runnable[core] & self.pids
        return [pid for pid in sharing if pid != self._current.get(core)] if len(sharing) > 1 else []

    def place(self, pid: int) -> int | None:
        """The core that a runnable task belongs to; None while it sleeps or is only about to wake."""
        return self._place.get(pid)

    def has_somebody(self, core: int) -> bool:
        """Whether a task is on a core, if only on its way out."""
        return self._current.get(core, IDLE_PID) != IDLE_PID

    def task(self, pid: int) -> TaskState:
        """What is known of a task."""
        return self._tasks.setdefault(pid, TaskState())

    def all_hot(self, cores: Iterable[int], now_us: int) -> bool | None:
        """Whether all that wait on these cores have run within the last half millisecond; None if nobody waits."""
        waiting = [pid for core in cores for pid in self.waiting(core)]
        return all(self.task(pid).is_hot(now_us) for pid in waiting) if waiting else None

    def advance(self, now_us: int) -> None:
        """Let time pass until just before something happens."""
        for pid, (_, since_us) in list(self._waking.items()):
            if now_us - since_us > WAKING_US_MAX:
                del self._waking[pid]

    def apply(self, event: Event) -> None:
        """Let an event happen."""
        match event:
            case Switch():
                self._switch(event)
            case Waking():
                if event.pid not in self._place:
                    self._waking[event.pid] = event.last_index, event.at_us
            case Wakeup():
                self._waking.pop(event.pid, None)
                self._put(event.pid, event.core_index)
            case Migration():
                if event.pid in self._waking:
                    self._waking[event.pid] = event.to_index, event.at_us
                elif event.pid in self._place:
                    self._put(event.pid, event.to_index)

    def _switch(self, event: Switch) -> None:
        if event.left_pid != IDLE_PID:
            self._stop(event.left_pid, event.at_us)
            if event.left_runnable:
                # Somebody who was on a core before the trace began shows only now that it was.
                self._put(event.left_pid, self._place.get(event.left_pid, event.core_index))
            else:
                self._remove(event.left_pid)
        if event.entered_pid != IDLE_PID:
            self._waking.pop(event.entered_pid, None)
            self._put(event.entered_pid, event.core_index)
            state = self.task(event.entered_pid)
            state.used(event.at_us)
            state.is_running = True
        else:
            self._empty(event.core_index)
        self._current[event.core_index] = event.entered_pid
        if event.entered_pid in self.pids | {IDLE_PID} and event.entered_pid != self._owner.get(event.core_index):
            self._owner[event.core_index] = event.entered_pid
            self._since_us[event.core_index] = event.at_us

    def _stop(self, pid: int, now_us: int) -> None:
        state = self.task(pid)
        state.used(now_us)
        state.is_running, state.ran_us = False, now_us

    def _empty(self, core: int) -> None:
        """Forget who was thought to wait on a core: one that falls idle has nobody, whether traced or not."""
        for pid in list(self._runnable[core]):
            self._remove(pid)

    def _put(self, pid: int, core: int) -> None:
        self._remove(pid)
        self._place[pid] = core
        self._runnable[core].add(pid)

    def _remove(self, pid: int) -> None:
        if (core := self._place.pop(pid, None)) is not None:
            self._runnable[core].discard(pid)
