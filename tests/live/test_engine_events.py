"""The engine's clock and the run's."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from live.engine_events import EngineClock, EngineEvent, EngineEvents, unix_s
from live.real_time import LiveEnvironment

if TYPE_CHECKING:
    import docker


def test_stamps_of_the_engine_are_read() -> None:
    """Nanoseconds and any offset from UTC are understood."""
    assert unix_s("2026-11-21T01:02:03.123456789Z") == pytest.approx(1795222923.123456, abs=1e-5)
    assert unix_s("2026-11-21T02:02:03.5+01:00") == 1795222923.5


def test_the_clock_goes_both_ways() -> None:
    """What is turned into the run's time and back is the same moment."""
    clock = EngineClock(1_795_222_900.0)

    assert clock.run_s(1_795_222_923.5) == 23.5
    assert clock.engine_s(23.5) == 1_795_222_923.5


def test_an_event_that_is_none_is_passed_over() -> None:
    """What lacks an actor, a time or attributes ends no stream: the container's death after it is heard."""
    told: list[dict[str, Any]] = [
        {"Action": "die", "timeNano": 1},
        {"Action": "die", "Actor": {"ID": "a"}},
        {"Action": "die", "Actor": {"ID": "b", "Attributes": None}, "timeNano": 12_500_000_000},
    ]
    client = SimpleNamespace(api=SimpleNamespace(events=lambda **_: iter(told)))
    heard: list[EngineEvent] = []
    ended = threading.Event()

    EngineEvents(cast("docker.DockerClient", client), "run", EngineClock(10.0), 0.0, heard.append, ended.set)

    assert ended.wait(5.0)
    assert heard == [EngineEvent("die", "b", 2.5, 0, "")]


@pytest.mark.docker
def test_on_one_machine_the_clocks_agree(docker_engine: docker.DockerClient) -> None:
    """The engine's now is the run's now, to within what asking takes."""
    with LiveEnvironment() as env:
        clock = EngineClock.measured(docker_engine, env.clock)
        engine_s = unix_s(docker_engine.api.info()["SystemTime"])
        asked_s = time.monotonic() - env.epoch_s

    assert clock.run_s(engine_s) == pytest.approx(asked_s, abs=0.5)
