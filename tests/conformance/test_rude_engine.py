"""A real engine whose event stream lies: deaths are settled all the same, and told once.

The simulated machine has no stream to be lied to by; what a machine itself tells rudely is in `test_rude_notices.py`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from live.engine import connect
from sim.machine import Compute, Died, EngineLost, Finished, Lost, Restarted, Sample, Sleep, Started, Struck
from tests.conformance.bench import ALWAYS, CLOCK_SLACK_S, NO, bench_story, container, program, real

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    import docker
    import simpy

    from scenarios import story as told
    from tests.conformance.bench import Bench

    Raw = dict[str, Any]
    Twist = Callable[[Iterable[Raw], list[Raw]], Iterator[Raw]]

pytestmark = [pytest.mark.docker, pytest.mark.timeout(60)]

LATE_S = 1.5


class TwistedStream:
    """An engine's event stream with a twist: iterated and closed as the SDK's own."""

    def __init__(
        self,
        stream: Any,  # noqa: ANN401  # The SDK types none of its streams.
        twist: Twist,
        acts: list[Raw],
    ) -> None:
        """Twist what `stream` says."""
        self._stream = stream
        self._said = twist(stream, acts)

    def __iter__(self) -> Iterator[Raw]:
        return self._said

    def __next__(self) -> Raw:
        return next(self._said)

    def close(self) -> None:
        """End the engine's stream."""
        self._stream.close()


def twice(stream: Iterable[Raw], acts: list[Raw]) -> Iterator[Raw]:
    """Each event comes again at once."""
    for raw in stream:
        yield raw
        acts.append(raw)
        yield dict(raw)


def late(stream: Iterable[Raw], acts: list[Raw]) -> Iterator[Raw]:
    """A death is told when it is long over."""
    for raw in stream:
        if raw.get("Action") == "die":
            acts.append(raw)
            time.sleep(LATE_S)
        yield raw


def overtaken(stream: Iterable[Raw], acts: list[Raw]) -> Iterator[Raw]:
    """A death is told after the start that followed it."""
    kept: list[Raw] = []
    for raw in stream:
        if raw.get("Action") == "die":
            kept.append(raw)
            continue
        yield raw
        if raw.get("Action") == "start":
            acts.extend(kept)
            yield from kept
            kept.clear()


def lost(stream: Iterable[Raw], acts: list[Raw]) -> Iterator[Raw]:
    """No death is told at all."""
    for raw in stream:
        if raw.get("Action") == "die":
            acts.append(raw)
        else:
            yield raw


def cut(stream: Iterable[Raw], acts: list[Raw]) -> Iterator[Raw]:
    """The stream ends with the first event, as if the engine had gone."""
    for raw in stream:
        acts.append(raw)
        yield raw
        break


@pytest.fixture(name="twisted")
def _twisted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Twist], list[Raw]]:
    """Have the engine's event streams twisted from now on; the events that were are given back, as they come."""

    def twist_all(twist: Twist) -> list[Raw]:
        acts: list[Raw] = []

        def connect_twisted() -> docker.DockerClient:
            client = connect()
            events = client.api.events
            monkeypatch.setattr(client.api, "events", lambda **asked: TwistedStream(events(**asked), twist, acts))
            return client

        monkeypatch.setattr("live.bench.connect", connect_twisted)
        return acts

    return twist_all


def crashed(policy: told.RestartPolicy, bench: Bench) -> Generator[simpy.Event, Any, tuple[float, list[object]]]:
    """Crash a container with a program under way, and wait for what its policy makes of it."""
    started = yield bench.machine.start(container(restart=policy))
    running = bench.machine.submit("a", program(Sleep(30.0), index=2))
    yield bench.env.timeout(0.5)
    crashed_s = bench.env.now
    struck = yield bench.machine.crash("a", 7)
    ended = yield running
    yield from bench.hear(Died)
    if policy is ALWAYS:
        yield from bench.hear(Restarted)
        after = yield bench.machine.submit("a", program(Compute(0.01, 1), index=3))
    else:
        after = yield bench.machine.start(container())
    yield bench.env.timeout(LATE_S + 1.0)
    return crashed_s, [started, struck, ended, after, (yield bench.machine.sample("a"))]


def assert_settled(bench: Bench, policy: told.RestartPolicy, crashed_s: float, outcomes: list[object]) -> None:
    """One death was told, with its own time and exit code, and what follows it by policy, once."""
    started, struck, ended, after, sample = outcomes
    assert isinstance(started, Started)
    assert Struck("a") == struck
    assert isinstance(ended, Lost)
    assert (2, "container") == (ended.step_index, ended.cause)
    assert isinstance(after, Finished if policy is ALWAYS else Started)
    assert isinstance(sample, Sample)
    (died,) = bench.told(Died)
    assert ("a", "exited", 7) == (died.container, died.cause, died.exit_code)
    assert crashed_s <= died.happened_s + CLOCK_SLACK_S
    assert died.happened_s <= crashed_s + LATE_S
    assert [1] * (policy is ALWAYS) == [restarted.restarts_count for restarted in bench.told(Restarted)]
    assert [] == bench.told(EngineLost)


@pytest.mark.parametrize("policy", [NO, ALWAYS], ids=lambda policy: policy.condition)
@pytest.mark.parametrize("twist", [twice, late, lost, cut], ids=lambda twist: twist.__name__)
def test_a_death_is_settled_once(
    twisted: Callable[[Twist], list[Raw]], twist: Twist, policy: told.RestartPolicy
) -> None:
    """Whether its event comes twice, late or never, or the stream ends: the program is lost, and the rest follows."""
    acts = twisted(twist)
    with real(bench_story()) as bench:
        crashed_s, outcomes = bench.play(lambda: crashed(policy, bench))

    assert_settled(bench, policy, crashed_s, outcomes)
    assert acts


def test_a_death_overtaken_by_the_return_is_settled_once(twisted: Callable[[Twist], list[Raw]]) -> None:
    """A death that is told after the start that followed it belongs to the life before, and ends nothing else."""
    acts = twisted(overtaken)
    with real(bench_story()) as bench:
        crashed_s, outcomes = bench.play(lambda: crashed(ALWAYS, bench))

    assert_settled(bench, ALWAYS, crashed_s, outcomes)
    assert acts
