"""What a private engine consists of on this machine, how all of it is ended, and those that crashed runs left.

A process belongs to an engine if it is one of Docker's programs and the engine's directory stands in its command line,
or if it runs in the cgroup of one of the engine's containers. No other process is ever touched.
What the engine mounted and its bridges need no undoing: they live in namespaces of its own and end with them.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from live.errors import EngineRefused
from live.owner import Owner, this_owner

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "tonnage-engine-"
# On a disk where an engine is wont to keep layers; elsewhere only where that cannot be written.
PLACES = (Path("/var/lib"), Path(tempfile.gettempdir()))
# The name that the process which keeps an engine's namespaces gives itself, see `live/private_engine.py`.
KEEPER = "tonnage-engine-keeper"
# Programs of Docker by the beginning of their names; the client, plain `docker`, is none of the engine's.
PROGRAMS = ("dockerd", "docker-", "containerd", "runc", "libnetwork-")
CGROUPS = Path("/sys/fs/cgroup")
CONTAINER_ID_CHARACTERS = 64
# What was being forked while the others were killed is found in the next round.
KILL_ROUNDS_MAX = 100
ROUND_S = 0.02
# A directory without a whole owner may be one that is being made at this moment, but not for this long.
NAMELESS_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class EngineDirectory:
    """The directory that holds everything of one private engine."""

    path: Path

    @property
    def data(self) -> Path:
        """Images, containers and networks, kept over a loss of the engine."""
        return self.path / "data"

    @property
    def run(self) -> Path:
        """What a real machine keeps below /run, and loses when it boots."""
        return self.path / "run"

    @property
    def socket(self) -> Path:
        """Where the engine answers."""
        return self.path / "engine.sock"

    @property
    def log(self) -> Path:
        """What the engine says."""
        return self.path / "engine.log"

    @property
    def pid_file(self) -> Path:
        """The engine's number."""
        return self.path / "engine.pid"

    @property
    def owner_file(self) -> Path:
        """Who made the engine, to be found after a crash."""
        return self.path / "owner.json"


def new_directory() -> EngineDirectory:
    """A directory for an engine of this process, in the first place that can be written."""
    place = next((place for place in PLACES if os.access(place, os.W_OK)), PLACES[-1])
    directory = EngineDirectory(Path(tempfile.mkdtemp(prefix=PREFIX, dir=place)))
    directory.owner_file.write_text(json.dumps(asdict(this_owner())), encoding="utf-8")
    return directory


def programs_of(directory: EngineDirectory) -> list[psutil.Process]:
    """The engine's own processes, those that can start others first."""
    found = [process for process in _living() if _is_program_of(directory, _words(process))]
    return sorted(found, key=lambda process: (_program(_words(process)).startswith("containerd"), process.pid))


def contained_by(directory: EngineDirectory) -> list[psutil.Process]:
    """The processes in the engine's containers."""
    ids = _container_ids(directory)
    return [process for process in _living() if _is_in_cgroup_of(process.pid, ids)] if ids else []


def kill_all(directory: EngineDirectory) -> None:
    """SIGKILL every process of the engine and its containers, in one go; `EngineRefused` if some will not go."""
    for _ in range(KILL_ROUNDS_MAX):
        # Both are looked for before the first is killed: a container is found by what its shim says too.
        processes = [*programs_of(directory), *contained_by(directory)]
        if not processes:
            return
        for process in processes:
            with suppress(psutil.Error):
                # Refuses where the number meanwhile is another process's.
                process.kill()
        time.sleep(ROUND_S)
    raise EngineRefused("get rid of a private one", f"processes of {directory.path} do not end")


def forget_ended(directory: EngineDirectory) -> bool:
    """Remove the pid files of programs that ended; whether none is left.

    They would keep an engine from starting if nobody has asked yet how the program ended, or its number is used again.
    """
    living = {process.pid for process in programs_of(directory)}
    files = (directory.pid_file, directory.run / "containerd" / "containerd.pid")
    for file in files:
        with suppress(OSError, ValueError):
            if int(file.read_text(encoding="ascii")) not in living:
                file.unlink()
    return not any(file.exists() for file in files)


def remove_cgroups(directory: EngineDirectory) -> None:
    """Remove the empty cgroups that containers leave whose shim was killed."""
    for container_id in _container_ids(directory):
        for cgroup in _cgroups_of(container_id):
            _remove_cgroup(cgroup)


def remove_all(directory: EngineDirectory) -> None:
    """End the engine with all it has, and remove its directory."""
    kill_all(directory)
    remove_cgroups(directory)
    _remove_directory(directory)
    if directory.path.exists():
        raise EngineRefused("get rid of a private one", f"{directory.path} cannot be removed")


def find_left_engines() -> list[Path]:
    """The directories of private engines whose owner is gone."""
    found = {path for place in PLACES for path in place.glob(f"{PREFIX}*") if _is_left(path)}
    return sorted(found)


def remove_left_engine(path: Path) -> None:
    """End a private engine whose owner is gone and remove what it has; `EngineRefused` where it is none, or stays."""
    if path not in find_left_engines():
        raise EngineRefused("get rid of a private one", f"{path} is none that a crashed run left")
    remove_all(EngineDirectory(path))


def _remove_directory(directory: EngineDirectory) -> None:
    """Remove what can be; the owner's name goes last, so that what stays, whatever ends this, is found again by it."""
    for path in _beside_owner(directory):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
    if not _beside_owner(directory):
        with suppress(OSError):
            directory.owner_file.unlink(missing_ok=True)
            directory.path.rmdir()


def _beside_owner(directory: EngineDirectory) -> list[Path]:
    """What is in the directory but for its owner's name; nothing where it is gone."""
    try:
        return [path for path in directory.path.iterdir() if path != directory.owner_file]
    except OSError:
        return []


def _is_left(path: Path) -> bool:
    if not _is_own(path):
        return False
    try:
        owner = Owner(**json.loads(EngineDirectory(path).owner_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return _is_nameless(path)
    return owner.is_here() and not owner.lives()


def _is_own(path: Path) -> bool:
    """Whether it is this user's: what somebody else puts in a directory open to all says nothing."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _is_nameless(path: Path) -> bool:
    """Whether its maker was killed before it had written its name, or its remover after that, so nothing is in it."""
    try:
        names = {entry.name for entry in path.iterdir()}
        age_s = time.time() - path.stat().st_mtime
    except OSError:
        # Somebody removed it meanwhile.
        return False
    return names <= {EngineDirectory(path).owner_file.name} and age_s > NAMELESS_S_MAX


def _living() -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
                yield process


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _program(words: list[str]) -> str:
    return Path(words[0]).name if words else ""


def _is_program_of(directory: EngineDirectory, words: list[str]) -> bool:
    if KEEPER in words:
        return str(directory.path) in words
    return _program(words).startswith(PROGRAMS) and any(f"{directory.path}/" in word for word in words)


def _container_ids(directory: EngineDirectory) -> set[str]:
    """The containers that the engine has, and those that a shim still knows of."""
    kept = directory.data / "containers"
    names = {entry.name for entry in kept.iterdir()} if kept.is_dir() else set()
    for process in programs_of(directory):
        words = _words(process)
        if "-id" in words[:-1]:
            names.add(words[words.index("-id") + 1])
    return {name for name in names if len(name) == CONTAINER_ID_CHARACTERS}


def _is_in_cgroup_of(pid: int, container_ids: set[str]) -> bool:
    try:
        places = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    except OSError:
        return False
    return any(container_id in places for container_id in container_ids)


def _cgroups_of(container_id: str) -> Iterator[Path]:
    """Where the container's cgroups can be: in each hierarchy of version 1, or in the one of version 2."""
    for root in (CGROUPS, *CGROUPS.glob("*/")):
        for cgroup in (root / "docker" / container_id, root / "system.slice" / f"docker-{container_id}.scope"):
            if cgroup.is_dir():
                yield cgroup


def _remove_cgroup(cgroup: Path) -> None:
    """Remove a cgroup with those below it; one with a process in it stays, for the kernel will not let it go."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()
