"""How a story's container is created on the engine: its limits and its life, and hardened unless said otherwise.

Nothing in it runs as root, gains a privilege, writes its root file system or reaches a network that the story does not
name. Health checks are the story's alone: one that an image brings along is switched off.
The engine keeps no log of it (all output is on the attached stream) and never disables its OOM killer.
Source: Docker Engine API, ContainerCreate and ContainerUpdate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from live import labels
from live.image import VOLUME_HOME
from live.worker_probe import PROBE
from scenarios.story import Mount

if TYPE_CHECKING:
    import docker

    from live.labels import RunLabels
    from live.networks import Networks
    from scenarios.story import Container, Foreign, HealthCheck, Tmpfs

# The kernel's default bandwidth period, and Docker's: 100 ms.
CPU_PERIOD_US = 100_000

# The engine's word for swap without end.
NO_LIMIT = -1

NOBODY = "65534:65534"

# What the worker is told by its environment (`live/worker/`, which only runs on Linux and so is not imported here).
DISK = "TONNAGE_DISK"
VOLUME = "TONNAGE_VOLUME"
START_DELAY = "TONNAGE_START_DELAY_S"
HEALTH = "TONNAGE_HEALTH"

NANOSECONDS_PER_S = 1_000_000_000
TEST_FORMS = ("CMD", "CMD-SHELL", "NONE")


def create(
    client: docker.DockerClient, image: str, spec: Container, run: RunLabels, number: int, networks: Networks
) -> str:
    """Create the container and return the engine's id; what the SDK raises is the caller's to turn into an outcome.

    `number` keeps the engine's name free of the one that had this name in the story before and may not be gone yet.
    """
    program = _worker(image, spec) if spec.foreign is None else _foreign(spec.foreign)
    network = networks.ensure(spec.networks[0]) if spec.networks else "none"
    if spec.networks:
        endpoint = client.api.create_endpoint_config(aliases=[spec.name])
        program["networking_config"] = {"EndpointsConfig": {network: endpoint}}
    made = client.api.create_container(
        name=f"tonnage-{run.run}-{spec.name}-{number}",
        labels=run.as_labels() | {labels.CONTAINER: spec.name},
        healthcheck=_health_check(spec),
        host_config=client.api.create_host_config(
            **limits(spec), **_hardening(spec.foreign), **_life(spec), **_places(spec, run, network)
        ),
        **program,
    )
    return str(made["Id"])


def join(client: docker.DockerClient, container_id: str, spec: Container, networks: Networks) -> None:
    """Connect a created container to its networks beyond the first, in which it was created."""
    for name in spec.networks[1:]:
        client.api.connect_container_to_network(container_id, networks.ensure(name), aliases=[spec.name])


def changes(spec: Container, *, cpus_limit: float | None, memory_bytes_limit: int | None) -> dict[str, Any]:
    """What new limits change in a running container's `spec`; None leaves a limit as it is."""
    changed: dict[str, Any] = {}
    if cpus_limit is not None:
        changed["cpus_limit"] = cpus_limit
    if memory_bytes_limit is not None:
        changed |= {
            "memory_bytes_limit": memory_bytes_limit,
            "memory_swap_bytes_limit": swap_limit(spec, memory_bytes_limit),
        }
    return changed


def update(client: docker.DockerClient, container_id: str, changed: dict[str, Any]) -> None:
    """Change a running container's limits, as `changes` says."""
    wanted: dict[str, Any] = {}
    if "cpus_limit" in changed:
        wanted |= {"cpu_period": CPU_PERIOD_US, "cpu_quota": quota_us(changed["cpus_limit"])}
    if "memory_bytes_limit" in changed:
        wanted |= {"mem_limit": changed["memory_bytes_limit"], "memswap_limit": changed["memory_swap_bytes_limit"]}
    client.api.update_container(container_id, **wanted)


def quota_us(cpus_limit: float) -> int:
    """Microseconds of CPU in each period for so many cores."""
    return round(cpus_limit * CPU_PERIOD_US)


def limits(spec: Container) -> dict[str, Any]:
    """A container's limits in the SDK's words; what has none is left to the engine's defaults."""
    told: dict[str, Any] = {"cpu_shares": spec.cpu_shares, "pids_limit": spec.pids_count_limit}
    if spec.cpus_limit is not None:
        told |= {"cpu_period": CPU_PERIOD_US, "cpu_quota": quota_us(spec.cpus_limit)}
    if spec.memory_bytes_limit is not None:
        with_swap = spec.memory_swap_bytes_limit
        # The engine would take no word on swap for as much again as memory; the story means swap without end.
        told |= {"mem_limit": spec.memory_bytes_limit, "memswap_limit": NO_LIMIT if with_swap is None else with_swap}
    if spec.cpuset_cpus is not None:
        told["cpuset_cpus"] = ",".join(str(number) for number in spec.cpuset_cpus)
    return told


def swap_limit(spec: Container, memory_bytes_limit: int) -> int:
    """The memory-plus-swap limit that goes with a new memory limit; `NO_LIMIT` where swap has none."""
    # The engine refuses a memory limit above the memory-plus-swap limit, so both move together:
    # the swap allowance stays what it was, and where memory had no limit it is Docker's default, as much again.
    limit, with_swap = spec.memory_bytes_limit, spec.memory_swap_bytes_limit
    if limit is None:
        return 2 * memory_bytes_limit if with_swap is None else with_swap
    if with_swap is None or with_swap < 0:
        return NO_LIMIT
    return memory_bytes_limit + with_swap - limit


# What runs in it.


def _worker(image: str, spec: Container) -> dict[str, Any]:
    return {
        "image": image,
        "user": NOBODY,
        "environment": _worker_environment(spec),
        # Not detached: stdin is closed when the driver's connection ends, so a dead driver's worker ends too.
        "stdin_open": True,
        "tty": False,
    }


def _worker_environment(spec: Container) -> dict[str, str]:
    told = {}
    if spec.tmpfs:
        told[DISK] = spec.tmpfs[0].path
    if spec.volume is not None:
        told[VOLUME] = spec.volume.path
    if spec.start_delay_s > 0:
        told[START_DELAY] = repr(spec.start_delay_s)
    if spec.health is not None:
        told[HEALTH] = "1"
    return told


def _foreign(foreign: Foreign) -> dict[str, Any]:
    return {
        "image": foreign.image,
        "command": list(foreign.command) or None,
        "environment": dict(foreign.environment),
        "user": foreign.user or NOBODY,
        "detach": True,
    }


def _health_check(spec: Container) -> dict[str, Any] | None:
    if spec.health is not None:
        return _health(spec.health)
    return None if spec.foreign is None else {"test": ["NONE"]}


def _health(check: HealthCheck) -> dict[str, Any]:
    return {
        "test": _test(check),
        "interval": _nanoseconds(check.interval_s),
        "timeout": _nanoseconds(check.timeout_s),
        "retries": check.retries_max,
        "start_period": _nanoseconds(check.start_period_s),
    }


def _test(check: HealthCheck) -> list[str]:
    if not check.command:
        return ["CMD", *PROBE, repr(check.timeout_s)]
    return list(check.command) if check.command[0] in TEST_FORMS else ["CMD", *check.command]


def _nanoseconds(duration_s: float) -> int:
    return round(duration_s * NANOSECONDS_PER_S)


# What it may do, and where it is.


def _hardening(foreign: Foreign | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "read_only": foreign is None or not foreign.writable,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "oom_kill_disable": False,
        "log_config": {"type": "none", "config": {}},
    }
    if foreign is not None and foreign.capabilities:
        told["cap_add"] = list(foreign.capabilities)
    if foreign is not None and foreign.privileged:
        # With all that root on the host may do there is nothing left to forbid.
        del told["cap_drop"], told["security_opt"]
        told["privileged"] = True
    return told


def _life(spec: Container) -> dict[str, Any]:
    policy = spec.restart
    if policy.condition == "no":
        return {}
    # The engine refuses a number of retries with any other policy.
    retries_max = policy.retries_max if policy.condition == "on-failure" else 0
    return {"restart_policy": {"Name": policy.condition, "MaximumRetryCount": retries_max}}


def _places(spec: Container, run: RunLabels, network: str) -> dict[str, Any]:
    told: dict[str, Any] = {"network_mode": network}
    if spec.tmpfs:
        told["tmpfs"] = {tmpfs.path: _tmpfs_options(tmpfs) for tmpfs in spec.tmpfs}
    if spec.foreign is not None and spec.foreign.mounts:
        told["mounts"] = [_mount(mount, run) for mount in spec.foreign.mounts]
    if spec.volume is not None:
        name = f"tonnage-{run.run}-{spec.volume.name}"
        # An empty volume takes its owner from what the image has at the place where it is mounted, so once where the
        # worker's image has a directory of nobody's, and once where the story wants it, where nothing of the image is
        # copied into it.
        told["mounts"] = [
            _mount(Mount(name, place, read_only=False), run, no_copy=place != VOLUME_HOME)
            for place in dict.fromkeys((VOLUME_HOME, spec.volume.path))
        ]
    return told


def _tmpfs_options(tmpfs: Tmpfs) -> str:
    size = "" if tmpfs.bytes_limit is None else f"size={tmpfs.bytes_limit},"
    return f"{size}mode=1777,uid={NOBODY.partition(':')[0]}"


def _mount(mount: Mount, run: RunLabels, *, no_copy: bool = False) -> dict[str, Any]:
    from docker.types import Mount as EngineMount

    if mount.source.startswith("/"):
        return EngineMount(mount.target, mount.source, type="bind", read_only=mount.read_only)
    # A volume that is there keeps its own labels and outlives the run; one that is made for the run goes with it.
    return EngineMount(
        mount.target,
        mount.source,
        type="volume",
        read_only=mount.read_only,
        no_copy=no_copy,
        labels=run.as_labels(),
    )
