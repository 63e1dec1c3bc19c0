"""What follows when a host's engine is stopped, killed, or lost with all its containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from sim.machine import (
    Compute,
    Died,
    EngineBack,
    EngineLost,
    Finished,
    Lost,
    Refused,
    Restarted,
    Sleep,
    Started,
    Struck,
)
from tests.conformance.bench import (
    ALWAYS,
    CLOCK_SLACK_S,
    HOST,
    NO,
    ON_FAILURE,
    UNLESS_STOPPED,
    bench_story,
    container,
    program,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from tests.conformance.bench import Bench, World

Blow = Literal["stop", "crash", "loss"]

DOWN_S = 2.0
QUIET_S = 3.0
POLICIES = {"no": NO, "on-failure": ON_FAILURE, "always": ALWAYS, "unless-stopped": UNLESS_STOPPED}
# Whom an engine that is there again starts anew, measured on Docker 20.10. One that crashed ends first what it finds
# alive, which counts as stopped by hand; after a loss it finds them dead with exit code 255, which is a failure.
BACK: dict[Blow, set[str]] = {
    "stop": {"always", "unless-stopped"},
    "crash": {"always"},
    "loss": {"always", "unless-stopped", "on-failure"},
}
BLOWS: tuple[Blow, ...] = ("stop", "crash", "loss")


def struck(bench: Bench, blow: Blow, down_s: float | None) -> Generator[simpy.Event, Any, tuple[float, list[object]]]:
    """Deal the blow to a host where each policy has a container at work: when that was, and what became of the work."""
    coming = [container(name, memory_mib=64, restart=policy) for name, policy in POLICIES.items()]
    yield bench.env.all_of([bench.machine.start(spec) for spec in coming])
    running = [bench.machine.submit(name, program(Sleep(60.0), index=3)) for name in POLICIES]
    yield bench.env.timeout(0.5)
    struck_s = bench.env.now
    assert Struck(HOST) == (yield bench.machine.strike_host(HOST, blow, down_s))
    yield bench.env.all_of(running)
    for name in POLICIES:
        yield from bench.hear(Died, name)
    yield from bench.hear(EngineLost)
    return struck_s, [lost.value for lost in running]


@pytest.mark.parametrize("blow", BLOWS)
def test_a_lost_engine_is_noticed_with_all_its_containers(own_engine: World, blow: Blow) -> None:
    """The engine's loss is one notice and each container's another, and every program is lost with its container."""
    with own_engine.set_up(bench_story()) as bench:
        _, lost = bench.play(lambda: struck(bench, blow, None))

    assert [("w/0", 3, "container")] * 4 == [
        (one.agent, one.step_index, one.cause) for one in lost if isinstance(one, Lost)
    ]
    assert [HOST] == [notice.host for notice in bench.told(EngineLost)]
    assert sorted((name, "engine_lost") for name in POLICIES) == sorted(
        (died.container, died.cause) for died in bench.told(Died)
    )
    assert [] == bench.told(EngineBack)


@pytest.mark.parametrize("blow", BLOWS)
def test_nothing_is_done_while_the_engine_is_down(own_engine: World, blow: Blow) -> None:
    """Every verb is refused, on what was up and on what is new, and so is a second blow."""
    with own_engine.set_up(bench_story()) as bench:

        def script() -> Generator[simpy.Event, Any, list[object]]:
            yield from struck(bench, blow, None)
            machine = bench.machine
            asked = [
                machine.start(container("new")),
                machine.start(container("always")),
                machine.kill("always"),
                machine.limit("always", cpus_limit=0.5, memory_bytes_limit=None),
                machine.sample("always"),
                machine.submit("always", program(Compute(0.01, 1))),
                machine.crash("always", 1),
                machine.hang("always", 1.0),
                machine.kill_agent("always", "w/0"),
                machine.strike_host(HOST, blow, None),
            ]
            yield bench.env.all_of(asked)
            return [event.value for event in asked]

        outcomes = bench.play(script)
    assert [Refused] * 10 == [type(outcome) for outcome in outcomes]


@pytest.mark.parametrize("blow", BLOWS)
def test_the_returning_engine_starts_by_policy(own_engine: World, blow: Blow) -> None:
    """When it is back only those run again whose policy says so after this blow; the other names are free."""
    with own_engine.set_up(bench_story()) as bench:

        def script() -> Generator[simpy.Event, Any, tuple[float, list[object]]]:
            struck_s, _ = yield from struck(bench, blow, DOWN_S)
            yield from bench.hear(EngineBack)
            for name in BACK[blow]:
                yield from bench.hear(Restarted, name)
            yield bench.env.timeout(QUIET_S)
            worked = [bench.machine.submit(name, program(Compute(0.01, 1), index=4)) for name in sorted(BACK[blow])]
            started = [bench.machine.start(container(name)) for name in sorted(POLICIES.keys() - BACK[blow])]
            yield bench.env.all_of([*worked, *started])
            return struck_s, [event.value for event in (*worked, *started)]

        struck_s, outcomes = bench.play(script)
    finished = [Finished] * len(BACK[blow])
    assert [*finished, *[Started] * (4 - len(finished))] == [type(outcome) for outcome in outcomes]
    assert BACK[blow] == {restarted.container for restarted in bench.told(Restarted)}
    assert [1] * len(finished) == [restarted.restarts_count for restarted in bench.told(Restarted)]
    (lost,), (back,) = bench.told(EngineLost), bench.told(EngineBack)
    assert HOST == back.host
    assert lost.happened_s < back.happened_s
    assert struck_s + DOWN_S <= back.happened_s + CLOCK_SLACK_S
    assert all(back.happened_s <= restarted.ready_s + CLOCK_SLACK_S for restarted in bench.told(Restarted))
    assert sorted(POLICIES) == sorted(died.container for died in bench.told(Died))


def test_a_start_under_way_is_refused(own_engine: World) -> None:
    """What is not yet ready when the engine goes is refused; once the engine is back, its name can be had."""
    with own_engine.set_up(bench_story()) as bench:

        def script() -> Generator[simpy.Event, Any, list[object]]:
            coming = bench.machine.start(container(start_delay_s=20.0))
            yield bench.env.timeout(2.0)
            yield bench.machine.strike_host(HOST, "crash", DOWN_S)
            refused = yield coming
            yield from bench.hear(EngineBack)
            return [refused, (yield bench.machine.start(container()))]

        refused, anew = bench.play(script)
    assert [Refused, Started] == [type(refused), type(anew)]
    assert [] == bench.told(Restarted)


def test_an_engine_can_be_struck_again(own_engine: World) -> None:
    """A container that always restarts comes back from a second crash of its engine too, and its lives are counted."""
    with own_engine.set_up(bench_story()) as bench:

        def script() -> Generator[simpy.Event, Any, None]:
            yield bench.machine.start(container(restart=ALWAYS))
            for count in (1, 2):
                assert Struck(HOST) == (yield bench.machine.strike_host(HOST, "crash", 1.0))
                yield from bench.hear(Restarted, count=count)

        bench.play(script)
    assert [1, 2] == [restarted.restarts_count for restarted in bench.told(Restarted)]
    assert (2, 2, 2) == tuple(len(bench.told(kind)) for kind in (EngineLost, EngineBack, Died))
