"""The outlet: stdout as the supervisor and the agents share it.

The descriptor does not block, because the flag belongs to the pipe they all share: the supervisor must never
wait for a slow driver, so it queues; an agent waits until the line is out, so that no outcome is ever lost.
"""

from __future__ import annotations

import os
import select
import stat

QUEUED_LINES_MAX = 256
QUEUED_SAMPLES_MAX = 16


class DriverGone(Exception):
    """Nobody reads what the worker writes any more."""


def unblock(fd: int) -> None:
    """Make a pipe's descriptor non-blocking; anything else (a file, a terminal) is left alone."""
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.set_blocking(fd, False)


def write_whole(fd: int, line: bytes) -> None:
    """Write a line, waiting as long as the pipe is full."""
    while line:
        try:
            line = line[os.write(fd, line) :]
        except BlockingIOError:
            room = select.poll()
            room.register(fd, select.POLLOUT)
            room.poll()
        except BrokenPipeError:
            raise DriverGone from None


class Outlet:
    """The supervisor's lines to the driver: written at once where possible, else queued, within a bound.

    When the driver does not read, samples of the grid are dropped and counted; outcomes and answers never are.
    """

    __slots__ = ("_queue", "_samples_queued", "fd", "samples_dropped")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.samples_dropped = 0
        self._samples_queued = 0
        self._queue: list[bytes] = []

    @property
    def waiting(self) -> bool:
        """Whether lines are queued."""
        return bool(self._queue)

    @property
    def full(self) -> bool:
        """Whether so much is queued that nothing more may be asked for."""
        return len(self._queue) >= QUEUED_LINES_MAX

    def say(self, line: bytes) -> None:
        """Send a line that must not be lost."""
        self._queue.append(line)
        self.flush()

    def say_sample(self, line: bytes) -> bool:
        """Send a sample that nobody asked for, or drop and count it where too many are queued."""
        if self._samples_queued >= QUEUED_SAMPLES_MAX:
            self.samples_dropped += 1
            return False
        self.say(line)
        self._samples_queued += self.waiting
        return True

    def flush(self) -> None:
        """Write what the pipe takes now."""
        written = 0
        try:
            for line in self._queue:
                sent = os.write(self.fd, line)
                if sent < len(line):
                    self._queue[written] = line[sent:]
                    break
                written += 1
        except BlockingIOError:
            pass
        except BrokenPipeError:
            raise DriverGone from None
        del self._queue[:written]
        if not self._queue:
            self._samples_queued = 0
