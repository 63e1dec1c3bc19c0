"""Limits, life and hardening as the engine wants them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

import pytest

from live.containers import (
    DISK,
    HEALTH,
    START_DELAY,
    VOLUME,
    changes,
    create,
    join,
    limits,
    quota_us,
    swap_limit,
    update,
)
from live.image import VOLUME_HOME
from live.labels import new_run_labels
from live.networks import Networks
from live.worker import disk, health, supervisor
from scenarios.story import Container, Foreign, HealthCheck, Network, RestartPolicy, Tmpfs, Volume

if TYPE_CHECKING:
    import docker

MIB = 1 << 20


def container(memory: int | None, swap: int | None, cpus: float | None = None) -> Container:
    """A container with these limits."""
    return Container("a", "h", cpus, memory, swap, 1024, None, 64, 1.0)


def test_what_has_no_limit_is_not_mentioned() -> None:
    """The engine's own defaults hold wherever the story names no limit."""
    assert limits(container(None, None)) == {"cpu_shares": 1024, "pids_limit": 64}


@pytest.mark.parametrize(("cpus", "expected"), [(0.01, 1000), (0.5, 50_000), (1.0, 100_000), (0.333, 33_300)])
def test_cores_are_microseconds_in_each_period(cpus: float, expected: int) -> None:
    """Half a core is 50 ms of every 100."""
    assert quota_us(cpus) == expected


@pytest.mark.parametrize(
    ("memory", "swap", "wanted", "expected"),
    [
        # Swap without end stays so.
        (64 * MIB, None, 128 * MIB, -1),
        # Where memory had no limit: Docker's own default, as much again.
        (None, None, 128 * MIB, 256 * MIB),
        # No swap at all stays no swap.
        (64 * MIB, 64 * MIB, 128 * MIB, 128 * MIB),
        # An allowance of 32 MiB stays 32 MiB, up and down.
        (64 * MIB, 96 * MIB, 128 * MIB, 160 * MIB),
        (64 * MIB, 96 * MIB, 32 * MIB, 64 * MIB),
        # Unlimited swap stays unlimited.
        (64 * MIB, -1, 128 * MIB, -1),
    ],
)
def test_swap_moves_with_memory(memory: int | None, swap: int | None, wanted: int, expected: int) -> None:
    """A changed memory limit keeps the swap allowance what it was."""
    assert swap_limit(container(memory, swap), wanted) == expected


def test_swap_without_end_is_said() -> None:
    """The engine would take silence for as much swap again as memory."""
    assert limits(container(64 * MIB, None))["memswap_limit"] == -1
    assert limits(container(64 * MIB, 96 * MIB))["memswap_limit"] == 96 * MIB


@pytest.mark.parametrize(
    ("swap", "wanted", "expected"),
    [
        (64 * MIB, (128 * MIB, 256 * MIB), (128 * MIB, 256 * MIB)),
        (64 * MIB, (32 * MIB, 64 * MIB), (32 * MIB, 64 * MIB)),
        (96 * MIB, (128 * MIB, 256 * MIB), (160 * MIB, 288 * MIB)),
        (None, (128 * MIB, 256 * MIB), (-1, -1)),
    ],
)
def test_a_change_begins_where_the_last_one_ended(
    swap: int | None, wanted: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    """However often memory is limited anew, the swap allowance stays what it was."""
    spec = container(64 * MIB, swap)
    sent: list[int] = []
    for memory in wanted:
        changed = changes(spec, cpus_limit=None, memory_bytes_limit=memory)
        sent.append(changed["memory_swap_bytes_limit"])
        spec = dataclasses.replace(spec, **changed)

    assert tuple(sent) == expected
    assert spec.memory_bytes_limit == wanted[-1]


def test_only_what_is_wanted_changes() -> None:
    """A change of cores says nothing of memory, and the engine is told of nothing else."""
    engine = Engine()
    client = cast("docker.DockerClient", engine)
    spec = container(64 * MIB, 64 * MIB, 1.0)

    update(client, "made", changes(spec, cpus_limit=0.5, memory_bytes_limit=None))
    update(client, "made", changes(spec, cpus_limit=None, memory_bytes_limit=32 * MIB))

    assert engine.updates == [
        {"cpu_period": 100_000, "cpu_quota": 50_000},
        {"mem_limit": 32 * MIB, "memswap_limit": 32 * MIB},
    ]


class Engine:
    """An engine's client that keeps what it is asked to create, in the SDK's own words for it."""

    def __init__(self) -> None:
        """Have been asked nothing."""
        self.asked: dict[str, Any] = {}
        self.connected: list[tuple[str, str]] = []
        self.updates: list[dict[str, Any]] = []
        self.api = self

    def create_host_config(self, **wanted: Any) -> dict[str, Any]:  # noqa: ANN401
        """Whatever is wanted of the host."""
        return wanted

    def create_endpoint_config(self, **wanted: Any) -> dict[str, Any]:  # noqa: ANN401
        """Whatever is wanted in a network."""
        return wanted

    def create_network(self, name: str, **_: object) -> dict[str, str]:
        """A network whose id is its name."""
        return {"Id": name}

    def create_container(self, **wanted: Any) -> dict[str, str]:  # noqa: ANN401
        """Keep what is wanted."""
        self.asked = wanted
        return {"Id": "made"}

    def update_container(self, container_id: str, **wanted: Any) -> None:  # noqa: ANN401
        """Keep what is to change in the one container there is."""
        assert container_id == "made"
        self.updates.append(wanted)

    def connect_container_to_network(self, container_id: str, network: str, **_: object) -> None:
        """Keep who is connected to what."""
        self.connected.append((container_id, network))


def asked_for(spec: Container, *networks: str) -> dict[str, Any]:
    """What the engine is asked for to make this container."""
    engine = Engine()
    client = cast("docker.DockerClient", engine)
    run = new_run_labels("run", 1.0)
    there = Networks(client, run, tuple(Network(name, internal=False) for name in networks))
    made = create(client, "worker", spec, run, 7, there)
    join(client, made, spec, there)
    return engine.asked | {"connected": engine.connected}


def test_the_worker_is_told_by_the_names_it_listens_to() -> None:
    """The driver cannot import the worker everywhere, so the names are written twice: they are the same."""
    assert (disk.TMPFS, disk.VOLUME) == (DISK, VOLUME)
    assert (supervisor.START_DELAY, supervisor.HEALTH) == (START_DELAY, HEALTH)
    assert health.VARIABLE == HEALTH


def test_a_plain_worker_is_told_nothing() -> None:
    """Without a disk, a delay and a health check there is no environment, no probe, no policy and no mount."""
    asked = asked_for(container(None, None))

    assert ({}, None) == (asked["environment"], asked["healthcheck"])
    assert not {"restart_policy", "tmpfs", "mounts", "cap_add", "privileged"} & set(asked["host_config"])


def test_a_volume_is_made_for_the_run_and_mounted_twice() -> None:
    """Once where the image has a directory that anybody may write to, whose owner it takes, and once where it is."""
    run = new_run_labels("run", 1.0)
    asked = asked_for(dataclasses.replace(container(None, None), volume=Volume("data", "/var/data")))

    assert asked["environment"] == {VOLUME: "/var/data"}
    assert asked["host_config"]["mounts"] == [
        {
            "Target": place,
            "Source": "tonnage-run-data",
            "Type": "volume",
            "ReadOnly": False,
            "VolumeOptions": {"Labels": run.as_labels()} | no_copy,
        }
        for place, no_copy in ((VOLUME_HOME, {}), ("/var/data", {"NoCopy": True}))
    ]


def test_a_tmpfs_is_no_volume() -> None:
    """The worker is told of the first by the other name, and nothing is mounted that would outlive the container."""
    asked = asked_for(dataclasses.replace(container(None, None), tmpfs=(Tmpfs("/scratch", MIB), Tmpfs("/more", None))))

    assert asked["environment"] == {DISK: "/scratch"}
    assert {"/scratch", "/more"} == set(asked["host_config"]["tmpfs"])
    assert "mounts" not in asked["host_config"]


def test_networks_beyond_the_first_are_joined() -> None:
    """It is created in its first network, reachable by its name, and connected to the others before it is started."""
    spec = dataclasses.replace(container(None, None), networks=("front", "back"))

    asked = asked_for(spec, "front", "back")

    assert asked["host_config"]["network_mode"] == "tonnage-run-front"
    assert asked["networking_config"] == {"EndpointsConfig": {"tonnage-run-front": {"aliases": ["a"]}}}
    assert asked["connected"] == [("made", "tonnage-run-back")]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RestartPolicy("always"), {"Name": "always", "MaximumRetryCount": 0}),
        # The engine refuses a number of retries with any policy but on-failure.
        (RestartPolicy("unless-stopped", 4), {"Name": "unless-stopped", "MaximumRetryCount": 0}),
        (RestartPolicy("on-failure", 4), {"Name": "on-failure", "MaximumRetryCount": 4}),
    ],
)
def test_restarts_are_the_engines_own(policy: RestartPolicy, expected: dict[str, Any]) -> None:
    """A policy is passed on as it is."""
    asked = asked_for(dataclasses.replace(container(None, None), restart=policy))

    assert asked["host_config"]["restart_policy"] == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("true",), ["CMD", "true"]),
        (("CMD", "true"), ["CMD", "true"]),
        (("CMD-SHELL", "true || false"), ["CMD-SHELL", "true || false"]),
    ],
)
def test_an_image_is_asked_with_its_own_probe(command: tuple[str, ...], expected: list[str]) -> None:
    """With Compose's words before it or without them."""
    spec = dataclasses.replace(container(None, None), health=HealthCheck(command=command), foreign=Foreign("image"))

    assert asked_for(spec)["healthcheck"]["test"] == expected


def test_an_image_s_own_health_check_is_switched_off() -> None:
    """Health is the story's affair: without a word of it nobody is probed."""
    spec = dataclasses.replace(container(None, None), foreign=Foreign("image"))

    assert asked_for(spec)["healthcheck"] == {"test": ["NONE"]}


def test_a_privileged_container_is_not_half_hardened() -> None:
    """Privileged means everything; a root file system that can be written is another key."""
    free = dataclasses.replace(container(None, None), foreign=Foreign("image", privileged=True, writable=True))

    host = asked_for(free)["host_config"]

    assert (True, False) == (host["privileged"], host["read_only"])
    assert not {"cap_drop", "security_opt"} & set(host)
