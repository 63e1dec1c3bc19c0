"""A foreign container's counters: the engine's streamed stats, for where no worker of ours can read its cgroup.

Docker sends a frame a second, Podman 4.3 one in five seconds and neither throttling nor page cache (measured).
Only cumulative counters are taken: what engines say of the time before (`precpu_stats`) is empty in the first frame.
Stats do not count OOM kills, nor what lies on a tmpfs: both are zero here, and OOM kills are told by the events.
Source: Docker Engine API, ContainerStats.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

from docker.types import CancellableStream

from live.engine import engine_errors
from live.engine_events import unix_s
from live.errors import RunEnded
from sim.machine import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import docker
    from requests import Response

    from live.engine_events import EngineClock

    Frame = dict[str, Any]

NANO = 1e-9
# Docker goes on sending frames of this time, with nothing in them, when a container has ended (measured, 20.10).
NEVER = "0001-01-01"
# A frame is due each second, or in five; an engine that says nothing for so long says nothing more.
SILENCE_S_MAX = 30.0
# How long closing waits for the thread, which only has to notice that its connection is shut.
CLOSING_S_MAX = 1.0


def sample_of(frame: Frame, container_name: str, clock: EngineClock, before: Sample | None) -> Sample | None:
    """The counters in one frame; None where the container does not run, or the frame tells nothing new.

    `before` is our own previous sample: cgroup v2 keeps no peak that the engine tells, so the highest seen counts.
    """
    stamp = str(frame.get("read", NEVER))
    usage = (frame.get("cpu_stats") or {}).get("cpu_usage") or {}
    memory = frame.get("memory_stats") or {}
    if stamp.startswith(NEVER) or "total_usage" not in usage or "usage" not in memory:
        return None
    at_s = clock.run_s(unix_s(stamp))
    if before is not None and at_s <= before.at_s:
        return None
    throttling = frame["cpu_stats"].get("throttling_data") or {}
    raw_bytes = int(memory["usage"])
    peak_bytes = max(raw_bytes, int(memory.get("max_usage", 0)), 0 if before is None else before.memory_peak_bytes)
    return Sample(
        container=container_name,
        at_s=at_s,
        cpu_s=usage["total_usage"] * NANO,
        periods_count=int(throttling.get("periods", 0)),
        throttled_periods_count=int(throttling.get("throttled_periods", 0)),
        throttled_s=throttling.get("throttled_time", 0) * NANO,
        memory_bytes=max(0, raw_bytes - _inactive_bytes(memory)),
        memory_raw_bytes=raw_bytes,
        memory_peak_bytes=peak_bytes,
        oom_kills_count=0,
    )


def has_ended(frame: Frame) -> bool:
    """Whether a frame is of a container that does not run."""
    return str(frame.get("read", NEVER)).startswith(NEVER)


class StatsStream:
    """The thread that follows the counters of one life of a container; make it once the container runs.

    `on_sample` is called for each frame that tells something new, `on_end` once when the container has ended, was
    removed or the engine is gone, and never after `close`. Both run in that thread and must only hand over and return.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        container_id: str,
        container_name: str,
        clock: EngineClock,
        on_sample: Callable[[Sample], object],
        on_end: Callable[[], object],
    ) -> None:
        """Ask for the stream, then follow; what the SDK raises is the caller's to turn into an outcome."""
        self._name = container_name
        self._clock = clock
        self._on_sample = on_sample
        self._on_end = on_end
        self._closing = threading.Event()
        self._response = _open(client, container_id)
        self._lines = CancellableStream(self._response.iter_lines(), self._response)
        self._thread = threading.Thread(target=self._follow, name=f"stats-{container_name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up: nothing is called any more."""
        self._closing.set()
        # The SDK looks for the socket inside a response that the thread may be closing just now.
        with contextlib.suppress(*engine_errors(), AttributeError):
            self._lines.close()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=CLOSING_S_MAX)

    def _follow(self) -> None:
        with contextlib.suppress(RunEnded), contextlib.closing(self._response):
            before: Sample | None = None
            for frame in self._frames():
                if self._closing.is_set() or has_ended(frame):
                    break
                sample = sample_of(frame, self._name, self._clock, before)
                if sample is not None:
                    self._on_sample(sample)
                    before = sample
            if not self._closing.is_set():
                self._on_end()

    def _frames(self) -> Iterator[Frame]:
        # A connection that is shut while it is read ends in any of these; a caller's own errors are not caught here.
        with contextlib.suppress(*engine_errors(), ValueError, AttributeError):
            for line in self._lines:
                if line:
                    yield json.loads(line)


def _open(client: docker.DockerClient, container_id: str) -> Response:
    # The SDK's own `stats` hands out a bare generator, which nobody can end from another thread.
    response = client.api.get(
        f"{client.api.base_url}/v{client.api.api_version}/containers/{container_id}/stats",
        params={"stream": "true"},
        stream=True,
        timeout=SILENCE_S_MAX,
    )
    with contextlib.ExitStack() as unless_it_is_one:
        unless_it_is_one.callback(response.close)
        response.raise_for_status()
        unless_it_is_one.pop_all()
    return response


def _inactive_bytes(memory: dict[str, Any]) -> int:
    """Page cache that the kernel takes back first: v1 tells it with its children, v2 always does."""
    stats = memory.get("stats") or {}
    return int(stats.get("total_inactive_file", stats.get("inactive_file", 0)))
