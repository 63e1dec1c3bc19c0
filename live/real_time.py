"""A SimPy environment that runs in real time and can be woken from other threads.

The loop owns everything: processes, stores and the record belong to the thread that calls `run`.
Other threads may do one thing, `post` a callable; it becomes an ordinary event at the moment it arrived,
so outside happenings sort among the timers and `now` never runs backwards.
`now` moves only in the run loop: it cannot time code that does not wait. Seconds are real and never hurried.

SimPy's own real-time environment will not do: an empty schedule ends its run, a sleep cannot be woken,
an event from another thread is stamped with the time of the event before it, and lateness raises or vanishes.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from concurrent import futures
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import simpy

from live.errors import RunEnded
from live.lag import LagHistogram

if TYPE_CHECKING:
    from collections.abc import Callable

# Slow calls under way at once: an engine saturates far below that, and each holds a connection.
CALLS_MAX = 32

# Posts not yet taken in; beyond it the posting thread waits, which holds back whoever feeds it.
POSTS_MAX = 100_000

# One wait's length, since a lock takes no infinite time-out.
WAIT_S_MAX = 3600.0


@dataclass(frozen=True, slots=True)
class Failed:
    """A call raised; `text` is the exception's type and message. Exceptions themselves never cross an event."""

    text: str


class LiveEnvironment(simpy.Environment):
    """A SimPy environment whose `step` waits for the next due event or for a post, whichever is first.

    Use it as a context manager: leaving ends the run, after which `post` raises `RunEnded`.
    """

    def __init__(self) -> None:
        """Start the run's clock at zero, now."""
        super().__init__(0.0)
        self.lag = LagHistogram()
        self.posts_held_count = 0
        self._epoch_s = time.monotonic()
        self._inbox: deque[tuple[float, Callable[[], object]]] = deque()
        self._changed = threading.Condition()
        self._loop_thread = threading.get_ident()
        self._sources_count = 0
        self._posted_event_ran = False
        self._interrupted = False
        self._ended = False
        self._pool = futures.ThreadPoolExecutor(CALLS_MAX, thread_name_prefix="live-call")
        self._calls: set[futures.Future[None]] = set()

    def __enter__(self) -> Self:
        """The environment itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the run, whatever happened in it."""
        self.end()

    @property
    def epoch_s(self) -> float:
        """This process's monotonic clock when the run's clock was zero."""
        return self._epoch_s

    @property
    def interrupted(self) -> bool:
        """Whether an interrupt came that the loop has not raised."""
        return self._interrupted

    def clock(self) -> float:
        """The run's clock in seconds, read at this instant; it may be read in any thread."""
        return time.monotonic() - self._epoch_s

    # The door for other threads.

    def post(self, function: Callable[[], object]) -> None:
        """Have the loop call `function` as an event of this moment; `RunEnded` once the run is over."""
        arrived_s = self.clock()
        with self._changed:
            self._wait_for_room()
            if self._ended:
                raise RunEnded
            self._inbox.append((arrived_s, function))
            self._changed.notify_all()

    def interrupt(self) -> None:
        """Have the loop raise KeyboardInterrupt before its next event: safe in a signal handler."""
        with self._changed:
            self._interrupted = True
            self._changed.notify_all()

    def hold_open(self) -> None:
        """Count one more source of posts: while there is one, an empty schedule waits instead of ending the run."""
        with self._changed:
            self._sources_count += 1

    def let_close(self) -> None:
        """Count one source of posts less."""
        with self._changed:
            self._sources_count -= 1
            self._changed.notify_all()

    # What the loop's own thread may ask.

    def call(self, function: Callable[[], object]) -> simpy.Event:
        """Run slow work in a thread: an event whose value is what `function` returned, or `Failed`."""
        done = self.event()
        with self._changed:
            if self._ended:
                raise RunEnded
            self._sources_count += 1
            call = self._pool.submit(self._call_and_post, function, done)
            self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return done

    def step(self) -> None:
        """Wait until an event is due, note how late it is, and process it."""
        self._wait_until_due()
        due_s, before_s = self.peek(), self.now
        lag_s = self.clock() - due_s
        self._posted_event_ran = False
        super().step()
        # Only timers can be late: posts and what follows in the same instant were never due ahead of time.
        if due_s > before_s and not self._posted_event_ran:
            self.lag.add(lag_s)

    def end(self, patience_s: float = 30.0) -> None:
        """End the run: refuse posts and new calls, and wait up to `patience_s` for the calls under way."""
        with self._changed:
            self._ended = True
            self._inbox.clear()
            self._changed.notify_all()
        self._pool.shutdown(wait=False, cancel_futures=True)
        futures.wait(tuple(self._calls), timeout=patience_s)

    def _wait_for_room(self) -> None:
        if len(self._inbox) < POSTS_MAX or threading.get_ident() == self._loop_thread:
            return
        self.posts_held_count += 1
        self._changed.wait_for(lambda: len(self._inbox) < POSTS_MAX or self._ended)

    def _call_and_post(self, function: Callable[[], object], done: simpy.Event) -> None:
        try:
            value = function()
        except BaseException as problem:  # noqa: BLE001  Whatever ends the call, the waiting process must hear of it.
            value = Failed(f"{type(problem).__name__}: {problem}")

        def deliver() -> None:
            self.let_close()
            done.succeed(value)

        try:
            self.post(deliver)
        except RunEnded:
            self.let_close()

    def _wait_until_due(self) -> None:
        with self._changed:
            while True:
                if self._interrupted:
                    self._interrupted = False
                    raise KeyboardInterrupt
                self._take_posts_in()
                due_s = self.peek()
                if due_s == math.inf and not self._sources_count:
                    return
                ahead_s = due_s - self.clock()
                if ahead_s <= 0:
                    return
                self._changed.wait(min(ahead_s, WAIT_S_MAX))

    def _take_posts_in(self) -> None:
        # Bounded by the length at entry, so a flood of posts cannot keep a due timer from being seen.
        posts_count = len(self._inbox)
        for _ in range(posts_count):
            arrived_s, function = self._inbox.popleft()
            event = self.timeout(max(0.0, arrived_s - self.now))
            assert event.callbacks is not None
            event.callbacks.append(self._runner(function))
        if posts_count >= POSTS_MAX:
            self._changed.notify_all()

    def _runner(self, function: Callable[[], object]) -> Callable[[simpy.Event], None]:
        def run(_: simpy.Event) -> None:
            self._posted_event_ran = True
            function()

        return run
