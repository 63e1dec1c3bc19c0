"""The samples of containers that run a program of the user's own, read off the engine's streamed stats.

A stream that ends leads to a look at its container, which may have ended; one that goes on is followed anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from live.engine import engine_errors
from live.errors import RunEnded
from live.streamed_stats import StatsStream
from sim.machine import Refused
from sim.timers import after

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker
    import simpy

    from live.engine_events import EngineClock
    from live.line import Line
    from live.live_container import LiveContainer
    from live.real_time import LiveEnvironment
    from live.slow_calls import SlowCalls
    from sim.machine import Observer, Sample

    OnEnd = Callable[[LiveContainer, Line], object]

# Engines send about one sample a second, a little early or late: one that is less than this early is reported.
EARLY_S_MAX = 0.25
# Counters that are no older answer a question at once; an engine's next frame may be a second away, or five.
FRESH_S_MIN = 2.0
# How long after a stream ended the next is asked for, and how many in a row that tell nothing.
PAUSE_S = 1.0
STREAMS_MAX = 5
SILENT = "the engine sends no counters of it"


class ForeignSamples:
    """Follows the stats of foreign containers while they are up; others it leaves alone."""

    def __init__(
        self,
        env: LiveEnvironment,
        client: docker.DockerClient,
        clock: EngineClock,
        calls: SlowCalls,
        observer: Observer,
        interval_s: float,
    ) -> None:
        """Follow nobody."""
        self._env = env
        self._client = client
        self._clock = clock
        self._calls = calls
        self._observer = observer
        self._interval_s = interval_s
        self._fresh_s = max(interval_s, FRESH_S_MIN)
        self._streams: set[StatsStream] = set()

    def follow(self, container: LiveContainer, on_end: OnEnd) -> None:
        """Begin to follow a life of a container; `on_end` is called whenever nothing more is sent of it."""
        if container.is_foreign:
            self._follow(container, container.line, on_end, STREAMS_MAX)

    def ask(self, container: LiveContainer, done: simpy.Event) -> None:
        """Have a foreign container's counters told; `done` gets the sample, or `Refused`."""
        latest = container.latest
        if latest is not None and self._env.now - latest.at_s <= self._fresh_s:
            done.succeed(latest)
        elif container.sends_stats:
            container.await_stats(done)
        else:
            done.succeed(Refused(container.name, SILENT))

    def leave(self, container: LiveContainer) -> None:
        """Follow a life no longer that is over."""
        container.stats_ended(SILENT)
        stream, container.stats = container.stats, None
        if stream is not None:
            self._end(stream)

    def close(self) -> None:
        """Follow nobody any more."""
        for stream in tuple(self._streams):
            stream.close()

    def _follow(self, container: LiveContainer, line: Line, on_end: OnEnd, streams_left: int) -> None:
        container.sends_stats = True

        def took(stream: object) -> None:
            if not isinstance(stream, StatsStream):
                ended()
                return
            self._streams.add(stream)
            if self._is_followed(container, line):
                container.stats = stream
            else:
                self._end(stream)

        def ended() -> None:
            if self._is_followed(container, line):
                left = streams_left - 1 if container.latest is told_before else STREAMS_MAX
                self.leave(container)
                on_end(container, line)
                after(self._env, PAUSE_S, lambda: self._follow_again(container, line, on_end, left))

        told_before = container.latest
        self._calls.patient(lambda: self._open(container, line, ended), took)

    def _follow_again(self, container: LiveContainer, line: Line, on_end: OnEnd, streams_left: int) -> None:
        if streams_left and self._is_followed(container, line):
            # The stream before may have been taken over only after it had ended.
            self.leave(container)
            self._follow(container, line, on_end, streams_left)

    @staticmethod
    def _is_followed(container: LiveContainer, line: Line) -> bool:
        return container.line is line and container.state == "up"

    def _end(self, stream: StatsStream) -> None:
        self._calls.patient(stream.close, lambda _: self._streams.discard(stream))

    def _open(self, container: LiveContainer, line: Line, ended: Callable[[], None]) -> StatsStream | None:
        def post(sample: Sample) -> None:
            self._env.post(lambda: self._came(container, sample) if container.line is line else None)

        def post_end() -> None:
            self._env.post(ended)

        with contextlib.suppress(*engine_errors(), RunEnded):
            # A container that has ended already sends nothing.
            return StatsStream(self._client, container.container_id, container.name, self._clock, post, post_end)
        return None

    def _came(self, container: LiveContainer, sample: Sample) -> None:
        # A stream that is followed anew has seen no peak before it.
        before_bytes = 0 if container.latest is None else container.latest.memory_peak_bytes
        peak_bytes = max(sample.memory_peak_bytes, before_bytes)
        counted = dataclasses.replace(sample, oom_kills_count=container.oom_events_count, memory_peak_bytes=peak_bytes)
        container.stats_came(counted)
        if sample.at_s >= container.reported_s + self._interval_s - EARLY_S_MAX:
            container.reported_s = sample.at_s
            self._observer.sample(counted)
