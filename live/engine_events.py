"""What the engine says about a run's containers, taken from its event stream in a thread of its own.

Subscribe before starting anything. A lost connection looks like a normal end in the SDK, so when a stream ends that
nobody closed, the engine is asked: if it answers, the stream is taken up again from the last event heard; if not, the
engine is lost, and asked again and again until it is back or the run is over.
Events may come twice; each is passed on once. Their times are the engine's clock; `EngineClock` shifts them to the
run's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

from live import labels
from live.engine import engine_errors
from live.errors import RunEnded
from live.knock import nobody_listens

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

NANOSECONDS_PER_S = 1_000_000_000
HEALTH_STATUS = "health_status"
# Podman's filter knows a death as "died" only, though the event then says "die".
WATCHED = ("start", "die", "died", "oom", "kill", HEALTH_STATUS)
CLOCK_READS_COUNT = 3
# How far back the stream begins: covers the moment between the engine's answer and its subscription.
SUBSCRIBED_BEFORE_S = 2

# An engine that does not answer so many times in a row is lost: after about half a second where it refuses at once.
PINGS_COUNT = 3
PING_PAUSE_S = 0.2
PING_S_MAX = 2.0
# How often a lost engine is asked whether it is back.
RETURN_PAUSE_S = 0.25

# Streams that end at once with nothing new, one after another: such an engine is no better than a lost one.
EMPTY_STREAMS_MAX = 10
EMPTY_STREAM_S = 1.0
EMPTY_PAUSE_S = 0.1

# An engine keeps the last 1,000 events; what it repeats is among the latest of ours.
EVENTS_REMEMBERED_MAX = 4096


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something the engine did or saw; `happened_s` is on the run's clock. `detail` is what follows a colon."""

    what: str
    container_id: str
    happened_s: float
    exit_code: int = 0
    signal: str = ""
    detail: str = ""


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


class EventListener(Protocol):
    """Whom events are told: called in the events' thread, it must only hand over and return."""

    def event(self, event: EngineEvent) -> None:
        """Take an event."""

    def engine_lost(self) -> None:
        """Hear that the engine does not answer any more."""

    def engine_back(self) -> None:
        """Hear that it answers again, and that events are followed again."""


class EngineEvents:
    """The thread that follows one run's events."""

    def __init__(
        self, client: docker.DockerClient, run: str, clock: EngineClock, now_s: float, listener: EventListener
    ) -> None:
        """Subscribe at `now_s` of the run, then follow."""
        self._client = client
        self._run = run
        self._clock = clock
        self._listener = listener
        self._closing = threading.Event()
        self._loss_expected = threading.Event()
        self._since_ns = (int(clock.engine_s(now_s)) - SUBSCRIBED_BEFORE_S) * NANOSECONDS_PER_S
        self._remembered: dict[tuple[str, str, int], None] = {}
        self._stream = self._subscribe()
        self._thread = threading.Thread(target=self._follow, name="engine-events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the stream on purpose, so that its end is no loss."""
        self._closing.set()
        self._hang_up()
        self._thread.join(timeout=1.0)

    def expect_loss(self, *, expected: bool) -> None:
        """Know that the engine is about to be struck: the stream's end is then its end, however soon it is back."""
        if expected:
            self._loss_expected.set()
        else:
            self._loss_expected.clear()

    def _follow(self) -> None:
        with contextlib.suppress(RunEnded), contextlib.ExitStack() as at_the_end:
            at_the_end.callback(self._hang_up)
            empty_streams_count = 0
            while not self._closing.is_set():
                empty_streams_count = 0 if self._listen() else empty_streams_count + 1
                if empty_streams_count:
                    self._closing.wait(EMPTY_PAUSE_S)
                if empty_streams_count > EMPTY_STREAMS_MAX or not self._take_up_again():
                    self._wait_for_return()
                    empty_streams_count = 0

    def _listen(self) -> bool:
        """Pass on what the stream says until it ends; whether it was of any use."""
        until_s = time.monotonic() + EMPTY_STREAM_S
        heard = False
        try:
            for raw in self._stream:
                event = self._read(raw)
                if event is not None:
                    heard = True
                    self._listener.event(event)
        except RunEnded:
            raise
        except Exception:  # noqa: BLE001  # A stream cut off in the middle raises whatever stood there.
            heard = heard or self._closing.is_set()
        return heard or time.monotonic() > until_s

    def _take_up_again(self) -> bool:
        """Subscribe anew after the stream ended; False where the engine is lost."""
        for number in range(0 if self._loss_expected.is_set() else PINGS_COUNT):
            if number and self._closing.wait(PING_PAUSE_S):
                return True
            if self._closing.is_set() or self._answers():
                return True
        return self._closing.is_set()

    def _wait_for_return(self) -> None:
        """Tell of the loss, ask until the engine answers, and tell of that."""
        if self._closing.is_set():
            return
        self._listener.engine_lost()
        while not self._closing.wait(RETURN_PAUSE_S):
            if self._answers():
                self._loss_expected.clear()
                self._listener.engine_back()
                return

    def _answers(self) -> bool:
        """Whether the engine answers, and its events are followed again."""
        if nobody_listens(self._client):
            return False
        with contextlib.suppress(*engine_errors()):
            # The SDK's own ping would wait as long as any request may take.
            self._client.api.get(f"{self._client.api.base_url}/_ping", timeout=PING_S_MAX).raise_for_status()
            self._hang_up()
            self._stream = self._subscribe()
            return True
        return False

    def _subscribe(self) -> Any:  # noqa: ANN401  # The SDK's stream: an iterator that can be closed.
        asked: dict[str, Any] = {
            # Of whole seconds an engine would repeat what it said, and where it says no more than that, never go on.
            "since": f"{self._since_ns // NANOSECONDS_PER_S}.{self._since_ns % NANOSECONDS_PER_S:09d}",
            "filters": {"label": f"{labels.RUN}={self._run}", "type": "container", "event": list(WATCHED)},
        }
        return self._client.api.events(**asked, decode=True)

    def _hang_up(self) -> None:
        # The SDK looks for the socket inside a response that may be closed already.
        with contextlib.suppress(*engine_errors(), AttributeError):
            self._stream.close()

    def _read(self, raw: dict[str, Any]) -> EngineEvent | None:
        """The event in our words; None for one heard before, and for what is none, which engines are free to send."""
        try:
            attributes = raw["Actor"].get("Attributes") or {}
            what, _, detail = raw["Action"].partition(": ")
            event = EngineEvent(
                what=what,
                container_id=raw["Actor"]["ID"],
                happened_s=self._clock.run_s(raw["timeNano"] / 1e9),
                exit_code=int(attributes.get("exitCode", 0)),
                signal=attributes.get("signal", ""),
                detail=detail,
            )
            key = (event.container_id, raw["Action"], raw["timeNano"])
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        return event if self._is_new(key) else None

    def _is_new(self, key: tuple[str, str, int]) -> bool:
        if key in self._remembered:
            return False
        self._remembered[key] = None
        if len(self._remembered) > EVENTS_REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        self._since_ns = max(self._since_ns, key[2] + 1)
        return True


def _read_engine_clock(client: docker.DockerClient) -> tuple[float, float]:
    asked_s = time.time()
    engine_s = unix_s(client.api.info()["SystemTime"])
    answered_s = time.time()
    return answered_s - asked_s, engine_s - (asked_s + answered_s) / 2
