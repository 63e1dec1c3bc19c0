"""One machine standing in for a story's hosts."""

from __future__ import annotations

import pytest

from live.pinning import pinned
from scenarios.story import Container, Host, LiveScale, Story


def story(hosts: dict[str, float], *containers: tuple[str, tuple[int, ...] | None]) -> Story:
    """A story of hosts by their cores, and of containers by host and cpuset."""
    return Story(
        name="pinning",
        purpose="p",
        source="s",
        seed=1,
        duration_s=10.0,
        sample_interval_s=0.5,
        hosts=tuple(Host(name, cpus, 1 << 30, 0, 0, None) for name, cpus in hosts.items()),
        containers=tuple(
            Container(f"c{number}", host, None, None, None, 1024, cpuset, 64, 1.0)
            for number, (host, cpuset) in enumerate(containers)
        ),
        agents=(),
        rate_limits=(),
        providers=(),
        goals=(),
        headline=(),
        live_scale=LiveScale(1.0, 1.0, 1.0),
        live_able=True,
    )


def test_a_host_as_large_as_the_machine_is_the_machine() -> None:
    """Nothing is pinned where story and engine have the same cores."""
    told = story({"a": 2}, ("a", None), ("a", (1,)))

    assert pinned(told, 2).story is told


@pytest.mark.parametrize(
    ("hosts", "cpus_count", "expected"),
    [
        ({"a": 1, "b": 1}, 2, [(0,), (1,)]),
        ({"a": 2, "b": 1}, 4, [(0, 1), (2,)]),
        ({"a": 1.5, "b": 2}, 4, [(0, 1), (2, 3)]),
    ],
)
def test_hosts_get_cores_of_their_own(
    hosts: dict[str, float], cpus_count: int, expected: list[tuple[int, ...]]
) -> None:
    """Containers of different hosts never share a core; a part of a core takes a whole one."""
    as_run = pinned(story(hosts, ("a", None), ("b", None)), cpus_count)

    assert [container.cpuset_cpus for container in as_run.story.containers] == expected
    assert as_run.reasons == ()


def test_core_numbers_count_within_the_host() -> None:
    """Core 1 of the second host is not core 1 of the machine."""
    as_run = pinned(story({"a": 2, "b": 2}, ("a", (1,)), ("b", (1,))), 4)

    assert [container.cpuset_cpus for container in as_run.story.containers] == [(1,), (3,)]


def test_too_few_cores_are_told() -> None:
    """A story that is larger than the engine runs as it can, and is not comparable."""
    told = story({"a": 8}, ("a", None))

    as_run = pinned(told, 2)

    assert as_run.story is told
    assert as_run.reasons == (
        "the hosts have 8 cores in the story and 2 cores on the engine; `live: scale` shrinks a story",
    )
