"""The samples of containers that run a program of the user's own, read off the engine's streamed stats."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from live.engine import engine_errors
from live.errors import RunEnded
from live.streamed_stats import StatsStream

if TYPE_CHECKING:
    import docker

    from live.engine_events import EngineClock
    from live.live_container import LiveContainer
    from live.real_time import LiveEnvironment
    from live.slow_calls import SlowCalls
    from sim.machine import Observer, Sample

# Engines send about one sample a second, a little early or late: one that is less than this early is reported.
EARLY_S_MAX = 0.25


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
        self._streams: set[StatsStream] = set()

    def follow(self, container: LiveContainer) -> None:
        """Begin to follow a life of a container."""
        if not container.is_foreign:
            return
        line = container.line

        def took(stream: object) -> None:
            if not isinstance(stream, StatsStream):
                return
            self._streams.add(stream)
            if container.line is line and container.state == "up":
                container.stats = stream
            else:
                self._end(stream)

        self._calls.engine(lambda: self._open(container), took)

    def leave(self, container: LiveContainer) -> None:
        """Follow a life no longer that is over."""
        stream, container.stats = container.stats, None
        if stream is not None:
            self._end(stream)

    def close(self) -> None:
        """Follow nobody any more."""
        for stream in tuple(self._streams):
            stream.close()

    def _end(self, stream: StatsStream) -> None:
        self._calls.patient(stream.close, lambda _: self._streams.discard(stream))

    def _open(self, container: LiveContainer) -> StatsStream | None:
        line = container.line

        def post(sample: Sample) -> None:
            self._env.post(lambda: self._came(container, sample) if container.line is line else None)

        with contextlib.suppress(*engine_errors(), RunEnded):
            # A container that has ended already sends nothing; its death is told by the events.
            return StatsStream(self._client, container.container_id, container.name, self._clock, post, lambda: None)
        return None

    def _came(self, container: LiveContainer, sample: Sample) -> None:
        counted = dataclasses.replace(sample, oom_kills_count=container.oom_events_count)
        container.stats_came(counted)
        if sample.at_s >= container.reported_s + self._interval_s - EARLY_S_MAX:
            container.reported_s = sample.at_s
            self._observer.sample(counted)
