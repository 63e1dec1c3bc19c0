"""A container as Compose would write it: its limits, its life, and a program of one's own instead of our worker."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from scenarios.compose_fields import (
    NO_PROBE,
    Capabilities,
    Command,
    Environment,
    Image,
    Probe,
    Restart,
    TmpfsMounts,
    User,
    Volumes,
)
from scenarios.entry import Entry
from scenarios.errors import BadValueError
from scenarios.fields import (
    Cores,
    Cpuset,
    Duration,
    Flag,
    MemLimit,
    MemSwapLimit,
    Name,
    PidsCount,
    ProbesCount,
    Shares,
    Span,
    read_name,
)
from scenarios.story import RestartPolicy

# Keys that say how a program of the user's own is run; our worker needs none of them.
OF_AN_IMAGE = ("command", "environment", "user", "cap_add", "privileged", "read_only")


# Where a container's first volume stands.
AT_FIRST = ("volumes", 0)


class HealthCheck(Entry):
    """How the engine finds out whether a container is well."""

    reserved = ("start_interval",)

    test: Probe | None = Field(
        default=None,
        description="What an image is asked: [CMD, redis-cli, ping]. Our worker has a probe of its own.",
    )
    interval: Span = Field(default=30.0, description="Time before the first probe, and from each to the next.")
    timeout: Span = Field(default=30.0, description="A probe that takes longer has failed.")
    retries: ProbesCount = Field(default=3, description="So many failed probes in a row make it unhealthy.")
    start_period: Duration = Field(default=0.0, description="Failed probes so soon after the start do not count.")
    disable: Flag = Field(default=False, description="No health check after all.")

    @property
    def is_on(self) -> bool:
        """Whether there is a health check at all: Compose has two words for there being none."""
        return not self.disable and self.test != NO_PROBE


class Dependency(Entry):
    """What another container must have reached before this one is started."""

    reserved = ("required", "restart")

    condition: Literal["service_started", "service_healthy", "service_completed_successfully"] = Field(
        description="Started, healthy by its health check, or ended with exit code 0.", examples=["service_healthy"]
    )


def _dependencies_in_full(value: object) -> object:
    """Turn the short form, a list of names, into the long one."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        raise BadValueError("a list of containers, or a mapping of them to conditions", "[db]")
    names: dict[str, object] = {}
    for index, item in enumerate(value):
        name = _name_at(index, item)
        if name in names:
            raise BadValueError("another container: it is in the list already", at=(index,))
        names[name] = {"condition": "service_started"}
    return names


def _name_at(index: int, item: object) -> str:
    try:
        return read_name(item)
    except BadValueError as error:
        raise BadValueError(error.must, error.example, (index,)) from None


class Network(Entry):
    """A network of the story's own."""

    reserved = ("attachable", "driver", "driver_opts", "enable_ipv6", "external", "ipam", "labels", "name")

    internal: Flag = Field(default=False, description="It leads nowhere else.")


def _network_in_full(value: object) -> object:
    return {} if value is None else value


NetworkInFull = Annotated[Network, BeforeValidator(_network_in_full, json_schema_input_type=Network | None)]


class Container(Entry):
    """A container, its limits and its life, under Compose's names."""

    reserved = (
        *("build", "cap_drop", "deploy", "devices", "entrypoint", "gpus", "mem_reservation", "ports", "replicas"),
        *("security_opt", "storage_opt"),
    )

    host: Name | None = Field(
        default=None, description="Which host runs it; needed where there are several.", examples=["local"]
    )
    cpus: Cores | None = Field(
        default=None, description="CPU quota in cores: 0.5 is 50 ms in each 100 ms. Left out: no quota."
    )
    mem_limit: MemLimit | None = Field(default=None, description="Memory limit, 6m or more. Left out: no limit.")
    memswap_limit: MemSwapLimit | None = Field(
        default=None,
        description="Memory plus swap. Left out: twice mem_limit, as Docker does; equal to mem_limit: no swap.",
    )
    cpu_shares: Shares = Field(
        default=1024, description="Weight against other containers when the cores are contended."
    )
    cpuset: Cpuset | None = Field(
        default=None, description="Cores it may use, such as 0-3,5. Left out: all of the host."
    )
    pids_limit: PidsCount | None = Field(
        default=None, description="Most processes and threads. Left out: enough for its agents."
    )
    stop_grace_period: Duration = Field(default=10.0, description="Time between SIGTERM and SIGKILL.")
    restart: Restart = Field(
        default=RestartPolicy(),
        description="When the engine starts it anew after an end unasked: no, always, unless-stopped, on-failure:3.",
    )
    healthcheck: HealthCheck | None = Field(default=None, description="How the engine finds out whether it is well.")
    depends_on: Annotated[
        dict[Name, Dependency],
        BeforeValidator(_dependencies_in_full, json_schema_input_type=dict[Name, Dependency] | list[Name]),
    ] = Field(
        default_factory=dict, description="Containers it waits for: a list, or {db: {condition: service_healthy}}."
    )
    networks: tuple[Name, ...] = Field(default=(), description="Which of networks it is in. Left out: none at all.")
    tmpfs: TmpfsMounts = Field(
        default=(), description="File systems in its memory, such as /scratch:size=50m; agents write to the first."
    )
    image: Image | None = Field(
        default=None,
        description="A program of your own instead of our worker: it is started and watched, runs no agents.",
    )
    command: Command | None = Field(default=None, description="Its command. Left out: the image's own.")
    environment: Environment = Field(default=(), description="Its environment: a mapping, or a list of NAME=VALUE.")
    volumes: Volumes = Field(
        default=(),
        description="Paths of the host, or named volumes, as SOURCE:TARGET[:ro]. Without an image: one named volume, "
        "on which agents write; it is made for the run and goes with it.",
    )
    user: User | None = Field(default=None, description="Whom it runs as. Left out: nobody.")
    cap_add: Capabilities = Field(default=(), description="Kernel capabilities it has. Left out: none.")
    privileged: Flag = Field(default=False, description="Whether it may do what root on the host may.")
    read_only: Flag = Field(default=True, description="Whether its root file system can only be read; true by default.")

    @model_validator(mode="after")
    def _keys_of_an_image(self) -> Self:
        for name in OF_AN_IMAGE:
            if self.image is None and name in self.model_fields_set:
                raise BadValueError("left out, or come with an image: our worker needs none", at=(name,))
        return self

    @model_validator(mode="after")
    def _one_volume_of_its_own(self) -> Self:
        if self.image is not None or not self.volumes:
            return self
        if self.tmpfs:
            raise BadValueError("left out, because agents write to its tmpfs", at=("volumes",))
        if len(self.volumes) > 1:
            raise BadValueError("one volume, because agents write to one place", "[data:/data]", at=("volumes",))
        if self.volumes[0].source.startswith("/"):
            raise BadValueError("a volume by its name: a path of the host is for an image", "data:/data", at=AT_FIRST)
        if self.volumes[0].read_only:
            raise BadValueError("one that agents can write to", "data:/data", at=AT_FIRST)
        return self

    @model_validator(mode="after")
    def _probe_of_its_own(self) -> Self:
        check = self.healthcheck
        if check is None or not check.is_on:
            return self
        if self.image is None and check.test is not None:
            raise BadValueError(
                "left out, because our worker is asked by a probe of its own", at=("healthcheck", "test")
            )
        if self.image is not None and check.test is None:
            raise BadValueError("given where there is an image", "[CMD, redis-cli, ping]", at=("healthcheck", "test"))
        return self

    @model_validator(mode="after")
    def _one_mount_at_a_path(self) -> Self:
        taken = {one.path for one in self.tmpfs}
        for index, mount in enumerate(self.volumes):
            if mount.target in taken:
                raise BadValueError(f"at another path: something is mounted at {mount.target}", at=("volumes", index))
            taken.add(mount.target)
        return self
