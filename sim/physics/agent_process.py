"""An agent's process in a simulated container: runs programs stage by stage, as the real worker does.

It is driven by callbacks of the CPU model and bare time-outs; there is no SimPy process in it.
Its counterpart is `live/worker/agent.py`; the two share the definition of latency (`sim.machine.StepDone`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sim.machine import Compute, Erase, Finished, Hold, Program, Read, Release, Sleep, Step, StepDone, Write
from sim.physics.cpu import Task
from sim.physics.memory import INIT, PAGE_TABLE_RATIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim.physics.container import SimulatedContainer

# The worker writes memory in pieces of this size (`live/worker/memory.py`), at most so many in the model.
_PIECE_BYTES = 1 << 20
_PIECES_MAX = 16
# The worker reports finished steps together, at most so often and at the end of a program (`live/worker/agent.py`).
# What was not reported when the container goes is lost with it.
_REPORT_INTERVAL_S = 1.0


class AgentProcess:
    """One agent's process: its threads, its memory, and the program it runs."""

    def __init__(self, container: SimulatedContainer, agent: str, owner: str) -> None:
        """Belong to a container; `owner` is the process its memory is charged to."""
        self.agent = agent
        self.owner = owner
        self.alive = True
        self.held_bytes = 0
        self.leaked_bytes = 0
        self.threads_bytes = 0
        self._container = container
        self._tasks = [Task(container.name)]
        self._program: Program | None = None
        self._report: Callable[[Finished], None] | None = None
        self._position = 0
        self._token = 0
        # Steps that are done and not yet reported, and when the last were.
        self._kept: list[StepDone] = []
        self._reported_s = 0.0

    @property
    def step_index(self) -> int:
        """The index of the step under way or next to come."""
        if self._program is None or not self._program.steps:
            return 0
        return self._program.steps[min(self._position, len(self._program.steps) - 1)].index

    @property
    def unreported_index(self) -> int:
        """The index of the first step that nobody was told of: what is lost with the container."""
        return self._kept[0].index if self._kept else self.step_index

    @property
    def own_bytes(self) -> int:
        """The memory of its threads and what it touched for itself; what PID 1 holds in its place is not among it."""
        return self.threads_bytes + (0 if self.owner == INIT else self.held_bytes + self.leaked_bytes)

    @property
    def busy(self) -> bool:
        """Whether a program is under way."""
        return self._program is not None

    def begin(self, program: Program, report: Callable[[Finished], None]) -> None:
        """Run a program; `report` is called once, when its last step is done."""
        self._program, self._report, self._position = program, report, 0
        self._reported_s = self._container.now
        self._approach(self._container.now)

    def report(self) -> None:
        """Tell of the steps that are done; where the process was killed, the supervisor does it in its place."""
        kept, self._kept = self._kept, []
        for done in kept:
            self._container.observer.step(done)
        self._reported_s = self._container.now

    def kill(self) -> None:
        """End at once, wherever it is; nothing is reported."""
        self.alive = False
        self._token += 1
        self._program = None
        for task in self._tasks:
            self._container.cpu.cancel(task)

    # A program.

    def _approach(self, finished_s: float) -> None:
        """Sleep until the next step is due, or end the program."""
        program = self._program
        if program is None:
            return
        if self._position >= len(program.steps):
            self._end(finished_s)
            return
        step = program.steps[self._position]
        due_s = step.due_s if step.due_s is not None else finished_s + step.think_s
        if due_s >= program.until_s:
            self._end(finished_s)
            return
        if self._kept and due_s - self._reported_s >= _REPORT_INTERVAL_S:
            self.report()
        self.sleep_until(due_s, lambda: _StepUnderWay(self, self._container, step, due_s).begin())

    def _end(self, finished_s: float) -> None:
        program, report = self._program, self._report
        self._program, self._report = None, None
        self.report()
        if program is not None and report is not None:
            report(Finished(program.agent, self._position, finished_s))

    def step_finished(self, done: StepDone) -> None:
        """Keep a step for the next report, and go on to the next step."""
        self._kept.append(done)
        self._position += 1
        self._approach(done.finish_s)

    # What a stage needs of its process.

    def sleep_until(self, at_s: float, then: Callable[[], object]) -> None:
        """Call `then` at a time, late by what a timer is late; at once where the time has passed."""
        self._wait_until(at_s, self._container.profile.wake_s_mean, then)

    def stall_until(self, at_s: float, then: Callable[[], object]) -> None:
        """Call `then` when a disk is ready, at once where it is; a disk's own wake-up is in its constants."""
        self._wait_until(at_s, 0.0, then)

    def _wait_until(self, at_s: float, late_s: float, then: Callable[[], object]) -> None:
        wait_s = at_s - self._container.now
        if wait_s <= 0:
            then()
            return
        token = self._token
        self._container.after(wait_s + late_s, lambda: then() if token == self._token else None)

    def burn(self, cpu_s: float, threads_count: int, then: Callable[[], object]) -> None:
        """Burn CPU on so many threads; `then` is called when the last is done."""
        hired_count = threads_count - len(self._tasks)
        if hired_count > 0:
            self._tasks += [Task(self._container.name) for _ in range(hired_count)]
            if not self._container.hire(self, hired_count):
                return
        left = threads_count

        def one_done() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                then()

        for task in self._tasks[:threads_count]:
            self._container.cpu.run(task, cpu_s / threads_count, one_done)


class _StepUnderWay:
    """One step being run: which stage, since when, and what it cost so far."""

    __slots__ = (
        "_container",
        "_cpu_s",
        "_due_s",
        "_latency_s",
        "_process",
        "_stage",
        "_stage_due_s",
        "_step",
        "_wait_s",
    )

    def __init__(self, process: AgentProcess, container: SimulatedContainer, step: Step, due_s: float) -> None:
        self._process = process
        self._container = container
        self._step = step
        self._due_s = due_s
        self._stage_due_s = due_s
        self._stage = 0
        self._latency_s = 0.0
        self._cpu_s = 0.0
        self._wait_s = 0.0

    def begin(self) -> None:
        """Pay what a step costs beyond its demand, then start on its stages."""
        self._process.burn(self._container.profile.step_cpu_s, 1, self._next)

    def _next(self) -> None:
        if not self._process.alive:
            return
        if self._stage >= len(self._step.work):
            self._finish()
            return
        work = self._step.work[self._stage]
        self._stage += 1
        if isinstance(work, Sleep):
            planned_s = self._stage_due_s + work.duration_s
            self._stage_due_s = planned_s
            self._process.sleep_until(planned_s, self._next)
        elif isinstance(work, Compute):
            self._compute(work)
        elif isinstance(work, Hold):
            self._touch(work, _pieces_count(work.memory_bytes), 0)
        elif isinstance(work, Release):
            held = self._process.held_bytes
            self._release(held, _pieces_count(held), 0)
        elif isinstance(work, Write):
            self._write(work, _pieces_count(work.size_bytes), 0)
        elif isinstance(work, Read):
            self._read(work)
        elif isinstance(work, Erase):
            self._erase()

    def _worked(self) -> None:
        """Close a working stage: from when it was due to now is latency."""
        now = self._container.now
        self._latency_s += now - self._stage_due_s
        self._stage_due_s = now
        self._next()

    def _compute(self, work: Compute) -> None:
        due_s = self._stage_due_s

        def burnt() -> None:
            self._cpu_s += work.cpu_s
            self._wait_s += max(0.0, self._container.now - due_s - work.cpu_s / work.threads)
            self._worked()

        self._process.burn(work.cpu_s, work.threads, burnt)

    def _touch(self, work: Hold, pieces: int, piece: int) -> None:
        """Touch memory piece by piece, so that a limit is met where it lies."""
        if piece == pieces:
            self._worked()
            return
        size = _piece_bytes(work.memory_bytes, pieces, piece)

        def touched() -> None:
            process = self._process
            charged = size + int(size * PAGE_TABLE_RATIO)
            if not self._container.charge(process, charged):
                return
            if work.leak:
                process.leaked_bytes += charged
            else:
                process.held_bytes += charged
            process.stall_until(self._container.room_s, lambda: self._touch(work, pieces, piece + 1))

        self._process.burn(size * self._container.profile.touch_s_per_byte, 1, touched)

    def _release(self, held: int, pieces: int, piece: int) -> None:
        """Give memory back piece by piece, so that others find room as it becomes free."""
        if piece == pieces:
            self._worked()
            return
        size = _piece_bytes(held, pieces, piece)

        def released() -> None:
            self._container.memory.give_back(self._process.owner, size)
            self._process.held_bytes -= size
            self._release(held, pieces, piece + 1)

        self._process.burn(size * self._container.profile.release_s_per_byte, 1, released)

    def _write(self, work: Write, pieces: int, piece: int) -> None:
        """Write piece by piece, so that a full disk is met where it lies; from there on the rest is left."""
        if piece == pieces:
            self._worked()
            return
        size = _piece_bytes(work.size_bytes, pieces, piece)

        def written() -> None:
            stored = self._container.store(self._process, size)
            if not self._process.alive:
                return
            if stored < size:
                self._container.tell_full(self._process.agent)
                self._worked()
                return
            self._process.stall_until(self._container.room_s, lambda: self._write(work, pieces, piece + 1))

        storage = self._container.storage
        self._process.burn(0.0 if storage is None else storage.append_cpu_s(size), 1, written)

    def _read(self, work: Read) -> None:
        """Read the agent's file piece by piece, each when the disk has brought what of it is not in memory."""
        storage, agent = self._container.storage, self._process.agent
        if storage is None:
            self._worked()
            return
        whole_bytes = min(work.size_bytes, storage.file_bytes(agent))
        # Page cache knows whole megabytes, each of which is to be read once.
        piece_bytes = _PIECE_BYTES * max(1, math.ceil(whole_bytes / _PIECE_BYTES / _PIECES_MAX))

        def read_from(start_bytes: int) -> None:
            if start_bytes >= whole_bytes:
                self._worked()
                return
            end_bytes = min(whole_bytes, start_bytes + piece_bytes)
            cpu_s, ready_s = storage.read(agent, start_bytes, end_bytes)
            self._process.stall_until(ready_s, lambda: self._process.burn(cpu_s, 1, lambda: read_from(end_bytes)))

        read_from(0)

    def _erase(self) -> None:
        """Delete the agent's file: its pages go back as any others."""
        storage, agent = self._container.storage, self._process.agent
        if storage is None:
            self._worked()
            return

        def erased() -> None:
            self._process.stall_until(storage.erase(agent), self._worked)

        self._process.burn(storage.erase_cpu_s(agent), 1, erased)

    def _finish(self) -> None:
        self._process.step_finished(
            StepDone(
                container=self._container.name,
                agent=self._process.agent,
                index=self._step.index,
                due_s=self._due_s,
                finish_s=self._container.now,
                latency_s=self._latency_s,
                cpu_s=self._cpu_s,
                cpu_wait_s=self._wait_s,
                last=self._step.last,
            )
        )


def _pieces_count(memory_bytes: int) -> int:
    return max(1, min(_PIECES_MAX, math.ceil(memory_bytes / _PIECE_BYTES)))


def _piece_bytes(memory_bytes: int, pieces: int, piece: int) -> int:
    return memory_bytes * (piece + 1) // pieces - memory_bytes * piece // pieces


def memory_owner(program: Program) -> str:
    """The process that a program's memory is charged to: its own, or PID 1."""
    return INIT if program.process == "main" else program.agent
