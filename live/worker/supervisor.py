"""The supervisor: PID 1 of the container, between the driver on stdin and stdout and the agents.

It forks an agent's process when that agent gets its first program, hands programs over, reads the container's
counters on a fixed grid, reaps the dead and says what died of what. It ends with the driver: when stdin
closes, nothing may go on burning CPU.
"""

from __future__ import annotations

import gc
import os
import select
from time import monotonic

from .cgroup import own_cgroup
from .outlet import DriverGone, Outlet, unblock
from .program import split
from .roster import Roster
from .sampling import Sampler
from .signals import SIGCHLD, SIGTERM, set_wakeup_fd, signal
from .wire import LineReader, WireError, decode, error_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

STDIN, STDOUT = 0, 1
PATIENCE_MS_MAX = 60_000
_SUBMIT = b'"steps":'


class Supervisor:
    """Serves one driver until it says stop, closes stdin, or SIGTERM comes."""

    __slots__ = (
        "_cgroup",
        "_ending",
        "_epoch_s",
        "_out",
        "_poll",
        "_reader",
        "_roster",
        "_sampler",
        "_throttled",
        "_wake_in",
        "_wake_out",
    )

    def __init__(self) -> None:
        self._out = Outlet(STDOUT)
        self._reader = LineReader(STDIN)
        self._cgroup = own_cgroup()
        self._sampler = Sampler(self._cgroup)
        self._roster = Roster(self._cgroup.oom_kills_count)
        self._epoch_s = 0.0
        self._ending = False
        self._throttled = False
        self._wake_out, self._wake_in = os.pipe()
        self._poll = select.poll()

    def serve(self) -> None:
        """Serve until the end, then kill the agents."""
        self._listen()
        try:
            self._say_ready()
            while not self._ending:
                self._turn()
        except DriverGone:
            pass
        self._roster.kill()

    # Waiting for what happens.

    def _listen(self) -> None:
        unblock(STDOUT)
        os.set_blocking(self._wake_in, False)
        set_wakeup_fd(self._wake_in, warn_on_full_buffer=False)
        signal(SIGCHLD, _do_nothing)
        signal(SIGTERM, self._on_sigterm)
        for fd in (STDIN, self._wake_out, self._roster.asks):
            self._poll.register(fd, select.POLLIN)

    def _on_sigterm(self, *_: object) -> None:
        self._ending = True

    def _turn(self) -> None:
        """Wait for something to happen, and deal with it."""
        for fd, _ in self._poll.poll(self._patience_ms()):
            if fd == STDIN:
                self._read_driver()
            elif fd == self._wake_out:
                self._bury()
            elif fd == self._roster.asks:
                self._roster.serve_asks()
            elif fd == STDOUT:
                self._out.flush()
            else:
                self._feed(fd)
        now_s = self._now()
        if now_s >= self._sampler.due_s:
            self._out.say_sample(self._sample("null"))
            self._sampler.plan(now_s)
        if self._out.waiting or self._throttled:
            self._throttle()

    def _patience_ms(self) -> float:
        return max(0.0, min((self._sampler.due_s - self._now()) * 1e3, PATIENCE_MS_MAX))

    def _throttle(self) -> None:
        """While the driver does not read, wait until it does, and take no more orders than there is room for."""
        self._throttled = self._out.waiting
        if self._out.waiting:
            self._poll.register(STDOUT, select.POLLOUT)
        else:
            self._poll.unregister(STDOUT)
        self._poll.register(STDIN, 0 if self._out.full else select.POLLIN)

    def _bury(self) -> None:
        os.read(self._wake_out, 4096)
        for line in self._roster.bury(self._now()):
            self._out.say(line)

    def _feed(self, inlet: int) -> None:
        """Write on with a program that did not fit its agent's pipe at once."""
        child = self._roster.by_inlet(inlet)
        if child is not None:
            child.feed()
        if child is None or not child.pending:
            self._poll.unregister(inlet)

    # What the driver says.

    def _read_driver(self) -> None:
        lines = self._reader.read()
        if lines is None:
            self._ending = True
            return
        for line in lines:
            self._obey(line)

    def _obey(self, line: bytes) -> None:
        try:
            if _SUBMIT in line:
                self._submit(line)
            elif line:
                self._answer(decode(line))
            else:
                self._out.say(error_line("a line is too long"))
        except WireError as error:
            self._out.say(error_line(str(error)))
        except (KeyError, TypeError, ValueError) as error:
            self._out.say(error_line(f"{type(error).__name__}: {error}"))

    def _answer(self, order: dict[str, Any]) -> None:
        verb = order["do"]
        if verb == "clock":
            self._out.say(f'{{"is":"clock","id":{order["id"]:d},"mono":{monotonic():.6f}}}\n'.encode())
        elif verb == "sample":
            self._out.say(self._sample(f"{order['id']:d}"))
        elif verb == "begin":
            self._begin(float(order["epoch"]), float(order["interval_s"]))
        elif verb == "stop":
            self._ending = True
        else:
            msg = f"unknown order {verb!r}; known are clock, begin, submit, sample, stop"
            raise WireError(msg)

    def _begin(self, epoch_s: float, interval_s: float) -> None:
        if not self._roster.empty:
            msg = "a run cannot begin while agents of another are there"
            raise WireError(msg)
        if interval_s <= 0:
            msg = f"interval_s is {interval_s}; it must be above 0"
            raise WireError(msg)
        self._epoch_s = epoch_s
        self._sampler.begin(interval_s, self._now())

    def _submit(self, line: bytes) -> None:
        head, start = split(line)
        try:
            child = self._roster.submit(head, line, start, self._epoch_s)
        except (WireError, OSError) as error:
            self._out.say(error_line(f"program {head['id']}: {error}", head["id"]))
        else:
            if child.pending:
                self._poll.register(child.inlet, select.POLLOUT)

    # What the supervisor says.

    def _now(self) -> float:
        return monotonic() - self._epoch_s

    def _say_ready(self) -> None:
        mono_s, pid, version = monotonic(), os.getpid(), self._cgroup.version
        self._out.say(f'{{"is":"ready","mono":{mono_s:.6f},"pid":{pid},"cgroup":{version}}}\n'.encode())

    def _sample(self, identity: str) -> bytes:
        return self._sampler.line(identity, self._now(), self._out.samples_dropped)


def _do_nothing(*_: object) -> None:
    """SIGCHLD's handler: there only so that the signal arrives and writes to the wake-up pipe."""


def main() -> NoReturn:
    """Be the supervisor, and end with exit code 0."""
    supervisor = Supervisor()
    # Everything imported lives as long as the process, and a collection would copy pages the agents share.
    gc.disable()
    gc.freeze()
    supervisor.serve()
    os._exit(0)
