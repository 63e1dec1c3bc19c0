"""Networks of the story's own: made with the first container that is in them, gone with the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scenarios import story as told
from sim.machine import Compute, Finished, Refused, Started
from tests.conformance.bench import RUN_LABEL, bench_story, container, program, real

if TYPE_CHECKING:
    from collections.abc import Generator

    import docker
    import simpy

    from tests.conformance.bench import Bench, World

# What a stock engine has room for, and what a test can fill in its time.
SIMULATED_COUNT_MAX = 30
FILLED_COUNT_MAX = 64
NETWORKS = (told.Network("inner", internal=True), told.Network("outer", internal=False))


@pytest.fixture(name="free_count")
def _free_count(world: World, request: pytest.FixtureRequest) -> int:
    """How many networks the engine can still make."""
    if world.name == "simulated":
        return SIMULATED_COUNT_MAX
    from live.address_pools import networks_left

    engine: docker.DockerClient = request.getfixturevalue("docker_engine")
    count = networks_left(engine.info(), engine.api.networks()).free_count
    if count > FILLED_COUNT_MAX:
        pytest.skip(f"this engine has room for {count} networks, too many to fill")
    return count


def networked(bench: Bench) -> Generator[simpy.Event, Any, list[object]]:
    """Start three containers at once, two in one network and one of them in a second."""
    coming = [
        container("a", networks=("inner",)),
        container("b", networks=("inner", "outer")),
        container("c", networks=("outer",)),
    ]
    starts = [bench.machine.start(spec) for spec in coming]
    yield bench.env.all_of(starts)
    return [start.value for start in starts]


def test_containers_share_a_network(world: World) -> None:
    """Containers that are started together into the same networks all come up, and work."""
    with world.set_up(bench_story(networks=NETWORKS)) as bench:

        def script() -> Generator[simpy.Event, Any, list[object]]:
            started = yield from networked(bench)
            return [*started, (yield bench.machine.submit("b", program(Compute(0.01, 1))))]

        outcomes = bench.play(script)
    assert [Started, Started, Started, Finished] == [type(outcome) for outcome in outcomes]


def test_a_network_can_be_joined_late(world: World) -> None:
    """A network whose first container has gone serves those that come later."""
    with world.set_up(bench_story(networks=NETWORKS)) as bench:

        def script() -> Generator[simpy.Event, Any, list[object]]:
            yield bench.machine.start(container("a", networks=("inner",)))
            yield bench.machine.stop("a")
            return [
                (yield bench.machine.start(container("a", networks=("inner",)))),
                (yield bench.machine.start(container("b", networks=("inner",)))),
            ]

        outcomes = bench.play(script)
    assert [Started, Started] == [type(outcome) for outcome in outcomes]


def test_an_engine_has_so_many_networks(world: World, free_count: int) -> None:
    """A container with one network more than there are addresses for is refused, in the engine's words; others live."""
    wanted = tuple(told.Network(f"n{number}", internal=True) for number in range(free_count + 1))
    names = tuple(network.name for network in wanted)
    with world.set_up(bench_story(networks=wanted)) as bench:

        def script() -> Generator[simpy.Event, Any, list[object]]:
            refused = yield bench.machine.start(container("greedy", networks=names))
            return [
                refused,
                (yield bench.machine.start(container("modest", networks=names[:1]))),
                (yield bench.machine.start(container("greedy"))),
            ]

        refused, *started = bench.play(script)
    assert isinstance(refused, Refused)
    assert "address pool" in refused.reason
    assert [Started, Started] == [type(outcome) for outcome in started]


@pytest.mark.docker
@pytest.mark.timeout(60)
def test_nothing_is_left_of_a_network(docker_engine: docker.DockerClient) -> None:
    """While the run is up its networks carry its labels, and are internal or not as the story says; then none is."""
    labelled = {"label": RUN_LABEL}

    def ours() -> dict[str, tuple[bool, bool]]:
        return {
            network["Id"]: (network["Internal"], RUN_LABEL in network["Labels"])
            for network in docker_engine.api.networks(filters=labelled)
        }

    before = ours()
    with real(bench_story(networks=NETWORKS)) as bench:
        bench.play(lambda: networked(bench))
        made = [kind for key, kind in ours().items() if key not in before]
        joined = sorted(
            len(held["NetworkSettings"]["Networks"]) for held in docker_engine.api.containers(filters=labelled)
        )

    assert [(False, True), (True, True)] == sorted(made)
    assert [1, 1, 2] == joined
    assert before == ours()
