"""What a trace has of chances to spread work, and which were taken: where tasks woke, were fetched, or ran at once."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from benchmarks.reality.core_replay import Replay
from benchmarks.reality.kernel_trace import AT_ONCE_US, IDLE_PID, Migration, Switch, Wakeup, Waking
from benchmarks.reality.kernel_trace import tick_phase_us as phase_of
from benchmarks.reality.kernel_trace import ticks_us as ticks_of
from benchmarks.reality.missed_switches import with_missed_switches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.reality.kernel_trace import Event, Recording

USED_EDGES = (0.2, 0.4, 0.6, 0.8)
RAN_EDGES_US = (500, 1000, 2000, 4000, 8000, 16_000)
AGE_EDGES_US = (500, 1000, 2000, 4000, 6000, 8000, 12_000, 16_000)
RUN_EDGES_US = (300, 700, 1000, 1400, 1800, 2500, 4000, 8000, 16_000)
TICK_PARTS_COUNT = 8
# After this the switch that a tick makes is over, and it shows who waits; an idle core that the tick has woken to
# fetch somebody does so within the longer time.
TICK_SWITCH_US, TICK_FETCH_US = 100, 500
# A core that falls idle fetches while the last task is still on it, and leaves that task within this time.
FALL_IDLE_US = 500
HOT, COLD = "ran within 0.5 ms", "ran longer ago"


@dataclass(frozen=True)
class Tally:
    """Chances and how many of them were taken, by row; where chances are a stretch of time it is in microseconds."""

    rows: tuple[str, ...]
    taken: Counter[str] = field(default_factory=Counter)
    chances: Counter[str] = field(default_factory=Counter)

    def add(self, row: str, *, taken: bool) -> None:
        """Count one chance."""
        self.chances[row] += 1
        self.taken[row] += taken


@dataclass(frozen=True)
class Tallies:
    """All that is counted in one recording."""

    tick_phase_us: int | None
    inferred_count: int
    woke_by_use: Tally
    woke_by_run: Tally
    parted_by_age: Tally
    parted_at_tick: Tally
    fell_idle: Tally
    at_once_by_tick: Tally
    at_once_by_run: Tally


class Observer(Protocol):
    """Somebody who is told each event before it happens."""

    def see(self, replay: Replay, event: Event) -> None:
        """Look at the cores as they are, and at what is about to happen."""


def row_names(edges: Sequence[float], unit: str = "", per_unit: int = 1) -> tuple[str, ...]:
    """Name the rows that edges make: below the first, between two, from the last on."""
    shown = [f"{edge / per_unit:g}" for edge in edges]
    after = f" {unit}" if unit else ""
    between = (f"{low} to {high}{after}" for low, high in pairwise(shown))
    return (f"below {shown[0]}{after}", *between, f"{shown[-1]}{after} and more")


def tallies_of(recording: Recording) -> Tallies:
    """Count all chances of a recording."""
    phase_us = phase_of(recording)
    wakes, sharings, falls = Wakes(), Sharings(), Falls()
    ticks = Ticks(() if phase_us is None else ticks_of(recording, phase_us))
    preemptions = Preemptions(phase_us, recording.tick_us)
    observers: tuple[Observer, ...] = (wakes, sharings, ticks, falls, preemptions)
    events = with_missed_switches(recording.events)
    replay = Replay(recording)
    for event in events:
        replay.advance(event.at_us)
        for observer in observers:
            observer.see(replay, event)
        replay.apply(event)
    return Tallies(
        phase_us,
        len(events) - len(recording.events),
        wakes.by_use,
        wakes.by_run,
        sharings.by_age,
        ticks.by_heat,
        falls.by_heat,
        preemptions.by_tick,
        preemptions.by_run,
    )


class Wakes:
    """Tasks that wake while their last core is busy with another and somewhere a core is idle."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._use_rows, self._run_rows = row_names(USED_EDGES), row_names(RAN_EDGES_US, "ms", 1000)
        self.by_use, self.by_run = Tally(self._use_rows), Tally(self._run_rows)
        self._open: dict[int, tuple[set[int], str, str]] = {}

    def see(self, replay: Replay, event: Event) -> None:
        """Remember the choice there was, and see what was chosen."""
        if isinstance(event, Waking) and event.pid in replay.pids and replay.place(event.pid) is None:
            self._open.pop(event.pid, None)
            running, idle = replay.running(event.last_index), replay.idle_cores()
            if running is not None and idle:
                use = bisect_right(USED_EDGES, replay.task(running).used(event.at_us))
                run = bisect_right(RAN_EDGES_US, replay.running_us(event.last_index, event.at_us))
                self._open[event.pid] = idle, self._use_rows[use], self._run_rows[run]
        elif isinstance(event, Wakeup) and (choice := self._open.pop(event.pid, None)):
            idle, use_row, run_row = choice
            self.by_use.add(use_row, taken=event.core_index in idle)
            self.by_run.add(run_row, taken=event.core_index in idle)


class Sharings:
    """Tasks that share a core, for how long while another core is idle, and how often that one fetched one of them."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.by_age = Tally(row_names(AGE_EDGES_US, "ms", 1000))
        self._since_us: dict[int, int] = {}
        self._seen_us: int | None = None

    def see(self, replay: Replay, event: Event) -> None:
        """Account the time since the last event, and a fetch."""
        from_us = event.at_us if self._seen_us is None else self._seen_us
        sharing = [core for core in replay.cores() if replay.waiting(core)]
        self._since_us = {core: self._since_us.get(core, from_us) for core in sharing}
        if sharing and replay.idle_cores():
            for core in sharing:
                self._expose(from_us - self._since_us[core], event.at_us - self._since_us[core])
        source = _fetched_from(replay, event)
        if source is not None:
            age_us = event.at_us - self._since_us[source]
            self.by_age.taken[self.by_age.rows[bisect_right(AGE_EDGES_US, age_us)]] += 1
        self._seen_us = event.at_us

    def _expose(self, from_us: int, to_us: int) -> None:
        """Spread a stretch of ages over the rows."""
        edges = (0, *AGE_EDGES_US, max(to_us, AGE_EDGES_US[-1]))
        for row, (low_us, high_us) in zip(self.by_age.rows, pairwise(edges), strict=True):
            self.by_age.chances[row] += max(0, min(to_us, high_us) - max(from_us, low_us))


def _fetched_from(replay: Replay, event: Event) -> int | None:
    """The shared core that an idle one fetches a waiting task from with this event; None where it is none such."""
    if not isinstance(event, Migration) or event.to_index not in replay.idle_cores():
        return None
    core = replay.place(event.pid)
    return core if core is not None and event.pid in replay.waiting(core) else None


class Ticks:
    """Ticks that find tasks sharing a core while another is idle, by whether those that wait have just run."""

    def __init__(self, ticks_us: Sequence[int]) -> None:
        """Begin before the first of these ticks."""
        self.by_heat = Tally((HOT, COLD))
        self._ticks_us = ticks_us
        self._ticks_count = 0
        # By shared core: the tick that found it so, and the row it counts in, once that is known.
        self._open: dict[int, tuple[int, str | None]] = {}

    def see(self, replay: Replay, event: Event) -> None:
        """See the ticks that came before this event, then what the event says about them."""
        while self._ticks_count < len(self._ticks_us) and self._ticks_us[self._ticks_count] <= event.at_us:
            tick_us = self._ticks_us[self._ticks_count]
            self._ticks_count += 1
            self._settle(replay, tick_us)
            self._open |= {core: (tick_us, None) for core in replay.cores() if _has_chance(replay, core)}
        self._settle(replay, event.at_us)
        core = _fetched_from(replay, event)
        if core in self._open:
            tick_us, row = self._open.pop(core)
            self.by_heat.add(row or _heat(replay, core, event.at_us) or COLD, taken=True)

    def _settle(self, replay: Replay, now_us: int) -> None:
        """Name the rows that show by now, and close what was not taken in time; who shares no more had no chance."""
        for core, (tick_us, known) in list(self._open.items()):
            row = known
            if row is None and now_us > tick_us + TICK_SWITCH_US:
                row = _heat(replay, core, tick_us + TICK_SWITCH_US)
                self._open[core] = tick_us, row
            is_over = now_us > tick_us + TICK_FETCH_US
            if is_over and row is not None and _has_chance(replay, core):
                self.by_heat.add(row, taken=False)
            if is_over or not _has_chance(replay, core):
                del self._open[core]


def _has_chance(replay: Replay, core: int) -> bool:
    return bool(replay.waiting(core)) and bool(replay.idle_cores())


def _heat(replay: Replay, core: int, now_us: int) -> str | None:
    hot = replay.all_hot([core], now_us)
    return None if hot is None else HOT if hot else COLD


class Falls:
    """Cores that fall idle while a task waits elsewhere."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.by_heat = Tally((HOT, COLD))
        # By core: when it fetched somebody while its last task was still on it, and the row.
        self._fetched: dict[int, tuple[int, str]] = {}

    def see(self, replay: Replay, event: Event) -> None:
        """Remember what a core fetches, and see whether it was about to fall idle."""
        if isinstance(event, Migration):
            self._see_fetch(replay, event)
        elif isinstance(event, Switch) and event.left_pid != IDLE_PID:
            fetched_us, row = self._fetched.pop(event.core_index, (0, ""))
            if event.left_runnable:
                return
            if row and event.at_us - fetched_us <= FALL_IDLE_US:
                self.by_heat.add(row, taken=True)
            elif event.entered_pid == IDLE_PID and (missed := self._row(replay, event.core_index, event.at_us)):
                self.by_heat.add(missed, taken=False)

    def _see_fetch(self, replay: Replay, event: Migration) -> None:
        source = replay.place(event.pid)
        is_waiting = source is not None and event.pid in replay.waiting(source)
        if is_waiting and event.by_index == event.to_index and replay.has_somebody(event.to_index):
            self._fetched[event.to_index] = event.at_us, self._row(replay, event.to_index, event.at_us) or ""

    @staticmethod
    def _row(replay: Replay, core: int, now_us: int) -> str | None:
        hot = replay.all_hot((other for other in replay.cores() if other != core), now_us)
        return None if hot is None else HOT if hot else COLD


class Preemptions:
    """Tasks that wake beside a running one, and whether they took its place at once."""

    def __init__(self, phase_us: int | None, tick_us: int) -> None:
        """Begin at nothing; ticks fall at this phase, if that is known."""
        self._phase_us, self._tick_us = phase_us, tick_us
        self._tick_edges_us = [tick_us * part / TICK_PARTS_COUNT for part in range(1, TICK_PARTS_COUNT)]
        self.by_tick = Tally(row_names(self._tick_edges_us, "ms", 1000))
        self.by_run = Tally(row_names(RUN_EDGES_US, "ms", 1000))
        # By the task that woke: when, on which core, and how long the running one had run.
        self._open: dict[int, tuple[int, int, int]] = {}

    def see(self, replay: Replay, event: Event) -> None:
        """Remember who woke beside whom, and see who runs next."""
        for pid, (woke_us, _, _) in list(self._open.items()):
            if event.at_us - woke_us > AT_ONCE_US:
                self._close(pid, taken=False)
        if isinstance(event, Wakeup) and event.pid in replay.pids and replay.place(event.pid) is None:
            running = replay.running(event.core_index)
            if running is not None:
                run_us = replay.running_us(event.core_index, event.at_us)
                self._open[event.pid] = event.at_us, event.core_index, run_us
        elif isinstance(event, Switch):
            self._see_switch(event)

    def _see_switch(self, event: Switch) -> None:
        """Close those that woke on this core: only who takes a place that its owner did not give up has pre-empted."""
        for pid, (_, core, _) in list(self._open.items()):
            if core != event.core_index:
                continue
            if event.left_runnable and event.entered_pid == pid:
                self._close(pid, taken=True)
            else:
                del self._open[pid]

    def _close(self, pid: int, *, taken: bool) -> None:
        woke_us, _, run_us = self._open.pop(pid)
        self.by_run.add(self.by_run.rows[bisect_right(RUN_EDGES_US, run_us)], taken=taken)
        if self._phase_us is not None:
            after_us = (woke_us - self._phase_us) % self._tick_us
            self.by_tick.add(self.by_tick.rows[bisect_right(self._tick_edges_us, after_us)], taken=taken)
