"""Finds and removes what a crashed run left on an engine; nothing without our labels is ever touched.

A run removes what it made in any ending it lives to see. After a `kill -9` its workers end by themselves, because their
stdin closes, and lie there until somebody removes them. Programs of the user's own, and what the engine starts anew,
run on until then.

Labels alone make no container ours: those of a container go with its image where somebody commits it, and every
container of that image has them. So its name, and that of a network, must be one that its run gives. A volume may have
any name, since a story can name it, and is told by its labels alone; the engine removes none that is in use.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from live import labels
from live.engine import engine_errors
from live.knock import nobody_listens
from live.labels import RunLabels, read_labels
from live.owner import is_gone

if TYPE_CHECKING:
    from collections.abc import Iterable

    import docker

# Removals under way at once: the engine is no faster with more.
REMOVALS_MAX = 8

# A removal can be refused because another is under way; what is still there after three is reported.
REMOVAL_ROUNDS_MAX = 3

NAME_PREFIX = "tonnage-"

Kind = Literal["container", "network", "volume"]


@dataclass(frozen=True, slots=True)
class Labelled:
    """An object on the engine that is ours: by its labels, and by its name unless it is a volume.

    `running` is only ever true of a container.
    """

    kind: Kind
    engine_id: str
    name: str
    running: bool
    owner_labels: RunLabels | None
    run: str

    def is_leftover(self) -> bool:
        """Whether nobody will look after it; where its labels are not whole nobody can be asked, so it stays."""
        known = self.owner_labels
        return known is not None and is_gone(known.owner, known.lease_until_s)


def labelled(client: docker.DockerClient, run: str | None = None) -> list[Labelled]:
    """Everything on the engine that is ours, of one run or of all."""
    filters = {"label": labels.RUN if run is None else f"{labels.RUN}={run}"}
    found = [
        *(
            _labelled("container", raw, raw["Id"], raw["Names"][0].lstrip("/"))
            for raw in client.api.containers(all=True, filters=filters)
        ),
        *(_labelled("network", raw, raw["Id"], raw["Name"]) for raw in client.api.networks(filters=filters)),
        *(
            _labelled("volume", raw, raw["Name"], raw["Name"])
            for raw in client.api.volumes(filters=filters)["Volumes"] or ()
        ),
    ]
    # The engine filtered already; asking again here keeps a filter that an engine ignores from being harmful.
    return [thing for thing in found if thing.run and run in {None, thing.run} and _has_our_name(thing)]


def find_leftovers(client: docker.DockerClient) -> list[Labelled]:
    """What runs left whose owner is gone."""
    return [thing for thing in labelled(client) if thing.is_leftover()]


def remove(client: docker.DockerClient, things: Iterable[Labelled]) -> list[str]:
    """Remove these; the names of what could not be removed. `TimeoutError` where the engine takes too long over one."""
    waiting = list(things)
    too_slow = threading.Event()
    with ThreadPoolExecutor(REMOVALS_MAX) as pool:
        for kind in ("container", "network", "volume"):
            of_kind = [thing for thing in waiting if thing.kind == kind]
            tuple(pool.map(lambda thing: _remove_one(client, thing, too_slow), of_kind))
    if too_slow.is_set():
        raise TimeoutError("it takes too long to remove something")
    wanted = {(thing.kind, thing.engine_id) for thing in waiting}
    return [thing.name for thing in labelled(client) if (thing.kind, thing.engine_id) in wanted]


def remove_run(client: docker.DockerClient, run: str) -> list[str]:
    """Remove everything of one run; the names of what could not be removed, or why the engine cannot be asked.

    It is left at the first request that takes too long: the next would most likely, too, and somebody waits.
    """
    remaining: list[str] = []
    for _ in range(REMOVAL_ROUNDS_MAX):
        if nobody_listens(client):
            return [f"everything of run {run} (nobody listens at the engine's socket)"]
        try:
            things = labelled(client, run)
            if not things:
                return []
            remaining = remove(client, things)
        except engine_errors() as problem:
            remaining = [f"everything of run {run} (the engine does not answer: {type(problem).__name__})"]
            if _is_time_out(problem):
                break
    return remaining


def _remove_one(client: docker.DockerClient, thing: Labelled, too_slow: threading.Event) -> None:
    """Remove it, unless the engine has turned out to be too slow; say so where it does."""
    if too_slow.is_set():
        return
    removal: dict[Kind, Any] = {
        "container": lambda: client.api.remove_container(thing.engine_id, force=True, v=True),
        "network": lambda: client.api.remove_network(thing.engine_id),
        "volume": lambda: client.api.remove_volume(thing.engine_id, force=True),
    }
    try:
        removal[thing.kind]()
    except engine_errors() as problem:
        # Gone already, or refused: what is still there is found by looking again.
        if _is_time_out(problem):
            too_slow.set()


def _is_time_out(problem: Exception) -> bool:
    import requests

    return isinstance(problem, (requests.Timeout, TimeoutError))


def _has_our_name(thing: Labelled) -> bool:
    return thing.kind == "volume" or thing.name.startswith(f"{NAME_PREFIX}{thing.run}")


def _labelled(kind: Kind, raw: dict[str, Any], engine_id: str, name: str) -> Labelled:
    found = raw.get("Labels") or {}
    return Labelled(kind, engine_id, name, raw.get("State") == "running", read_labels(found), found.get(labels.RUN, ""))
