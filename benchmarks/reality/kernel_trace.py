"""What the kernel's scheduler did, as its trace tells it: lines of tracefs become events, one recording per workload.

A file of traces holds one recording or several. Each begins with the processes of its workload (`# pids 11 12`), may
say more about itself (`# workload`, `# tick_us`, `# kernel`), and goes on with the kernel's own text.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sim.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

IDLE_PID = 0
# A file longer than this is no trace of ours: the buffer that it comes from is bounded.
EVENTS_COUNT_MAX = 5_000_000
# A task that runs at once when it wakes does so within this time; later, and a tick or somebody's end let it run.
AT_ONCE_US = 60
# Switches that a tick made come this soon after it; that they are at least so many, and so great a part of those that
# fall anywhere, is what shows where ticks are.
TICK_WINDOW_US = 100
TICK_SWITCHES_COUNT_MIN = 5
TICK_SWITCHES_RATIO_MIN = 0.2

_LINE = re.compile(r"^\s*.+-\d+\s+\[(\d+)\]\s+(?:\S+\s+)?(\d+)\.(\d{6}): (sched_\w+): (.*)$")
_SWITCH = re.compile(r" prev_pid=(\d+) prev_prio=-?\d+ prev_state=(\S+) ==> .* next_pid=(\d+) next_prio=-?\d+$")
_WAKE = re.compile(r" pid=(\d+) prio=-?\d+ target_cpu=(\d+)$")
_MIGRATION = re.compile(r" pid=(\d+) prio=-?\d+ orig_cpu=\d+ dest_cpu=(\d+)$")
_ENTRIES = re.compile(r"^# entries-in-buffer/entries-written: (\d+)/(\d+)\s+#P:(\d+)")
_LOST = re.compile(r"^CPU:\d+ \[LOST (\d+) EVENTS\]")


@dataclass(frozen=True, slots=True)
class Switch:
    """A core passes from one task to another; the idle task, process 0, stands for nobody."""

    at_us: int
    core_index: int
    left_pid: int
    left_runnable: bool
    entered_pid: int


@dataclass(frozen=True, slots=True)
class Waking:
    """A task is about to wake, and the kernel to choose a core for it; until now it belonged to its last one."""

    at_us: int
    pid: int
    last_index: int


@dataclass(frozen=True, slots=True)
class Wakeup:
    """A task has woken on the core that the kernel chose for it."""

    at_us: int
    pid: int
    core_index: int


@dataclass(frozen=True, slots=True)
class Migration:
    """A task is sent to another core, while it wakes or while it waits; `by_index` is the core that did it."""

    at_us: int
    by_index: int
    pid: int
    to_index: int


Event = Switch | Waking | Wakeup | Migration


@dataclass(slots=True)
class Recording:
    """One trace: whose processes were the workload, what is known of the machine, and what happened in order."""

    pids: frozenset[int]
    workload: str = ""
    kernel: str = ""
    cores_count: int = 0
    tick_us: int = 0
    dropped_count: int = 0
    events: list[Event] = field(default_factory=list)

    @property
    def length_s(self) -> float:
        """From the first event to the last."""
        return (self.events[-1].at_us - self.events[0].at_us) / 1e6 if self.events else 0.0


def read_recordings(lines: Iterable[str], place: str, tick_us: int) -> list[Recording]:
    """Read all recordings of a file; `tick_us` is for those that do not say it themselves."""
    found: list[Recording] = []
    events_count = 0
    for line in lines:
        if line.startswith("# pids "):
            found.append(_begun(line, place, tick_us))
        elif found and (event := _read(line, found[-1])) is not None:
            found[-1].events.append(event)
            events_count += 1
            if events_count > EVENTS_COUNT_MAX:
                raise RequestError(f"{place} has more than {EVENTS_COUNT_MAX:,} events; record fewer seconds")
    if not events_count:
        raise RequestError(f"{place} is no trace of this program (`# pids ...` and then events); make one with --keep")
    for one in found:
        one.workload = one.workload or f"{len(one.pids)} processes"
        one.cores_count = one.cores_count or 1 + max((_core_index(event) for event in one.events), default=0)
    return found


def _begun(line: str, place: str, tick_us: int) -> Recording:
    words = line.split()[2:]
    if not words or not all(word.isascii() and word.isdigit() for word in words):
        raise RequestError(f"{place}: `{line.strip()[:60]}` must name processes by number, such as `# pids 11 12`")
    return Recording(frozenset(map(int, words)), tick_us=tick_us)


def _read(line: str, recording: Recording) -> Event | None:
    """Read one line: an event, or something about the recording, or nothing of interest."""
    if line.startswith("#"):
        _read_heading(line, recording)
        return None
    if found := _LINE.match(line):
        at_us = int(found[2]) * 1_000_000 + int(found[3])
        return _event(at_us, int(found[1]), found[4], found[5])
    if found := _LOST.match(line):
        recording.dropped_count += int(found[1])
    return None


def _read_heading(line: str, recording: Recording) -> None:
    name, _, value = line[1:].strip().partition(" ")
    if name == "workload":
        recording.workload = value
    elif name == "kernel":
        recording.kernel = value
    elif name == "tick_us" and value.isdigit() and int(value) > 0:
        recording.tick_us = int(value)
    elif found := _ENTRIES.match(line):
        recording.dropped_count += int(found[2]) - int(found[1])
        recording.cores_count = int(found[3])


def _event(at_us: int, core_index: int, name: str, text: str) -> Event | None:
    if name == "sched_switch" and (found := _SWITCH.search(text)):
        return Switch(at_us, core_index, int(found[1]), found[2].startswith("R"), int(found[3]))
    if name == "sched_waking" and (found := _WAKE.search(text)):
        return Waking(at_us, int(found[1]), int(found[2]))
    if name in {"sched_wakeup", "sched_wakeup_new"} and (found := _WAKE.search(text)):
        return Wakeup(at_us, int(found[1]), int(found[2]))
    if name == "sched_migrate_task" and (found := _MIGRATION.search(text)):
        return Migration(at_us, core_index, int(found[1]), int(found[2]))
    return None


def _core_index(event: Event) -> int:
    match event:
        case Waking():
            return event.last_index
        case Migration():
            return max(event.by_index, event.to_index)
        case _:
            return event.core_index


def tick_phase_us(recording: Recording) -> int | None:
    """Where in a tick's length ticks fall on the trace's clock; None where the trace does not show it.

    Processes that do nothing but burn make room for one another at ticks, and else only for one that has just woken.
    """
    switches = list(_switches_between(recording))
    per_phase = Counter(at_us % recording.tick_us for at_us in switches)
    best_count, phase_us = 0, None
    for start_us in sorted(per_phase):
        count = sum(per_phase[(start_us + late_us) % recording.tick_us] for late_us in range(TICK_WINDOW_US))
        if count > best_count:
            best_count, phase_us = count, start_us
    return phase_us if best_count >= max(TICK_SWITCHES_COUNT_MIN, TICK_SWITCHES_RATIO_MIN * len(switches)) else None


def _switches_between(recording: Recording) -> Iterator[int]:
    """When one process of the workload made room for another that had been awake for a while."""
    woke_us: dict[int, int] = {}
    for event in recording.events:
        if isinstance(event, Wakeup):
            woke_us[event.pid] = event.at_us
        elif isinstance(event, Switch) and _takes_turns(event, recording.pids):
            awake_us = event.at_us - woke_us.get(event.entered_pid, 0)
            yield from [event.at_us] if awake_us > AT_ONCE_US else []


def _takes_turns(switch: Switch, pids: frozenset[int]) -> bool:
    return switch.left_runnable and switch.left_pid in pids and switch.entered_pid in pids


def ticks_us(recording: Recording, phase_us: int) -> Sequence[int]:
    """All ticks from the first event to the last."""
    first_us, last_us = recording.events[0].at_us, recording.events[-1].at_us
    return range(first_us + (phase_us - first_us) % recording.tick_us, last_us + 1, recording.tick_us)
