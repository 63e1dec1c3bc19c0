"""One live run per engine, and who has it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from live.doctor import mend
from live.errors import EngineBusy
from live.image import worker_image
from live.labels import new_run_labels
from live.lock import forget_holder, is_held, live_lock, lock_path, read_holder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(60)]

HOLDING = """
import contextlib, sys
from live.engine import connect
from live.lock import live_lock
with contextlib.closing(connect()) as client, live_lock("theirs", client):
    print("held", flush=True)
    sys.stdin.read()
"""

OWNING = """
import sys
from live.engine import connect
from live.labels import new_run_labels
client = connect()
made = client.api.create_container(
    sys.argv[1],
    name="tonnage-theirs-a",
    labels=new_run_labels("theirs", 60.0).as_labels(),
    stdin_open=True,
    network_disabled=True,
)
client.api.start(made["Id"])
client.close()
print(made["Id"], flush=True)
sys.stdin.read()
"""


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of another user's, more or less."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    """What it says when it is where it should be."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture(name="theirs")
def _theirs(docker_engine: docker.DockerClient, home: Path) -> Iterator[subprocess.Popen[str]]:
    with child(HOLDING) as process:
        assert first_line(process) == "held"
        yield process
        process.kill()
        process.wait()
        # What a killed holder leaves on the engine is the doctor's to remove.
        mend(docker_engine)


def test_a_second_run_is_told_who_holds_the_engine(
    theirs: subprocess.Popen[str], docker_engine: docker.DockerClient
) -> None:
    """The error names run, process and since when; nothing waits."""
    with pytest.raises(EngineBusy) as told, live_lock("mine", docker_engine):
        pass

    assert told.value.holder.startswith(f"run theirs of process {theirs.pid}, since 20")
    assert is_held()
    assert not forget_holder()


def test_a_killed_holder_holds_nothing(theirs: subprocess.Popen[str], docker_engine: docker.DockerClient) -> None:
    """After a `kill -9` the lock is free at once, and only the name is left in the file."""
    theirs.kill()
    theirs.wait()

    assert not is_held()
    assert read_holder() is not None
    with live_lock("mine", docker_engine):
        holder = read_holder()
    assert holder is not None
    assert (os.getpid(), "mine") == (holder.pid, holder.run)


def test_a_lock_that_was_let_go_names_nobody(docker_engine: docker.DockerClient, home: Path) -> None:
    """After a run the file is empty and the next run may begin, after a failed one too."""

    def fail_while_held() -> None:
        with live_lock("mine", docker_engine):
            assert is_held()
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail_while_held()

    assert lock_path() == home / "live.lock"
    assert read_holder() is None
    assert not is_held()


def test_without_a_lock_nobody_holds_it(home: Path) -> None:
    """Where no live run ever was, nothing is held and nothing is created."""
    assert not is_held()
    assert read_holder() is None


def test_another_users_containers_hold_the_engine(docker_engine: docker.DockerClient) -> None:
    """A user with a home of their own is seen by the labels of their running containers."""
    with child(OWNING, worker_image(docker_engine)) as process:
        container = first_line(process)
        try:
            holder = rf"run theirs of process {process.pid} on .+ \(its container tonnage-theirs-a is on this engine"
            with pytest.raises(EngineBusy, match=holder), live_lock("mine", docker_engine):
                pass
        finally:
            process.kill()
            docker_engine.api.remove_container(container, force=True)


def test_a_sign_on_the_engine_holds_it(
    theirs: subprocess.Popen[str], docker_engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a home of one's own one sees a holder that has no container yet; a killed one is seen no more."""
    monkeypatch.setenv("TONNAGE_HOME", str(tmp_path / "elsewhere"))
    holder = rf"run theirs of process {theirs.pid} on .+ \(its volume tonnage-held-theirs is on this engine"
    with pytest.raises(EngineBusy, match=holder), live_lock("mine", docker_engine):
        pass
    theirs.kill()
    theirs.wait()
    try:
        with live_lock("mine", docker_engine):
            signs = {volume["Name"] for volume in docker_engine.api.volumes()["Volumes"]}
    finally:
        docker_engine.api.remove_volume("tonnage-held-theirs", force=True)

    assert {"tonnage-held-theirs", "tonnage-held-mine"} <= signs
    assert "tonnage-held-mine" not in {volume["Name"] for volume in docker_engine.api.volumes()["Volumes"] or ()}


def test_our_own_containers_do_not(docker_engine: docker.DockerClient) -> None:
    """A run does not stand in its own way."""
    labels = new_run_labels("mine", 60.0).as_labels()
    image = worker_image(docker_engine)
    made = docker_engine.api.create_container(
        image, name="tonnage-mine-a", labels=labels, stdin_open=True, network_disabled=True
    )["Id"]
    try:
        docker_engine.api.start(made)
        with live_lock("mine", docker_engine):
            held = is_held()
    finally:
        docker_engine.api.remove_container(made, force=True)

    assert held
