"""What belongs to a private engine and what does not, and those that crashed runs left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from live import engine_remains as remains
from live.engine_remains import EngineDirectory, find_left_engines, kill_all, new_directory, programs_of
from live.errors import EngineRefused
from live.owner import this_owner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from live.owner import Owner

SLEEPING = "print(flush=True); import time; time.sleep(60)"


class Stage:
    """Starts processes that call themselves something, and ends them."""

    def __init__(self) -> None:
        """Begin with none."""
        self.actors: list[subprocess.Popen[bytes]] = []

    def enter(self, name: str, *words: str) -> int:
        """The number of a process that runs under this name with these words in its command line."""
        command = [name, "-c", SLEEPING, *words]
        actor = subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE)
        self.actors.append(actor)
        assert actor.stdout is not None
        actor.stdout.readline()
        return actor.pid

    def leave(self) -> None:
        """End them all."""
        while self.actors:
            actor = self.actors.pop()
            actor.kill()
            actor.communicate()


@pytest.fixture(name="stage")
def _stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.leave()


@pytest.fixture(name="place", autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the engines of these tests are looked for."""
    monkeypatch.setattr(remains, "PLACES", (tmp_path,))
    return tmp_path


def directory_of(owner: Owner) -> EngineDirectory:
    """An engine's directory that names this owner."""
    directory = new_directory()
    directory.owner_file.write_text(json.dumps(asdict(owner)), encoding="utf-8")
    return directory


def gone() -> Owner:
    """An owner with this process's number that began at another time."""
    return replace(this_owner(), pid_start="0")


def test_only_its_own_programs_belong_to_it(stage: Stage) -> None:
    """The directory in the command line of one of Docker's programs tells; a reader of its log or a client does not."""
    directory = new_directory()
    engine = stage.enter("dockerd", f"--data-root={directory.data}")
    shim = stage.enter("/usr/bin/containerd-shim-runc-v2", "-address", f"{directory.run}/containerd.sock")
    stage.enter("dockerd", f"--data-root={directory.path}x/data")
    stage.enter("dockerd")
    stage.enter("docker", f"--host=unix://{directory.socket}")
    stage.enter("tail", str(directory.log))

    assert [engine, shim] == [process.pid for process in programs_of(directory)]


def test_all_of_it_is_killed_and_nothing_else(stage: Stage) -> None:
    """What belongs to the engine has ended afterwards; what only looks like it runs on."""
    directory = new_directory()
    stage.enter("dockerd", f"--data-root={directory.data}")
    stage.enter("dockerd", "--data-root=/elsewhere/data")

    kill_all(directory)

    assert [-9, None] == [actor.poll() for actor in stage.actors]


def test_only_the_numbers_of_ended_programs_are_forgotten(stage: Stage) -> None:
    """A pid file stays as long as its program lives, and goes where the number is nobody's or another's."""
    directory = new_directory()
    containerd_file = directory.run / "containerd" / "containerd.pid"
    containerd_file.parent.mkdir(parents=True)
    directory.pid_file.write_text(str(os.getpid()), encoding="ascii")
    containerd_file.write_text(str(stage.enter("containerd", f"{directory.run}/x")), encoding="ascii")

    while_it_lives = remains.forget_ended(directory)
    left = [file.exists() for file in (directory.pid_file, containerd_file)]
    stage.leave()

    assert not while_it_lives
    assert [False, True] == left
    assert remains.forget_ended(directory)


def test_one_whose_owner_lives_is_not_left() -> None:
    """A directory is made with its owner's name in it."""
    new_directory()

    assert find_left_engines() == []


def test_one_whose_owner_is_gone_is_found_and_removed(stage: Stage) -> None:
    """Its processes end and its directory goes."""
    directory = directory_of(gone())
    stage.enter("dockerd", f"--data-root={directory.data}")

    found = find_left_engines()
    remains.remove_left_engine(directory.path)

    assert [directory.path] == found
    assert not directory.path.exists()
    assert [-9] == [actor.wait() for actor in stage.actors]


def test_one_of_another_client_host_is_not_judged() -> None:
    """Nobody here can see whether its owner lives."""
    directory_of(replace(gone(), client_host="another"))

    assert find_left_engines() == []


def test_one_without_a_name_is_left_only_once_it_is_old_and_empty(place: Path) -> None:
    """It may be one that is being made; one with something in it has another story."""
    for name in ("new", "old", "full"):
        (place / f"{remains.PREFIX}{name}").mkdir()
    (place / f"{remains.PREFIX}full" / "data").mkdir()
    for name in ("old", "full"):
        os.utime(place / f"{remains.PREFIX}{name}", (0, 0))

    assert [place / f"{remains.PREFIX}old"] == find_left_engines()


def test_a_link_is_no_engine(place: Path) -> None:
    """What a link leads to is not removed."""
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (place / f"{remains.PREFIX}link").symlink_to(elsewhere)
    os.utime(elsewhere, (0, 0))

    assert find_left_engines() == []


def test_removing_one_that_is_not_left_is_refused(place: Path) -> None:
    """Neither one in use nor any other directory is touched."""
    in_use = new_directory()
    other = place / "other"
    other.mkdir()

    for path in (in_use.path, other):
        with pytest.raises(EngineRefused, match="none that a crashed run left"):
            remains.remove_left_engine(path)
        assert path.is_dir()


def test_one_whose_removal_was_cut_off_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner's name goes last, so whatever ends a removal, what is left still says whose it was."""
    directory = directory_of(gone())
    (directory.data / "containers").mkdir(parents=True)
    directory.log.touch()

    def cut_off(path: Path, **_: object) -> None:
        # The worst order in which a directory can be removed.
        (path / directory.owner_file.name).unlink(missing_ok=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", cut_off)
        with pytest.raises(KeyboardInterrupt):
            remains.remove_left_engine(directory.path)
    found = find_left_engines()
    remains.remove_left_engine(directory.path)

    assert [directory.path] == found
    assert not directory.path.exists()


def test_what_cannot_be_removed_keeps_its_owners_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names the directory, and it is found again by whoever tries later."""
    directory = directory_of(gone())
    directory.data.mkdir()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)

    with pytest.raises(EngineRefused, match="cannot be removed"):
        remains.remove_left_engine(directory.path)

    assert [directory.path] == find_left_engines()


def test_one_that_vanishes_while_it_is_looked_at_is_not_left(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else removes it between two looks."""
    vanishing = place / f"{remains.PREFIX}vanishing"
    vanishing.mkdir()

    def vanish(path: Path) -> bool:
        path.rmdir()
        return True

    monkeypatch.setattr(remains, "_is_own", vanish)

    assert find_left_engines() == []
    assert not vanishing.exists()
