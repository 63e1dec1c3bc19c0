"""One live run per engine at a time, and a word on who has it.

Two signs are looked at: a lock on a file in Tonnage's home, which the operating system lets go when the process
ends however it ends; and what carries another living run's labels on the engine, which is how other users of a shared
engine are seen: containers that run, and an empty volume that stands for the whole time the engine is held, between two
runs too. It is looked for before and after our own is made, so two users that begin in the same instant may both be
refused, but never both be let in.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING

from live.engine import engine_errors
from live.errors import EngineBusy
from live.labels import new_run_labels
from live.leftovers import labelled
from sim import places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker

LOCK_NAME = "live.lock"
MARK_PREFIX = "tonnage-held-"
# The longest that an engine may be held, for users on other machines, who cannot see whether the holder lives.
HELD_S_MAX = 86_400.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lock; `since_s` is Unix time."""

    pid: int
    run: str
    since_s: float

    def __str__(self) -> str:
        """The holder in one phrase."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since_s))
        return f"run {self.run} of process {self.pid}, since {since}"


@contextlib.contextmanager
def live_lock(run: str, client: docker.DockerClient) -> Iterator[None]:
    """Hold the engine for as long as it takes; `EngineBusy` names who has it instead."""
    with home_lock(run), mark(client, run):
        yield


@contextlib.contextmanager
def home_lock(run: str) -> Iterator[None]:
    """Be the only one of this home that runs live; `EngineBusy` names who does instead."""
    path = lock_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        if not _take(file):
            raise EngineBusy(str(read_holder() or f"a process that holds {path}"))
        _write(file, Holder(os.getpid(), run, time.time()))
        try:
            yield
        finally:
            file.truncate(0)


def lock_path() -> Path:
    """The lock's file in Tonnage's home."""
    return places.home() / LOCK_NAME


def read_holder() -> Holder | None:
    """Who the lock's file names, living or not; None where it names nobody."""
    try:
        data = json.loads(lock_path().read_text(encoding="utf-8"))
        return Holder(int(data["pid"]), str(data["run"]), float(data["since_s"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_held() -> bool:
    """Whether a living process holds the lock now."""
    try:
        with lock_path().open("a+", encoding="utf-8") as file:
            return not _take(file)
    except FileNotFoundError:
        return False


def forget_holder() -> bool:
    """Empty the file of a holder that crashed; False where a living process holds it."""
    with lock_path().open("a+", encoding="utf-8") as file:
        if not _take(file):
            return False
        file.truncate(0)
    return True


def _take(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(file: IO[str], holder: Holder) -> None:
    file.truncate(0)
    json.dump(asdict(holder), file)
    file.flush()


@contextlib.contextmanager
def mark(client: docker.DockerClient, run: str) -> Iterator[None]:
    """Keep a sign on the engine that it is held; `EngineBusy` where somebody else's is there."""
    _refuse_if_used(client, run)
    name = f"{MARK_PREFIX}{run}"
    client.api.create_volume(name, labels=new_run_labels(run, HELD_S_MAX).as_labels())
    try:
        _refuse_if_used(client, run)
        yield
    finally:
        # An engine that is gone by now took it along, or has it removed by `tonnage doctor --fix`.
        with contextlib.suppress(*engine_errors()):
            client.api.remove_volume(name, force=True)


def _refuse_if_used(client: docker.DockerClient, run: str) -> None:
    for thing in labelled(client):
        other = thing.owner_labels
        if thing.run == run or other is None or thing.is_leftover():
            continue
        if thing.running or (thing.kind == "volume" and thing.name.startswith(MARK_PREFIX)):
            raise EngineBusy(f"{other.holder()} (its {thing.kind} {thing.name} is on this engine)")
