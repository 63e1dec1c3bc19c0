"""A private engine: up and gone without a trace, and the three blows it is there for."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import psutil
import pytest

from live import engine_remains as remains
from live.engine_remains import EngineDirectory, contained_by, find_left_engines, programs_of, remove_left_engine
from live.errors import EngineRefused
from live.image import worker_image
from live.labels import new_run_labels
from live.leftovers import labelled
from live.private_engine import PrivateEngine, obstacle
from sim.machine import Blow

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker
    from docker.models.containers import Container

NAME = "private-engine-test"
OUR_NAME = f"tonnage-{NAME}-a-1"
SETTLED_S_MAX = 20.0
# Enters a context, has a container in it, says where, and waits to be killed.
DRIVER = """
import sys
from live.image import worker_image
from live.private_engine import PrivateEngine
with PrivateEngine() as engine:
    client = engine.client()
    client.api.start(client.api.create_container(worker_image(client), stdin_open=True, network_disabled=True))
    print(engine.directory.path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(name="engine")
def _engine(private_engines: None) -> Iterator[PrivateEngine]:
    with PrivateEngine() as engine:
        yield engine


@pytest.fixture(name="client")
def _client(engine: PrivateEngine) -> Iterator[docker.DockerClient]:
    client = engine.client()
    yield client
    client.close()


@pytest.fixture(name="neighbour")
def _neighbour(docker_engine: docker.DockerClient) -> Iterator[Container]:
    """A container that runs on the machine's own engine."""
    container = started(docker_engine, name=OUR_NAME, labels=new_run_labels(NAME, 60.0).as_labels())
    yield container
    container.remove(force=True)


def started(client: docker.DockerClient, **options: Any) -> Container:  # noqa: ANN401
    """A worker that waits for words on its stdin."""
    options = {"network_mode": "none", "name": NAME} | options
    container: Container = client.containers.create(worker_image(client), stdin_open=True, **options)
    container.start()
    return container


def state_of(container: Container) -> tuple[str, int]:
    """Its status and exit code now."""
    container.reload()
    return container.status, container.attrs["State"]["ExitCode"]


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more; its new parent may take its time to ask how it ended."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def mount_namespace_of(pid: int) -> str:
    """Which one a process is in; none where it has ended."""
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return ""


def own_namespaces(directory: EngineDirectory) -> set[str]:
    """The mount namespaces of the engine and its containers, where all that it mounted is."""
    processes = [*programs_of(directory), *contained_by(directory)]
    return {mount_namespace_of(process.pid) for process in processes} - {""}


def ended(directory: EngineDirectory, namespaces: set[str]) -> bool:
    """Whether no process or directory of the engine is left, and nobody in its namespaces, which end with the last."""
    there = {mount_namespace_of(pid) for pid in psutil.pids()}
    assert namespaces, "an engine that was up had namespaces"
    assert mount_namespace_of(os.getpid()) not in namespaces
    return not programs_of(directory) and not directory.path.exists() and not there & namespaces


def interfaces() -> set[str]:
    """The network interfaces of this machine, those between containers and bridges apart."""
    return {path.name for path in Path("/sys/class/net").iterdir() if not path.name.startswith("veth")}


@pytest.mark.docker
@pytest.mark.timeout(90)
class TestOnThisMachine:
    """Where root may start an engine."""

    def test_it_answers_and_is_gone(self, engine: PrivateEngine, docker_engine: docker.DockerClient) -> None:
        """It is an engine of its own; afterwards no process, mount, interface, cgroup or file of it is left."""
        before, directory, client = interfaces(), engine.directory, engine.client()
        with_network = client.networks.create(NAME)
        container = started(client, network_mode=with_network.name)
        (process,) = contained_by(directory)
        namespaces = own_namespaces(directory)
        others = docker_engine.info()["ID"]
        own = client.info()["ID"]
        client.close()

        engine.close()

        assert own != others
        assert len(namespaces) == 2
        assert ended(directory, namespaces)
        assert has_ended(process)
        assert before == interfaces()
        assert list(remains._cgroups_of(str(container.id))) == []

    @pytest.mark.usefixtures("private_engines")
    def test_it_leaves_the_other_engine_its_bridge(self, docker_engine: docker.DockerClient) -> None:
        """`docker0` is as it was before an engine without a bridge started."""
        before = interfaces()

        with PrivateEngine():
            during = interfaces()

        assert before == during == interfaces()

    def test_stopped_in_order(self, engine: PrivateEngine, client: docker.DockerClient) -> None:
        """Containers get their SIGTERM and exit with 0, and one that is not to be stopped runs again."""
        container = started(client, restart_policy={"Name": "unless-stopped"})
        first_start = container.attrs["State"]["StartedAt"]

        engine.strike("stop", None)
        processes_count = len(contained_by(engine.directory))
        engine.restore()

        assert processes_count == 0
        assert state_of(container)[0] == "running"
        assert first_start != container.attrs["State"]["StartedAt"]

    def test_crashed(self, engine: PrivateEngine, client: docker.DockerClient, neighbour: Container) -> None:
        """Containers live on until it is back, which kills them; those of the other engine notice nothing."""
        container = started(client)
        before = contained_by(engine.directory)

        engine.strike("crash", None)
        during = contained_by(engine.directory)
        engine.restore()

        assert len(before) == 1
        assert before == during
        assert state_of(container)[0] == "exited"
        assert has_ended(before[0])
        assert state_of(neighbour) == ("running", 0)

    def test_lost(self, engine: PrivateEngine, client: docker.DockerClient, neighbour: Container) -> None:
        """Everything of it ends at once, nothing of the other engine; what it comes back to is there, and ended."""
        container = started(client)
        (process,) = contained_by(engine.directory)

        engine.strike("loss", None)
        left = [*programs_of(engine.directory), *contained_by(engine.directory)]
        engine.restore()

        assert left == []
        assert has_ended(process)
        assert state_of(container)[0] == "exited"
        assert state_of(neighbour) == ("running", 0)

    @pytest.mark.parametrize("blow", get_args(Blow))
    def test_back_at_once(self, engine: PrivateEngine, client: docker.DockerClient, blow: Blow) -> None:
        """An engine that is started the moment it ended does not stumble over what the last one left."""
        started(client)

        engine.strike(blow, 0.0)

        assert client.ping()
        assert len(client.containers.list(all=True)) == 1

    def test_down_as_long_as_asked(self, engine: PrivateEngine, client: docker.DockerClient) -> None:
        """It is not back before its time."""
        begun_s = time.monotonic()

        engine.strike("crash", 1.0)

        assert time.monotonic() - begun_s >= 1.0
        assert client.ping()

    def test_restoring_one_that_is_up(self, engine: PrivateEngine) -> None:
        """Nothing happens to it."""
        before = programs_of(engine.directory)

        engine.restore()

        assert before == programs_of(engine.directory)

    def test_bringing_back_one_that_ended_by_itself(self, engine: PrivateEngine, client: docker.DockerClient) -> None:
        """It is started again, though nobody struck it."""
        assert engine._engine is not None
        os.kill(engine._engine.pid, signal.SIGKILL)
        engine._engine.wait(SETTLED_S_MAX)

        engine.bring_back()

        assert client.ping()

    def test_bringing_back_before_a_blow_is_over(self, engine: PrivateEngine, client: docker.DockerClient) -> None:
        """It does not wait for the end of a blow that a run that is over dealt, and the next blow takes its time."""
        blow = threading.Thread(target=engine.strike, args=("crash", 3600.0))
        blow.start()
        while engine._engine is not None:
            time.sleep(0.01)

        engine.bring_back()
        blow.join(SETTLED_S_MAX)
        begun_s = time.monotonic()
        engine.strike("crash", 0.5)

        assert not blow.is_alive()
        assert time.monotonic() - begun_s >= 0.5
        assert client.ping()

    def test_what_earlier_runs_made_does_not_come_back(
        self, engine: PrivateEngine, client: docker.DockerClient
    ) -> None:
        """Restored, it has nothing more of any run, whoever made it; what is nobody's run stays."""
        labels = new_run_labels(NAME, 60.0).as_labels()
        client.networks.create(OUR_NAME, labels=labels)
        client.volumes.create(OUR_NAME, labels=labels)
        started(client, name=OUR_NAME, labels=labels, restart_policy={"Name": "always"})
        started(client)
        before = {thing.kind for thing in labelled(client)}
        engine.strike("loss", None)

        engine.restore()

        assert {"container", "network", "volume"} == before
        assert labelled(client) == []
        assert [NAME] == [container.name for container in client.containers.list(all=True)]

    def test_left_while_it_is_down(self, engine: PrivateEngine) -> None:
        """Leaving does not wait for an engine that is to come back much later."""
        directory, namespaces = engine.directory, own_namespaces(engine.directory)
        blow = threading.Thread(target=engine.strike, args=("crash", 3600.0))
        blow.start()
        while engine._engine is not None:
            time.sleep(0.01)

        engine.close()
        blow.join(SETTLED_S_MAX)

        assert not blow.is_alive()
        assert ended(directory, namespaces)

    def test_left_by_a_driver_that_was_killed(self, client: docker.DockerClient) -> None:
        """It is found by its owner, who is gone, and ended with its containers; one in use stays."""
        driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert driver.stdout is not None
        directory = EngineDirectory(Path(driver.stdout.readline().decode().strip()))
        while_it_lives = find_left_engines()
        driver.kill()
        driver.communicate()
        found, namespaces = find_left_engines(), own_namespaces(directory)

        remove_left_engine(directory.path)

        assert directory.path not in while_it_lives
        assert directory.path in found
        assert ended(directory, namespaces)
        assert client.ping()


class TestWhereItCannotBe:
    """Where this machine or this user cannot have one."""

    def test_without_root(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One line says what it takes, and nothing is made."""
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(remains, "new_directory", pytest.fail)

        with pytest.raises(EngineRefused, match="only root can start one"), PrivateEngine():
            pass

    def test_without_docker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is missing is named."""
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(shutil, "which", lambda name: None if name == "dockerd" else f"/usr/bin/{name}")

        assert obstacle() == "dockerd cannot be found on the path"
