"""Burns CPU: a given amount of a thread's CPU time, however long that takes.

The CPU clock is not read, because each reading makes the kernel account the run time up to that moment and look whose
turn it is: a burner that looks at it, if only to see whether it is done, makes room for others there, where a real
program does so at the scheduler's ticks and when it sleeps. The wall clock makes the kernel account nothing (and is no
system call at all with the usual clock sources), so the loop reads that one and leaves out the gaps: while one of them
passed, somebody else was running. Shorter ones count as this thread's own, as interrupts are; `tests/live` holds how
near that comes, with and without others on the core.
"""

from __future__ import annotations

import os
from time import perf_counter_ns

from .signals import SIG_DFL, SIGCHLD, SIGKILL, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

# Between two readings of the wall clock: longer, and somebody else was running.
_GAP_NS_MIN = 500_000
_COUNT_BYTES = 8


def burn(cpu_ns: int) -> int:
    """Use `cpu_ns` nanoseconds of this thread's CPU time; returns what was used, by the wall clock less the gaps."""
    left_ns = cpu_ns
    last = perf_counter_ns()
    while left_ns > 0:
        now = perf_counter_ns()
        if now - last < _GAP_NS_MIN:
            left_ns -= now - last
        last = now
    return cpu_ns - left_ns


class Crew:
    """Burns CPU on several threads at once, each of them a process, because Python's threads take turns.

    The processes are made when first needed and kept, as a thread pool would be.
    """

    __slots__ = ("_close_others", "_members")

    def __init__(self, close_others: Callable[[set[int]], None]) -> None:
        self._members: list[tuple[int, int]] = []
        self._close_others = close_others

    def burn(self, cpu_s: float, threads: int) -> float:
        """Use `cpu_s` seconds of CPU time in all, evenly over `threads`; returns what was used."""
        share_ns = round(cpu_s * 1e9 / threads)
        while len(self._members) < threads - 1:
            self._members.append(self._hire())
        order = share_ns.to_bytes(_COUNT_BYTES, "little")
        busy = self._members[: threads - 1]
        for to_member, _ in busy:
            os.write(to_member, order)
        burnt_ns = burn(share_ns)
        for _, from_member in busy:
            reply = os.read(from_member, _COUNT_BYTES)
            if not reply:
                _die()
            burnt_ns += int.from_bytes(reply, "little")
        return burnt_ns / 1e9

    def _hire(self) -> tuple[int, int]:
        order_out, order_in = os.pipe()
        reply_out, reply_in = os.pipe()
        signal(SIGCHLD, _die)
        if os.fork() == 0:
            signal(SIGCHLD, SIG_DFL)
            self._close_others({order_out, reply_in})
            _serve(order_out, reply_in)
        os.close(order_out)
        os.close(reply_in)
        return order_in, reply_out


def _die(*_: object) -> NoReturn:
    """End this agent because the kernel has killed a member of its crew: no program outlives one of its threads."""
    os.kill(os.getpid(), SIGKILL)
    os._exit(1)


def _serve(orders: int, replies: int) -> NoReturn:
    while order := os.read(orders, _COUNT_BYTES):
        burnt_ns = burn(int.from_bytes(order, "little"))
        os.write(replies, burnt_ns.to_bytes(_COUNT_BYTES, "little"))
    os._exit(0)
