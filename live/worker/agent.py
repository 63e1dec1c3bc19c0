"""An agent: the forked process that runs one agent's programs, one after another.

It reads program lines from its own pipe and writes its reports to the stdout it shares with the supervisor,
so that a report is not late when the supervisor has to wait for CPU.
"""

from __future__ import annotations

import os
from time import monotonic, sleep

from .ledger import IDLE, TELLING
from .outlet import DriverGone, write_whole
from .program import split, steps
from .wire import WRITE_BYTES_MAX, LineReader, WireError, error_line, quote, steps_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, Protocol

    from .burner import Crew
    from .disk import AgentFile
    from .ledger import Ledger

    class StepMemory(Protocol):
        """Where an agent's memory is: its own, or the supervisor's."""

        def hold(self, size_bytes: int) -> None:
            """Touch memory and keep it until `release`."""

        def leak(self, size_bytes: int) -> None:
            """Touch memory and keep it for good."""

        def release(self) -> None:
            """Give back what is held."""


FLUSH_INTERVAL_S = 1.0


class MainMemory:
    """The memory of an agent that lives in PID 1: the supervisor touches it, the agent asks and waits."""

    __slots__ = ("_asks", "_holding", "_replies", "_slot")

    def __init__(self, slot: int, asks: int, replies: int) -> None:
        self._slot = slot
        self._asks = asks
        self._replies = replies
        self._holding = False

    def hold(self, size_bytes: int) -> None:
        """Have memory touched and kept until `release`."""
        self._holding = True
        self._ask("hold", size_bytes)

    def leak(self, size_bytes: int) -> None:
        """Have memory touched and kept for good."""
        self._ask("leak", size_bytes)

    def release(self) -> None:
        """Have what is held given back; nothing is asked where nothing is held."""
        if self._holding:
            self._holding = False
            self._ask("release", 0)

    def _ask(self, verb: str, size_bytes: int) -> None:
        os.write(self._asks, f"{self._slot} {verb} {size_bytes}\n".encode())
        if not os.read(self._replies, 1):
            raise DriverGone


class Agent:
    """Runs programs: waits until each step is due, does its work, keeps the account of it."""

    __slots__ = ("_crew", "_epoch_s", "_file", "_flushed_s", "_ledger", "_memories", "_memory", "_name", "_out")

    def __init__(
        self,
        name: str,
        epoch_s: float,
        out: int,
        ledger: Ledger,
        memories: dict[str, StepMemory],
        crew: Crew,
        file: AgentFile,
    ) -> None:
        self._name = name
        self._epoch_s = epoch_s
        self._out = out
        self._ledger = ledger
        self._memories = memories
        self._memory = memories["own"]
        self._crew = crew
        self._file = file
        self._flushed_s = 0.0

    def run(self, line: bytes) -> None:
        """Run the program in a submit line and report its steps and its end."""
        self._ledger.begin()
        head, start = split(line)
        text = line[start:].decode()
        # The bytes would count against the container's memory as long as the program runs.
        del line
        self._memory = self._memories[head["process"]]
        try:
            count, finish_s = self._run_steps(text, head["until"])
        except (WireError, ValueError, TypeError, IndexError) as error:
            self._memory.release()
            end = error_line(f"program {head['id']}: {error}", head["id"])
        else:
            end = self._finished_line(head["id"], count, finish_s)
        self._ledger.phase = TELLING
        self._tell(end)
        self._ledger.phase = IDLE

    def _run_steps(self, text: str, until_s: float) -> tuple[int, float]:
        count = 0
        finish_s = self._now()
        self._flushed_s = finish_s
        for index, due_s, think_s, work in steps(text):
            if due_s is None:
                due_s = finish_s + think_s  # noqa: PLW2901 - the due time is the same thing, now known.
            if due_s >= until_s:
                break
            self._ledger.step = index
            if count and due_s - self._flushed_s >= FLUSH_INTERVAL_S:
                self._flush()
            self._sleep_until(due_s)
            finish_s = self._run_step(index, due_s, work)
            count += 1
        return count, finish_s

    def _run_step(self, index: int, due_s: float, work: list[list[Any]]) -> float:
        """Do a step's stages; returns when the last of them finished.

        `stage_due_s` is when a stage should begin: when the working stage before it ended, or when the sleep
        before it should have ended, so that a late wake-up counts as the next stage's latency.
        """
        latency_s = cpu_s = cpu_wait_s = 0.0
        stage_due_s = due_s
        finish_s = self._now()
        for kind, *numbers in work:
            if kind == "sleep":
                stage_due_s += numbers[0]
                self._sleep_until(stage_due_s)
                finish_s = self._now()
                continue
            burnt_s, threads = self._do(kind, numbers)
            finish_s = self._now()
            latency_s += finish_s - stage_due_s
            if kind == "cpu":
                cpu_s += burnt_s
                cpu_wait_s += max(0.0, finish_s - stage_due_s - burnt_s / threads)
            stage_due_s = finish_s
        self._keep(b"[%d,%.6f,%.6f,%.6f,%.6f,%.6f]" % (index, due_s, finish_s, latency_s, cpu_s, cpu_wait_s))
        return finish_s

    def _do(self, kind: str, numbers: list[Any]) -> tuple[float, int]:
        """Do one working stage; returns the CPU seconds burnt and on how many threads."""
        if kind == "cpu":
            demand_s, threads = numbers
            return self._crew.burn(demand_s, threads), threads
        if kind == "hold":
            size_bytes, leak = numbers
            (self._memory.leak if leak else self._memory.hold)(size_bytes)
        elif kind == "release":
            self._memory.release()
        elif kind == "write":
            self._write(numbers[0])
        elif kind == "read":
            self._file.read(numbers[0])
        elif kind == "erase":
            self._file.erase()
        else:
            msg = f"unknown stage {kind!r}; known are sleep, cpu, hold, release, write, read, erase"
            raise WireError(msg)
        return 0.0, 1

    def _write(self, size_bytes: int) -> None:
        """Append to the agent's file; where it does not fit, say so and go on."""
        if not self._file.append(size_bytes):
            line = f'{{"is":"full","agent":{quote(self._name)},"at":{self._now():.6f}}}\n'
            write_whole(self._out, line.encode())

    def _now(self) -> float:
        return monotonic() - self._epoch_s

    def _sleep_until(self, at_s: float) -> None:
        while (left_s := at_s - self._now()) > 0:
            sleep(left_s)

    def _keep(self, row: bytes) -> None:
        if not self._ledger.add(row):
            self._flush()
            self._ledger.add(row)

    def _flush(self) -> None:
        for line, size in steps_lines(self._name, self._ledger.rows()):
            write_whole(self._out, line)
            self._ledger.told(size)
        self._flushed_s = self._now()

    def _tell(self, end: bytes) -> None:
        """Report the rows kept and the program's end, in one write where they fit."""
        lines = list(steps_lines(self._name, self._ledger.rows())) if self._ledger.rows() else []
        if lines and len(lines[-1][0]) + len(end) <= WRITE_BYTES_MAX:
            last, size = lines.pop()
            lines.append((last + end, size))
        else:
            lines.append((end, 0))
        for line, size in lines:
            write_whole(self._out, line)
            if size:
                self._ledger.told(size)

    def _finished_line(self, program: int, count: int, finish_s: float) -> bytes:
        head = f'{{"is":"finished","id":{program},"agent":{quote(self._name)}'
        return f'{head},"count":{count},"finish":{finish_s:.6f}}}\n'.encode()


def serve(agent: Agent, inlet: int) -> NoReturn:
    """Run every program that comes through `inlet`, until it closes."""
    reader = LineReader(inlet)
    try:
        while (lines := reader.read()) is not None:
            while lines:
                agent.run(lines.pop(0))
    except DriverGone:
        pass
    os._exit(0)
