"""Processes that do the same kind of work beside one another, and never outlive the one that started them.

Each is a fresh interpreter (spawned, not forked: whoever starts them may have threads) and holds one end of a pipe of
which the other is here alone. Whatever closes that, an interrupted search or the death of this process, ends them on
the spot, in the middle of their work. Ctrl-C at a terminal is for all processes of a command; these are deaf to it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, TypeVar

from sim.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.connection import Connection

Result = TypeVar("Result")

LOST = "a process that simulates ended unasked, perhaps killed for want of memory; --jobs 1 needs no other process"


def usable_cores_count() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Not every system can tell.
        return os.cpu_count() or 1


class Processes:
    """At most `count` processes, each started when there is work for it."""

    def __init__(self, count: int) -> None:
        """Have started none."""
        context = multiprocessing.get_context("spawn")
        self._other_end, self._lifeline = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(self._other_end,))

    def results(self, work: Callable[..., Result], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """What the work comes to for each task's arguments, in their order; RequestError where a process was lost."""
        try:
            with _deaf_children():
                futures = [self._pool.submit(work, *task) for task in tasks]
            for future in futures:
                yield future.result()
        except BrokenProcessPool:
            raise RequestError(LOST) from None

    def close(self) -> None:
        """End every process at once and wait until it is gone."""
        self._lifeline.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._other_end.close()


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
    """Let what is started in here inherit that it does not hear Ctrl-C; one for this process waits until after."""
    masked = getattr(signal, "pthread_sigmask", None)  # Windows has none.
    before = masked(signal.SIG_BLOCK, {signal.SIGINT}) if masked else None
    try:
        yield
    finally:
        if masked:
            masked(signal.SIG_SETMASK, before)


def _begin(lifeline: Connection) -> None:
    """Watch the lifeline, in a process that has just been started."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Wait until the other end is closed, and end without another step."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)
