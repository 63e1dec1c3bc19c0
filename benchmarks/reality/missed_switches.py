"""Switches that the kernel did not trace, told from those it did.

On some kernels a few tasks are never traced when they leave a core, among them the idle task of some cores: a core that
looks idle would be left by somebody who never entered it. Each core passes from task to task, so a gap is seen where
somebody else leaves than entered last. It is filled so that nobody of the workload runs longer than is known: a task of
which no end is seen ran for no time, and a task of which no beginning is seen entered when it woke or was sent there.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.reality.kernel_trace import IDLE_PID, Migration, Switch, Wakeup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.reality.kernel_trace import Event


@dataclass(slots=True)
class _Core:
    """Who entered a core last, and with which event."""

    pid: int
    index: int


@dataclass(slots=True)
class _Gaps:
    """The gaps found so far, each filled right behind an event."""

    events: Sequence[Event]
    # By task and core: the event that put it there.
    arrived: dict[tuple[int, int], int] = field(default_factory=dict)
    cores: dict[int, _Core] = field(default_factory=dict)
    behind: defaultdict[int, list[Switch]] = field(default_factory=lambda: defaultdict(list))

    def see(self, index: int, event: Event) -> None:
        """Note who comes to a core, and fill the gap before a switch."""
        match event:
            case Wakeup():
                self.arrived[event.pid, event.core_index] = index
            case Migration():
                self.arrived[event.pid, event.to_index] = index
            case Switch():
                self._see_switch(index, event)
            case _:
                pass

    def _see_switch(self, index: int, event: Switch) -> None:
        entered = self.cores.get(event.core_index)
        if entered is not None and entered.pid != event.left_pid:
            self._fill(event.core_index, entered, event.left_pid)
        if event.left_runnable:
            self.arrived[event.left_pid, event.core_index] = index
        self.cores[event.core_index] = _Core(event.entered_pid, index)

    def _fill(self, core: int, entered: _Core, left_pid: int) -> None:
        """Pass from the one that entered to the one that left, through idleness if that one came only later."""
        came = self.arrived.get((left_pid, core), entered.index)
        if came <= entered.index:
            self._add(entered.index, core, entered.pid, left_pid)
            return
        if entered.pid != IDLE_PID:
            self._add(entered.index, core, entered.pid, IDLE_PID)
        self._add(came, core, IDLE_PID, left_pid)

    def _add(self, index: int, core: int, left_pid: int, entered_pid: int) -> None:
        at_us = self.events[index].at_us
        self.behind[index].append(Switch(at_us, core, left_pid, left_runnable=False, entered_pid=entered_pid))


def with_missed_switches(events: Sequence[Event]) -> list[Event]:
    """All events, with a switch in each gap."""
    gaps = _Gaps(events)
    for index, event in enumerate(events):
        gaps.see(index, event)
    return [one for index, event in enumerate(events) for one in (event, *gaps.behind.get(index, ()))]
