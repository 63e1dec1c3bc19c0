"""What the engine says about a run's containers, taken from its event stream in a thread of its own.

Subscribe before starting anything. A lost connection looks like a normal end in the SDK, so a stream that ends
without having been closed means that the engine is lost.
Event times are the engine's clock; `EngineClock` shifts them to the run's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from live import labels
from live.engine import engine_errors
from live.errors import RunEnded

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

WATCHED = ("die", "oom", "kill")
CLOCK_READS_COUNT = 3
# How far back the stream begins: covers the moment between the engine's answer and its subscription.
SUBSCRIBED_BEFORE_S = 2


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something the engine did or saw; `happened_s` is on the run's clock."""

    what: str
    container_id: str
    happened_s: float
    exit_code: int
    signal: str


@dataclass(frozen=True, slots=True)
class EngineClock:
    """Turns the engine's wall clock into the run's clock and back, by one offset measured at the start."""

    zero_unix_s: float

    @classmethod
    def measured(cls, client: docker.DockerClient, run_clock: Callable[[], float]) -> Self:
        """Read the engine's clock a few times and trust the quickest answer."""
        reads = [_read_engine_clock(client) for _ in range(CLOCK_READS_COUNT)]
        round_trip_s, offset_s = min(reads)
        # An offset within the measuring error is none: on one machine both clocks are the same clock.
        certain_s = offset_s if abs(offset_s) > round_trip_s else 0.0
        return cls(time.time() + certain_s - run_clock())

    def run_s(self, engine_s: float) -> float:
        """The run's clock at this moment of the engine's."""
        return engine_s - self.zero_unix_s

    def engine_s(self, run_s: float) -> float:
        """The engine's clock at this moment of the run."""
        return run_s + self.zero_unix_s


def unix_s(stamp: str) -> float:
    """Unix time of one of the engine's RFC 3339 stamps, which carry nanoseconds."""
    return datetime.fromisoformat(stamp).timestamp()


class EngineEvents:
    """The thread that follows one run's events.

    `on_event` and `on_lost` are called in that thread and must only hand over and return.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        run: str,
        clock: EngineClock,
        now_s: float,
        on_event: Callable[[EngineEvent], None],
        on_lost: Callable[[], None],
    ) -> None:
        """Subscribe at `now_s` of the run, then follow."""
        self._clock = clock
        self._on_event = on_event
        self._on_lost = on_lost
        self._closing = threading.Event()
        self._stream = client.api.events(
            since=int(clock.engine_s(now_s)) - SUBSCRIBED_BEFORE_S,
            filters={"label": f"{labels.RUN}={run}", "type": "container", "event": list(WATCHED)},
            decode=True,
        )
        self._thread = threading.Thread(target=self._follow, name="engine-events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the stream on purpose, so that its end is no loss."""
        self._closing.set()
        with contextlib.suppress(*engine_errors()):
            self._stream.close()
        self._thread.join(timeout=1.0)

    def _follow(self) -> None:
        with contextlib.suppress(RunEnded):
            with contextlib.suppress(*engine_errors(), ValueError):
                for raw in self._stream:
                    event = self._read(raw)
                    if event is not None:
                        self._on_event(event)
            if not self._closing.is_set():
                self._on_lost()

    def _read(self, raw: dict[str, Any]) -> EngineEvent | None:
        """The event in our words; None for what is no event of a container, which engines are free to send."""
        try:
            attributes = raw["Actor"].get("Attributes") or {}
            return EngineEvent(
                what=raw["Action"],
                container_id=raw["Actor"]["ID"],
                happened_s=self._clock.run_s(raw["timeNano"] / 1e9),
                exit_code=int(attributes.get("exitCode", 0)),
                signal=attributes.get("signal", ""),
            )
        except KeyError:
            return None


def _read_engine_clock(client: docker.DockerClient) -> tuple[float, float]:
    asked_s = time.time()
    engine_s = unix_s(client.api.info()["SystemTime"])
    answered_s = time.time()
    return answered_s - asked_s, engine_s - (asked_s + answered_s) / 2
