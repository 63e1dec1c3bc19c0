"""The roster: the agents of this container by name, from their first program to their death."""

from __future__ import annotations

import os

from .children import OOM_SCORE, Child, fork_agent, protect
from .program import first_index
from .signals import SIGKILL
from .wire import LineReader, WireError, error_line, quote, steps_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .memory import Memory

AGENTS_COUNT_MAX = 4096


class Roster:
    """Forks agents, gives them programs and PID 1's memory, and says how they died."""

    __slots__ = (
        "_asks_in",
        "_asks_reader",
        "_by_slot",
        "_children",
        "_count_oom_kills",
        "_leaked",
        "_main",
        "_oom_kills_seen",
        "_slots_count",
        "asks",
    )

    def __init__(self, count_oom_kills: Callable[[], int]) -> None:
        self._children: dict[str, Child] = {}
        self._by_slot: dict[int, Child] = {}
        self._count_oom_kills = count_oom_kills
        self._oom_kills_seen = count_oom_kills()
        self._leaked: list[Memory] = []
        self._main = False
        self._slots_count = 0
        self.asks, self._asks_in = os.pipe()
        self._asks_reader = LineReader(self.asks)

    @property
    def empty(self) -> bool:
        """Whether no agent's process is there."""
        return not self._children

    def submit(self, head: dict[str, Any], line: bytes, steps_start: int, epoch_s: float) -> Child:
        """Give a program to its agent, whose process is started if it is not there.

        `WireError` if the agent is busy, OSError if its process cannot be started.
        """
        name = head["agent"]
        child = self._children.get(name)
        if child is not None and child.busy:
            msg = f"agent {name} is still at program {child.program}"
            raise WireError(msg)
        if head["process"] == "main" and not self._main:
            self._expose()
        if child is None:
            child = self._fork(name, epoch_s)
        child.submit(head["id"], first_index(line, steps_start), line)
        return child

    def by_inlet(self, inlet: int) -> Child | None:
        """The agent that takes its programs from this descriptor."""
        return next((child for child in self._children.values() if child.inlet == inlet), None)

    def serve_asks(self) -> None:
        """Touch or give back PID 1's memory as the agents ask."""
        for line in self._asks_reader.read() or ():
            slot, verb, size = line.split()
            child = self._by_slot.get(int(slot))
            if child is None:
                continue
            if verb == b"hold":
                child.memory.hold(int(size))
            elif verb == b"leak":
                child.memory.leak(int(size))
            else:
                child.memory.release()
            child.send(b"\n")

    def bury(self, at_s: float) -> Iterator[bytes]:
        """Reap the dead, and give the lines that say what they had done, what was lost and of what they died."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = next((child for child in self._children.values() if child.pid == pid), None)
            if child is not None:
                yield from self._bury(child, os.waitstatus_to_exitcode(status), at_s)
            if not self._children:
                # Kills of an agent's crew explain no death of their own, and so none that is still to come.
                self._oom_kills_seen = self._count_oom_kills()

    def strike(self, name: str) -> bool:
        """Kill one agent, whose death is found as any other; False if there is none of that name."""
        child = self._children.get(name)
        if child is not None:
            _kill_group(child.pid)
        return child is not None

    def kill(self) -> None:
        """Kill every agent and wait until they are gone."""
        for child in self._children.values():
            _kill_group(child.pid)
        for child in self._children.values():
            os.waitpid(child.pid, 0)
        self._children.clear()

    def _fork(self, name: str, epoch_s: float) -> Child:
        if len(self._children) >= AGENTS_COUNT_MAX:
            msg = f"a container has at most {AGENTS_COUNT_MAX} agents"
            raise WireError(msg)
        self._slots_count += 1
        child = fork_agent(name, self._slots_count, epoch_s, self._asks_in, 0 if self._main else OOM_SCORE)
        self._children[name] = child
        self._by_slot[child.slot] = child
        return child

    def _expose(self) -> None:
        """Let the kernel choose by size alone from now on, because PID 1 is to hold memory itself."""
        self._main = True
        for child in self._children.values():
            protect(child.pid, 0)

    def _bury(self, child: Child, exit_code: int, at_s: float) -> Iterator[bytes]:
        _kill_group(child.pid)
        cause = self._cause(exit_code)
        rows = child.ledger.rows()
        if rows:
            yield from (line for line, _ in steps_lines(child.name, rows))
        if exit_code != -SIGKILL:
            yield error_line(f"agent {child.name} ended by itself with exit code {exit_code}")
        name = quote(child.name)
        step = child.lost_step()
        if step is not None:
            yield (
                f'{{"is":"lost","id":{child.program},"agent":{name},"step":{step},"cause":"{cause}","at":{at_s:.6f}}}\n'
            ).encode()
        yield f'{{"is":"killed","agent":{name},"cause":"{cause}","at":{at_s:.6f}}}\n'.encode()
        self._forget(child)

    def _cause(self, exit_code: int) -> str:
        """Whether the OOM killer did it: each kill that the kernel counts explains one death."""
        if exit_code != -SIGKILL or self._count_oom_kills() <= self._oom_kills_seen:
            return "killed"
        self._oom_kills_seen += 1
        return "oom"

    def _forget(self, child: Child) -> None:
        del self._children[child.name]
        del self._by_slot[child.slot]
        self._leaked.append(child.memory)
        child.close()


def _kill_group(pid: int) -> None:
    """Kill an agent, and the processes of its crew where it has got as far as making its group."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, SIGKILL)
        except ProcessLookupError:
            continue
