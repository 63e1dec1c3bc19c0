"""The supervisor: PID 1 of the container, between the driver on stdin and stdout and the agents.

It forks an agent's process when that agent gets its first program, hands programs over, reads the container's
counters on a fixed grid, reaps the dead and says what died of what. It ends with the driver: when stdin
closes, nothing may go on burning CPU.
"""

from __future__ import annotations

import gc
import os
import select
from time import monotonic, sleep

from .cgroup import own_cgroup
from .outlet import DriverGone, Outlet, unblock
from .program import split
from .roster import Roster
from .sampling import Sampler
from .signals import SIGCHLD, SIGTERM, set_wakeup_fd, signal
from .wire import LineReader, WireError, decode, error_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

# Environment variables: how long to sleep before being ready, and whether to answer the engine's health check
# (`health.py` says what else its value means, but is imported only where it is needed).
START_DELAY = "TONNAGE_START_DELAY_S"
HEALTH = "TONNAGE_HEALTH"

HANG_S_MAX = 86_400.0
EXIT_CODE_MAX = 255
STDIN, STDOUT = 0, 1
PATIENCE_MS_MAX = 60_000
_SUBMIT = b'"steps":'


class Supervisor:
    """Serves one driver until it says exit, closes stdin, or SIGTERM comes."""

    __slots__ = (
        "_begun",
        "_cgroup",
        "_ending",
        "_epoch_s",
        "_exit_code",
        "_on_input",
        "_orders",
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
        self._begun = False
        self._ending = False
        self._exit_code = 0
        self._throttled = False
        self._wake_out, self._wake_in = os.pipe()
        self._poll = select.poll()
        self._on_input: dict[int, Callable[[], None]] = {
            STDIN: self._read_driver,
            STDOUT: self._out.flush,
            self._wake_out: self._bury,
            self._roster.asks: self._roster.serve_asks,
        }
        self._orders: dict[str, Callable[[dict[str, Any]], None]] = {
            "clock": self._tell_clock,
            "begin": self._begin,
            "sample": self._tell_sample,
            "kill": self._kill,
            "hang": self._hang,
            "exit": self._exit,
        }

    def serve(self, start_delay_s: float) -> int:
        """Be ready after the delay, serve until the end, then kill the agents; returns the exit code."""
        self._listen_to_signals()
        self._sleep(start_delay_s)
        try:
            if not self._ending:
                self._listen()
                self._say_ready()
            while not self._ending:
                self._turn()
        except DriverGone:
            pass
        self._roster.kill()
        return self._exit_code

    # Waiting for what happens.

    def _listen_to_signals(self) -> None:
        os.set_blocking(self._wake_in, False)
        set_wakeup_fd(self._wake_in, warn_on_full_buffer=False)
        signal(SIGCHLD, _do_nothing)
        signal(SIGTERM, self._on_sigterm)
        self._poll.register(self._wake_out, select.POLLIN)

    def _sleep(self, duration_s: float) -> None:
        """Do nothing for so long, unless SIGTERM comes: only signals are registered yet."""
        until_s = monotonic() + duration_s
        while not self._ending and (left_s := until_s - monotonic()) > 0:
            if self._poll.poll(min(left_s * 1e3, PATIENCE_MS_MAX)):
                self._bury()

    def _listen(self) -> None:
        unblock(STDOUT)
        for fd in (STDIN, self._roster.asks):
            self._poll.register(fd, select.POLLIN)
        if os.environ.get(HEALTH):
            from .health import Bedside

            bedside = Bedside()
            self._on_input[bedside.fd] = bedside.answer
            self._poll.register(bedside.fd, select.POLLIN)

    def _on_sigterm(self, *_: object) -> None:
        self._ending = True

    def _turn(self) -> None:
        """Wait for something to happen, and deal with it."""
        for fd, _ in self._poll.poll(self._patience_ms()):
            deal = self._on_input.get(fd)
            if deal is None:
                self._feed(fd)
            else:
                deal()
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
            if self._ending:
                return
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
        obey = self._orders.get(verb)
        if obey is None:
            msg = f"unknown order {verb!r}; known are submit, {', '.join(self._orders)}"
            raise WireError(msg)
        obey(order)

    def _tell_clock(self, order: dict[str, Any]) -> None:
        self._out.say(f'{{"is":"clock","id":{order["id"]:d},"mono":{monotonic():.6f}}}\n'.encode())

    def _tell_sample(self, order: dict[str, Any]) -> None:
        self._out.say(self._sample(f"{order['id']:d}"))

    def _exit(self, order: dict[str, Any]) -> None:
        """End as a program does that fails, with an exit code."""
        code = order["code"]
        if not isinstance(code, int) or not 0 <= code <= EXIT_CODE_MAX:
            msg = f"an exit code is a whole number from 0 to {EXIT_CODE_MAX}, not {code!r}"
            raise WireError(msg)
        self._exit_code = code
        self._ending = True

    def _hang(self, order: dict[str, Any]) -> None:
        """Stand still as a program does that hangs: a signal that comes meanwhile is only noted."""
        for_s = float(order["for_s"])
        if not 0 < for_s <= HANG_S_MAX:
            msg = f"for_s is {for_s}; it must be above 0 and at most {HANG_S_MAX:.0f}"
            raise WireError(msg)
        # Sleeping goes on after a signal's handler has run.
        sleep(for_s)

    def _kill(self, order: dict[str, Any]) -> None:
        """Kill an agent's process."""
        number, name = order["id"], order["agent"]
        if not isinstance(number, int) or not isinstance(name, str):
            msg = f"a kill needs a number as id and an agent's name, not {number!r} and {name!r}"
            raise WireError(msg)
        struck = "true" if self._roster.strike(name) else "false"
        self._out.say(f'{{"is":"struck","id":{number:d},"ok":{struck}}}\n'.encode())

    def _begin(self, order: dict[str, Any]) -> None:
        epoch_s, interval_s = float(order["epoch"]), float(order["interval_s"])
        if self._begun or not self._roster.empty:
            msg = "a run cannot begin once one has begun, or agents are there"
            raise WireError(msg)
        if interval_s <= 0:
            msg = f"interval_s is {interval_s}; it must be above 0"
            raise WireError(msg)
        self._begun = True
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
    """Be the supervisor, and end with exit code 0 unless told another."""
    supervisor = Supervisor()
    # Everything imported lives as long as the process, and a collection would copy pages the agents share.
    gc.disable()
    gc.freeze()
    os._exit(supervisor.serve(float(os.environ.get(START_DELAY, "0"))))
