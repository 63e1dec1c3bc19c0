"""Calls that take time, made in threads; what follows from each of them happens in the loop.

There are two kinds. Those to the engine are few at a time, because it saturates. Those that mostly wait, for a
container to say its first word or to end, need a thread each: were they few, one slow container would hold up others.
"""

from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING

from live.errors import MachineBug, RunEnded
from live.real_time import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from live.real_time import LiveEnvironment

# As many containers as there may be, and again as many that are ending.
WAITS_MAX = 512


class SlowCalls:
    """Makes the calls of one machine. Each gives an event that has the call's outcome, once that was dealt with."""

    def __init__(self, env: LiveEnvironment) -> None:
        """Have nothing under way."""
        self._env = env
        self._pool = futures.ThreadPoolExecutor(WAITS_MAX, thread_name_prefix="live-wait")
        self._waits: set[futures.Future[None]] = set()

    def engine(self, work: Callable[[], object], settle: Callable[[object], object]) -> simpy.Event:
        """Have the engine do something, then `settle` the outcome before anybody who waits sees it."""
        return self._then(self._env.call(work), settle)

    def patient(self, work: Callable[[], object], settle: Callable[[object], object]) -> simpy.Event:
        """The same for what mostly waits."""
        call = self._env.event()
        self._env.hold_open()
        wait = self._pool.submit(self._work_and_post, work, call)
        self._waits.add(wait)
        wait.add_done_callback(self._waits.discard)
        return self._then(call, settle)

    def end(self, patience_s: float) -> None:
        """Begin nothing any more, and wait so long for what is under way."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        futures.wait(tuple(self._waits), timeout=patience_s)

    def _then(self, call: simpy.Event, settle: Callable[[object], object]) -> simpy.Event:
        done = self._env.event()

        def conclude(_: simpy.Event) -> None:
            if isinstance(call.value, Failed):
                done.fail(MachineBug(call.value.text))
                return
            settle(call.value)
            done.succeed(call.value)

        assert call.callbacks is not None
        call.callbacks.append(conclude)
        return done

    def _work_and_post(self, work: Callable[[], object], call: simpy.Event) -> None:
        try:
            value = work()
        except Exception as problem:  # noqa: BLE001  # Whatever it raises, the loop must hear of it.
            value = Failed(f"{type(problem).__name__}: {problem}")

        def deliver() -> None:
            self._env.let_close()
            call.succeed(value)

        try:
            self._env.post(deliver)
        except RunEnded:
            self._env.let_close()
