"""What else used the machine while a run was on: the host's CPU, less our containers and less the harness.

A thread reads the counters twice a second and keeps a bounded series of sums, so that any span of the run
can be asked for afterwards. Where the engine runs elsewhere, or its cgroups are hidden, nothing is known, and said so.
Known error: what a container used between the last reading and its death counts as other load.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from live.cpu_meters import EngineMeter, HostTimes, container_cpu_s, driver_cpu_s, host_times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

INTERVAL_S = 0.5
# When the series is full every second reading is dropped, and from then on every second one is kept, and so on:
# a long run is read more coarsely, and any span of it can still be asked for.
READINGS_MAX = 4_096

# A reading this many intervals away from the moment asked for says nothing of it: the thread was held up.
STALE_INTERVALS_COUNT = 6


@dataclass(frozen=True, slots=True)
class OtherLoad:
    """The use of the machine over a span, in cores; `cores_mean` is what belongs to nobody we know.

    `driver_cores_mean` and `engine_cores_mean` are the harness: this process, and dockerd with containerd and shims.
    `probes_cores_mean` are the probes of hosts: children of this process that the story asks for.
    """

    span_s: float
    cores_mean: float
    containers_cores_mean: float
    driver_cores_mean: float
    engine_cores_mean: float
    steal_ratio: float
    probes_cores_mean: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """All counters at one moment of the run, in CPU seconds."""

    at_s: float
    host: HostTimes
    containers_s: float
    driver_s: float
    engine_s: float
    probes_s: float


class LoadWatch:
    """Reads the counters from its making until `close`.

    `containers` gives the engine ids of the containers that are up, `clock` the run's clock, `probes_cpu_s` what the
    probes of hosts have used; all are called in the watch's own thread.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        containers: Callable[[], Iterable[str]],
        probes_cpu_s: Callable[[], float] = float,
    ) -> None:
        """Start reading."""
        self._clock = clock
        self._containers = containers
        self._probes_cpu_s = probes_cpu_s
        self._engine = EngineMeter()
        self._cpu_s_by_container: dict[str, float] = {}
        # What containers used up in lives that ended: one that is started anew counts from zero again.
        self._past_cpu_s = 0.0
        self._readings: list[Reading] = []
        self._readings_count = 0
        self._stride = 1
        self._unreadable = ""
        self._containers_seen = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="other-load", daemon=True)
        self._thread.start()

    @property
    def unreadable(self) -> str:
        """Why nothing is known, or nothing where it is."""
        # One container may have gone just before it was read; if none was ever read, none can be.
        if self._containers_seen and not self._cpu_s_by_container:
            return "the containers' cgroups cannot be read from this client"
        return self._unreadable

    def close(self) -> None:
        """Stop reading."""
        self._closing.set()
        self._thread.join(timeout=5.0)

    def between(self, start_s: float, end_s: float) -> OtherLoad | None:
        """The load over this span of the run, to the nearest readings; None where it is not known or none is near."""
        if self.unreadable or len(self._readings) < 2:
            return None
        first = min(self._readings, key=lambda reading: abs(reading.at_s - start_s))
        last = min(self._readings, key=lambda reading: abs(reading.at_s - end_s))
        away_s = max(abs(first.at_s - start_s), abs(last.at_s - end_s))
        if first is last or away_s > STALE_INTERVALS_COUNT * INTERVAL_S * self._stride:
            return None
        return _load(first, last)

    def busiest(self, spans_s: Iterable[tuple[float, float]]) -> OtherLoad | None:
        """The load over that span which had the most of it; None where none is known."""
        known = [load for span_s in spans_s if (load := self.between(*span_s)) is not None]
        return max(known, key=lambda load: load.cores_mean, default=None)

    def _watch(self) -> None:
        try:
            while not self._unreadable:
                self._read()
                if self._closing.wait(INTERVAL_S):
                    break
        except Exception as problem:  # noqa: BLE001  # Whatever it is, the run goes on and is not comparable.
            self._unreadable = f"reading it failed ({type(problem).__name__}: {problem})"

    def _read(self) -> None:
        try:
            host = host_times()
        except OSError:
            self._unreadable = "this client has no /proc to read the host's load from"
            return
        for container_id in self._containers():
            self._containers_seen = True
            used_s = container_cpu_s(container_id)
            if used_s is not None:
                before_s = self._cpu_s_by_container.get(container_id, 0.0)
                self._past_cpu_s += before_s if used_s < before_s else 0.0
                self._cpu_s_by_container[container_id] = used_s
        if self._readings_count % self._stride == 0:
            containers_s = self._past_cpu_s + sum(self._cpu_s_by_container.values())
            harness_s = (driver_cpu_s(), self._engine.cpu_s(), self._probes_cpu_s())
            self._readings.append(Reading(self._clock(), host, containers_s, *harness_s))
        self._readings_count += 1
        if len(self._readings) > READINGS_MAX:
            del self._readings[1::2]
            self._stride *= 2


def _load(first: Reading, last: Reading) -> OtherLoad:
    span_s = last.at_s - first.at_s
    containers_s = last.containers_s - first.containers_s
    driver_s = last.driver_s - first.driver_s
    engine_s = last.engine_s - first.engine_s
    probes_s = last.probes_s - first.probes_s
    host_s = last.host.busy_s - first.host.busy_s
    all_s = last.host.total_s - first.host.total_s
    return OtherLoad(
        span_s=span_s,
        cores_mean=max(0.0, host_s - containers_s - driver_s - engine_s - probes_s) / span_s,
        containers_cores_mean=containers_s / span_s,
        driver_cores_mean=driver_s / span_s,
        engine_cores_mean=engine_s / span_s,
        steal_ratio=(last.host.steal_s - first.host.steal_s) / all_s if all_s > 0 else 0.0,
        probes_cores_mean=probes_s / span_s,
    )
