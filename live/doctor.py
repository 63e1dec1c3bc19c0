"""Is this machine fit for live runs? What stands in the way, what was left behind, how near the walls are.

Every finding that needs one has a remedy, a command where there is one. Looking changes nothing; `mend` removes what
crashed runs left.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

from live import labels, lock
from live.address_pools import networks_left
from live.engine import answering
from live.engine_place import place, product
from live.engine_remains import find_left_engines, remove_left_engine
from live.errors import HOW_TO_GET_AN_ENGINE, EngineRefused
from live.image import REPOSITORY
from live.leftovers import find_leftovers, labelled, remove
from sim import places
from sim.errors import ProfileError
from sim.physics.host_profile import load_profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

    from live.errors import EngineMissing
    from live.leftovers import Labelled

Severity = Literal["fine", "note", "warning", "error"]

GIB = 1024**3

# Room for the worker image and what containers write, many times over; below it engines begin to misbehave.
DISK_BYTES_MIN = 5 * GIB

# Below it, the host itself presses on the containers of all but the smallest story.
MEMORY_BYTES_MIN = GIB

# A Compose stack or a pool takes a network per environment: fewer than these are gone in a minute.
NETWORKS_COUNT_MIN = 5

SWAP_USED_RATIO_MAX = 0.5

NAMES_SHOWN_MAX = 5

# What live mode needs of the kernel, by the engine's name for it.
FEATURES = {"CpuCfsQuota": "CPU limits", "MemoryLimit": "memory limits", "CPUSet": "core pinning"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` is empty where nothing needs to be done."""

    kind: str
    severity: Severity
    text: str
    remedy: str = ""


def findings_without_engine(problem: EngineMissing) -> list[Finding]:
    """What can be said where no engine answers."""
    missing = Finding("engine", "error", problem.finding, HOW_TO_GET_AN_ENGINE)
    return [missing, *_left_engines(), *_stale_lock(), _profile(None)]


def findings(client: docker.DockerClient) -> list[Finding]:
    """All that was found on this machine and its engine; `EngineRefused` where it stops answering meanwhile."""
    with answering("say what is on it"):
        info = client.info()
        return [
            *_engine(info),
            *_place(info),
            *_leftovers(client),
            *_left_engines(),
            *_stale_lock(),
            *_neighbours(client),
            _networks(client, info),
            *_disk(info),
            *_memory(info),
            _image(client),
            _profile(info),
        ]


def mend(client: docker.DockerClient) -> list[str]:
    """Remove what crashed runs left, and the name of a holder that is gone; what was done, one line each."""
    # First, because an engine that refuses what is its own is no reason to leave this too.
    done = mend_without_engine()
    with answering("remove what crashed runs left"):
        left = find_leftovers(client)
        remaining = set(remove(client, left))
    done += [f"removed {thing.kind} {thing.name}" for thing in left if thing.name not in remaining]
    return done + [f"could not remove {name}" for name in sorted(remaining)]


def mend_without_engine() -> list[str]:
    """Remove what crashed runs left on this machine itself; what was done, one line each."""
    done = [_removed_engine(path) for path in find_left_engines()]
    if lock.read_holder() is not None and lock.forget_holder():
        done.append(f"emptied {lock.lock_path()}")
    return done


def _removed_engine(path: Path) -> str:
    try:
        remove_left_engine(path)
    except EngineRefused as problem:
        return f"could not remove the private engine in {path}: {problem.reason}"
    return f"removed the private engine in {path}"


def _engine(info: dict[str, Any]) -> Iterator[Finding]:
    version, cgroup = info["ServerVersion"], info.get("CgroupVersion", "1")
    said = f"{product(info)} {version}, cgroup v{cgroup}, {info['Driver']}, kernel {info['KernelVersion']}"
    yield Finding("engine", "fine", f"{said}, {info['NCPU']} CPUs, {info['MemTotal'] / GIB:.1f} GiB")
    for feature, name in FEATURES.items():
        if info.get(feature) is False:
            remedy = "use a kernel and an engine with the cgroup controllers cpu, memory and cpuset"
            yield Finding("engine", "error", f"this engine does not support {name}", remedy)


def _place(info: dict[str, Any]) -> Iterator[Finding]:
    """What is different where the engine is not Docker on this machine's own kernel."""
    has = f"containers have its {info['NCPU']} CPUs and {info['MemTotal'] / GIB:.1f} GiB{_beside_ours(info)}"
    unknown = "what else uses it cannot be measured, so live runs on it are not comparable"
    where = place(info)
    if where == "desktop":
        text = f"the engine is a virtual machine of Docker Desktop: {has}; {unknown}"
        yield Finding("place", "note", text, "its settings say how much it gets; validate on an engine on Linux itself")
    elif where == "elsewhere":
        text = (
            f"the engine is on another machine or in a virtual one, {info.get('Name') or 'unnamed'}: {has}; {unknown}"
        )
        yield Finding("place", "note", text, "run Tonnage on that machine to validate")
    if product(info) == "Podman":
        text = "Podman 4.3 changes no limits of running containers and tells of no OOM kill"
        yield Finding("place", "note", text, "docs/engines.md says what was tried")


def _beside_ours(info: dict[str, Any]) -> str:
    """This machine's share, where a reader may take it for the engine's."""
    ours = (os.cpu_count(), psutil.virtual_memory().total)
    if ours == (info["NCPU"], info["MemTotal"]):
        return ""
    return f", not this machine's {ours[0]} and {ours[1] / GIB:.1f} GiB"


def _leftovers(client: docker.DockerClient) -> Iterator[Finding]:
    left = find_leftovers(client)
    if left:
        text = f"crashed runs left {len(left)} objects: {_named(left)}"
        yield Finding("leftovers", "warning", text, "`tonnage doctor --fix` removes them")
    else:
        yield Finding("leftovers", "fine", "nothing was left behind")
    strange = [thing for thing in labelled(client) if thing.owner_labels is None]
    if strange:
        text = f"{len(strange)} objects carry our label and no whole owner: {_named(strange)}"
        remedy = "they are never removed for you; `docker rm -f`, `docker network rm` or `docker volume rm` if yours"
        yield Finding("leftovers", "note", text, remedy)


def _named(things: list[Labelled]) -> str:
    return _shown([f"{thing.kind} {thing.name}" for thing in things])


def _left_engines() -> Iterator[Finding]:
    left = find_left_engines()
    if left:
        text = f"crashed runs left {len(left)} private engines: {_shown([str(path) for path in left])}"
        yield Finding("leftovers", "warning", text, "`tonnage doctor --fix` removes them")


def _stale_lock() -> Iterator[Finding]:
    holder = lock.read_holder()
    if lock.is_held():
        yield Finding("lock", "note", f"a live run is on: {holder}", "wait for it before you start another")
    elif holder is not None:
        text = f"{lock.lock_path()} names {holder}, which is gone"
        yield Finding("lock", "note", text, "harmless; `tonnage doctor --fix` empties it")


def _neighbours(client: docker.DockerClient) -> Iterator[Finding]:
    names = [
        raw["Names"][0].lstrip("/") for raw in client.api.containers() if labels.RUN not in (raw.get("Labels") or {})
    ]
    if names:
        text = f"{len(names)} other containers run: {_shown(names)}"
        remedy = "a live run beside busy containers is not comparable; stop them for a validation"
        yield Finding("containers", "note", text, remedy)


def _networks(client: docker.DockerClient, info: dict[str, Any]) -> Finding:
    left = networks_left(info, client.api.networks())
    text = f"{left.free_count} of {left.all_count} user networks are free"
    if left.free_count >= NETWORKS_COUNT_MIN:
        return Finding("networks", "fine", text)
    remedy = "`docker network prune`, or smaller `default-address-pools` in daemon.json"
    return Finding("networks", "warning", text, remedy)


def _disk(info: dict[str, Any]) -> Iterator[Finding]:
    root = Path(info["DockerRootDir"])
    if place(info) != "here" or not root.exists():
        return
    free_bytes = shutil.disk_usage(root).free
    text = f"{free_bytes / GIB:.1f} GiB are free in {root}"
    if free_bytes >= DISK_BYTES_MIN:
        yield Finding("disk", "fine", text)
    else:
        yield Finding("disk", "warning", text, "`docker system prune` frees what no container uses")


def _memory(info: dict[str, Any]) -> Iterator[Finding]:
    if place(info) != "here":
        return
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    text = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB memory are available"
    low = memory.available < MEMORY_BYTES_MIN
    yield (
        Finding("memory", "warning", text, "end what uses it before a live run")
        if low
        else Finding("memory", "fine", text)
    )
    if swap.total and swap.used / swap.total > SWAP_USED_RATIO_MAX:
        text = f"{swap.used / swap.total:.0%} of {swap.total / GIB:.1f} GiB swap are in use"
        yield Finding("swap", "warning", text, "the host is short of memory: fewer or smaller containers")


def _image(client: docker.DockerClient) -> Finding:
    tags = [tag for image in client.api.images(REPOSITORY) for tag in image.get("RepoTags") or ()]
    if tags:
        return Finding("image", "fine", f"the worker image is here: {_shown(tags)}")
    return Finding("image", "note", "no worker image yet", "the first live run builds it, in a few seconds")


def _profile(info: dict[str, Any] | None) -> Finding:
    path = places.host_profile()
    measure = "`tonnage measure-host` takes about five minutes"
    if not path.exists():
        return Finding("profile", "note", "this host was not measured; the reference profile is used", measure)
    try:
        profile = load_profile(path)
    except ProfileError as problem:
        return Finding("profile", "warning", str(problem), measure)
    if info is not None and profile.kernel != info["KernelVersion"]:
        text = f"the host profile is of kernel {profile.kernel}, the engine runs {info['KernelVersion']}"
        return Finding("profile", "warning", text, measure)
    return Finding("profile", "fine", f"this host was measured at {profile.measured_at}")


def _shown(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:NAMES_SHOWN_MAX])
    return shown if len(names) <= NAMES_SHOWN_MAX else f"{shown} and {len(names) - NAMES_SHOWN_MAX} more"
