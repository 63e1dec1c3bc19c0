"""The machines on which every test of the port's contract runs."""

from __future__ import annotations

import contextlib
import io
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.conformance.bench import World, bench_story, real, real_and_own, simulated

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

    from tests.conformance.bench import Bench


@pytest.fixture(
    name="world", params=["simulated", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.timeout(60)])]
)
def _world(request: pytest.FixtureRequest) -> World:
    """Every world in turn."""
    if request.param == "simulated":
        return World("simulated", simulated, lambda: "any")
    return World("docker", real, lambda: request.getfixturevalue("foreign_image"))


@pytest.fixture(
    name="own_engine", params=["simulated", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.timeout(90)])]
)
def _own_engine(request: pytest.FixtureRequest) -> World:
    """Every world in turn, with an engine of the test's own that may be struck."""
    if request.param == "simulated":
        return World("simulated", simulated, lambda: "any")
    request.getfixturevalue("private_engines")
    return World("docker", real_and_own, lambda: "any")


@pytest.fixture(name="bench")
def _bench(world: World) -> Iterator[Bench]:
    """Every machine in turn, polite and with nothing on it."""
    with world.set_up(bench_story()) as bench:
        yield bench


@pytest.fixture(name="foreign_image", scope="session")
def _foreign_image(docker_engine: docker.DockerClient) -> Iterator[str]:
    """An image that runs any Python command line: our worker's without its entry point, so that nothing is pulled."""
    from docker.errors import DockerException

    from live.image import worker_image

    tag = f"tonnage-conformance:{uuid.uuid4().hex[:12]}"
    recipe = f"FROM {worker_image(docker_engine)}\nENTRYPOINT []\n"
    docker_engine.images.build(fileobj=io.BytesIO(recipe.encode()), tag=tag, rm=True, pull=False)
    yield tag
    with contextlib.suppress(DockerException):
        docker_engine.images.remove(tag, force=True, noprune=True)
