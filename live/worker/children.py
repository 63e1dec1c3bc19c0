"""The agents as the supervisor sees them: forks them, hands programs over, finds out how they died."""

from __future__ import annotations

import os
import sys

from .agent import Agent, MainMemory, serve
from .burner import Crew
from .disk import AgentFile, directory
from .ledger import IDLE, RUNNING, Ledger
from .memory import Memory
from .signals import SIG_DFL, SIGCHLD, SIGTERM, set_wakeup_fd, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .agent import StepMemory

# To the kernel's OOM killer an agent weighs as much as if it held half of the container's memory limit more,
# so it is chosen before PID 1, whose death would end the container.
OOM_SCORE = 500
FILES_COUNT_MAX = 65536


class Child:
    """One agent's process: its pipe, its ledger, the program it was last given, the memory PID 1 holds for it."""

    __slots__ = ("_first_step", "_inlet", "_serial", "ledger", "memory", "name", "pending", "pid", "program", "slot")

    def __init__(self, name: str, slot: int, pid: int, inlet: int, ledger: Ledger) -> None:
        self.name = name
        self.slot = slot
        self.pid = pid
        self.ledger = ledger
        self.memory = Memory()
        self.pending = memoryview(b"")
        self.program = -1
        self._inlet = inlet
        self._serial = 0
        self._first_step = 0

    @property
    def inlet(self) -> int:
        """The descriptor on which the agent takes its programs."""
        return self._inlet

    @property
    def busy(self) -> bool:
        """Whether a program is waiting or under way; one that is just being reported is neither."""
        return self.ledger.serial < self._serial or self.ledger.phase == RUNNING

    def submit(self, program: int, first_step: int, line: bytes) -> None:
        """Give the agent a program line."""
        self.program = program
        self._first_step = first_step
        self._serial += 1
        self.send(line + b"\n")

    def send(self, data: bytes) -> None:
        """Write to the agent what its pipe takes, and keep the rest as `pending`."""
        self.pending = memoryview(bytes(self.pending) + data if self.pending else data)
        self.feed()

    def feed(self) -> None:
        """Write of what is pending as much as the pipe takes now."""
        try:
            while self.pending:
                self.pending = self.pending[os.write(self._inlet, self.pending) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            # The agent is dead, which the supervisor is about to learn.
            pass
        self.pending = memoryview(b"")

    def lost_step(self) -> int | None:
        """For a dead agent: the index of the step it was at; None if it had no program.

        An agent that died while it reported its program's end counts as having one: if the report got out,
        the driver knows the outcome and ignores a second one.
        """
        if self.ledger.serial < self._serial:
            return self._first_step
        return None if self.ledger.phase == IDLE or not self._serial else self.ledger.step

    def close(self) -> None:
        """Give back what the supervisor keeps for this agent, but not what it leaked."""
        os.close(self._inlet)
        self.ledger.close()
        self.memory.release()


def protect(pid: int | str, score: int) -> None:
    """Set how likely the kernel's OOM killer is to choose a process; without the right to, leave it."""
    try:
        fd = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY)
    except OSError:
        return
    try:
        os.write(fd, b"%d" % score)
    except OSError:
        pass
    finally:
        os.close(fd)


def close_others(keep: set[int]) -> None:
    """Close every descriptor but stdout, stderr and `keep`, so that the ends of other processes' pipes can close."""
    start = 0
    for fd in sorted(keep | {1, 2}):
        # An empty range would be taken for one without an end.
        if start < fd:
            os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, FILES_COUNT_MAX)


def fork_agent(name: str, slot: int, epoch_s: float, asks: int, oom_score: int) -> Child:
    """Start the process of an agent; `asks` is where it asks for PID 1's memory.

    OSError where the container has as many processes as it may have, or no memory for one more.
    """
    ledger = Ledger()
    outlet, inlet = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(outlet)
        os.close(inlet)
        ledger.close()
        raise
    if pid == 0:
        _become_agent(name, slot, epoch_s, asks, oom_score, outlet, ledger)
    os.close(outlet)
    os.set_blocking(inlet, False)
    return Child(name, slot, pid, inlet, ledger)


def _become_agent(
    name: str, slot: int, epoch_s: float, asks: int, oom_score: int, inlet: int, ledger: Ledger
) -> NoReturn:
    """Turn this freshly forked process into the agent."""
    try:
        set_wakeup_fd(-1)
        signal(SIGTERM, SIG_DFL)
        signal(SIGCHLD, SIG_DFL)
        os.setpgid(0, 0)
        if oom_score:
            protect("self", oom_score)
        close_others({asks, inlet})
        crew = Crew(close_others)
        memories: dict[str, StepMemory] = {"own": Memory(), "main": MainMemory(slot, asks, inlet)}
        file = AgentFile(directory(), name)
        serve(Agent(name, epoch_s, 1, ledger, memories, crew, file), inlet)
    except BaseException:  # noqa: BLE001 - whatever it is, it must not run on as a second supervisor.
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)
