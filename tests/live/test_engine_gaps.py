"""Stories that Podman would run and not keep: told apart from those it serves."""

from __future__ import annotations

import pytest

from live.engine_gaps import refuse_gaps
from live.errors import UnfitStory
from scenarios import Story, load

DOCKER = {"ServerVersion": "20.10.24"}
PODMAN = {"ServerVersion": "4.3.1", "BuildahVersion": "1.28.2"}


def story(name: str) -> Story:
    """A story of the library."""
    return load(name).story


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("restart-backoff", "`restart` of restless"),
        ("slow-start", "`healthcheck` of database"),
        ("disk-quota", "`tmpfs` of bounded"),
    ],
)
def test_what_podman_does_not_keep_is_refused(name: str, what: str) -> None:
    """The first such thing is named, and what to do."""
    with pytest.raises(UnfitStory) as raised:
        refuse_gaps(story(name), PODMAN)

    assert f"the engine is Podman, where {what} does not work as in Docker; use Docker's own" in str(raised.value)


@pytest.mark.parametrize("name", ["cpu-quota-bursts", "memory-oom", "child-kill"])
def test_what_podman_keeps_is_run(name: str) -> None:
    """A story of one life per container has none of it."""
    refuse_gaps(story(name), PODMAN)


@pytest.mark.parametrize("name", ["restart-backoff", "slow-start", "disk-quota"])
def test_docker_keeps_it_all(name: str) -> None:
    """The same stories are fine on Docker."""
    refuse_gaps(story(name), DOCKER)
