"""How a story's container is created on the engine: its limits, and hardened unless said otherwise.

Nothing in it runs as root, gains a privilege, writes its root file system or reaches a network.
The engine keeps no log of it (all output is on the attached stream) and never disables its OOM killer.
Source: Docker Engine API, ContainerCreate and ContainerUpdate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from live import labels

if TYPE_CHECKING:
    import docker

    from live.labels import RunLabels
    from scenarios.story import Container

# The kernel's default bandwidth period, and Docker's: 100 ms.
CPU_PERIOD_US = 100_000

NOBODY = "65534:65534"


def create(client: docker.DockerClient, image: str, spec: Container, run: RunLabels, number: int) -> str:
    """Create the container and return the engine's id; what the SDK raises is the caller's to turn into an outcome.

    `number` keeps the engine's name free of the one that had this name in the story before and may not be gone yet.
    """
    made = client.api.create_container(
        image,
        name=f"tonnage-{run.run}-{spec.name}-{number}",
        user=NOBODY,
        # Not detached: stdin is closed when the driver's connection ends, so a dead driver's worker ends too.
        stdin_open=True,
        tty=False,
        labels=run.as_labels() | {labels.CONTAINER: spec.name},
        host_config=client.api.create_host_config(**limits(spec), **_hardening()),
    )
    return str(made["Id"])


def update(
    client: docker.DockerClient,
    container_id: str,
    spec: Container,
    *,
    cpus_limit: float | None,
    memory_bytes_limit: int | None,
) -> None:
    """Change a running container's limits; `spec` holds the limits it has now."""
    wanted: dict[str, Any] = {}
    if cpus_limit is not None:
        wanted |= {"cpu_period": CPU_PERIOD_US, "cpu_quota": quota_us(cpus_limit)}
    if memory_bytes_limit is not None:
        wanted |= {"mem_limit": memory_bytes_limit, "memswap_limit": swap_limit(spec, memory_bytes_limit)}
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
        told["mem_limit"] = spec.memory_bytes_limit
    if spec.memory_swap_bytes_limit is not None:
        told["memswap_limit"] = spec.memory_swap_bytes_limit
    if spec.cpuset_cpus is not None:
        told["cpuset_cpus"] = ",".join(str(number) for number in spec.cpuset_cpus)
    return told


def _hardening() -> dict[str, Any]:
    return {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "network_mode": "none",
        "oom_kill_disable": False,
        "log_config": {"type": "none", "config": {}},
    }


def swap_limit(spec: Container, memory_bytes_limit: int) -> int:
    """The memory-plus-swap limit that goes with a new memory limit; -1 is none."""
    # The engine refuses a memory limit above the memory-plus-swap limit, so both move together:
    # the swap allowance stays what it was, and where none was named it is Docker's default, as much again.
    if spec.memory_swap_bytes_limit is None:
        return 2 * memory_bytes_limit
    if spec.memory_swap_bytes_limit < 0 or spec.memory_bytes_limit is None:
        return spec.memory_swap_bytes_limit
    return memory_bytes_limit + spec.memory_swap_bytes_limit - spec.memory_bytes_limit
