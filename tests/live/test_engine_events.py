"""The engine's clock and the run's."""

from __future__ import annotations

import contextlib
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from live.engine_events import EMPTY_STREAMS_MAX, EngineClock, EngineEvent, EngineEvents, unix_s
from live.real_time import LiveEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

WAIT_S_MAX = 10.0


def test_stamps_of_the_engine_are_read() -> None:
    """Nanoseconds and any offset from UTC are understood."""
    assert unix_s("2026-11-21T01:02:03.123456789Z") == pytest.approx(1795222923.123456, abs=1e-5)
    assert unix_s("2026-11-21T02:02:03.5+01:00") == 1795222923.5


def test_the_clock_goes_both_ways() -> None:
    """What is turned into the run's time and back is the same moment."""
    clock = EngineClock(1_795_222_900.0)

    assert clock.run_s(1_795_222_923.5) == 23.5
    assert clock.engine_s(23.5) == 1_795_222_923.5


class Ears:
    """A listener that keeps what it hears, and says when it has heard so many things."""

    def __init__(self, count: int) -> None:
        """Wait for `count` things."""
        self.heard: list[EngineEvent | str] = []
        self.enough = threading.Event()
        self._count = count

    def event(self, event: EngineEvent) -> None:
        """Keep an event."""
        self._keep(event)

    def engine_lost(self) -> None:
        """Keep that the engine is lost."""
        self._keep("lost")

    def engine_back(self) -> None:
        """Keep that it is back."""
        self._keep("back")

    def _keep(self, heard: EngineEvent | str) -> None:
        self.heard.append(heard)
        if len(self.heard) >= self._count:
            self.enough.set()


class Stream:
    """An event stream that says what it is given and then ends, or stays open until it is closed."""

    def __init__(self, told: list[dict[str, Any]], *, ends: bool) -> None:
        """Have this to say."""
        self._told = told
        self._closed = threading.Event()
        if ends:
            self._closed.set()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self._told
        self._closed.wait(WAIT_S_MAX)

    def close(self) -> None:
        """End it."""
        self._closed.set()


class Engine:
    """An engine of the test's own: its event streams one after another, and whether it answers a ping."""

    def __init__(self, *streams: Stream, answers: list[bool]) -> None:
        """Have these streams; the last stays. The last of the answers goes on for ever."""
        self.asked_since: list[str] = []
        self._streams = list(streams)
        self._answers = answers
        way = SimpleNamespace()
        self.api = SimpleNamespace(
            events=self._events, get=self._get, base_url="http://engine", get_adapter=lambda _: way
        )

    def _events(self, *, since: str, **_: object) -> Stream:
        self.asked_since.append(since)
        return self._streams.pop(0)

    def _get(self, *_: object, **__: object) -> SimpleNamespace:
        answers = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not answers:
            raise ConnectionRefusedError
        return SimpleNamespace(raise_for_status=lambda: None)


def raw(action: str, time_ns: int, **attributes: str) -> dict[str, Any]:
    """An event as the engine sends it."""
    return {"Action": action, "Actor": {"ID": "a", "Attributes": attributes}, "timeNano": time_ns}


@contextlib.contextmanager
def following(engine: Engine, ears: Ears) -> Iterator[EngineEvents]:
    """Events of an engine whose clock is 10 s ahead, followed until the test is over."""
    events = EngineEvents(cast("docker.DockerClient", engine), "run", EngineClock(10.0), 0.0, ears)
    try:
        yield events
    finally:
        events.close()
        assert not events._thread.is_alive()


def test_an_event_that_is_none_is_passed_over() -> None:
    """What lacks an actor, a time or attributes ends no stream: the container's death after it is heard."""
    told: list[dict[str, Any]] = [
        {"Action": "die", "timeNano": 1},
        {"Action": "die", "Actor": {"ID": "a"}},
        {"Action": "die", "Actor": None, "timeNano": 1},
        {"Action": "die", "Actor": {"ID": "b", "Attributes": None}, "timeNano": 12_500_000_000},
    ]
    ears = Ears(1)

    with following(Engine(Stream(told, ends=False), answers=[True]), ears):
        assert ears.enough.wait(WAIT_S_MAX)

    assert ears.heard == [EngineEvent("die", "b", 2.5)]


def test_words_behind_a_colon_are_kept_apart() -> None:
    """What a health check found is said in the action itself."""
    ears = Ears(1)

    with following(Engine(Stream([raw("health_status: healthy", 11_000_000_000)], ends=False), answers=[True]), ears):
        assert ears.enough.wait(WAIT_S_MAX)

    assert ears.heard == [EngineEvent("health_status", "a", 1.0, detail="healthy")]


def test_a_stream_that_ends_is_taken_up_where_it_was() -> None:
    """An engine that answers is asked for what came after the last event; what it repeats is heard once."""
    first, second = raw("start", 11_500_000_000), raw("die", 12_000_000_000, exitCode="7")
    engine = Engine(Stream([first], ends=True), Stream([first, second, second], ends=False), answers=[True])
    ears = Ears(2)

    with following(engine, ears):
        assert ears.enough.wait(WAIT_S_MAX)

    assert engine.asked_since == ["8.000000000", "11.500000001"]
    assert ears.heard == [EngineEvent("start", "a", 1.5), EngineEvent("die", "a", 2.0, 7)]


def test_an_engine_that_does_not_answer_is_lost_until_it_does() -> None:
    """Three questions without an answer are a loss; then it is asked until it is back, and its events are followed."""
    engine = Engine(
        Stream([], ends=True),
        Stream([raw("start", 11_000_000_000)], ends=False),
        answers=[False, False, False, False, True],
    )
    ears = Ears(3)

    with following(engine, ears):
        assert ears.enough.wait(WAIT_S_MAX)

    assert ears.heard == ["lost", "back", EngineEvent("start", "a", 1.0)]


def test_an_engine_that_was_slow_once_is_not_lost() -> None:
    """One question without an answer is no loss."""
    engine = Engine(Stream([], ends=True), Stream([raw("start", 11_000_000_000)], ends=False), answers=[False, True])
    ears = Ears(1)

    with following(engine, ears):
        assert ears.enough.wait(WAIT_S_MAX)

    assert ears.heard == [EngineEvent("start", "a", 1.0)]


def test_streams_that_only_end_are_a_loss() -> None:
    """An engine that answers and whose streams say nothing and end, again and again, is given up for the moment."""
    streams = [Stream([], ends=True) for _ in range(EMPTY_STREAMS_MAX + 1)]
    ears = Ears(2)

    with following(Engine(*streams, Stream([], ends=False), answers=[True]), ears):
        assert ears.enough.wait(WAIT_S_MAX)

    assert ears.heard == ["lost", "back"]


def test_a_loss_that_is_expected_is_believed_at_once() -> None:
    """An engine that was struck on purpose was lost, however soon it answers again."""
    struck = Stream([], ends=False)
    ears = Ears(2)

    with following(Engine(struck, Stream([], ends=False), answers=[True]), ears) as events:
        events.expect_loss(expected=True)
        struck.close()
        assert ears.enough.wait(WAIT_S_MAX)

    assert ears.heard == ["lost", "back"]


@pytest.mark.docker
def test_on_one_machine_the_clocks_agree(docker_engine: docker.DockerClient) -> None:
    """The engine's now is the run's now, to within what asking takes."""
    with LiveEnvironment() as env:
        clock = EngineClock.measured(docker_engine, env.clock)
        engine_s = unix_s(docker_engine.api.info()["SystemTime"])
        asked_s = time.monotonic() - env.epoch_s

    assert clock.run_s(engine_s) == pytest.approx(asked_s, abs=0.5)
