"""What a start takes, and what is left of one that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sim.machine import Died, Refused, Restarted, Started
from tests.conformance.bench import ALWAYS, CLOCK_SLACK_S, NO, PATIENCE_S, RUN_LABEL, bench_story, container, real

if TYPE_CHECKING:
    from collections.abc import Generator

    import docker
    import simpy

    from scenarios import story as told
    from tests.conformance.bench import Bench

# Below what an interpreter needs, and below what Docker allows.
TOO_LITTLE_MIB = 2
# What has a container's first process end by itself, from within, so that its engine has no hand in it.
END_ITSELF = ("python3", "-S", "-c", "import os; os.kill(1, 15)")


def test_a_slow_program_delays_readiness_only(bench: Bench) -> None:
    """A start delay comes on top of what the engine takes, and is no part of it."""
    delay_s = 1.5

    def script() -> Generator[simpy.Event, Any, tuple[float, object]]:
        asked_s = bench.env.now
        return asked_s, (yield bench.machine.start(container(start_delay_s=delay_s)))

    asked_s, started = bench.play(script)
    assert isinstance(started, Started)
    assert started.start_s + delay_s <= started.ready_s - asked_s + CLOCK_SLACK_S
    assert started.ready_s <= bench.env.now + CLOCK_SLACK_S


def test_a_restart_takes_the_start_delay_too(bench: Bench) -> None:
    """What comes back is ready only after its own program's delay."""
    delay_s = 1.0

    def script() -> Generator[simpy.Event, Any, Restarted]:
        yield bench.machine.start(container(start_delay_s=delay_s, restart=ALWAYS))
        yield bench.machine.crash("a", 1)
        return (yield from bench.hear(Restarted))

    restarted = bench.play(script)
    assert restarted.happened_s + delay_s <= restarted.ready_s + CLOCK_SLACK_S


@pytest.mark.parametrize("policy", [NO, ALWAYS], ids=lambda policy: policy.condition)
def test_who_cannot_live_is_refused(bench: Bench, policy: told.RestartPolicy) -> None:
    """A start with less memory than the first process needs is refused, whatever the policy, and the name is free."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        refused = yield bench.machine.start(container(memory_mib=TOO_LITTLE_MIB, restart=policy))
        anew = yield bench.machine.start(container())
        yield bench.env.timeout(1.0)
        return [refused, anew, (yield bench.machine.stop("a"))]

    refused, anew, _ = bench.play(script)
    assert isinstance(refused, Refused)
    assert "a" == refused.container
    assert isinstance(anew, Started)
    assert [] == bench.told(Restarted)
    # Nothing that came up has died.
    assert [] == [died for died in bench.told(Died) if died.happened_s > anew.ready_s]


def labelled_ids(client: docker.DockerClient, *, everything: bool) -> set[str]:
    """The containers that runs made, whether they run or not, or only those that do; others' may be among them."""
    return {found["Id"] for found in client.api.containers(all=everything, filters={"label": RUN_LABEL})}


@pytest.mark.docker
@pytest.mark.timeout(60)
@pytest.mark.parametrize("policy", [NO, ALWAYS], ids=lambda policy: policy.condition)
def test_who_ends_before_it_is_ready_is_refused(docker_engine: docker.DockerClient, policy: told.RestartPolicy) -> None:
    """A start whose first process ends before it answers is refused, and no policy of the engine's brings it back."""
    there = labelled_ids(docker_engine, everything=True)
    with real(bench_story()) as bench:

        def script() -> Generator[simpy.Event, Any, list[object]]:
            coming = bench.machine.start(container(start_delay_s=8.0, restart=policy))
            while not (found := labelled_ids(docker_engine, everything=False) - there):
                yield bench.env.timeout(0.2)
            yield bench.env.timeout(0.5)
            docker_engine.api.exec_start(docker_engine.api.exec_create(found.pop(), END_ITSELF)["Id"])
            refused = yield coming
            assert bench.env.now < 8.0
            anew = yield bench.machine.start(container())
            # An engine that refuses a removal, because it is still busy with the death, is asked again.
            patience = bench.env.timeout(PATIENCE_S)
            while len(labelled_ids(docker_engine, everything=True) - there) > 1 and not patience.processed:
                yield bench.env.timeout(0.2)
            return [refused, anew]

        refused, anew = bench.play(script)
        left = labelled_ids(docker_engine, everything=True) - there
    assert isinstance(refused, Refused)
    assert isinstance(anew, Started)
    assert 1 == len(left)
    assert [] == bench.told(Restarted)
