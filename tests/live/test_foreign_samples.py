"""The counters of foreign containers: asked for, kept fresh, and followed anew; the engine's streams are made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
import simpy

from live.engine_events import EngineClock
from live.foreign_samples import PAUSE_S, SILENT, STREAMS_MAX, ForeignSamples
from live.line import Line
from live.live_container import LiveContainer
from scenarios.story import Container, Foreign
from sim.machine import Refused, Sample
from sim.timers import after

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

    from live.real_time import LiveEnvironment
    from live.slow_calls import SlowCalls

CALL_S = 0.01
INTERVAL_S = 1.0


class Clockwork(simpy.Environment):
    """A clock at which whatever is posted happens at once."""

    def post(self, function: Callable[[], object]) -> None:
        """Do it."""
        function()


class Calls:
    """Calls that may wait, and none that holds up others."""

    def __init__(self, env: simpy.Environment) -> None:
        """Have made none."""
        self._env = env

    def patient(self, work: Callable[[], object], settle: Callable[[object], object]) -> None:
        """Do it, and settle it a moment later."""
        outcome = work()
        after(self._env, CALL_S, lambda: settle(outcome))


class Stream:
    """A stream that says what a test makes it say."""

    made: list[Stream]
    refuses: bool

    def __init__(self, *wanted: Any) -> None:  # noqa: ANN401  # As the real one.
        """Begin, or refuse to."""
        if self.refuses:
            raise ConnectionError
        *_, self.tell, self.end = wanted
        self.closed = False
        self.made.append(self)

    def close(self) -> None:
        """Take note of it."""
        self.closed = True


class Rig:
    """The samples of one container, which is up."""

    def __init__(self) -> None:
        """Follow it."""
        self.env = Clockwork()
        self.observed: list[Sample] = []
        self.ends_count = 0
        self.samples = ForeignSamples(
            cast("LiveEnvironment", self.env),
            cast("docker.DockerClient", None),
            EngineClock(0.0),
            cast("SlowCalls", Calls(self.env)),
            self,
            INTERVAL_S,
        )
        spec = Container("a", "h", None, None, None, 1024, None, 64, 1.0, foreign=Foreign("image"))
        self.live = LiveContainer(spec, 1, lambda _: Line(lambda *_: None, lambda _: None))
        self.live.state = "up"
        self.samples.follow(self.live, self.count_end)

    def step(self, _: object) -> None:
        """Hear of no steps."""

    def sample(self, sample: Sample) -> None:
        """Keep what is reported."""
        self.observed.append(sample)

    def count_end(self, *_: object) -> None:
        """Hear that nothing more is sent."""
        self.ends_count += 1

    def ask(self) -> Any:  # noqa: ANN401  # The answer, or None where there is none yet.
        """Ask for a sample, and wait a moment for it."""
        done = self.env.event()
        self.samples.ask(self.live, done)
        self.env.run(until=self.env.now + CALL_S)
        return done.value if done.triggered else None


def counted(at_s: float, peak_bytes: int = 0) -> Sample:
    """Counters of that moment."""
    return Sample("a", at_s, 0.0, 0, 0, 0.0, 0, 0, peak_bytes, 0)


@pytest.fixture(name="rig")
def _rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    Stream.made, Stream.refuses = [], False
    monkeypatch.setattr("live.foreign_samples.StatsStream", Stream)
    return Rig()


def test_fresh_counters_are_told_at_once(rig: Rig) -> None:
    """The first question waits for the first of them; later ones do not, until what is known is old."""
    unanswered = rig.ask()
    Stream.made[0].tell(counted(0.01))
    answered = rig.ask()
    rig.env.run(until=10.0)
    old = rig.ask()

    assert unanswered is None
    assert counted(0.01) == answered
    assert old is None


def test_a_stream_that_ends_is_followed_by_another(rig: Rig) -> None:
    """Its end is told, questions are refused until the next stream is there, and that one is heard."""
    Stream.made[0].tell(counted(0.01, peak_bytes=7))
    rig.env.run(until=10.0)
    waiting = rig.env.event()
    rig.samples.ask(rig.live, waiting)
    Stream.made[0].end()
    refused = rig.ask()
    rig.env.run(until=10.0 + PAUSE_S + 2 * CALL_S)
    Stream.made[1].tell(counted(11.0, peak_bytes=5))

    assert [True, False] == [stream.closed for stream in Stream.made]
    assert 1 == rig.ends_count
    assert [Refused("a", SILENT)] * 2 == [waiting.value, refused]
    assert counted(11.0, peak_bytes=7) == rig.ask()


def test_streams_that_tell_nothing_are_given_up(rig: Rig) -> None:
    """So many in a row and no more; each of their ends is told, since the container may have ended."""
    Stream.refuses = True
    Stream.made[0].end()
    rig.env.run(until=100 * PAUSE_S)

    assert STREAMS_MAX == rig.ends_count
    assert Refused("a", SILENT) == rig.ask()


def test_a_stream_that_tells_something_is_no_failure(rig: Rig) -> None:
    """One that is cut off now and then goes on for as long as the container is up."""
    for number in range(2 * STREAMS_MAX):
        rig.env.run(until=(number + 1) * 2 * PAUSE_S)
        Stream.made[number].tell(counted(rig.env.now))
        Stream.made[number].end()

    assert 2 * STREAMS_MAX == rig.ends_count
    assert Refused("a", SILENT) != rig.ask()


def test_a_life_that_is_over_is_not_followed_anew(rig: Rig) -> None:
    """A container that waits for its restart sends nothing."""
    rig.env.run(until=1.0)
    rig.samples.leave(rig.live)
    rig.live.state = "restarting"
    Stream.made[0].end()
    rig.env.run(until=10.0)

    assert [True] == [stream.closed for stream in Stream.made]
    assert 0 == rig.ends_count
